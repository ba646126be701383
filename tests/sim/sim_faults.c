/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_faults.h. */
#include "sim_faults.h"

#include <inttypes.h>
#include <stdio.h>

#include "sim_load.h"
#include "sim_world.h"

enum {
    MS = 1000,
    S = 1000 * 1000,
    FREEZE_US_MIN = 1 * MS,
    FREEZE_US_MAX = 4 * S,
    DEATH_US_MIN = 5 * MS,
    DEATH_US_MAX = 3 * S,
    ABSENCE_US_MIN = 4 * S,
    ABSENCE_US_MAX = 30 * S,
    ABSENCE_DEATH_CHANCE = 150,
    PLAIN_EVERYWHERE_CHANCE = 400,
    FILL_ROOM_MAX = 8, /* events */
    FILL_US_MIN = 10 * MS,
    FILL_US_MAX = 5 * S,
    STUCK_US_MIN = 10 * MS,
    STUCK_US_MAX = 2 * S,
    STUCK_CHURNS = 8,
    PLAIN_END_US = 45 * S,     /* by then all nodes and processes are back */
    SHORT_TTL_END_US = 60 * S, /* after the last fault; by then it has run out everywhere */
};

static struct sim_node *
any_node(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    unsigned region = (unsigned)sim_random_below(random, world->plan.region_count);
    unsigned zone = (unsigned)sim_random_below(random, world->plan.zone_count);

    return &world->regions[region]
                .nodes[zone][sim_random_below(random, world->plan.nodes_per_zone)];
}

static void
on_thaw(void *ctx, uint64_t arg)
{
    (void)arg;
    sim_node_thaw(ctx);
}

static void
on_freeze(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_node *node = any_node(world);

    (void)arg;
    sim_node_freeze(node);
    sim_time_after(&world->time, sim_random_spread(&world->random, FREEZE_US_MIN, FREEZE_US_MAX),
                   on_thaw, node, 0);
}

static void
on_node_restart(void *ctx, uint64_t arg)
{
    (void)arg;
    sim_node_restart(ctx);
}

static void
on_death(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_node *node = any_node(world);

    (void)arg;
    sim_node_die(node);
    sim_time_after(&world->time, sim_random_spread(&world->random, DEATH_US_MIN, DEATH_US_MAX),
                   on_node_restart, node, 0);
}

static void
on_absence(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_node *node = any_node(world);
    uint64_t us = sim_random_spread(&world->random, ABSENCE_US_MIN, ABSENCE_US_MAX);

    (void)arg;
    if (sim_random_chance(&world->random, ABSENCE_DEATH_CHANCE)) {
        sim_node_die(node);
        sim_time_after(&world->time, us, on_node_restart, node, 0);
    } else {
        sim_node_freeze(node);
        sim_time_after(&world->time, us, on_thaw, node, 0);
    }
}

static void
on_room(void *ctx, uint64_t life)
{
    struct sim_process *process = ctx;

    if (process->is_alive && process->life == life) {
        sim_journal_empty(process);
        sim_feeder_ring(process); /* so that what was lost is told of */
    }
}

static void
on_fill(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_process *process = sim_load_any_proxy(world);

    (void)arg;
    if (sim_random_chance(&world->random, 300)) {
        process = &world->regions[process->region].relay;
    }
    sim_journal_fill(process, (unsigned)sim_random_below(&world->random, FILL_ROOM_MAX));
    sim_time_after(&world->time, sim_random_spread(&world->random, FILL_US_MIN, FILL_US_MAX),
                   on_room, process, process->life);
}

static void
on_churn(void *ctx, uint64_t life)
{
    struct sim_process *process = ctx;

    if (process->is_alive && process->life == life) {
        sim_process_enter(process);
        sim_journal_churn(process);
        sim_process_leave(process);
    }
}

/** A partition that the queue does not take, while others' events go through the journals. */
static void
on_stuck(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_random *random = &world->random;
    struct sim_process *process = sim_load_any_proxy(world);
    struct sim_region *region = &world->regions[process->region];
    uint64_t us = sim_random_spread(random, STUCK_US_MIN, STUCK_US_MAX);
    unsigned partition = (unsigned)sim_random_below(random, world->plan.partition_count);

    (void)arg;
    if (sim_random_chance(random, 300)) {
        process = &region->relay;
    }
    sim_queue_stick(&region->queue, partition, world->time.now_us + us);
    sim_world_say(world, "r%u: its queue does not take partition %u", process->region, partition);
    for (unsigned i = 0; i < STUCK_CHURNS; i++) {
        sim_time_after(&world->time, sim_random_below(random, us), on_churn, process,
                       process->life);
    }
}

static void
on_plain_write(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    unsigned key = (unsigned)sim_random_below(&world->random, world->plan.key_count);
    unsigned region = (unsigned)sim_random_below(&world->random, world->plan.region_count);
    bool is_everywhere = sim_random_chance(&world->random, PLAIN_EVERYWHERE_CHANCE);
    unsigned zone = (unsigned)sim_random_below(&world->random, world->plan.zone_count);
    char value[SIM_VALUE_MAX];

    (void)arg;
    (void)snprintf(value, sizeof(value), "p%u", ++world->plain_count);
    for (unsigned i = 0; i < world->plan.zone_count; i++) {
        if (is_everywhere || i == zone) {
            sim_node_set_plain(sim_world_node(world, region, i, key), key, value);
        }
    }
}

/** As a writer does of which a zone has failed. */
static void
ask_for_repair(struct sim_world *world, struct sim_process *relay, unsigned key)
{
    bool is_unknown = sim_random_chance(&world->random, 300);
    evc_version version = sim_history_newest(&world->history, key, relay->region);

    if (!relay->is_alive || version == 0) {
        return;
    }
    sim_process_enter(relay);
    (void)evc_event_sink_append(
        evc_journal_sink(relay->journal),
        &(struct evc_event){
            .flags = (uint8_t)(EVC_EVENT_REPAIR | (is_unknown ? EVC_EVENT_UNKNOWN : 0)),
            .key = sim_world_key(key),
            .version = version,
            .written_us = relay->moment.unix_us,
        });
    sim_process_leave(relay);
}

static bool
has_version_everywhere(const struct sim_world *world, unsigned key)
{
    for (unsigned region = 0; region < world->plan.region_count; region++) {
        if (sim_history_newest(&world->history, key, region) == 0) {
            return false;
        }
    }
    return true;
}

/** Something comes by that must find and replace what has no version. */
static void
end_plain(struct sim_world *world, unsigned key)
{
    bool writes = sim_random_chance(&world->random, 500) || !has_version_everywhere(world, key);

    if (writes && world->plan.policies[key] == EVC_POLICY_COPY) {
        sim_load_write(world, sim_load_any_proxy(world), key, EVC_WRITE_SET);
        return;
    }
    for (unsigned region = 0; region < world->plan.region_count; region++) {
        if (writes) {
            sim_load_write(world, &world->regions[region].proxies[0], key, EVC_WRITE_SET);
        } else {
            ask_for_repair(world, &world->regions[region].relay, key);
        }
    }
}

static void
on_plain_end(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;

    (void)arg;
    for (unsigned key = 0; key < world->plan.key_count; key++) {
        if (world->history.key_plain_us[key] != 0) {
            end_plain(world, key);
        }
    }
}

static void
on_eviction(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;

    (void)arg;
    for (unsigned key = 0; key < world->plan.key_count; key++) {
        sim_node_evict(any_node(world), key);
    }
}

static void
on_kill(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_process *process = sim_load_any_proxy(world);

    (void)arg;
    if (sim_random_chance(&world->random, 400)) {
        process = &world->regions[process->region].relay;
    }
    if (sim_random_chance(&world->random, 400)) {
        process->feeder.dies_next = true;
    } else {
        sim_process_kill(process);
    }
}

static void
on_clock_step(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_process *process = sim_load_any_proxy(world);
    uint64_t skew_us = sim_random_between(&world->random, 0, 2 * world->plan.skew_us_max);

    (void)arg;
    process->skew_us = (int64_t)skew_us - (int64_t)world->plan.skew_us_max;
    sim_world_say(world, "%s: its clock is now %" PRId64 " us off", process->name,
                  process->skew_us);
}

/** Nothing: rest is not before it. */
static void
on_end(void *ctx, uint64_t arg)
{
    (void)arg;
    sim_world_say(ctx, "what has a short time to live is gone");
}

static void
schedule_faults(struct sim_world *world, unsigned count, sim_call_fn fault)
{
    for (unsigned i = 0; i < count; i++) {
        sim_time_after(&world->time, sim_random_below(&world->random, world->plan.faults_until_us),
                       fault, world, 0);
    }
}

void
sim_faults_schedule(struct sim_world *world)
{
    const struct sim_plan *plan = &world->plan;

    schedule_faults(world, plan->freezes, on_freeze);
    schedule_faults(world, plan->deaths, on_death);
    schedule_faults(world, plan->evictions, on_eviction);
    schedule_faults(world, plan->absences, on_absence);
    schedule_faults(world, plan->fills, on_fill);
    schedule_faults(world, plan->stucks, on_stuck);
    schedule_faults(world, plan->plain_writes, on_plain_write);
    if (plan->plain_writes > 0) {
        sim_time_after(&world->time, plan->faults_until_us + PLAIN_END_US, on_plain_end, world, 0);
    }
    schedule_faults(world, plan->kills, on_kill);
    schedule_faults(world, plan->clock_steps, on_clock_step);
    sim_time_after(&world->time,
                   plan->faults_until_us +
                       (plan->ttl_s < SIM_LONG_TTL_S || sim_plan_has(plan, SIM_THEME_LATE)
                            ? SHORT_TTL_END_US
                            : 0),
                   on_end, world, 0);
}
