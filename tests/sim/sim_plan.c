/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_plan.h. Small caches and few keys: the closer things happen together, the more they can
 * meet. */
#include "sim_plan.h"

#include <stddef.h>

#include "sim_random.h"

enum {
    MS = 1000,
    S = 1000 * 1000,
    TOMBSTONE_TTL_S = 3600,
    ABANDON_S = 600,
    ABANDON_SHORT_S = 5,
    THEME_CHANCE = 500,
    THEME_SECOND_CHANCE = 150,
};

#define THEMES_STREAM UINT64_C(0x7468656D6573)

static unsigned
pick(struct sim_random *random, const unsigned *of, size_t count)
{
    return of[sim_random_below(random, count)];
}

#define PICK(random, ...)                                                                          \
    pick((random), (const unsigned[]){__VA_ARGS__},                                                \
         sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static void
plan_sizes(struct sim_plan *plan, struct sim_random *random)
{
    plan->region_count = PICK(random, 2, 2, 3);
    plan->zone_count = PICK(random, 1, 2, 2, 3);
    plan->nodes_per_zone = PICK(random, 1, 2);
    plan->proxy_count = PICK(random, 1, 2, 2);
    plan->partition_count = PICK(random, 1, 2);
    plan->key_count = PICK(random, 1, 1, 2, 3);
    plan->write_count = (unsigned)sim_random_between(random, 2, 24);
    plan->write_gap_us = PICK(random, 200, 1 * MS, 5 * MS, 20 * MS, 150 * MS);
    plan->zones_needed = (unsigned)sim_random_between(random, 1, plan->zone_count);
    plan->recent_max = PICK(random, 1, 2, 8, 64, 64);
    plan->tombstone_ttl_s = TOMBSTONE_TTL_S;
    plan->drift_ms = EVC_VERSION_DRIFT_MS_DEFAULT;
    plan->ttl_chance = PICK(random, 0, 0, 100, 500);
    plan->ttl_s = PICK(random, SIM_LONG_TTL_S, SIM_LONG_TTL_S, 1, 2, 4);
}

static void
plan_network(struct sim_plan *plan, struct sim_random *random)
{
    plan->latency_us = PICK(random, 100, 500, 2 * MS, 10 * MS);
    plan->link_latency_us = PICK(random, 200, 2 * MS, 20 * MS, 100 * MS);
    plan->skew_us_max = PICK(random, 0, 1 * MS, 10 * MS, 100 * MS, 5 * S);
    plan->is_link_ordered = sim_random_chance(random, 500);
    plan->link_window = PICK(random, 1, 4, 64);
}

static void
plan_faults(struct sim_plan *plan, struct sim_random *random)
{
    plan->request_lost_chance = PICK(random, 0, 0, 5, 30, 80);
    plan->request_refused_chance = PICK(random, 0, 0, 5, 50);
    plan->parcel_lost_chance = PICK(random, 0, 20, 150);
    plan->parcel_twice_chance = PICK(random, 0, 100, 300);
    plan->queue_full_chance = PICK(random, 0, 0, 200);
    plan->freezes = PICK(random, 0, 0, 1, 2, 4);
    plan->deaths = PICK(random, 0, 0, 0, 0, 0, 0, 0, 1);
    plan->evictions = PICK(random, 0, 0, 0, 0, 0, 0, 0, 2);
    plan->kills = PICK(random, 0, 0, 1, 2, 4);
    plan->abandon_s = ABANDON_S;
    plan->clock_steps = PICK(random, 0, 0, 0, 1, 2);
}

/* --- themes --- */

const char *
sim_theme_str(enum sim_theme theme)
{
    static const char *const names[SIM_THEME_MAX] = {
        [SIM_THEME_FILLING] = "filling",   [SIM_THEME_COUNTING] = "counting",
        [SIM_THEME_POLICIES] = "policies", [SIM_THEME_ABSENCE] = "absence",
        [SIM_THEME_PLAIN] = "plain",       [SIM_THEME_REFUSAL] = "refusal",
        [SIM_THEME_LATE] = "late",         [SIM_THEME_FULL] = "full",
        [SIM_THEME_STUCK] = "stuck",
    };

    return names[theme];
}

static void
plan_filling(struct sim_plan *plan, struct sim_random *random)
{
    if (plan->zone_count == 1) {
        plan->zone_count = 2;
    }
    plan->filling = (uint32_t)sim_random_between(random, 1, (1U << plan->region_count) - 1);
}

static void
plan_policies(struct sim_plan *plan, struct sim_random *random)
{
    for (unsigned key = 0; key < SIM_KEY_MAX; key++) {
        plan->policies[key] = PICK(random, EVC_POLICY_INVALIDATE, EVC_POLICY_INVALIDATE,
                                   EVC_POLICY_NONE, key == 0 ? EVC_POLICY_NONE : EVC_POLICY_COPY);
    }
}

static void
plan_absence(struct sim_plan *plan, struct sim_random *random)
{
    plan->absences = PICK(random, 1, 1, 2);
    plan->abandon_s = PICK(random, ABANDON_SHORT_S, ABANDON_SHORT_S, ABANDON_S);
}

static void
plan_plain(struct sim_plan *plan, struct sim_random *random)
{
    plan->plain_writes = PICK(random, 1, 2, 6);
}

static void
plan_refusal(struct sim_plan *plan, struct sim_random *random)
{
    plan->large_chance = PICK(random, 100, 300, 500);
    plan->small_region = (unsigned)sim_random_below(random, plan->region_count);
    plan->small_zone = (unsigned)sim_random_below(random, plan->zone_count);
    if (sim_random_chance(random, 500)) {
        plan->small_zone = SIM_ZONE_MAX;
    }
}

/** Clocks keep to a bound that is less than the life of a tombstone, as they must. */
static void
plan_late(struct sim_plan *plan, struct sim_random *random)
{
    plan->tombstone_ttl_s = PICK(random, 4, 5);
    plan->drift_ms = 1000;
    plan->skew_us_max = PICK(random, 0, 1 * MS, 100 * MS, 400 * MS);
    plan->parcel_late_chance = PICK(random, 50, 200, 500);
    plan->ttl_s = SIM_LONG_TTL_S;
}

static void
plan_full(struct sim_plan *plan, struct sim_random *random)
{
    plan->fills = PICK(random, 1, 2, 4);
}

static void
plan_stuck(struct sim_plan *plan, struct sim_random *random)
{
    plan->stucks = PICK(random, 1, 2, 4);
    plan->partition_count = 2;
}

static void
plan_themes(struct sim_plan *plan, struct sim_random *random)
{
    static void (*const plan_theme[SIM_THEME_MAX])(struct sim_plan *, struct sim_random *) = {
        [SIM_THEME_FILLING] = plan_filling, [SIM_THEME_POLICIES] = plan_policies,
        [SIM_THEME_ABSENCE] = plan_absence, [SIM_THEME_PLAIN] = plan_plain,
        [SIM_THEME_REFUSAL] = plan_refusal, [SIM_THEME_LATE] = plan_late,
        [SIM_THEME_FULL] = plan_full,       [SIM_THEME_STUCK] = plan_stuck,
    };

    for (unsigned i = 0; i < 2; i++) {
        if (sim_random_chance(random, i == 0 ? THEME_CHANCE : THEME_SECOND_CHANCE)) {
            plan->themes |= UINT32_C(1) << sim_random_below(random, SIM_THEME_MAX);
        }
    }
    for (unsigned i = 0; i < SIM_THEME_MAX; i++) {
        if (sim_plan_has(plan, i) && plan_theme[i]) {
            plan_theme[i](plan, random);
        }
    }
}

void
sim_plan_draw(struct sim_plan *plan, uint64_t seed, uint32_t themes, struct sim_random *random)
{
    struct sim_random themes_random;

    *plan = (struct sim_plan){.themes = themes};
    plan_sizes(plan, random);
    plan_network(plan, random);
    plan_faults(plan, random);
    sim_random_init(&themes_random, seed ^ THEMES_STREAM);
    plan_themes(plan, &themes_random);
}
