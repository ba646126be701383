/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_process.h. */
#include "sim_process.h"

#include <assert.h>
#include <stdio.h>

#include "sim_link.h"
#include "sim_proxy.h"
#include "sim_relay.h"
#include "sim_world.h"
#include "topology/config.h"

enum {
    RESTART_US_MIN = 5 * 1000,
    RESTART_US_MAX = 4 * 1000 * 1000,
};

void
sim_process_init(struct sim_process *process, struct sim_world *world, enum sim_process_kind kind,
                 unsigned region, unsigned index)
{
    struct sim_random *random = &world->random;
    int64_t skew_us = (int64_t)sim_random_between(random, 0, 2 * world->plan.skew_us_max);

    *process = (struct sim_process){
        .world = world,
        .region = region,
        .index = index,
        .slot = kind == SIM_PROXY ? evc_config_proxy_slot(index, 0) : evc_config_relay_slot(index),
        .kind = kind,
        .skew_us = skew_us - (int64_t)world->plan.skew_us_max,
        .mono_us = sim_random_below(random, UINT64_C(1) << 40),
    };
    sim_memory_init(&process->memory);
    (void)snprintf(process->name, sizeof(process->name), "r%u/%s%u", region,
                   kind == SIM_PROXY ? "proxy" : "relay", index);
}

static void
look_at_the_clock(struct sim_process *process)
{
    process->moment = (struct evc_moment){
        .mono_us = process->mono_us + process->world->time.now_us,
        .unix_us = (uint64_t)((int64_t)sim_world_unix_us(process->world) + process->skew_us),
    };
}

void
sim_process_enter(struct sim_process *process)
{
    assert(process->is_alive);
    look_at_the_clock(process);
    if (process->journal) {
        sim_journal_enter(process);
    }
    (void)sim_memory_enter(&process->memory);
}

void
sim_process_leave(struct sim_process *process)
{
    (void)sim_memory_enter(NULL);
    sim_feeder_ring(process);
}

static void
open_journal(struct sim_process *process)
{
    struct sim_world *world = process->world;
    struct evc_error error;
    uint64_t replayed = 0;
    int rc = evc_journal_open(world->regions[process->region].directory, process->slot,
                              EVC_JOURNAL_BYTES_MIN, &process->journal, &replayed, &error);

    if (rc != EVC_OK) {
        (void)fprintf(stderr, "sim: %s\n", error.text);
    }
    assert(rc == EVC_OK);
    sim_journal_open(process);
    evc_journal_set_partitions(process->journal, world->plan.partition_count);
    sim_world_say(world, "%s: starts, %u events replayed", process->name, (unsigned)replayed);
}

void
sim_process_start(struct sim_process *process)
{
    assert(!process->is_alive);
    process->is_alive = true;
    process->life++;
    sim_port_init(&process->port, process);
    sim_process_enter(process);
    evc_version_clock_init(&process->clock, evc_version_writer_make(process->region, process->slot),
                           process->world->plan.drift_ms);
    open_journal(process);
    sim_feeder_start(process);
    evc_version_clock_keep(&process->clock, evc_journal_clock_cell(process->journal));
    if (process->kind == SIM_PROXY) {
        sim_proxy_start(process);
    } else {
        sim_relay_start(process);
    }
    sim_process_leave(process);
    if (process->kind == SIM_RELAY) {
        sim_relay_wake(process);
    }
}

static void
on_restart(void *ctx, uint64_t arg)
{
    (void)arg;
    sim_process_start(ctx);
}

void
sim_process_kill(struct sim_process *process)
{
    struct sim_world *world = process->world;

    if (!process->is_alive) {
        return;
    }
    sim_world_say(world, "%s: killed", process->name);
    world->kill_count++;
    world->relay_kill_count += process->kind == SIM_RELAY;
    sim_journal_empty(process);
    process->is_alive = false;
    sim_port_orphan(&process->port);
    sim_link_forget_process(process);
    evc_journal_close(process->journal); /* an unlock and unmap, as the kernel does it */
    process->journal = NULL;
    process->proxy = NULL;
    process->relay = NULL;
    sim_memory_drop(&process->memory);
    sim_time_after(&world->time, sim_random_spread(&world->random, RESTART_US_MIN, RESTART_US_MAX),
                   on_restart, process, 0);
}

bool
sim_process_is_idle(struct sim_process *process)
{
    struct evc_journal_stats stats;

    if (!process->is_alive) {
        return false;
    }
    evc_journal_stats(process->journal, &stats);
    return stats.events_waiting == 0 &&
           (process->kind == SIM_PROXY ? sim_proxy_is_idle(process) : sim_relay_is_idle(process));
}
