/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small histogram for what happens often and in many places at once (a node's answers, a loop's
 * turns): buckets double from 64 µs to half a second. histogram.h is the precise one. Plain
 * uint64_t: it is added and copied as it stands.
 */
#ifndef EVC_BASE_LATENCY_H
#define EVC_BASE_LATENCY_H

#include <stdint.h>

enum {
    EVC_LATENCY_FIRST_BITS = 6, /* the first bucket takes up to 64 µs */
    EVC_LATENCY_BUCKETS = 15,   /* the last one everything above 2^19 µs */
};

struct evc_latency {
    uint64_t count, sum_us;
    uint64_t bucket[EVC_LATENCY_BUCKETS];
};

static inline void
evc_latency_record(struct evc_latency *latency, uint64_t us)
{
    uint64_t above = us > 0 ? (us - 1) >> EVC_LATENCY_FIRST_BITS : 0;
    unsigned index = above > 0 ? 64 - (unsigned)__builtin_clzll(above) : 0;

    latency->count++;
    latency->sum_us += us;
    latency->bucket[index < EVC_LATENCY_BUCKETS ? index : EVC_LATENCY_BUCKETS - 1]++;
}

/** The highest value of a bucket but the last. */
static inline uint64_t
evc_latency_bucket_upper_us(unsigned index)
{
    return UINT64_C(1) << (EVC_LATENCY_FIRST_BITS + index);
}

static inline void
evc_latency_add(struct evc_latency *into, const struct evc_latency *from)
{
    into->count += from->count;
    into->sum_us += from->sum_us;
    for (unsigned i = 0; i < EVC_LATENCY_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
}

#endif
