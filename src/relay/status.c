/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's /status.json: the books of every group, the links, repair, and what all processes
 * report. */
#include "relay/state.h"

static json_t *
report_outcomes(const struct evc_books_totals *totals)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < EVC_OUTCOME_MAX; i++) {
        evc_report_set(object, evc_outcome_str((enum evc_outcome)i), totals->outcome[i]);
    }
    return object;
}

static json_t *
report_partition(struct evc_group *group, uint32_t partition)
{
    struct evc_books *books = group->consume.books[partition];
    const struct evc_histogram *lag = evc_books_lag(books);
    struct evc_queue_backlog backlog = {0};
    struct evc_books_totals totals;
    uint64_t open;

    evc_books_totals(books, &totals, &open);
    if (evc_group_backlog(group, partition, &backlog) != EVC_OK) {
        return NULL;
    }
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "partition",
                     (int)partition, "received", (json_int_t)totals.received, "lost",
                     (json_int_t)totals.lost, "duplicate", (json_int_t)totals.duplicate, "open",
                     (json_int_t)open, "backlog_records", (json_int_t)backlog.records,
                     "backlog_events", (json_int_t)backlog.events, "oldest_us",
                     (json_int_t)backlog.oldest_us, "records_unread",
                     (json_int_t)backlog.records_unread, "outcomes", report_outcomes(&totals),
                     "lag_us", evc_report_lag(lag), "lag_buckets", evc_report_buckets(lag));
}

static json_t *
report_partitions(struct evc_group *group)
{
    json_t *array = json_array();

    evc_group_note_failing(group);
    for (unsigned i = 0; array && i < group->partition_count; i++) {
        if (json_array_append_new(array, report_partition(group, group->partitions[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
report_lag(const struct evc_group *group)
{
    struct evc_histogram lag;

    evc_histogram_init(&lag);
    for (unsigned i = 0; i < group->partition_count; i++) {
        evc_histogram_merge(&lag, evc_books_lag(group->consume.books[group->partitions[i]]));
    }
    return evc_report_lag(&lag);
}

static json_t *
report_ship(const struct evc_ship *ship)
{
    struct evc_ship_stats stats;

    evc_ship_stats(ship, &stats);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "waiting",
                     (json_int_t)stats.later, "carried", (json_int_t)stats.carried_total, "crowded",
                     (json_int_t)stats.crowded_total, "items", (json_int_t)stats.items, "active",
                     (json_int_t)stats.active, "reads", (json_int_t)stats.reads_total,
                     "reads_further", (json_int_t)stats.reads_further_total, "sends",
                     (json_int_t)stats.sends_total, "retries", (json_int_t)stats.retries_total,
                     "repairs_asked", (json_int_t)stats.repairs_total, "gone",
                     (json_int_t)stats.gone_total, "bytes", (json_int_t)stats.bytes_total);
}

/** ahead_us, round_trip_us: the receiver's clock against ours; null while nothing is known. */
static json_t *
report_clock(const struct evc_link *link)
{
    struct evc_skew_sample sample;

    if (!evc_skew_get(&link->skew, &sample)) {
        return json_null();
    }
    return json_pack("{s:I, s:I}", "ahead_us", (json_int_t)sample.ahead_us, "round_trip_us",
                     (json_int_t)sample.round_trip_us);
}

static json_t *
report_destination(const struct evc_relay *relay, struct evc_destination *destination)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "region",
                     relay->options.config->regions[destination->region].name, "link",
                     evc_link_state_str(destination->link.state), "why", destination->link.why,
                     "records", (json_int_t)destination->group.consume.records_total, "corrupt",
                     (json_int_t)destination->group.consume.corrupt_total, "slot_conflicts",
                     (json_int_t)destination->group.consume.slot_conflicts_total, "clock",
                     report_clock(&destination->link), "partitions",
                     report_partitions(&destination->group), "lag_us",
                     report_lag(&destination->group), "ship", report_ship(destination->ship));
}

static json_t *
report_destinations(struct evc_relay *relay)
{
    json_t *array = json_array();

    for (unsigned i = 0; array && i < relay->destination_count; i++) {
        if (json_array_append_new(array, report_destination(relay, &relay->destinations[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *
report_repair(struct evc_relay *relay)
{
    struct evc_repair_stats stats;

    evc_repair_stats(relay->repair, &stats);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
        "items", (json_int_t)stats.items, "waiting", (json_int_t)stats.retrying, "carried",
        (json_int_t)stats.carried_total, "crowded", (json_int_t)stats.crowded_total, "asked",
        (json_int_t)stats.asked_total, "two_writers", (json_int_t)stats.two_writers_total,
        "inversions", (json_int_t)stats.inversions_total, "blind", (json_int_t)stats.blind_total,
        "too_far_ahead", (json_int_t)stats.too_far_ahead_total, "clean",
        (json_int_t)stats.clean_total, "changed", (json_int_t)stats.changed_total, "restamped",
        (json_int_t)stats.restamped_total, "announced", (json_int_t)stats.reshipped_total, "gone",
        (json_int_t)stats.gone_total, "retries", (json_int_t)stats.retries_total, "abandoned",
        (json_int_t)stats.abandoned_total, "partitions", report_partitions(&relay->repair_group));
}

static json_t *
report_nodes(const struct evc_relay *relay)
{
    json_t *array = json_array();

    for (unsigned z = 0; z < relay->topology->zone_count; z++) {
        const struct evc_zone *zone = &relay->topology->zones[z];

        for (unsigned i = 0; array && i < zone->node_count; i++) {
            struct evc_engine_node_stats stats;

            evc_engine_node_stats(relay->engine, zone->nodes[i].index, &stats);
            json_array_append_new(array, evc_report_node(relay->topology, &zone->nodes[i], &stats));
        }
    }
    return array;
}

void
evc_relay_commit_all(struct evc_relay *relay)
{
    /* The queue counts its backlog from what is committed: then the books must stand there too. */
    evc_group_commit(&relay->repair_group, true);
    for (unsigned i = 0; i < relay->destination_count; i++) {
        evc_group_commit(&relay->destinations[i].group, true);
    }
}

json_t *
evc_relay_report(struct evc_relay *relay)
{
    json_t *object = evc_report_process(&(struct evc_report_identity){
        .part = "relay",
        .config = relay->options.config,
        .region = relay->options.region,
        .index = relay->options.index,
        .started_us = relay->started_us,
    });
    struct evc_journal_stats journal;
    int rc = 0;

    if (!object) {
        return NULL;
    }
    evc_relay_commit_all(relay);
    evc_journal_stats(relay->journal, &journal);
    evc_report_set(object, "slot", evc_journal_slot(relay->journal));
    evc_report_set(object, "lost_at_journal", journal.lost_total);
    rc |= json_object_set_new(
        object, "produced",
        evc_report_produced(journal.produced, evc_queue_partitions(relay->queue)));
    rc |= json_object_set_new(object, "journal", evc_report_journal(&journal));
    rc |= json_object_set_new(object, "feeder", evc_report_feeder(relay->feeder));
    rc |= json_object_set_new(object, "queue", evc_report_queue(relay->queue));
    rc |= json_object_set_new(object, "nodes", report_nodes(relay));
    rc |= json_object_set_new(object, "destinations", report_destinations(relay));
    rc |= json_object_set_new(object, "prefixes",
                              evc_prefixes_json(&relay->prefixes, relay->loop.now.mono_us));
    rc |= json_object_set_new(object, "repair", report_repair(relay));
    rc |= json_object_set_new(object, "canaries", evc_canary_watch_report(relay->canaries));
    if (rc != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}
