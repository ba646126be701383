/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what a seed does to its world, all drawn before time begins. sim_load.h schedules it.
 *
 * Half of the seeds have a theme, some two: something that most caches never meet, with checks of
 * its own. Themes have a random stream of their own, so that a new one leaves the seeds
 * without any as they were.
 */
#ifndef EVC_SIM_PLAN_H
#define EVC_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "sim_node.h"
#include "topology/config.h"

struct sim_random;

enum {
    SIM_LONG_TTL_S = 3600 /* outlives every run */
};

enum sim_theme {
    SIM_THEME_FILLING,  /* the last zone of some regions is written to and not read */
    SIM_THEME_COUNTING, /* values are numbers that are counted, and texts that grow */
    SIM_THEME_POLICIES, /* some keys are not copied, but deleted abroad or left alone */
    SIM_THEME_ABSENCE,  /* a node is away for longer than a relay tries */
    SIM_THEME_PLAIN,    /* somebody writes past evcache, on the nodes */
    SIM_THEME_REFUSAL,  /* a node, or the nodes of a region, take no large values */
    SIM_THEME_LATE,     /* tombstones live for seconds, and shipments take longer */
    SIM_THEME_FULL,     /* journals have no room for a while */
    SIM_THEME_STUCK,    /* queues do not take a partition for a while, and journals go round */
    SIM_THEME_MAX,
};

const char *sim_theme_str(enum sim_theme theme);

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
    unsigned parcel_late_chance; /* an item takes seconds */
    bool is_link_ordered;
    unsigned link_window; /* items the link takes before it is full */
    unsigned queue_full_chance;
    unsigned freezes, deaths, kills, evictions, clock_steps;
    uint64_t faults_until_us;
    uint32_t tombstone_ttl_s, drift_ms;
    unsigned ttl_chance; /* writes with a time to live */
    unsigned ttl_s;      /* when short, what has one is gone by the end */
    unsigned zones_needed;
    unsigned recent_max; /* events a repair group remembers */
    bool has_bad_clock;  /* one proxy's clock is beyond the drift bound */
    uint32_t themes;     /* bits by enum sim_theme */
    uint32_t filling;    /* bits of regions */
    unsigned absences;
    unsigned plain_writes;
    unsigned fills;                    /* of journals */
    unsigned stucks;                   /* partitions that the queue does not take for a while */
    unsigned large_chance;             /* writes with a large value */
    unsigned small_region, small_zone; /* whose node takes none; zone: SIM_ZONE_MAX for all */
    uint32_t abandon_s;                /* so long a relay tries */
    enum evc_policy policies[SIM_KEY_MAX];
};

static inline bool
sim_plan_has(const struct sim_plan *plan, enum sim_theme theme)
{
    return plan->themes >> theme & 1;
}

/** Draws a plan. random: the world's, for what every seed has. themes: bits it is to have besides.
 */
void sim_plan_draw(struct sim_plan *plan, uint64_t seed, uint32_t themes,
                   struct sim_random *random);

#endif
