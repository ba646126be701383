/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log-linear histogram. Values below 16 have a bucket each; above, the bucket is the position
 * of the highest bit and the four bits that follow it.
 */
#include "base/histogram.h"

#include <assert.h>
#include <string.h>

enum {
    STEPS = 1 << EVC_HISTOGRAM_STEP_BITS
};

void
evc_histogram_init(struct evc_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

unsigned
evc_histogram_bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < STEPS) {
        return (unsigned)value;
    }
    if (value >> EVC_HISTOGRAM_VALUE_BITS_MAX != 0) {
        return EVC_HISTOGRAM_BUCKETS - 1;
    }
    shift = 63 - (unsigned)__builtin_clzll(value) - EVC_HISTOGRAM_STEP_BITS;
    return ((shift + 1) << EVC_HISTOGRAM_STEP_BITS) + ((unsigned)(value >> shift) & (STEPS - 1));
}

uint64_t
evc_histogram_bucket_upper(unsigned index)
{
    unsigned shift;

    assert(index < EVC_HISTOGRAM_BUCKETS);
    if (index < STEPS) {
        return index;
    }
    shift = (index >> EVC_HISTOGRAM_STEP_BITS) - 1;
    return ((uint64_t)(STEPS + (index & (STEPS - 1)) + 1) << shift) - 1;
}

void
evc_histogram_record(struct evc_histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max) {
        histogram->max = value;
    }
    histogram->bucket[evc_histogram_bucket_of(value)]++;
}

void
evc_histogram_merge(struct evc_histogram *into, const struct evc_histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) {
        into->max = from->max;
    }
    for (unsigned i = 0; i < EVC_HISTOGRAM_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
}

/* How many of the records, in ascending order, a share q takes in: 1 to count. */
static uint64_t
histogram_rank(uint64_t count, double q)
{
    double exact = q * (double)count;
    uint64_t rank = exact >= (double)count ? count : (uint64_t)exact;

    if ((double)rank < exact && rank < count) {
        rank++;
    }
    return rank == 0 ? 1 : rank;
}

uint64_t
evc_histogram_quantile(const struct evc_histogram *histogram, double q)
{
    uint64_t rank;
    uint64_t seen = 0;

    assert(q >= 0.0 && q <= 1.0);
    if (histogram->count == 0) {
        return 0;
    }
    rank = histogram_rank(histogram->count, q);
    /* The last bucket has no upper end, so whatever reaches it is answered with the maximum. */
    for (unsigned i = 0; i < EVC_HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->bucket[i];
        if (seen >= rank) {
            uint64_t upper = evc_histogram_bucket_upper(i);
            return upper < histogram->max ? upper : histogram->max;
        }
    }
    return histogram->max;
}
