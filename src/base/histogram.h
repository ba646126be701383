/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of non-negative integers (durations in microseconds, sizes in bytes): 16
 * linear steps in every power of two, so a quantile is at most 1/16 (6.25 %) above the true value.
 * Plain data without pointers: it is copied, merged and written to disk as it stands.
 */
#ifndef EVC_BASE_HISTOGRAM_H
#define EVC_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    EVC_HISTOGRAM_STEP_BITS = 4,
    EVC_HISTOGRAM_VALUE_BITS_MAX = 40, /* larger values count in the last bucket */
    EVC_HISTOGRAM_BUCKETS = (EVC_HISTOGRAM_VALUE_BITS_MAX - EVC_HISTOGRAM_STEP_BITS + 1)
                            << EVC_HISTOGRAM_STEP_BITS,
};

struct evc_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t bucket[EVC_HISTOGRAM_BUCKETS];
};

void evc_histogram_init(struct evc_histogram *histogram);
void evc_histogram_record(struct evc_histogram *histogram, uint64_t value);
void evc_histogram_merge(struct evc_histogram *into, const struct evc_histogram *from);

/** The highest value of a bucket; with evc_histogram_bucket_of it describes the layout. */
uint64_t evc_histogram_bucket_upper(unsigned index);
unsigned evc_histogram_bucket_of(uint64_t value);

/** The value at or below which a share q (0 to 1) of the records lie; 0 when empty, never above
 * max. */
uint64_t evc_histogram_quantile(const struct evc_histogram *histogram, double q);

#endif
