/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h: the books of every source, group and partition at the end. */
#include <inttypes.h>

#include "replication/outcome.h"
#include "sim_check.h"
#include "sim_relay.h"
#include "sim_world.h"

static uint64_t
produced(struct sim_world *world, unsigned region, unsigned partition)
{
    struct evc_journal_stats stats;
    uint64_t sum = 0;

    for (unsigned i = 0; i < world->plan.proxy_count; i++) {
        evc_journal_stats(world->regions[region].proxies[i].journal, &stats);
        sum += stats.produced[partition];
    }
    evc_journal_stats(world->regions[region].relay.journal, &stats);
    return sum + stats.produced[partition];
}

static void
add_totals(struct evc_books_totals *sum, const struct evc_books_totals *totals)
{
    sum->received += totals->received;
    sum->lost += totals->lost;
    sum->duplicate += totals->duplicate;
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        sum->outcome[i] += totals->outcome[i];
    }
}

/** Returns the duplicates the group counted. */
static uint64_t
check_books_of(struct sim_world *world, unsigned region, unsigned group, unsigned partition)
{
    struct evc_books_totals totals;
    uint64_t open = 0, outcomes = 0;
    uint64_t made = produced(world, region, partition);

    sim_relay_books(&world->regions[region].relay, group, partition, &totals, &open);
    add_totals(&world->books, &totals);
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        outcomes += totals.outcome[i];
    }
    if (open != 0 || totals.lost != 0 || totals.received != outcomes ||
        made + totals.duplicate != totals.lost + outcomes) {
        sim_world_fail(world, SIM_FAILURE_BOOKS,
                       "r%u to r%u p%u: produced %" PRIu64 " duplicate %" PRIu64 " lost %" PRIu64
                       " outcomes %" PRIu64 " in flight %" PRIu64,
                       region, group, partition, made, totals.duplicate, totals.lost, outcomes,
                       open);
    }
    return totals.duplicate;
}

void
sim_check_books(struct sim_world *world)
{
    uint64_t duplicates[SIM_REGION_MAX] = {0};
    uint64_t sum = 0;

    for (unsigned region = 0; region < world->plan.region_count; region++) {
        for (unsigned group = 0; group < world->plan.region_count; group++) {
            for (unsigned i = 0; i < world->plan.partition_count; i++) {
                duplicates[group] += check_books_of(world, region, group, i);
            }
        }
    }
    for (unsigned group = 0; group < world->plan.region_count; group++) {
        sum += duplicates[group];
    }
    if (sum != world->refed_count * world->plan.region_count) {
        sim_world_fail(world, SIM_FAILURE_BOOKS,
                       "groups count %" PRIu64 " duplicates, %" PRIu64
                       " events were fed twice to each of %u",
                       sum, world->refed_count, world->plan.region_count);
    }
}
