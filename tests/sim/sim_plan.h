/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what a seed does to its world, all drawn before time begins. sim_load.h schedules it.
 */
#ifndef EVC_SIM_PLAN_H
#define EVC_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random;

enum {
    SIM_LONG_TTL_S = 3600 /* outlives every run */
};

/** All chances per mille. */
struct sim_plan {
    unsigned region_count, zone_count, nodes_per_zone, proxy_count, partition_count, key_count;
    unsigned write_count;
    uint64_t write_gap_us; /* mean distance of two writes */
    uint64_t latency_us;   /* of a node, one way, at most; spread down from it */
    uint64_t link_latency_us;
    uint64_t skew_us_max;
    unsigned request_lost_chance; /* the connection to the node breaks with this request */
    unsigned request_refused_chance;
    unsigned parcel_lost_chance; /* the link breaks with this item */
    unsigned parcel_twice_chance;
    bool is_link_ordered;
    unsigned link_window; /* items the link takes before it is full */
    unsigned queue_full_chance;
    unsigned freezes, deaths, kills, evictions, clock_steps;
    uint64_t faults_until_us;
    uint32_t tombstone_ttl_s;
    unsigned ttl_chance; /* writes with a time to live */
    unsigned ttl_s;      /* when short, what has one is gone by the end */
    unsigned zones_needed;
    unsigned recent_max; /* events a repair group remembers */
    bool has_bad_clock;  /* one proxy's clock is beyond the drift bound */
};

void sim_plan_draw(struct sim_plan *plan, struct sim_random *random);

#endif
