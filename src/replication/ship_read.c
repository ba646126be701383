/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See ship_state.h: one attempt. The local zone is read first; when it has nothing, or something
 * older than the event, the others are asked for their versions and the best is read; when nobody
 * has anything, a tombstone goes there first and then abroad. "The others" are all zones that are
 * written to: a zone that is being filled may be the first to have what the event speaks of, and a
 * tombstone of the event's own version must not come to stand beside it.
 */
#include <assert.h>

#include "meta/expiry.h"
#include "replication/rule.h"
#include "replication/ship_state.h"

enum {
    SHIP_ROUNDS_MAX = 4, /* readings of one attempt that may be overtaken before it backs off */
};

static void look_next(struct evc_ship_item *item);
static void bury_next(struct evc_ship_item *item);

/* --- sending --- */

static void
send_replica(struct evc_ship_item *item, const struct evc_replica *replica)
{
    struct evc_ship *ship = item->ship;

    if (!ship->link->send(ship->link, replica, item->key.number)) {
        ship->is_blocked = true;
        evc_ship_make_ready(item);
        return;
    }
    ship->stats.sends_total++;
    ship->stats.bytes_total += replica->value.len;
    if (ship->options.prefixes) {
        evc_prefix_top_send(ship->options.prefixes, replica->key, replica->value.len,
                            ship->now->mono_us);
    }
    item->sent_version = replica->version;
    evc_ship_make_active(item, EVC_SHIP_SENT);
}

/** What an item of a node counts for. */
static evc_version
trusted(const struct evc_ship *ship, uint64_t cas)
{
    return evc_version_trusted(cas, ship->now->unix_us / 1000, ship->options.drift_ms);
}

static void
send_tombstone(struct evc_ship_item *item, evc_version version)
{
    send_replica(item, &(struct evc_replica){
                           .key = evc_ship_item_key(item),
                           .value = EVC_SLICE(""),
                           .client_flags = EVC_TOMBSTONE_FLAGS,
                           .ttl_s = item->ship->options.tombstone_ttl_s,
                           .version = version,
                       });
}

void
evc_ship_ask_for_repair(struct evc_ship_item *item, evc_version version, uint8_t flags)
{
    struct evc_event event = {
        .op =
            version == item->current.version ? (enum evc_event_op)item->current.op : EVC_EVENT_SET,
        .flags = EVC_EVENT_REPAIR | flags,
        .key = evc_ship_item_key(item),
        .version = version,
        .expiry_s = version == item->current.version ? item->current.expiry_s : 0,
        .written_us = item->ship->now->unix_us,
    };

    item->ship->stats.repairs_total++;
    /* A full journal counts the event as lost; there is no better place to say so. */
    (void)evc_event_sink_append(item->ship->sink, &event);
}

/** What was read is sent; the rules look at how it compares with the event first. */
static void
send_found(struct evc_ship_item *item, const struct evc_node_reply *found)
{
    struct evc_ship *ship = item->ship;
    evc_version version = trusted(ship, found->cas);
    evc_version wanted = item->current.version;

    if (version < wanted && EVC_RULE_IS_ON(ship->options, EVC_RULE_OLDER_READ)) {
        evc_ship_ask_for_repair(item, wanted, EVC_EVENT_RESHIP);
    }
    if (version > wanted && evc_version_writer(version) != evc_version_writer(wanted) &&
        EVC_RULE_IS_ON(ship->options, EVC_RULE_NEWER_READ)) {
        evc_ship_ask_for_repair(item, version, 0);
    }
    if (version == 0) {
        /* A plain client wrote over it on the node, or a clock far ahead did: nothing to send until
         * repair has given it a version. */
        item->sent_version = 0;
        evc_ship_end_current(item, EVC_OUTCOME_COALESCED);
        return;
    }
    send_replica(item, &(struct evc_replica){
                           .key = evc_ship_item_key(item),
                           .value = found->value,
                           .client_flags = found->client_flags,
                           .ttl_s = evc_expiry_from_remaining(found->ttl_s, ship->now->unix_us),
                           .version = version,
                       });
}

/* --- reading --- */

static void
submit_get(struct evc_ship_item *item, unsigned zone, uint16_t want,
           void (*on_done)(struct evc_node_op *op))
{
    struct evc_ship *ship = item->ship;

    item->zone = (uint8_t)zone;
    item->op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)zone,
        .want = want | EVC_WANT_CAS | EVC_WANT_NO_BUMP,
        .key = evc_ship_item_key(item),
        .deadline_us = ship->now->mono_us + ship->options.read_timeout_us,
        .on_done = on_done,
    };
    ship->stats.reads_total++;
    evc_node_port_submit(ship->port, &item->op);
}

static const uint16_t want_whole = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_TTL;

static struct evc_ship_item *
item_of(struct evc_node_op *op)
{
    return EVC_CONTAINER_OF(op, struct evc_ship_item, op);
}

static void
on_local_read(struct evc_node_op *op)
{
    struct evc_ship_item *item = item_of(op);
    evc_version version = trusted(item->ship, op->reply.cas);

    if (op->result == EVC_NODE_HIT &&
        (version >= item->current.version || item->ship->port->zone_count == 1)) {
        send_found(item, &op->reply);
        return;
    }
    if (op->result == EVC_NODE_HIT) {
        item->has_best = true;
        item->best_zone = item->zone;
        item->best_version = version;
    } else if (op->result != EVC_NODE_MISS) {
        item->zone_failed = true;
    }
    evc_ship_make_active(item, EVC_SHIP_LOOKING);
    look_next(item);
}

static void
read_local(struct evc_ship_item *item)
{
    item->zone_failed = false;
    item->has_best = false;
    item->best_version = 0;
    evc_ship_make_active(item, EVC_SHIP_READING_LOCAL);
    submit_get(item, item->ship->port->local_zone, want_whole, on_local_read);
}

/** The value turned out to be elsewhere than a moment ago: once more from the start, not for ever.
 */
static void
read_again(struct evc_ship_item *item)
{
    if (++item->rounds > SHIP_ROUNDS_MAX) {
        evc_ship_retry_later(item);
    } else {
        read_local(item);
    }
}

static void
on_best_read(struct evc_node_op *op)
{
    struct evc_ship_item *item = item_of(op);

    if (op->result == EVC_NODE_HIT) {
        send_found(item, &op->reply);
    } else {
        read_again(item);
    }
}

static void
on_looked(struct evc_node_op *op)
{
    struct evc_ship_item *item = item_of(op);
    evc_version version = trusted(item->ship, op->reply.cas);

    if (op->result == EVC_NODE_HIT) {
        if (!item->has_best || version > item->best_version) {
            item->has_best = true;
            item->best_zone = item->zone;
            item->best_version = version;
        }
    } else if (op->result != EVC_NODE_MISS) {
        item->zone_failed = true;
    }
    look_next(item);
}

/** Every zone has been asked, or one has what the event speaks of. */
static void
conclude_look(struct evc_ship_item *item)
{
    if (item->has_best) {
        evc_ship_make_active(item, EVC_SHIP_READING_BEST);
        submit_get(item, item->best_zone, want_whole, on_best_read);
    } else if (item->zone_failed) {
        evc_ship_retry_later(item); /* it may be where nobody answers */
    } else {
        item->ship->stats.gone_total++;
        item->outcome = EVC_OUTCOME_GONE;
        evc_ship_make_active(item, EVC_SHIP_BURYING);
        item->zone = UINT8_MAX;
        bury_next(item);
    }
}

static void
look_next(struct evc_ship_item *item)
{
    const struct evc_node_port *port = item->ship->port;
    unsigned next = (item->zone + 1U) % port->zone_count;

    if (next == port->local_zone ||
        (item->has_best && item->best_version >= item->current.version)) {
        conclude_look(item);
        return;
    }
    item->ship->stats.reads_further_total++;
    submit_get(item, next, EVC_WANT_FLAGS | EVC_WANT_SIZE, on_looked);
}

/* --- gone from every zone: a tombstone there first, then elsewhere --- */

static void
on_buried(struct evc_node_op *op)
{
    struct evc_ship_item *item = item_of(op);

    if (op->result == EVC_NODE_NOT_STORED) {
        item->outcome = EVC_OUTCOME_MAX;
        read_again(item); /* something is there after all */
    } else if (op->result == EVC_NODE_STORED) {
        bury_next(item);
    } else {
        item->outcome = EVC_OUTCOME_MAX;
        evc_ship_retry_later(item);
    }
}

static void
bury_next(struct evc_ship_item *item)
{
    struct evc_ship *ship = item->ship;
    unsigned next = item->zone == UINT8_MAX ? 0 : item->zone + 1U;

    if (next == ship->port->zone_count || !EVC_RULE_IS_ON(ship->options, EVC_RULE_GONE)) {
        send_tombstone(item, item->current.version);
        return;
    }
    item->zone = (uint8_t)next;
    item->op = (struct evc_node_op){
        .verb = EVC_NODE_ADD,
        .zone = (uint8_t)next,
        .key = evc_ship_item_key(item),
        .value = EVC_SLICE(""),
        .client_flags = EVC_TOMBSTONE_FLAGS,
        .ttl_s = ship->options.tombstone_ttl_s,
        .version = item->current.version,
        .deadline_us = ship->now->mono_us + ship->options.read_timeout_us,
        .on_done = on_buried,
    };
    evc_node_port_submit(ship->port, &item->op);
}

/* --- an attempt begins --- */

static bool
is_expired(const struct evc_ship_item *item)
{
    return item->current.expiry_s != 0 &&
           item->current.expiry_s <= item->ship->now->unix_us / 1000000;
}

void
evc_ship_start(struct evc_ship_item *item)
{
    item->outcome = EVC_OUTCOME_MAX;
    item->rounds = 0;
    item->sent_version = 0;
    if (is_expired(item)) {
        /* Sent as a delete: an older value with a longer life must not survive it abroad. */
        item->outcome = EVC_OUTCOME_EXPIRED;
        send_tombstone(item, item->current.version);
    } else if (item->is_delete_only) {
        send_tombstone(item, item->current.version);
    } else {
        read_local(item);
    }
}
