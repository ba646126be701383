/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_feeder.h. */
#include "sim_feeder.h"

#include <assert.h>

#include "sim_world.h"

enum {
    FEED_US_MIN = 50,
    FEED_US_MAX = 20 * 1000,
};

void
sim_feeder_start(struct sim_process *process)
{
    struct sim_world *world = process->world;
    int rc;

    process->feeder = (struct sim_feeder){0};
    rc = evc_feed_init(&process->feeder.feed, &world->regions[process->region].queue.queue,
                       world->plan.partition_count);
    assert(rc == EVC_OK);
    evc_feed_source_init(&process->feeder.source, process->journal);
}

/** One round; returns whether anything was there to feed. */
static bool
run_round(struct sim_process *process)
{
    struct sim_feeder *feeder = &process->feeder;
    struct evc_feed_count count;
    int rc = evc_feed_round(&feeder->feed, &feeder->source, process->moment.unix_us, &count, NULL);

    if (rc != EVC_OK || count.events > 0) {
        sim_world_say(process->world, "%s: feeds %u, status %d", process->name, count.events, rc);
    }
    return rc != EVC_OK || count.events > 0 || count.is_holding;
}

static void
on_feed(void *ctx, uint64_t life)
{
    struct sim_process *process = ctx;
    bool goes_on;

    if (!process->is_alive || process->life != life) {
        return;
    }
    sim_process_enter(process);
    process->world->feeding = process;
    if (setjmp(process->feeder.killed) != 0) {
        process->world->feeding = NULL;
        sim_process_leave(process);
        sim_process_kill(process);
        return;
    }
    goes_on = run_round(process);
    process->world->feeding = NULL;
    sim_process_leave(process); /* still due, so that a round that found nothing rings no bell */
    process->feeder.is_due = false;
    if (goes_on) {
        sim_feeder_ring(process);
    }
}

void
sim_feeder_ring(struct sim_process *process)
{
    struct sim_world *world = process->world;

    if (!process->feeder.is_due) {
        process->feeder.is_due = true;
        sim_time_after(&world->time, sim_random_spread(&world->random, FEED_US_MIN, FEED_US_MAX),
                       on_feed, process, process->life);
    }
}

void
sim_feeder_has_appended(struct sim_process *process, uint64_t events)
{
    if (process->feeder.dies_next) {
        process->world->refed_count += events;
        longjmp(process->feeder.killed, 1);
    }
}
