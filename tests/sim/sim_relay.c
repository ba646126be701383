/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_relay.h. */
#include "sim_relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "replication/consume.h"
#include "sim_link.h"
#include "sim_world.h"

enum {
    TICK_US_MIN = 2 * 1000,
    TICK_US_MAX = 12 * 1000,
    WAKE_US_MIN = 20,
    WAKE_US_MAX = 3 * 1000,
    ITEMS_MAX = EVC_RECORD_EVENTS_MAX + 64, /* one record must always fit */
    ZONE_TIMEOUT_US = 250 * 1000,
    WRITE_TIMEOUT_US = 500 * 1000,
    SETTLE_US = 600 * 1000,
    RETRY_MS_MIN = 10,
    RETRY_MS_MAX = 1000,
    HOLD_MS = 1500, /* short, so that much is carried */
    POLL_RECORDS_MAX = 4,
    COMMIT_CHANCE = 400, /* production commits less often than it polls */
};

struct relay_group {
    struct evc_consume consume;
    struct evc_queue_consumer *consumer;
    struct sim_link link;
    struct evc_ship *ship;
    struct evc_repair *repair;
};

struct sim_relay {
    bool is_due; /* a turn is scheduled */
    uint64_t due_us;
    struct relay_group groups[SIM_REGION_MAX];
};

/* --- start --- */

static void
on_repair_abandoned(void *ctx, struct evc_slice key, evc_version version)
{
    sim_history_note_abandoned(ctx, key, version);
}

static void
on_ship_trouble(void *ctx, struct evc_slice key, const struct evc_trail_event *event,
                bool has_ended)
{
    if (has_ended && event->outcome == EVC_OUTCOME_ABANDONED) {
        sim_history_note_abandoned(ctx, key, event->version);
    }
}

static void
start_repair(struct sim_process *process, struct relay_group *group)
{
    const struct sim_world *world = process->world;
    struct evc_repair_options options = {
        .items_max = ITEMS_MAX,
        .recent_max = world->plan.recent_max,
        .window_us = WRITE_TIMEOUT_US,
        .settle_us = SETTLE_US,
        .zone_timeout_us = ZONE_TIMEOUT_US,
        .retry_min_ms = RETRY_MS_MIN,
        .retry_max_ms = RETRY_MS_MAX,
        .hold_ms = HOLD_MS,
        .abandon_after_us = UINT64_C(1000000) * world->plan.abandon_s,
        .tombstone_ttl_s = world->plan.tombstone_ttl_s,
        .on_abandoned = on_repair_abandoned,
        .ctx = process,
        .rules_off = world->options.rules_off,
    };
    int rc = evc_repair_create(&process->port.port, &process->clock, &process->moment,
                               evc_journal_sink(process->journal), &options, &group->repair);

    assert(rc == EVC_OK);
}

static void
start_ship(struct sim_process *process, struct relay_group *group, unsigned region)
{
    const struct sim_world *world = process->world;
    struct evc_ship_options options = {
        .config = &world->config,
        .region = (uint8_t)process->region,
        .destination = (uint8_t)region,
        .items_max = ITEMS_MAX,
        .read_timeout_us = ZONE_TIMEOUT_US,
        .retry_min_ms = RETRY_MS_MIN,
        .retry_max_ms = RETRY_MS_MAX,
        .hold_ms = HOLD_MS,
        .abandon_after_us = UINT64_C(1000000) * world->plan.abandon_s,
        .tombstone_ttl_s = world->plan.tombstone_ttl_s,
        .drift_ms = world->plan.drift_ms,
        .on_trouble = on_ship_trouble,
        .ctx = process,
        .rules_off = world->options.rules_off,
    };
    int rc;

    sim_link_init(&group->link, process, region);
    rc = evc_ship_create(&process->port.port, &process->moment, evc_journal_sink(process->journal),
                         &group->link.link, &options, &group->ship);
    assert(rc == EVC_OK);
    group->link.ship = group->ship;
}

static void
start_consumer(struct sim_process *process, struct relay_group *group, unsigned region)
{
    unsigned partition_count = process->world->plan.partition_count;
    uint32_t partitions[SIM_PARTITION_MAX];
    char name[8];
    int rc;

    evc_consume_init(&group->consume, group->ship, group->repair);
    for (unsigned i = 0; i < partition_count; i++) {
        partitions[i] = i;
    }
    sim_queue_group_name(region, name);
    rc = evc_queue_consumer_open(&process->world->regions[process->region].queue.queue, name,
                                 partitions, partition_count, &group->consumer, NULL);
    for (unsigned i = 0; i < partition_count && rc == EVC_OK; i++) {
        struct evc_slice blob;
        uint64_t position;

        rc = evc_queue_consumer_committed(group->consumer, i, &position, &blob);
        if (rc == EVC_OK) {
            rc = evc_consume_add(&group->consume, i, position, blob);
        }
    }
    assert(rc == EVC_OK);
}

void
sim_relay_start(struct sim_process *process)
{
    struct sim_relay *relay = calloc(1, sizeof(*relay));

    assert(relay);
    process->relay = relay;
    for (unsigned region = 0; region < process->world->plan.region_count; region++) {
        struct relay_group *group = &relay->groups[region];

        if (region == process->region) {
            start_repair(process, group);
        } else {
            start_ship(process, group, region);
        }
        start_consumer(process, group, region);
    }
}

/* --- turns --- */

static void
poll_group(struct sim_process *process, struct relay_group *group)
{
    size_t records_max = (size_t)sim_random_between(&process->world->random, 1, POLL_RECORDS_MAX);
    struct evc_queue_record record;

    for (size_t i = 0; i < records_max && evc_consume_has_room(&group->consume); i++) {
        if (evc_queue_consumer_poll(group->consumer, &record, 1) != 1) {
            return;
        }
        if (evc_consume_record(&group->consume, record.partition, record.position, record.bytes) !=
            EVC_OK) {
            sim_world_fail(process->world, SIM_FAILURE_RECORD, "%s read it", process->name);
        }
    }
}

static void
commit_partition(struct relay_group *group, unsigned partition)
{
    struct evc_books *books = group->consume.books[partition];
    bool has_moved = false;
    uint64_t position = evc_books_position(books, &has_moved);
    struct evc_buf blob;
    int rc;

    if (!has_moved) {
        return;
    }
    evc_buf_init(&blob, EVC_QUEUE_BLOB_BYTES_MAX);
    rc = evc_books_save(books, &blob);
    if (rc == EVC_OK) {
        rc = evc_queue_consumer_commit(group->consumer, partition, position, evc_buf_slice(&blob));
    }
    assert(rc == EVC_OK);
    evc_buf_finish(&blob);
}

static void
turn_group(struct sim_process *process, struct relay_group *group)
{
    if (group->ship) {
        evc_ship_tick(group->ship);
    } else {
        evc_repair_tick(group->repair);
    }
    poll_group(process, group);
    if (sim_random_chance(&process->world->random, COMMIT_CHANCE)) {
        for (unsigned i = 0; i < process->world->plan.partition_count; i++) {
            commit_partition(group, i);
        }
    }
}

static void
on_turn(void *ctx, uint64_t life)
{
    struct sim_process *process = ctx;
    struct sim_world *world = process->world;
    struct sim_relay *relay = process->relay;

    if (!process->is_alive || process->life != life || relay->due_us != world->time.now_us) {
        return;
    }
    relay->is_due = false;
    sim_process_enter(process);
    for (unsigned region = 0; region < world->plan.region_count; region++) {
        turn_group(process, &relay->groups[region]);
    }
    sim_process_leave(process);
    if (!relay->is_due && !sim_relay_is_idle(process)) {
        relay->is_due = true;
        relay->due_us =
            world->time.now_us + sim_random_spread(&world->random, TICK_US_MIN, TICK_US_MAX);
        sim_time_after(&world->time, relay->due_us - world->time.now_us, on_turn, process, life);
    }
}

void
sim_relay_wake(struct sim_process *process)
{
    struct sim_world *world = process->world;
    struct sim_relay *relay = process->relay;
    uint64_t due_us;

    if (!process->is_alive) {
        return;
    }
    due_us = world->time.now_us + sim_random_spread(&world->random, WAKE_US_MIN, WAKE_US_MAX);
    if (!relay->is_due || due_us < relay->due_us) {
        relay->is_due = true;
        relay->due_us = due_us;
        sim_time_after(&world->time, due_us - world->time.now_us, on_turn, process, process->life);
    }
}

/* --- questions --- */

static bool
group_is_idle(struct relay_group *group, unsigned partition_count)
{
    struct evc_queue_backlog backlog;

    for (unsigned i = 0; i < partition_count; i++) {
        if (evc_queue_consumer_backlog(group->consumer, i, &backlog) != EVC_OK ||
            backlog.records > 0) {
            return false;
        }
    }
    return group->ship ? evc_ship_is_idle(group->ship) : evc_repair_is_idle(group->repair);
}

bool
sim_relay_is_idle(struct sim_process *process)
{
    for (unsigned region = 0; region < process->world->plan.region_count; region++) {
        if (!group_is_idle(&process->relay->groups[region], process->world->plan.partition_count)) {
            return false;
        }
    }
    return true;
}

struct sim_link *
sim_relay_link(struct sim_process *process, unsigned region)
{
    assert(region != process->region);
    return &process->relay->groups[region].link;
}

void
sim_relay_books(struct sim_process *process, unsigned group, unsigned partition,
                struct evc_books_totals *ret, uint64_t *ret_open)
{
    evc_books_totals(process->relay->groups[group].consume.books[partition], ret, ret_open);
}
