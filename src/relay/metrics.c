/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics of a relay: the books of every group per partition, the lag, the links, repair. Made on
 * the loop's thread, whose figures they are. Each family goes over all groups; the region's own
 * repair group is the pair of the region with itself.
 */
#include "daemon/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "relay/state.h"

enum {
    NUMBER_BYTES = 24
};

/** What one partition of one group shows. Names are views into the relay. */
struct cell {
    const char *destination;
    char partition[NUMBER_BYTES];
    struct evc_books_totals totals;
    struct evc_queue_backlog backlog;
    const struct evc_histogram *lag;
    uint64_t open;
    uint64_t producers;
    uint64_t age_us; /* of the oldest event that has not ended, 0: none */
};

/** All partitions of all groups of the relay. */
struct cells {
    const char *source;
    struct cell *cells;
    size_t count;
};

static int
fill_cell(struct evc_group *group, uint32_t partition, uint64_t now_us, struct cell *cell)
{
    struct evc_books *books = group->consume.books[partition];
    int rc = evc_group_backlog(group, partition, &cell->backlog);

    evc_books_totals(books, &cell->totals, &cell->open);
    cell->destination = group->name;
    cell->lag = evc_books_lag(books);
    cell->producers = evc_books_producers(books);
    if (cell->backlog.events > 0 && now_us > cell->backlog.oldest_us) {
        cell->age_us = now_us - cell->backlog.oldest_us;
    }
    (void)snprintf(cell->partition, sizeof(cell->partition), "%u", (unsigned)partition);
    return rc;
}

static bool
add_group(struct cells *cells, struct evc_group *group, uint64_t now_us)
{
    evc_group_note_failing(group);
    for (unsigned i = 0; i < group->partition_count; i++) {
        if (fill_cell(group, group->partitions[i], now_us, &cells->cells[cells->count]) != EVC_OK) {
            return false;
        }
        cells->count++;
    }
    return true;
}

/* --- the books --- */

static const struct {
    struct evc_metric metric;
    size_t offset;
} cell_fields[] = {
    {{"evcache_replication_received_events_total", EVC_METRIC_COUNTER,
      "Events taken from the queue whose batch has ended."},
     offsetof(struct cell, totals.received)},
    {{"evcache_replication_lost_events_total", EVC_METRIC_COUNTER,
      "Numbers of producers that never came."},
     offsetof(struct cell, totals.lost)},
    {{"evcache_replication_duplicate_events_total", EVC_METRIC_COUNTER,
      "Numbers of producers that came again."},
     offsetof(struct cell, totals.duplicate)},
    {{"evcache_replication_open_events", EVC_METRIC_GAUGE,
      "Events taken from the queue that have not ended, or whose batch has not."},
     offsetof(struct cell, open)},
    {{"evcache_replication_backlog_records", EVC_METRIC_GAUGE,
      "Batches in the queue that the destination has not done with."},
     offsetof(struct cell, backlog.records)},
    {{"evcache_replication_backlog_events", EVC_METRIC_GAUGE,
      "Events in those batches: what is in flight."},
     offsetof(struct cell, backlog.events)},
    {{"evcache_replication_producers", EVC_METRIC_GAUGE,
      "Journals whose numbers the books remember, thrown away ones included."},
     offsetof(struct cell, producers)},
};

static void
put_books(struct evc_metric_page *page, const struct cells *cells)
{
    for (size_t f = 0; f < sizeof(cell_fields) / sizeof(cell_fields[0]); f++) {
        evc_metric_family(page, &cell_fields[f].metric);
        for (size_t i = 0; i < cells->count; i++) {
            const struct cell *cell = &cells->cells[i];

            evc_metric_count(page, *(const uint64_t *)((const char *)cell + cell_fields[f].offset),
                             "source", cells->source, "destination", cell->destination, "partition",
                             cell->partition, NULL);
        }
    }
    evc_metric_family(page, &(struct evc_metric){"evcache_replication_outcomes_total",
                                                 EVC_METRIC_COUNTER, "How events ended."});
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->cells[i];

        for (unsigned o = 0; o < EVC_OUTCOME_MAX; o++) {
            evc_metric_count(page, cell->totals.outcome[o], "source", cells->source, "destination",
                             cell->destination, "partition", cell->partition, "outcome",
                             evc_outcome_str((enum evc_outcome)o), NULL);
        }
    }
}

static void
put_times(struct evc_metric_page *page, const struct cells *cells)
{
    evc_metric_family(
        page, &(struct evc_metric){"evcache_replication_oldest_event_seconds", EVC_METRIC_GAUGE,
                                   "Age of the oldest batch that the destination has not "
                                   "done with; 0: none waits."});
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->cells[i];

        evc_metric_us(page, (int64_t)cell->age_us, "source", cells->source, "destination",
                      cell->destination, "partition", cell->partition, NULL);
    }
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_replication_lag_seconds", EVC_METRIC_HISTOGRAM,
                                           "Write to visible at the destination, by the source's "
                                           "own clock, of what was applied since the start."});
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->cells[i];

        if (cell->destination != cells->source) {
            evc_metric_histogram(page, cell->lag, "source", cells->source, "destination",
                                 cell->destination, "partition", cell->partition, NULL);
        }
    }
}

/* --- per destination --- */

/** One number of a destination. */
struct pair_family {
    struct evc_metric metric;
    uint64_t (*value)(const struct evc_destination *destination);
};

static struct evc_ship_stats
ship_of(const struct evc_destination *destination)
{
    struct evc_ship_stats stats;

    evc_ship_stats(destination->ship, &stats);
    return stats;
}

static uint64_t
link_up(const struct evc_destination *destination)
{
    return destination->link.state == EVC_LINK_UP;
}

static uint64_t
link_connects(const struct evc_destination *destination)
{
    return destination->link.connects_total;
}

static uint64_t
slot_conflicts(const struct evc_destination *destination)
{
    return destination->group.consume.slot_conflicts_total;
}

static uint64_t
corrupt_records(const struct evc_destination *destination)
{
    return destination->group.consume.corrupt_total;
}

static uint64_t
group_errors(const struct evc_destination *destination)
{
    return destination->group.errors_total;
}

static uint64_t
ship_items(const struct evc_destination *destination)
{
    return ship_of(destination).items;
}

static uint64_t
ship_reads(const struct evc_destination *destination)
{
    return ship_of(destination).reads_total;
}

static uint64_t
ship_sends(const struct evc_destination *destination)
{
    return ship_of(destination).sends_total;
}

static uint64_t
ship_retries(const struct evc_destination *destination)
{
    return ship_of(destination).retries_total;
}

static uint64_t
ship_waiting(const struct evc_destination *destination)
{
    return ship_of(destination).later;
}

static uint64_t
ship_carried(const struct evc_destination *destination)
{
    return ship_of(destination).carried_total;
}

static uint64_t
ship_crowded(const struct evc_destination *destination)
{
    return ship_of(destination).crowded_total;
}

static uint64_t
group_full(const struct evc_destination *destination)
{
    return evc_group_is_full(&destination->group);
}

static uint64_t
ship_bytes(const struct evc_destination *destination)
{
    return ship_of(destination).bytes_total;
}

static const struct pair_family pair_families[] = {
    {{"evcache_link_up", EVC_METRIC_GAUGE, "1 while the relay is connected to a receiver there."},
     link_up},
    {{"evcache_link_connects_total", EVC_METRIC_COUNTER, "Connections made."}, link_connects},
    {{"evcache_relay_slot_conflicts_total", EVC_METRIC_COUNTER,
      "Batches that show two live producers on one worker slot."},
     slot_conflicts},
    {{"evcache_relay_corrupt_records_total", EVC_METRIC_COUNTER,
      "Batches that could not be read; their events show as lost."},
     corrupt_records},
    {{"evcache_relay_queue_errors_total", EVC_METRIC_COUNTER,
      "Polls and commits of the queue that failed."},
     group_errors},
    {{"evcache_relay_shipping_keys", EVC_METRIC_GAUGE, "Keys on their way."}, ship_items},
    {{"evcache_relay_reads_total", EVC_METRIC_COUNTER, "Values read from the region's nodes."},
     ship_reads},
    {{"evcache_relay_sends_total", EVC_METRIC_COUNTER, "Values sent."}, ship_sends},
    {{"evcache_relay_retries_total", EVC_METRIC_COUNTER,
      "Keys that went round again: a zone or the destination did not answer."},
     ship_retries},
    {{"evcache_relay_waiting_keys", EVC_METRIC_GAUGE,
      "Keys that wait for another attempt, after a failure."},
     ship_waiting},
    {{"evcache_relay_carried_total", EVC_METRIC_COUNTER,
      "Events put into the queue again because they could not be settled yet."},
     ship_carried},
    {{"evcache_relay_crowded_total", EVC_METRIC_COUNTER,
      "Events given up because too many keys waited."},
     ship_crowded},
    {{"evcache_relay_full", EVC_METRIC_GAUGE,
      "1 while no more events are taken because too many are on their way."},
     group_full},
    {{"evcache_relay_sent_bytes_total", EVC_METRIC_COUNTER, "Bytes of values sent."}, ship_bytes},
};

static void
put_pairs(struct evc_metric_page *page, const struct evc_relay *relay)
{
    for (size_t f = 0; f < sizeof(pair_families) / sizeof(pair_families[0]); f++) {
        evc_metric_family(page, &pair_families[f].metric);
        for (unsigned i = 0; i < relay->destination_count; i++) {
            const struct evc_destination *destination = &relay->destinations[i];

            evc_metric_count(page, pair_families[f].value(destination), "source",
                             relay->region->name, "destination", destination->group.name, NULL);
        }
    }
}

/** Sign and size of one of a sample's two; nothing where nothing is known. */
static void
put_skews(struct evc_metric_page *page, const struct evc_relay *relay)
{
    static const struct evc_metric families[] = {
        {"evcache_link_clock_ahead_seconds", EVC_METRIC_GAUGE,
         "The receiver's clock less this relay's, known to within half a round trip."},
        {"evcache_link_round_trip_seconds", EVC_METRIC_GAUGE,
         "The shortest of the last 16 round trips to the receiver."},
    };

    for (unsigned f = 0; f < 2; f++) {
        evc_metric_family(page, &families[f]);
        for (unsigned i = 0; i < relay->destination_count; i++) {
            const struct evc_destination *destination = &relay->destinations[i];
            struct evc_skew_sample sample;

            if (evc_skew_get(&destination->link.skew, &sample)) {
                evc_metric_us(page, f == 0 ? sample.ahead_us : (int64_t)sample.round_trip_us,
                              "source", relay->region->name, "destination", destination->group.name,
                              NULL);
            }
        }
    }
}

/* --- repair --- */

static const struct {
    struct evc_metric metric;
    size_t offset;
} repair_fields[] = {
    {{"evcache_repair_keys", EVC_METRIC_GAUGE, "Keys under repair."},
     offsetof(struct evc_repair_stats, items)},
    {{"evcache_repair_asked_total", EVC_METRIC_COUNTER, "Events that asked for a repair."},
     offsetof(struct evc_repair_stats, asked_total)},
    {{"evcache_repair_two_writers_total", EVC_METRIC_COUNTER,
      "Keys that two writers wrote at once."},
     offsetof(struct evc_repair_stats, two_writers_total)},
    {{"evcache_repair_clean_total", EVC_METRIC_COUNTER, "Repairs that found nothing to do."},
     offsetof(struct evc_repair_stats, clean_total)},
    {{"evcache_repair_changed_total", EVC_METRIC_COUNTER, "Repairs that changed a zone."},
     offsetof(struct evc_repair_stats, changed_total)},
    {{"evcache_repair_restamped_total", EVC_METRIC_COUNTER,
      "Survivors of a buried version that got a new one."},
     offsetof(struct evc_repair_stats, restamped_total)},
    {{"evcache_repair_retries_total", EVC_METRIC_COUNTER, "Repairs that went round again."},
     offsetof(struct evc_repair_stats, retries_total)},
    {{"evcache_repair_waiting_keys", EVC_METRIC_GAUGE,
      "Keys under repair that wait for a zone that did not answer."},
     offsetof(struct evc_repair_stats, retrying)},
    {{"evcache_repair_carried_total", EVC_METRIC_COUNTER,
      "Repairs asked for again through the queue because they could not be made yet."},
     offsetof(struct evc_repair_stats, carried_total)},
    {{"evcache_repair_crowded_total", EVC_METRIC_COUNTER,
      "Repairs given up because too many keys waited."},
     offsetof(struct evc_repair_stats, crowded_total)},
    {{"evcache_repair_too_far_ahead_total", EVC_METRIC_COUNTER,
      "Versions further ahead than versions.drift: the clock of a writer is wrong."},
     offsetof(struct evc_repair_stats, too_far_ahead_total)},
    {{"evcache_repair_rejected_total", EVC_METRIC_COUNTER,
      "Zones that stay without a value because their node will not take it."},
     offsetof(struct evc_repair_stats, rejected_total)},
    {{"evcache_repair_abandoned_total", EVC_METRIC_COUNTER, "Repairs given up."},
     offsetof(struct evc_repair_stats, abandoned_total)},
};

static void
put_repair(struct evc_metric_page *page, const struct evc_relay *relay)
{
    struct evc_repair_stats stats;

    evc_repair_stats(relay->repair, &stats);
    for (size_t f = 0; f < sizeof(repair_fields) / sizeof(repair_fields[0]); f++) {
        evc_metric_family(page, &repair_fields[f].metric);
        evc_metric_count(page, *(const uint64_t *)((const char *)&stats + repair_fields[f].offset),
                         "region", relay->region->name, NULL);
    }
}

/* --- the page --- */

static void
put_common(struct evc_metric_page *page, struct evc_relay *relay,
           const struct evc_engine_node_stats *nodes)
{
    const char *region = relay->region->name;
    struct evc_journal_peek journal;

    evc_metrics_process(page, &(struct evc_report_identity){
                                  .part = "relay",
                                  .config = relay->options.config,
                                  .region = relay->options.region,
                                  .index = relay->options.index,
                                  .started_us = relay->started_us,
                              });
    evc_metrics_ready(page, region, evc_engine_is_ready(relay->engine));
    evc_metrics_loop(page, region, &relay->loop.turns, relay->loop.turn_busy_us_max);
    evc_metrics_nodes(page, relay->topology, nodes);
    evc_journal_describe(relay->journal, &journal);
    evc_metrics_journals(page, region, &journal, 1, evc_queue_partitions(relay->queue));
    evc_metrics_queue(page, region, relay->feeder, relay->queue);
}

/** Groups have partitions of their own where they are shared at run time. */
static size_t
count_cells(const struct evc_relay *relay)
{
    size_t count = relay->repair_group.partition_count;

    for (unsigned i = 0; i < relay->destination_count; i++) {
        count += relay->destinations[i].group.partition_count;
    }
    return count;
}

bool
evc_relay_metrics(struct evc_relay *relay, struct evc_metric_page *page)
{
    struct cells cells = {
        .source = relay->region->name,
        .cells = calloc(count_cells(relay) + 1, sizeof(*cells.cells)),
    };
    struct evc_engine_node_stats *nodes = calloc(relay->topology->node_count, sizeof(*nodes));
    uint64_t now_us = evc_clock_unix_us();
    bool is_whole = cells.cells && nodes;

    evc_relay_commit_all(relay);
    for (unsigned i = 0; is_whole && i < relay->destination_count; i++) {
        is_whole = add_group(&cells, &relay->destinations[i].group, now_us);
    }
    is_whole = is_whole && add_group(&cells, &relay->repair_group, now_us);
    if (is_whole) {
        for (unsigned i = 0; i < relay->topology->node_count; i++) {
            evc_engine_node_stats(relay->engine, i, &nodes[i]);
        }
        put_common(page, relay, nodes);
        put_books(page, &cells);
        put_times(page, &cells);
        put_pairs(page, relay);
        put_skews(page, relay);
        put_repair(page, relay);
        evc_canary_watch_metrics(relay->canaries, page);
    }
    free(cells.cells);
    free(nodes);
    return is_whole;
}
