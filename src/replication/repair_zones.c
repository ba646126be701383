/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See repair_state.h: one attempt. All zones are read; the newest of what they have, or what is
 * known to have been written, is what they are to have; it is written where it is not, each time on
 * the condition that the zone still has what was read.
 */
#include <assert.h>

#include "meta/expiry.h"
#include "replication/repair_state.h"

enum {
    REPAIR_ROUNDS_MAX = 8, /* lost races before a key waits for calm */
};

/* --- writing --- */

static struct evc_repair_item *
item_of_zone_op(struct evc_node_op *op)
{
    struct evc_repair_zone *zone = EVC_CONTAINER_OF(op, struct evc_repair_zone, op);

    return EVC_CONTAINER_OF(zone - op->zone, struct evc_repair_item, zone);
}

static void
on_all_written(struct evc_repair_item *item)
{
    if (item->has_raced) {
        item->has_raced = false;
        if (++item->rounds > REPAIR_ROUNDS_MAX) {
            evc_repair_retry_later(item);
        } else {
            evc_repair_read_zones(item);
        }
    } else if (item->zone_failed) {
        evc_repair_retry_later(item);
    } else {
        evc_repair_conclude(item);
    }
}

static void
give_up_write_hold(struct evc_repair_item *item)
{
    assert(item->pending > 0);
    if (--item->pending == 0) {
        on_all_written(item);
    }
}

static void
on_zone_written(struct evc_node_op *op)
{
    struct evc_repair_item *item = item_of_zone_op(op);

    if (op->result == EVC_NODE_STORED || op->result == EVC_NODE_UNKNOWN) {
        item->has_changed = true; /* or may have: the next look finds it there and not who did it */
        item->has_restamped |= item->goal.is_restamped;
    }
    if (evc_node_result_is_answer(op->result)) {
        item->has_raced |= op->result != EVC_NODE_STORED;
    } else if (op->result == EVC_NODE_ERROR && !item->goal.is_tombstone) {
        item->repair->stats.rejected_total++; /* and would be the next time */
    } else {
        item->zone_failed = true;
    }
    give_up_write_hold(item);
}

static bool
zone_has_goal(const struct evc_repair_item *item, const struct evc_repair_zone *zone)
{
    return zone->result == EVC_NODE_HIT && zone->reply.cas == item->goal.version;
}

static void
write_zones(struct evc_repair_item *item, struct evc_slice value)
{
    struct evc_repair *repair = item->repair;

    evc_repair_set_state(item, EVC_REPAIR_WRITING);
    item->zone_failed = false;
    item->pending = 1;
    for (unsigned i = 0; i < repair->port->zone_count; i++) {
        struct evc_repair_zone *zone = &item->zone[i];

        if (zone_has_goal(item, zone)) {
            continue;
        }
        zone->op = (struct evc_node_op){
            .verb = zone->result == EVC_NODE_HIT ? EVC_NODE_CAS : EVC_NODE_ADD,
            .zone = (uint8_t)i,
            .key = evc_key_entry_key(&item->key),
            .value = value,
            .client_flags = item->goal.client_flags,
            .ttl_s = item->goal.ttl_s,
            .version = item->goal.version,
            .seen = zone->reply.cas,
            .deadline_us = repair->now->mono_us + repair->options.zone_timeout_us,
            .on_done = on_zone_written,
        };
        item->pending++;
        evc_node_port_submit(repair->port, &zone->op);
    }
    give_up_write_hold(item);
}

/** What belongs to the value as it was read last. */
static void
aim_at_value(struct evc_repair_item *item, const struct evc_node_reply *reply)
{
    item->goal.is_tombstone = false;
    item->goal.ttl_s = evc_expiry_from_remaining(reply->ttl_s, item->repair->now->unix_us);
    item->goal.client_flags = reply->client_flags;
}

static void
on_fetched(struct evc_node_op *op)
{
    struct evc_repair_item *item = item_of_zone_op(op);

    /* A value that ran out meanwhile may have become a tombstone of its own version. */
    if (op->result == EVC_NODE_HIT && op->reply.cas == item->goal.source_cas &&
        !op->reply.is_tombstone) {
        aim_at_value(item, &op->reply);
        write_zones(item, op->reply.value);
    } else {
        item->pending = 0;
        item->has_raced = evc_node_result_is_answer(op->result);
        item->zone_failed = !item->has_raced;
        on_all_written(item);
    }
}

static void
fetch_value(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    struct evc_node_op *op = &item->zone[item->goal.source_zone].op;

    evc_repair_set_state(item, EVC_REPAIR_FETCHING);
    *op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = item->goal.source_zone,
        .want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_TTL | EVC_WANT_CAS |
                EVC_WANT_NO_BUMP,
        .key = evc_key_entry_key(&item->key),
        .deadline_us = repair->now->mono_us + repair->options.zone_timeout_us,
        .on_done = on_fetched,
    };
    evc_node_port_submit(repair->port, op);
}

/* --- deciding --- */

/** What an item of a node counts for. */
static evc_version
trusted(const struct evc_repair *repair, uint64_t cas)
{
    return evc_version_trusted(cas, repair->now->unix_us / 1000, repair->clock->drift_ms);
}

/** Whether one zone's item is newer than another's. Of two that count for nothing one is taken, the
 * same each time. */
static bool
is_newer(const struct evc_repair *repair, const struct evc_repair_zone *zone,
         const struct evc_repair_zone *than)
{
    evc_version a = trusted(repair, zone->reply.cas);
    evc_version b = trusted(repair, than->reply.cas);

    return a != b ? a > b : zone->reply.cas > than->reply.cas;
}

static const struct evc_repair_zone *
newest_zone(const struct evc_repair_item *item)
{
    const struct evc_repair_zone *newest = NULL;

    for (unsigned i = 0; i < item->repair->port->zone_count; i++) {
        const struct evc_repair_zone *zone = &item->zone[i];

        if (zone->result == EVC_NODE_HIT && (!newest || is_newer(item->repair, zone, newest))) {
            newest = zone;
        }
    }
    return newest;
}

static void
aim_at_tombstone(struct evc_repair_item *item, evc_version version)
{
    item->goal = (struct evc_repair_goal){
        .version = version,
        .is_tombstone = true,
        .ttl_s = item->repair->options.tombstone_ttl_s,
        .client_flags = EVC_TOMBSTONE_FLAGS,
    };
}

static void
aim_at_zone(struct evc_repair_item *item, const struct evc_repair_zone *zone)
{
    aim_at_tombstone(item, zone->reply.cas);
    if (!zone->reply.is_tombstone) {
        aim_at_value(item, &zone->reply);
    }
    item->goal.source_cas = zone->reply.cas;
    item->goal.source_zone = zone->op.zone;
}

/**
 * The survivor of a burial gets a version just above what was buried: it must win over that and
 * over nothing else, as another region may have written the key since. Not minted by the clock, so
 * that a few ticks taken from the time keep two restamps above one version apart. So does what a
 * plain client has left in every zone; where no version is known, the oldest there can be: nodes
 * number such items each for itself, so that equal numbers say nothing.
 */
static void
restamp(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    evc_version mask = (UINT64_C(1) << EVC_VERSION_WRITER_BITS) - 1;
    evc_version known =
        item->wish.known > EVC_VERSION_OURS_MIN ? item->wish.known : EVC_VERSION_OURS_MIN;
    evc_version version = (known & ~mask) | repair->clock->writer;

    item->goal.version = version > known ? version : version + mask + 1;
    item->goal.is_restamped = true;
    item->wish.known = item->goal.version;
    item->wish.known_expiry_s = 0;
    evc_recent_learn(repair->recent, evc_key_entry_key(&item->key), item->goal.version);
    repair->stats.restamped_total++;
}

/**
 * The survivor has the version of a clock far ahead, and nothing is known that it must win over: it
 * gets one that is a drift bound old. So it wins over what other regions have had for long and
 * loses to whatever was written lately, and nobody has to know when it was written itself.
 */
static void
date_back(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    uint64_t unix_ms = repair->now->unix_us / 1000;

    item->goal.version = evc_version_clock_mint(repair->clock, unix_ms - repair->clock->drift_ms);
    item->goal.is_restamped = true;
    evc_repair_note_known(&item->wish, item->goal.version, 0);
    repair->stats.restamped_total++;
}

/** What the zones are to hold. false: nothing is to be done. */
static bool
choose_goal(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    const struct evc_repair_zone *newest = newest_zone(item);
    evc_version version;
    bool known_expired = item->wish.known_expiry_s != 0 &&
                         item->wish.known_expiry_s <= repair->now->unix_us / 1000000;

    item->goal = (struct evc_repair_goal){0};
    if (!newest) {
        if (item->wish.known == 0 || !evc_repair_rule_is_on(item, EVC_RULE_GONE)) {
            return false;
        }
        repair->stats.gone_total++;
        aim_at_tombstone(item, item->wish.known);
        return true;
    }
    version = trusted(repair, newest->reply.cas);
    if (version < item->wish.known && known_expired) {
        aim_at_tombstone(
            item, item->wish.known); /* the newest has run out; an older one must not outlive it */
        return true;
    }
    aim_at_zone(item, newest);
    if ((version < item->wish.known || evc_version_from_cas(newest->reply.cas) == 0) &&
        evc_repair_rule_is_on(item, EVC_RULE_RESTAMP)) {
        restamp(item);
    } else if (version != evc_version_from_cas(newest->reply.cas)) {
        date_back(item);
    }
    return true;
}

static bool
all_zones_have_goal(const struct evc_repair_item *item)
{
    for (unsigned i = 0; i < item->repair->port->zone_count; i++) {
        if (!zone_has_goal(item, &item->zone[i])) {
            return false;
        }
    }
    return true;
}

static void
on_all_read(struct evc_repair_item *item)
{
    const struct evc_repair *repair = item->repair;

    for (unsigned i = 0; i < repair->port->zone_count; i++) {
        if (item->zone[i].result != EVC_NODE_HIT && item->zone[i].result != EVC_NODE_MISS) {
            item->zone_failed = true;
            evc_repair_retry_later(item);
            return;
        }
    }
    if (!choose_goal(item) || all_zones_have_goal(item)) {
        evc_repair_conclude(item);
    } else if (item->goal.is_tombstone) {
        write_zones(item, EVC_SLICE(""));
    } else {
        fetch_value(item);
    }
}

/* --- reading --- */

/**
 * What is known before the zones are read can be missed in them. What is heard of later, while they
 * are read, cannot: it may have landed behind the read, and restamping over it would lose it.
 */
static void
take_wish(struct evc_repair_item *item)
{
    uint32_t expiry_s;
    evc_version newest =
        evc_recent_newest(item->repair->recent, evc_key_entry_key(&item->key), &expiry_s);

    evc_repair_note_known(&item->wish, newest, expiry_s);
    evc_repair_note_known(&item->wish, item->asked.known, item->asked.known_expiry_s);
    item->wish.has_unknown |= item->asked.has_unknown;
    item->wish.want_reship |= item->asked.want_reship;
    item->asked = (struct evc_repair_wish){0};
}

static void
give_up_read_hold(struct evc_repair_item *item)
{
    assert(item->pending > 0);
    if (--item->pending == 0) {
        on_all_read(item);
    }
}

static void
on_zone_read(struct evc_node_op *op)
{
    struct evc_repair_item *item = item_of_zone_op(op);
    struct evc_repair_zone *zone = &item->zone[op->zone];

    zone->result = op->result;
    zone->reply = op->reply;
    give_up_read_hold(item);
}

void
evc_repair_read_zones(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;

    take_wish(item);
    evc_repair_set_state(item, EVC_REPAIR_READING);
    item->zone_failed = false;
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&repair->active, &item->wait.link);
    item->pending = repair->port->zone_count + 1;
    for (unsigned i = 0; i < repair->port->zone_count; i++) {
        item->zone[i].op = (struct evc_node_op){
            .verb = EVC_NODE_GET,
            .zone = (uint8_t)i,
            .want = EVC_WANT_CAS | EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_TTL | EVC_WANT_NO_BUMP,
            .key = evc_key_entry_key(&item->key),
            .deadline_us = repair->now->mono_us + repair->options.zone_timeout_us,
            .on_done = on_zone_read,
        };
        evc_node_port_submit(repair->port, &item->zone[i].op);
    }
    give_up_read_hold(item);
}
