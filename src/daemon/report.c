/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#include "daemon/report.h"

#include <sys/resource.h>
#include <unistd.h>

bool
evc_report_set(json_t *object, const char *name, uint64_t value)
{
    return json_object_set_new(object, name, json_integer((json_int_t)value)) == 0;
}

static uint64_t
timeval_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

uint64_t
evc_report_cpu_us(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime);
}

json_t *
evc_report_process(const struct evc_report_identity *identity)
{
    uint64_t now_us = evc_clock_unix_us();

    return json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:s, s:I, s:I, s:I}", "part", identity->part, "cache",
        identity->config->cache, "region", identity->config->regions[identity->region].name,
        "index", (int)identity->index, "pid", (int)getpid(), "version", EVC_VERSION, "now_us",
        (json_int_t)now_us, "uptime_s", (json_int_t)((now_us - identity->started_us) / 1000000),
        "cpu_us", (json_int_t)evc_report_cpu_us());
}

json_t *
evc_report_journal(const struct evc_journal_stats *stats)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "bytes_used", (json_int_t)stats->bytes_used,
                     "bytes_max", (json_int_t)stats->bytes_max, "waiting",
                     (json_int_t)stats->events_waiting, "oldest_us", (json_int_t)stats->oldest_us,
                     "lost", (json_int_t)stats->lost_total, "replayed",
                     (json_int_t)stats->replayed_total);
}

json_t *
evc_report_feeder(struct evc_feeder *feeder)
{
    struct evc_feeder_stats stats;

    evc_feeder_stats(feeder, &stats);
    return json_pack("{s:I, s:I, s:I, s:I, s:b, s:s}", "records", (json_int_t)stats.records_total,
                     "events", (json_int_t)stats.events_total, "full", (json_int_t)stats.full_total,
                     "append_errors", (json_int_t)stats.append_errors_total, "stalled",
                     (int)stats.is_stalled, "error", stats.last_error);
}

json_t *
evc_report_queue(struct evc_queue *queue)
{
    uint64_t bytes = 0, bytes_max = 0;

    if (evc_queue_usage(queue, &bytes, &bytes_max) != EVC_OK) {
        return json_pack("{s:n, s:n}", "bytes", "bytes_max");
    }
    return json_pack("{s:I, s:I}", "bytes", (json_int_t)bytes, "bytes_max", (json_int_t)bytes_max);
}

json_t *
evc_report_node(const struct evc_topology *topology, const struct evc_node *node,
                const struct evc_engine_node_stats *stats)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "node", node->text, "zone",
                     topology->zones[node->zone].name, "state", evc_node_state_str(stats->state),
                     "why", stats->why, "ops", (json_int_t)stats->ops_total, "refused",
                     (json_int_t)stats->refused_total, "unknown", (json_int_t)stats->unknown_total,
                     "errors", (json_int_t)stats->errors_total, "reconnects",
                     (json_int_t)stats->reconnects_total);
}

json_t *
evc_report_produced(const uint64_t *produced, unsigned count)
{
    json_t *array = json_array();

    for (unsigned i = 0; array && i < count; i++) {
        if (json_array_append_new(array, json_integer((json_int_t)produced[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *
evc_report_lag(const struct evc_histogram *lag)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)lag->count, "p50",
                     (json_int_t)evc_histogram_quantile(lag, 0.5), "p99",
                     (json_int_t)evc_histogram_quantile(lag, 0.99), "p999",
                     (json_int_t)evc_histogram_quantile(lag, 0.999), "max", (json_int_t)lag->max);
}

json_t *
evc_report_buckets(const struct evc_histogram *lag)
{
    json_t *array = json_array();

    for (unsigned i = 0; array && i < EVC_HISTOGRAM_BUCKETS; i++) {
        if (lag->bucket[i] > 0 &&
            json_array_append_new(array, json_pack("[i, I]", (int)i, (json_int_t)lag->bucket[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
