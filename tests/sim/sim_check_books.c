/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h: the books of every source, group and partition at the end. */
#include <inttypes.h>

#include "replication/outcome.h"
#include "sim_check.h"
#include "sim_relay.h"
#include "sim_world.h"

enum {
    AWAY_US_MIN = 3 * 1000 * 1000, /* before a relay that tries for 5 s may give up */
};

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
    if (open != 0 || totals.lost != world->not_fit[region][partition] ||
        totals.received != outcomes || made + totals.duplicate != totals.lost + outcomes) {
        sim_world_fail(world, SIM_FAILURE_BOOKS,
                       "r%u to r%u p%u: produced %" PRIu64 " duplicate %" PRIu64 " lost %" PRIu64
                       " outcomes %" PRIu64 " in flight %" PRIu64,
                       region, group, partition, made, totals.duplicate, totals.lost, outcomes,
                       open);
    }
    return totals.duplicate;
}

/** For how long nodes of a key were away, added up. */
static uint64_t
away_us(struct sim_world *world, unsigned key)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < world->plan.region_count * world->plan.zone_count; i++) {
        sum += sim_world_node(world, i / world->plan.zone_count, i % world->plan.zone_count, key)
                   ->away_us;
    }
    return sum;
}

static void
check_abandoned(struct sim_world *world)
{
    uint64_t counted = world->books.outcome[EVC_OUTCOME_ABANDONED];
    uint64_t told = world->history.abandoned;

    if (counted > told || (counted < told && world->kill_count == 0)) {
        sim_world_fail(world, SIM_FAILURE_BOOKS, "%" PRIu64 " abandoned, relays told of %" PRIu64,
                       counted, told);
    }
    for (unsigned key = 0; key < SIM_KEY_MAX && !world->plan.has_bad_clock; key++) {
        if (world->history.key_abandoned[key] && !world->history.key_refused[key] &&
            away_us(world, key) < AWAY_US_MIN) {
            sim_world_fail(world, SIM_FAILURE_BOOKS, "key-%u was given up without a cause", key);
        }
    }
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
    check_abandoned(world);
    if (sum != world->refed_count * world->plan.region_count) {
        sim_world_fail(world, SIM_FAILURE_BOOKS,
                       "groups count %" PRIu64 " duplicates, %" PRIu64
                       " events were fed twice to each of %u",
                       sum, world->refed_count, world->plan.region_count);
    }
}
