/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h. */
#include "sim_check.h"

#include <inttypes.h>
#include <string.h>

#include "sim_world.h"

enum {
    EXPIRY_DIFFERENCE_US_MAX = 15 * 1000 * 1000,
    /* A stopped node counts from when it wakes up, a region from when an item gets there. */
    EXPIRY_DIFFERENCE_LONG_US_MAX = 150 * 1000 * 1000,
};

/* --- rest --- */

static void
check_process_rest(struct sim_world *world, struct sim_process *process)
{
    if (!sim_process_is_idle(process)) {
        sim_world_fail(world, SIM_FAILURE_REST, "%s is not idle", process->name);
    }
}

static void
check_rest(struct sim_world *world)
{
    for (unsigned region = 0; region < world->plan.region_count; region++) {
        for (unsigned i = 0; i < world->plan.proxy_count; i++) {
            check_process_rest(world, &world->regions[region].proxies[i]);
        }
        check_process_rest(world, &world->regions[region].relay);
    }
    if (!evc_list_is_empty(&world->requests) || !evc_list_is_empty(&world->parcels)) {
        sim_world_fail(world, SIM_FAILURE_REST, "something is on its way for ever");
    }
}

/* --- copies --- */

static const struct sim_item *
live_copy(struct sim_world *world, unsigned region, unsigned zone, unsigned key)
{
    const struct sim_item *item = sim_node_item(sim_world_node(world, region, zone, key), key);

    return item && !sim_item_is_tombstone(item) ? item : NULL;
}

static bool
had_short_ttl(const struct sim_world *world, unsigned key)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        if (world->history.versions[i].key == key && world->history.versions[i].has_ttl) {
            return world->plan.ttl_s < SIM_LONG_TTL_S;
        }
    }
    return false;
}

static bool
expires_together(const struct sim_world *world, const struct sim_item *a, const struct sim_item *b)
{
    uint64_t apart_us_max = world->plan.absences + world->plan.parcel_late_chance > 0
                                ? EXPIRY_DIFFERENCE_LONG_US_MAX
                                : EXPIRY_DIFFERENCE_US_MAX;
    uint64_t apart_us = a->expires_us > b->expires_us ? a->expires_us - b->expires_us
                                                      : b->expires_us - a->expires_us;

    return (a->expires_us == 0) == (b->expires_us == 0) && apart_us <= apart_us_max;
}

static bool
is_same(const struct sim_world *world, const struct sim_item *a, const struct sim_item *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a->cas == b->cas && a->client_flags == b->client_flags && a->value_len == b->value_len &&
           memcmp(a->value, b->value, a->value_len) == 0 && expires_together(world, a, b);
}

static void
say_item(struct sim_world *world, const char *where, unsigned region, unsigned zone, unsigned key)
{
    const struct sim_item *item = sim_node_item(sim_world_node(world, region, zone, key), key);

    if (item) {
        sim_world_say(world, "%s key-%u r%u z%u: %" PRIx64 " '%.*s'%s", where, key, region, zone,
                      item->cas, (int)item->value_len, item->value,
                      sim_item_is_tombstone(item) ? " (tombstone)" : "");
    } else {
        sim_world_say(world, "%s key-%u r%u z%u: nothing", where, key, region, zone);
    }
}

/**
 * Whether one of two copies is missing only because something with a short time to live ran out
 * before every region had heard of it: it leaves no tombstone, so an older value may be left or
 * come back in some places. As with an eviction, one live value at most is left. Or because it came
 * late to a region that had nothing, which cannot know whether it was deleted.
 */
static bool
has_run_out(struct sim_world *world, unsigned key, const struct sim_item *a,
            const struct sim_item *b)
{
    return (a == NULL) != (b == NULL) &&
           (had_short_ttl(world, key) || sim_plan_has(&world->plan, SIM_THEME_LATE));
}

/**
 * A node that would not take the value has none; an older one must not be left there. The zones
 * beside it may have none either, when they did not answer and the relay has given the value up.
 */
static bool
is_refused(struct sim_world *world, unsigned region, unsigned zone, unsigned key)
{
    const struct sim_history *history = &world->history;
    bool is_small = sim_node_is_small(sim_world_node(world, region, zone, key));
    bool is_beside = history->key_abandoned[key] && region == world->plan.small_region;

    return history->key_refused[key] && !live_copy(world, region, zone, key) &&
           (is_small || is_beside);
}

/** The zone to compare the others of its scope with. */
static const struct sim_item *
copy_to_compare(struct sim_world *world, unsigned key, struct sim_scope scope)
{
    for (unsigned region = scope.first; region < scope.end; region++) {
        for (unsigned zone = 0; zone < world->plan.zone_count; zone++) {
            if (!is_refused(world, region, zone, key)) {
                return live_copy(world, region, zone, key);
            }
        }
    }
    return NULL;
}

static void
check_copies(struct sim_world *world, unsigned key, struct sim_scope scope)
{
    const struct sim_item *first = copy_to_compare(world, key, scope);

    for (unsigned region = scope.first; region < scope.end; region++) {
        for (unsigned zone = 0; zone < world->plan.zone_count; zone++) {
            const struct sim_item *copy = live_copy(world, region, zone, key);

            say_item(world, "end:", region, zone, key);
            if (!is_same(world, first, copy) && !has_run_out(world, key, first, copy) &&
                !is_refused(world, region, zone, key)) {
                sim_world_fail(world, SIM_FAILURE_COPIES, "key-%u, between r%u z0 and r%u z%u", key,
                               scope.first, region, zone);
            }
        }
    }
}

/** Of a key that is deleted abroad only the newest may live, and only where it was written. */
static void
check_invalidated(struct sim_world *world, unsigned key)
{
    const struct sim_item *newest =
        sim_check_newest_copy(world, key, (struct sim_scope){.end = world->plan.region_count});

    for (unsigned region = 0; region < world->plan.region_count; region++) {
        const struct sim_item *copy = live_copy(world, region, 0, key);

        if (copy && newest && copy->cas != newest->cas && !had_short_ttl(world, key)) {
            sim_world_fail(world, SIM_FAILURE_COPIES, "key-%u lives in r%u, the newest is %" PRIx64,
                           key, region, newest->cas);
        }
    }
}

unsigned
sim_check_lossy_differences(struct sim_world *world)
{
    unsigned count = 0;

    for (unsigned key = 0; key < world->plan.key_count; key++) {
        const struct sim_item *first = NULL;
        bool differs = false;

        for (unsigned i = 0; i < world->plan.region_count * world->plan.zone_count; i++) {
            const struct sim_item *item =
                live_copy(world, i / world->plan.zone_count, i % world->plan.zone_count, key);

            first = first ? first : item;
            differs |= item && !is_same(world, first, item);
        }
        count += differs && world->history.key_lost_content[key] &&
                 world->plan.policies[key] == EVC_POLICY_COPY;
    }
    return count;
}

static void
check_key(struct sim_world *world, unsigned key)
{
    struct sim_scope all = {.end = world->plan.region_count};
    enum evc_policy policy = world->plan.policies[key];

    for (unsigned region = 0; policy != EVC_POLICY_COPY && region < all.end; region++) {
        struct sim_scope one = {.first = region, .end = region + 1};

        check_copies(world, key, one);
        if (policy == EVC_POLICY_NONE) {
            sim_check_newest(world, key, one);
        }
    }
    if (policy == EVC_POLICY_COPY) {
        check_copies(world, key, all);
    } else if (policy == EVC_POLICY_INVALIDATE) {
        check_invalidated(world, key);
    }
    if (policy != EVC_POLICY_NONE) {
        sim_check_newest(world, key, all);
    }
}

static void
check_keys(struct sim_world *world)
{
    for (unsigned key = 0; key < world->plan.key_count; key++) {
        bool is_given_up = world->history.key_abandoned[key] &&
                           (!world->history.key_refused[key] || world->plan.absences > 0);

        if (!world->history.key_lost_content[key] && !world->history.key_untold[key] &&
            !is_given_up) {
            check_key(world, key);
        }
    }
}

void
sim_check_all(struct sim_world *world)
{
    check_rest(world);
    if (world->failure != SIM_FAILURE_NONE) {
        return; /* a process that never rests has no books to look at */
    }
    sim_check_books(world);
    sim_check_counting(world);
    check_keys(world);
}
