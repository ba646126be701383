/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composes a page of metrics in the Prometheus text format 0.0.4: families one after another, the
 * samples of a family together. Names follow evcache_<part>_<noun>_<unit>[_total]; durations are
 * in seconds, sizes in bytes. Keeps nothing: whoever serves a page makes it from its own figures.
 *
 *     evc_metric_family(page, &(struct evc_metric){"evcache_queue_used_bytes", EVC_METRIC_GAUGE,
 * "…"}); evc_metric_count(page, bytes, "region", "oregon", NULL);
 *
 * What does not fit the page's bound is left out and remembered (is_cut). Owner: one thread.
 */
#ifndef EVC_BASE_METRIC_H
#define EVC_BASE_METRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"
#include "base/latency.h"

enum {
    EVC_METRIC_PAGE_BYTES_MAX = 64 * 1024 * 1024, /* 256 partitions of 15 destinations are 40 MB */
    EVC_METRIC_LABELS_BYTES_MAX = 1024,           /* of one sample, escaped */
};

enum evc_metric_kind {
    EVC_METRIC_COUNTER,
    EVC_METRIC_GAUGE,
    EVC_METRIC_HISTOGRAM,
    EVC_METRIC_KIND_MAX,
};

struct evc_metric {
    const char *name;
    enum evc_metric_kind kind;
    const char *help; /* one sentence, for a person, without a newline or backslash */
};

struct evc_metric_page {
    struct evc_buf out;
    const struct evc_metric *family; /* the one samples belong to */
    struct evc_metric copy;          /* what family points to */
    bool is_cut;                     /* something did not fit, or there was no memory */
};

void evc_metric_page_init(struct evc_metric_page *page);
void evc_metric_page_finish(struct evc_metric_page *page);

/** Begins a family: its HELP and TYPE lines. Each name once per page. */
void evc_metric_family(struct evc_metric_page *page, const struct evc_metric *metric);

/*
 * One sample of the family; behind the value come names and values of labels, then NULL. Values of
 * labels may be any text. _count: a number as it is. _us: microseconds, shown in seconds.
 */
void evc_metric_count(struct evc_metric_page *page, uint64_t value, ...) __attribute__((sentinel));
void evc_metric_us(struct evc_metric_page *page, int64_t us, ...) __attribute__((sentinel));

/**
 * A histogram of microseconds in fixed buckets of 1 ms to 10 minutes. A bucket of the log-linear
 * histogram that straddles a bound counts above it: what is shown is at most 6.25 % too slow,
 * never too fast.
 */
void evc_metric_histogram(struct evc_metric_page *page, const struct evc_histogram *histogram, ...)
    __attribute__((sentinel));

/** The same of a latency, in its own buckets. */
void evc_metric_latency(struct evc_metric_page *page, const struct evc_latency *latency, ...)
    __attribute__((sentinel));

#endif
