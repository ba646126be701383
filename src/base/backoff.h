/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential back-off with jitter; pure. Attempt 0 waits min_ms, each further twice as long, up to
 * max_ms. */
#ifndef EVC_BASE_BACKOFF_H
#define EVC_BASE_BACKOFF_H

#include <stddef.h>
#include <stdint.h>

struct evc_backoff {
    uint32_t min_ms, max_ms; /* immutable after init */
    uint32_t attempt;
    uint64_t seed;
};

void evc_backoff_init(struct evc_backoff *backoff, uint32_t min_ms, uint32_t max_ms, uint64_t seed);

/** Milliseconds to wait before the next attempt: 75 to 125 % of the nominal delay. */
uint32_t evc_backoff_next_ms(struct evc_backoff *backoff);

/** It worked: the next failure starts small again. */
void evc_backoff_reset(struct evc_backoff *backoff);

#endif
