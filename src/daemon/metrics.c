/* SPDX-License-Identifier: Apache-2.0 */
/* See metrics.h. Where families differ only in the field they show, they are rows of a table. */
#include "daemon/metrics.h"

#include <stddef.h>
#include <stdio.h>

enum {
    NUMBER_BYTES = 24
};

/** A family whose samples show one uint64_t of a struct. */
struct field {
    struct evc_metric metric;
    size_t offset;
};

static uint64_t
field_of(const struct field *field, const void *object)
{
    return *(const uint64_t *)((const char *)object + field->offset);
}

static const char *
number_text(uint64_t number, char text[NUMBER_BYTES])
{
    (void)snprintf(text, NUMBER_BYTES, "%llu", (unsigned long long)number);
    return text;
}

static void
gauge(struct evc_metric_page *page, const char *name, const char *help)
{
    evc_metric_family(page, &(struct evc_metric){name, EVC_METRIC_GAUGE, help});
}

static void
counter(struct evc_metric_page *page, const char *name, const char *help)
{
    evc_metric_family(page, &(struct evc_metric){name, EVC_METRIC_COUNTER, help});
}

/* --- the process --- */

void
evc_metrics_process(struct evc_metric_page *page, const struct evc_report_identity *identity)
{
    const char *region = identity->config->regions[identity->region].name;
    char index[NUMBER_BYTES];

    gauge(page, "evcache_build_info", "Always 1; the labels say what this process is.");
    evc_metric_count(page, 1, "cache", identity->config->cache, "region", region, "part",
                     identity->part, "index", number_text(identity->index, index), "version",
                     EVC_VERSION, NULL);
    gauge(page, "evcache_process_start_time_seconds", "When the process started, in Unix time.");
    evc_metric_us(page, (int64_t)identity->started_us, "region", region, NULL);
    counter(page, "evcache_process_cpu_seconds_total", "CPU time used, user and system.");
    evc_metric_us(page, (int64_t)evc_report_cpu_us(), "region", region, NULL);
}

void
evc_metrics_ready(struct evc_metric_page *page, const char *region, bool is_ready)
{
    gauge(page, "evcache_ready", "1 while /readyz says that the process can do its work.");
    evc_metric_count(page, is_ready, "region", region, NULL);
}

/* --- journals --- */

static const struct field journal_fields[] = {
    {{"evcache_journal_used_bytes", EVC_METRIC_GAUGE, "What is in the slot's journal."},
     offsetof(struct evc_journal_stats, bytes_used)},
    {{"evcache_journal_size_bytes", EVC_METRIC_GAUGE,
      "What fits into the slot's journal; beyond it events are lost."},
     offsetof(struct evc_journal_stats, bytes_max)},
    {{"evcache_journal_waiting_events", EVC_METRIC_GAUGE,
      "Events that the queue does not have yet."},
     offsetof(struct evc_journal_stats, events_waiting)},
    {{"evcache_journal_lost_events_total", EVC_METRIC_COUNTER,
      "Events the journal had no room for, since its file was made."},
     offsetof(struct evc_journal_stats, lost_total)},
    {{"evcache_journal_replayed_events_total", EVC_METRIC_COUNTER,
      "Events of an earlier process, fed by a later one."},
     offsetof(struct evc_journal_stats, replayed_total)},
};

static void
journal_family(struct evc_metric_page *page, const char *region, const struct field *field,
               const struct evc_journal_peek *journals, unsigned count)
{
    evc_metric_family(page, &field->metric);
    for (unsigned i = 0; i < count; i++) {
        char slot[NUMBER_BYTES];

        evc_metric_count(page, field_of(field, &journals[i].stats), "region", region, "slot",
                         number_text(journals[i].slot, slot), NULL);
    }
}

static void
journal_ages(struct evc_metric_page *page, const char *region,
             const struct evc_journal_peek *journals, unsigned count)
{
    uint64_t now_us = evc_clock_unix_us();

    gauge(page, "evcache_journal_oldest_event_seconds",
          "Age of the oldest event that the queue does not have yet.");
    for (unsigned i = 0; i < count; i++) {
        uint64_t oldest_us = journals[i].stats.oldest_us;
        bool waits = oldest_us > 0 && oldest_us < now_us;
        char slot[NUMBER_BYTES];

        evc_metric_us(page, waits ? (int64_t)(now_us - oldest_us) : 0, "region", region, "slot",
                      number_text(journals[i].slot, slot), NULL);
    }
}

void
evc_metrics_journals(struct evc_metric_page *page, const char *region,
                     const struct evc_journal_peek *journals, unsigned count,
                     unsigned partition_count)
{
    uint64_t produced[EVC_PARTITION_MAX] = {0};

    for (size_t i = 0; i < sizeof(journal_fields) / sizeof(journal_fields[0]); i++) {
        journal_family(page, region, &journal_fields[i], journals, count);
    }
    journal_ages(page, region, journals, count);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned p = 0; p < partition_count; p++) {
            produced[p] += journals[i].stats.produced[p];
        }
    }
    counter(page, "evcache_produced_events_total",
            "Events numbered in these journals, those lost for want of room included.");
    for (unsigned p = 0; p < partition_count; p++) {
        char partition[NUMBER_BYTES];

        evc_metric_count(page, produced[p], "region", region, "partition",
                         number_text(p, partition), NULL);
    }
}

/* --- feeder and queue --- */

static const struct field feeder_fields[] = {
    {{"evcache_feeder_records_total", EVC_METRIC_COUNTER, "Batches appended to the queue."},
     offsetof(struct evc_feeder_stats, records_total)},
    {{"evcache_feeder_events_total", EVC_METRIC_COUNTER, "Events in those batches."},
     offsetof(struct evc_feeder_stats, events_total)},
    {{"evcache_feeder_full_total", EVC_METRIC_COUNTER,
      "Appends the queue refused because it is at its bound."},
     offsetof(struct evc_feeder_stats, full_total)},
    {{"evcache_feeder_errors_total", EVC_METRIC_COUNTER, "Appends that failed otherwise."},
     offsetof(struct evc_feeder_stats, append_errors_total)},
};

void
evc_metrics_queue(struct evc_metric_page *page, const char *region, struct evc_feeder *feeder,
                  struct evc_queue *queue)
{
    struct evc_feeder_stats stats;
    uint64_t bytes = 0, bytes_max = 0;

    evc_feeder_stats(feeder, &stats);
    for (size_t i = 0; i < sizeof(feeder_fields) / sizeof(feeder_fields[0]); i++) {
        evc_metric_family(page, &feeder_fields[i].metric);
        evc_metric_count(page, field_of(&feeder_fields[i], &stats), "region", region, NULL);
    }
    gauge(page, "evcache_feeder_stalled", "1 while the queue takes nothing: journals fill.");
    evc_metric_count(page, stats.is_stalled, "region", region, NULL);
    if (evc_queue_usage(queue, &bytes, &bytes_max) != EVC_OK) {
        return; /* no sample is what a failed look is: a 0 would be an answer */
    }
    gauge(page, "evcache_queue_used_bytes", "Records the region's queue holds.");
    evc_metric_count(page, bytes, "region", region, NULL);
    gauge(page, "evcache_queue_size_bytes", "What it may hold; beyond it the journals fill.");
    evc_metric_count(page, bytes_max, "region", region, NULL);
}

/* --- nodes --- */

static const struct field node_fields[] = {
    {{"evcache_node_operations_total", EVC_METRIC_COUNTER, "Operations asked of the node."},
     offsetof(struct evc_engine_node_stats, ops_total)},
    {{"evcache_node_refused_total", EVC_METRIC_COUNTER,
      "Operations not sent: the node was away or its pipeline full."},
     offsetof(struct evc_engine_node_stats, refused_total)},
    {{"evcache_node_unanswered_total", EVC_METRIC_COUNTER,
      "Operations sent whose answer did not come in time."},
     offsetof(struct evc_engine_node_stats, unknown_total)},
    {{"evcache_node_errors_total", EVC_METRIC_COUNTER, "Operations answered with an error."},
     offsetof(struct evc_engine_node_stats, errors_total)},
    {{"evcache_node_reconnects_total", EVC_METRIC_COUNTER, "Connections made anew."},
     offsetof(struct evc_engine_node_stats, reconnects_total)},
    {{"evcache_node_in_flight_operations", EVC_METRIC_GAUGE, "Operations without an answer."},
     offsetof(struct evc_engine_node_stats, in_flight)},
    {{"evcache_node_received_bytes_total", EVC_METRIC_COUNTER, "Bytes the node has sent."},
     offsetof(struct evc_engine_node_stats, bytes_in)},
    {{"evcache_node_sent_bytes_total", EVC_METRIC_COUNTER, "Bytes sent to the node."},
     offsetof(struct evc_engine_node_stats, bytes_out)},
};

static const struct evc_metric node_up = {"evcache_node_up", EVC_METRIC_GAUGE,
                                          "1 while the node serves every thread of this process."};
static const struct evc_metric node_answers = {
    "evcache_node_answer_seconds", EVC_METRIC_HISTOGRAM,
    "From submission to answer, by the clock of the thread's turns."};

/** One family over all nodes. field: of the stats, or NULL for the two that are none. */
static void
node_family(struct evc_metric_page *page, const struct evc_topology *topology,
            const struct evc_engine_node_stats *stats, const struct evc_metric *metric,
            const struct field *field)
{
    const char *region = topology->config->regions[topology->region].name;

    evc_metric_family(page, metric);
    for (unsigned z = 0; z < topology->zone_count; z++) {
        const struct evc_zone *zone = &topology->zones[z];

        for (unsigned n = 0; n < zone->node_count; n++) {
            const struct evc_engine_node_stats *one = &stats[zone->nodes[n].index];

            if (metric == &node_answers) {
                evc_metric_latency(page, &one->answers, "region", region, "zone", zone->name,
                                   "node", zone->nodes[n].text, NULL);
                continue;
            }
            evc_metric_count(page, field ? field_of(field, one) : one->state == EVC_NODE_STATE_UP,
                             "region", region, "zone", zone->name, "node", zone->nodes[n].text,
                             NULL);
        }
    }
}

void
evc_metrics_nodes(struct evc_metric_page *page, const struct evc_topology *topology,
                  const struct evc_engine_node_stats *stats)
{
    node_family(page, topology, stats, &node_up, NULL);
    node_family(page, topology, stats, &node_answers, NULL);
    for (size_t i = 0; i < sizeof(node_fields) / sizeof(node_fields[0]); i++) {
        node_family(page, topology, stats, &node_fields[i].metric, &node_fields[i]);
    }
}

/* --- the rest --- */

void
evc_metrics_loop(struct evc_metric_page *page, const char *region, const struct evc_latency *turns,
                 uint64_t turn_busy_us_max)
{
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_loop_turn_seconds", EVC_METRIC_HISTOGRAM,
                                           "How long an event loop was busy in one turn: how late "
                                           "anything on it may be."});
    evc_metric_latency(page, turns, "region", region, NULL);
    gauge(page, "evcache_loop_turn_max_seconds", "The longest turn since the start.");
    evc_metric_us(page, (int64_t)turn_busy_us_max, "region", region, NULL);
}

void
evc_metrics_by_name(struct evc_metric_page *page, const struct evc_metric *metric,
                    const char *region, const char *label, const char *const *names,
                    const uint64_t *values, unsigned count)
{
    evc_metric_family(page, metric);
    for (unsigned i = 0; i < count; i++) {
        evc_metric_count(page, values[i], "region", region, label, names[i], NULL);
    }
}
