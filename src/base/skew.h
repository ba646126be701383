/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far another machine's clock is from ours, from questions and answers: who answers in the
 * middle of a round trip of r is known to within r / 2, so of the last few answers the one with the
 * shortest round trip counts. Pure; owner: one thread.
 */
#ifndef EVC_BASE_SKEW_H
#define EVC_BASE_SKEW_H

#include <stdbool.h>
#include <stdint.h>

enum {
    EVC_SKEW_SAMPLES_MAX = 16
};

struct evc_skew_sample {
    int64_t ahead_us; /* their clock minus ours */
    uint64_t round_trip_us;
};

struct evc_skew {
    struct evc_skew_sample samples[EVC_SKEW_SAMPLES_MAX]; /* a ring */
    unsigned count; /* of all answers ever, up to the ring's size */
    unsigned next;
};

/** An answer: when it was asked and had come (our clock) and what they said. One that came before
 * it was asked is passed over: our own clock was set back. */
void evc_skew_add(struct evc_skew *skew, uint64_t asked_us, uint64_t theirs_us, uint64_t came_us);

/** Forgets everything. */
void evc_skew_reset(struct evc_skew *skew);

/** False while nothing is known. */
bool evc_skew_get(const struct evc_skew *skew, struct evc_skew_sample *ret);

#endif
