/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h. */
#include "sim_check.h"

#include <inttypes.h>
#include <string.h>

#include "sim_world.h"

enum {
    EXPIRY_DIFFERENCE_US_MAX = 15 * 1000 * 1000,
    MINTED_MS_MAX = 90 * 1000, /* after the start, by any clock but one that is far ahead */
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
expires_together(const struct sim_item *a, const struct sim_item *b)
{
    uint64_t apart_us = a->expires_us > b->expires_us ? a->expires_us - b->expires_us
                                                      : b->expires_us - a->expires_us;

    return (a->expires_us == 0) == (b->expires_us == 0) && apart_us <= EXPIRY_DIFFERENCE_US_MAX;
}

static bool
is_same(const struct sim_item *a, const struct sim_item *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a->cas == b->cas && a->client_flags == b->client_flags && a->value_len == b->value_len &&
           memcmp(a->value, b->value, a->value_len) == 0 && expires_together(a, b);
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
 * come back in some places. As with an eviction, one live value at most is left.
 */
static bool
has_run_out(struct sim_world *world, unsigned key, const struct sim_item *a,
            const struct sim_item *b)
{
    return (a == NULL) != (b == NULL) && had_short_ttl(world, key);
}

static void
check_copies(struct sim_world *world, unsigned key)
{
    const struct sim_item *first = live_copy(world, 0, 0, key);

    for (unsigned region = 0; region < world->plan.region_count; region++) {
        for (unsigned zone = 0; zone < world->plan.zone_count; zone++) {
            const struct sim_item *copy = live_copy(world, region, zone, key);

            say_item(world, "end:", region, zone, key);
            if (!is_same(first, copy) && !has_run_out(world, key, first, copy)) {
                sim_world_fail(world, SIM_FAILURE_COPIES, "key-%u, between r0 z0 and r%u z%u", key,
                               region, zone);
            }
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
            differs |= item && !is_same(first, item);
        }
        count += differs && world->history.key_lost_content[key];
    }
    return count;
}

/* --- newest --- */

/** Whether it was minted while a clock was far ahead: it may count for nothing. Writes end long
 * before the wall gets to what those of such a clock have. */
static bool
is_of_bad_clock(evc_version version)
{
    return !evc_version_is_sane(version, SIM_UNIX_START_US / 1000, MINTED_MS_MAX);
}

/** Whether what a bad clock minted for the key has landed since then. */
static bool
has_bad_since(const struct sim_world *world, unsigned key, uint64_t since_us)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        const struct sim_version *version = &world->history.versions[i];

        if (version->key == key && is_of_bad_clock(version->version) &&
            (version->first_us >= since_us || version->landed_us >= since_us)) {
            return true;
        }
    }
    return false;
}

/** The newest any zone has of a key, tombstones included; NULL: nothing anywhere. */
static const struct sim_item *
newest_copy(struct sim_world *world, unsigned key)
{
    const struct sim_item *newest = NULL;

    for (unsigned i = 0; i < world->plan.region_count * world->plan.zone_count; i++) {
        const struct sim_item *item = sim_node_item(
            sim_world_node(world, i / world->plan.zone_count, i % world->plan.zone_count, key),
            key);

        if (item && !is_of_bad_clock(item->cas) && (!newest || item->cas > newest->cas)) {
            newest = item;
        }
    }
    return newest;
}

static const struct sim_write *
newest_acked(const struct sim_world *world, unsigned key)
{
    const struct sim_write *newest = NULL;

    for (unsigned i = 0; i < world->history.write_count; i++) {
        const struct sim_write *write = &world->history.writes[i];

        if (write->key == key && write->is_acked && !is_of_bad_clock(write->version) &&
            (!newest || write->version > newest->version)) {
            newest = write;
        }
    }
    return newest;
}

/**
 * Whether a write was the newest in time as well as by version: nothing newer had landed when it
 * began (else a slow clock made it lose), and nothing older landed afterwards (else that has buried
 * it).
 */
static bool
is_clean(const struct sim_world *world, const struct sim_write *write)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        const struct sim_version *other = &world->history.versions[i];

        if (other->key == write->key && !is_of_bad_clock(other->version) &&
            ((other->version < write->version && other->landed_us >= write->started_us) ||
             (other->version > write->version && other->first_us < write->started_us))) {
            return false;
        }
    }
    return true;
}

static bool
has_content(const struct sim_version *version, const struct sim_item *item)
{
    return version->client_flags == item->client_flags && version->value_len == item->value_len &&
           memcmp(version->value, item->value, item->value_len) == 0;
}

/** Whether the content was written under this version or a newer one by a writer. */
static bool
is_content_since(const struct sim_world *world, const struct sim_item *item, unsigned key,
                 evc_version since)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        const struct sim_version *version = &world->history.versions[i];

        if (version->key == key && version->version >= since &&
            !sim_version_is_restamp(version->version) && has_content(version, item)) {
            return true;
        }
    }
    return false;
}

/** Whether the repair groups remember every event: what was buried and is forgotten stays buried.
 */
static bool
remembers_all(const struct sim_world *world)
{
    return world->plan.recent_max >= SIM_WRITES_MAX;
}

/** Whether what was newest may have had a short time to live: then anything may have come after it.
 */
static bool
may_have_run_out(const struct sim_world *world, const struct sim_write *write)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        const struct sim_version *version = &world->history.versions[i];

        if (version->key == write->key && version->version >= write->version && version->has_ttl) {
            return world->plan.ttl_s < SIM_LONG_TTL_S;
        }
    }
    return false;
}

static void
check_newest(struct sim_world *world, unsigned key)
{
    const struct sim_write *acked = newest_acked(world, key);
    const struct sim_item *newest = newest_copy(world, key);
    bool clean;

    if (!acked || may_have_run_out(world, acked) || has_bad_since(world, key, acked->started_us)) {
        return;
    }
    clean = is_clean(world, acked);
    if ((clean || remembers_all(world)) && (!newest || newest->cas < acked->version)) {
        sim_world_fail(world, SIM_FAILURE_NEWEST,
                       "of key-%u only %" PRIx64 " is left, acknowledged was %" PRIx64, key,
                       newest ? newest->cas : 0, acked->version);
    } else if (clean && !is_content_since(world, newest, key, acked->version)) {
        sim_world_fail(world, SIM_FAILURE_NEWEST,
                       "what key-%u holds is older than the acknowledged %" PRIx64, key,
                       acked->version);
    }
}

static void
check_keys(struct sim_world *world)
{
    for (unsigned key = 0; key < world->plan.key_count; key++) {
        if (!world->history.key_lost_content[key]) {
            check_copies(world, key);
            check_newest(world, key);
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
