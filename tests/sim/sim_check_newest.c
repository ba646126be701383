/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h: what is left, against what was acknowledged. */
#include <inttypes.h>
#include <string.h>

#include "sim_check.h"
#include "sim_world.h"

enum {
    MINTED_MS_MAX = 90 * 1000, /* after the start, by any clock but one that is far ahead */
};

static bool
is_in(struct sim_scope scope, unsigned region)
{
    return region >= scope.first && region < scope.end;
}

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

/** Whether a is to be preferred: of two of one version the one that lives. */
static bool
is_newer(const struct sim_item *a, const struct sim_item *b)
{
    return a->cas != b->cas ? a->cas > b->cas : sim_item_is_tombstone(b);
}

const struct sim_item *
sim_check_newest_copy(struct sim_world *world, unsigned key, struct sim_scope scope)
{
    const struct sim_item *newest = NULL;

    for (unsigned i = scope.first * world->plan.zone_count; i < scope.end * world->plan.zone_count;
         i++) {
        const struct sim_item *item = sim_node_item(
            sim_world_node(world, i / world->plan.zone_count, i % world->plan.zone_count, key),
            key);

        if (item && !is_of_bad_clock(item->cas) && (!newest || is_newer(item, newest))) {
            newest = item;
        }
    }
    return newest;
}

static const struct sim_write *
newest_acked(const struct sim_world *world, unsigned key, struct sim_scope scope)
{
    const struct sim_write *newest = NULL;

    for (unsigned i = 0; i < world->history.write_count; i++) {
        const struct sim_write *write = &world->history.writes[i];

        if (write->key == key && write->is_acked && !is_of_bad_clock(write->version) &&
            is_in(scope, write->region) && (!newest || write->version > newest->version)) {
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
is_clean(const struct sim_world *world, const struct sim_write *write, struct sim_scope scope)
{
    for (unsigned i = 0; i < world->history.version_count; i++) {
        const struct sim_version *other = &world->history.versions[i];

        if (other->key == write->key && !is_of_bad_clock(other->version) &&
            is_in(scope, evc_version_region(other->version)) &&
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

/**
 * Whether the repair groups remember every event, as long as they live: what was buried and is
 * forgotten stays buried.
 */
static bool
remembers_all(const struct sim_world *world)
{
    return world->plan.recent_max >= SIM_WRITES_MAX && world->relay_kill_count == 0;
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

/** What was deleted stays so, also when the tombstone is gone. */
static void
check_deleted(struct sim_world *world, const struct sim_write *write, struct sim_scope scope)
{
    const struct sim_version *deleted =
        sim_history_find(&world->history, write->key, write->version);

    if (!write->is_acked || !deleted || !sim_version_is_tombstone(deleted) ||
        world->history.key_refused[write->key]) {
        return; /* a node that refuses a value drops a tombstone, too */
    }
    for (unsigned i = scope.first * world->plan.zone_count; i < scope.end * world->plan.zone_count;
         i++) {
        unsigned region = i / world->plan.zone_count, zone = i % world->plan.zone_count;
        const struct sim_item *item =
            sim_node_item(sim_world_node(world, region, zone, write->key), write->key);

        if (item && !sim_item_is_tombstone(item) &&
            !is_content_since(world, item, write->key, write->version)) {
            sim_world_fail(world, SIM_FAILURE_REVIVED,
                           "of key-%u %" PRIx64 " lives in r%u z%u, deleted was %" PRIx64,
                           write->key, item->cas, region, zone, write->version);
        }
    }
}

/** Whether every node took every request at once, but for values that are too large. */
static bool
is_calm(const struct sim_world *world)
{
    const struct sim_plan *plan = &world->plan;

    return plan->request_lost_chance + plan->request_refused_chance + plan->freezes +
                   plan->absences ==
               0 &&
           world->kill_count == 0;
}

/** What was there before a value that was rejected is deleted everywhere. */
static void
check_rejected(struct sim_world *world, const struct sim_item *newest,
               const struct sim_write *write)
{
    if (write->is_rejected && newest && !sim_item_is_tombstone(newest) && is_calm(world) &&
        !is_content_since(world, newest, write->key, write->version)) {
        sim_world_fail(world, SIM_FAILURE_NEWEST,
                       "of key-%u %" PRIx64 " is left, though %" PRIx64 " was rejected", write->key,
                       newest->cas, write->version);
    }
}

void
sim_check_newest(struct sim_world *world, unsigned key, struct sim_scope scope)
{
    const struct sim_write *acked = newest_acked(world, key, scope);
    const struct sim_item *newest = sim_check_newest_copy(world, key, scope);
    const struct sim_version *version;
    bool clean;

    if (!acked || may_have_run_out(world, acked) || has_bad_since(world, key, acked->started_us) ||
        acked->started_us <= world->history.key_plain_us[key]) {
        return; /* what is written past evcache takes the place of what is there */
    }
    for (unsigned i = 0; i < world->history.write_count; i++) {
        const struct sim_write *write = &world->history.writes[i];

        if (write->key == key && is_in(scope, write->region) && is_clean(world, write, scope)) {
            check_rejected(world, newest, write);
            check_deleted(world, write, scope);
        }
    }
    version = sim_history_find(&world->history, key, acked->version);
    if (world->history.key_refused[key] && (!newest || sim_item_is_tombstone(newest) ||
                                            (version && sim_version_is_tombstone(version)))) {
        return; /* a node that refuses a value drops what it had */
    }
    if ((!newest || sim_item_is_tombstone(newest)) && sim_plan_has(&world->plan, SIM_THEME_LATE)) {
        return; /* tombstones are gone by now; what they stood for is looked at above */
    }
    clean = is_clean(world, acked, scope);
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
