/* SPDX-License-Identifier: Apache-2.0 */
/* See metric.h. Labels are composed once per sample and repeated on every line of a histogram. */
#include "base/metric.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    LINE_BYTES_MAX = EVC_METRIC_LABELS_BYTES_MAX + 256,
};

/** Upper bounds of the buckets a histogram is shown in. */
static const uint64_t bounds_us[] = {
    1000,    2500,    5000,    10000,    25000,    50000,    100000,    250000,    500000,
    1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000, 600000000,
};

enum {
    BOUND_COUNT = sizeof(bounds_us) / sizeof(bounds_us[0])
};

/** The labels of one sample: `a="x",b="y"`, escaped, without braces. */
struct labels {
    char text[EVC_METRIC_LABELS_BYTES_MAX];
    size_t len;
};

static const char *const kind_names[EVC_METRIC_KIND_MAX] = {
    [EVC_METRIC_COUNTER] = "counter",
    [EVC_METRIC_GAUGE] = "gauge",
    [EVC_METRIC_HISTOGRAM] = "histogram",
};

void
evc_metric_page_init(struct evc_metric_page *page)
{
    *page = (struct evc_metric_page){.family = NULL};
    evc_buf_init(&page->out, EVC_METRIC_PAGE_BYTES_MAX);
}

void
evc_metric_page_finish(struct evc_metric_page *page)
{
    evc_buf_finish(&page->out);
}

__attribute__((format(printf, 2, 3))) static void
put(struct evc_metric_page *page, const char *format, ...)
{
    char *tail;
    va_list args;
    int len;

    if (page->is_cut || evc_buf_reserve(&page->out, LINE_BYTES_MAX, &tail) != EVC_OK) {
        page->is_cut = true;
        return;
    }
    va_start(args, format);
    len = vsnprintf(tail, LINE_BYTES_MAX, format, args);
    va_end(args);
    assert(len > 0 && len < LINE_BYTES_MAX);
    evc_buf_commit(&page->out, (size_t)len);
}

void
evc_metric_family(struct evc_metric_page *page, const struct evc_metric *metric)
{
    assert((unsigned)metric->kind < EVC_METRIC_KIND_MAX);
    page->copy = *metric;
    page->family = &page->copy;
    put(page, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
        kind_names[metric->kind]);
}

/* --- labels --- */

static void
labels_put(struct labels *labels, char c)
{
    if (labels->len < sizeof(labels->text) - 1) {
        labels->text[labels->len++] = c;
    }
}

static void
labels_add(struct labels *labels, const char *name, const char *value)
{
    size_t needed = strlen(name) + 2 * strlen(value) + sizeof(",=\"\"");

    assert(labels->len + needed < sizeof(labels->text)); /* names and addresses: all are bounded */
    if (labels->len > 0) {
        labels_put(labels, ',');
    }
    while (*name) {
        labels_put(labels, *name++);
    }
    labels_put(labels, '=');
    labels_put(labels, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n') {
            labels_put(labels, '\\');
        }
        labels_put(labels, *value == '\n' ? 'n' : *value);
    }
    labels_put(labels, '"');
}

static void
labels_take(struct labels *labels, va_list args)
{
    const char *name;

    labels->len = 0;
    while ((name = va_arg(args, const char *))) {
        labels_add(labels, name, va_arg(args, const char *));
    }
    labels->text[labels->len] = '\0';
}

/* --- samples --- */

static void
put_count(struct evc_metric_page *page, const char *suffix, const struct labels *labels,
          uint64_t value)
{
    bool has_labels = labels->len > 0;

    put(page, "%s%s%s%s%s %llu\n", page->family->name, suffix, has_labels ? "{" : "", labels->text,
        has_labels ? "}" : "", (unsigned long long)value);
}

static void
put_us(struct evc_metric_page *page, const char *suffix, const struct labels *labels, int64_t us)
{
    bool has_labels = labels->len > 0;
    uint64_t size = us < 0 ? -(uint64_t)us : (uint64_t)us;

    put(page, "%s%s%s%s%s %s%llu.%06llu\n", page->family->name, suffix, has_labels ? "{" : "",
        labels->text, has_labels ? "}" : "", us < 0 ? "-" : "",
        (unsigned long long)(size / 1000000), (unsigned long long)(size % 1000000));
}

/** us: the bucket's bound; UINT64_MAX: +Inf. */
static void
put_bucket(struct evc_metric_page *page, const struct labels *labels, uint64_t us, uint64_t value)
{
    char bound[32] = "+Inf";

    if (us != UINT64_MAX) {
        (void)snprintf(bound, sizeof(bound), "%g", (double)us / 1e6);
    }
    put(page, "%s_bucket{%s%sle=\"%s\"} %llu\n", page->family->name, labels->text,
        labels->len > 0 ? "," : "", bound, (unsigned long long)value);
}

void
evc_metric_count(struct evc_metric_page *page, uint64_t value, ...)
{
    struct labels labels;
    va_list args;

    va_start(args, value);
    labels_take(&labels, args);
    va_end(args);
    put_count(page, "", &labels, value);
}

void
evc_metric_us(struct evc_metric_page *page, int64_t us, ...)
{
    struct labels labels;
    va_list args;

    va_start(args, us);
    labels_take(&labels, args);
    va_end(args);
    put_us(page, "", &labels, us);
}

void
evc_metric_histogram(struct evc_metric_page *page, const struct evc_histogram *histogram, ...)
{
    struct labels labels;
    unsigned next = 0;
    uint64_t seen = 0;
    va_list args;

    assert(page->family->kind == EVC_METRIC_HISTOGRAM);
    va_start(args, histogram);
    labels_take(&labels, args);
    va_end(args);
    for (unsigned i = 0; i < BOUND_COUNT; i++) {
        while (next < EVC_HISTOGRAM_BUCKETS && evc_histogram_bucket_upper(next) <= bounds_us[i]) {
            seen += histogram->bucket[next++];
        }
        put_bucket(page, &labels, bounds_us[i], seen);
    }
    put_bucket(page, &labels, UINT64_MAX, histogram->count);
    put_us(page, "_sum", &labels, (int64_t)histogram->sum);
    put_count(page, "_count", &labels, histogram->count);
}

void
evc_metric_latency(struct evc_metric_page *page, const struct evc_latency *latency, ...)
{
    struct labels labels;
    uint64_t seen = 0;
    va_list args;

    assert(page->family->kind == EVC_METRIC_HISTOGRAM);
    va_start(args, latency);
    labels_take(&labels, args);
    va_end(args);
    for (unsigned i = 0; i < EVC_LATENCY_BUCKETS - 1; i++) {
        seen += latency->bucket[i];
        put_bucket(page, &labels, evc_latency_bucket_upper_us(i), seen);
    }
    put_bucket(page, &labels, UINT64_MAX, latency->count);
    put_us(page, "_sum", &labels, (int64_t)latency->sum_us);
    put_count(page, "_count", &labels, latency->count);
}
