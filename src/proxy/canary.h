/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the region's canaries (topology/canary.h) like any application's keys: a version, the
 * journal, every zone, the queue. One worker of the region's first proxy does; the other regions'
 * relays read them. Owner: that worker's loop.
 */
#ifndef EVC_PROXY_CANARY_H
#define EVC_PROXY_CANARY_H

#include "replication/write.h"
#include "topology/canary.h"

enum {
    EVC_CANARY_WRITES_PER_TICK = 64, /* a round is spread over ticks, to be no burst */
    EVC_CANARY_TTL_MIN_S = 60,       /* so long a canary outlives the last round */
};

struct evc_canary_stats {
    uint64_t keys;
    uint64_t rounds_total;
    uint64_t stored_total, failed_total;
};

struct evc_canary {
    const struct evc_config *config;
    struct evc_writer *writer;
    const struct evc_moment *now;
    struct evc_canary_plan plans[EVC_CONFIG_REGION_MAX]; /* by destination */
    unsigned region;
    unsigned destination, key; /* what is written next of the round under way */
    bool is_in_round;
    uint64_t due_us; /* monotonic */
    struct evc_canary_stats stats;
};

/** Off when the configuration says so, or where there is no other region. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_canary_init(struct evc_canary *canary, const struct evc_config *config,
                                 unsigned region, struct evc_writer *writer,
                                 const struct evc_moment *now);
void evc_canary_finish(struct evc_canary *canary); /* accepts one that is all zero */

/** Writes what is due. Every tick. */
void evc_canary_tick(struct evc_canary *canary);

#endif
