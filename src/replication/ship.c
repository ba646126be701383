/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See ship.h. Items are found in a table, by key and by number (the opaque on the wire). An item is
 * on exactly one list: `ready` (may start when the window and the link allow), `retry` (backing
 * off), or `active` (reading, writing a tombstone, or sent).
 */
#include "replication/ship.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pool.h"
#include "meta/expiry.h"
#include "replication/key_table.h"
#include "replication/retry.h"
#include "replication/rule.h"

enum {
    SHIP_WINDOW = 8192,  /* items being read or sent at once */
    SHIP_ROUNDS_MAX = 4, /* readings of one attempt that may be overtaken before it backs off */
};

enum ship_state {
    SHIP_READY,
    SHIP_LATER,
    SHIP_READING_LOCAL, /* the value, from the local zone */
    SHIP_LOOKING,       /* versions, from the other zones */
    SHIP_READING_BEST,  /* the value, from the zone that had the newest */
    SHIP_BURYING,       /* gone: a tombstone for each zone */
    SHIP_SENT,
    SHIP_STATE_MAX,
};

/** An event that waits for its outcome. */
struct ship_event {
    struct evc_batch *batch; /* NULL: none */
    evc_version version;
    uint64_t written_us;
    uint32_t expiry_s;
};

struct ship_item {
    struct evc_ship *ship;      /* first: the pool's link while the object is free */
    struct evc_retry_link wait; /* its link is on the list the item is on */
    enum ship_state state;
    bool is_delete_only; /* sent as a delete without reading: invalidation, or expired */
    bool zone_failed;    /* a zone did not answer in this attempt */
    uint8_t zone;        /* the zone asked now */
    uint8_t best_zone;
    uint8_t rounds;
    bool has_best;
    evc_version best_version;
    evc_version sent_version;
    enum evc_outcome outcome; /* instead of what the receiver says; EVC_OUTCOME_MAX: as it says */
    uint64_t first_us;        /* when an attempt at the current event first failed */
    struct ship_event current;
    struct ship_event next; /* the newest that arrived since the current one was read */
    bool next_must_go;      /* nothing sent before speaks for it */
    struct evc_node_op op;
    struct evc_key_entry key; /* last: the rest is cleared for a new item */
};

struct evc_ship {
    struct evc_node_port *port;
    const struct evc_moment *now;
    struct evc_event_sink *sink;
    struct evc_ship_link *link;
    struct evc_ship_options options;
    struct evc_ship_stats stats;
    bool is_blocked; /* the link refused; evc_ship_on_link_ready lifts it */
    bool is_pumping;
    uint32_t active_count;
    struct evc_list ready;
    struct evc_retry retry;
    struct evc_list active;
    struct evc_pool pool;
    struct evc_key_table table;
};

static void pump(struct evc_ship *ship);
static void look_next(struct ship_item *item);
static void bury_next(struct ship_item *item);

/* --- life --- */

int
evc_ship_create(struct evc_node_port *port, const struct evc_moment *now,
                struct evc_event_sink *sink, struct evc_ship_link *link,
                const struct evc_ship_options *options, struct evc_ship **ret)
{
    struct evc_ship *ship = calloc(1, sizeof(*ship));

    assert(options->items_max > 0);
    if (!ship) {
        return EVC_E_NOMEM;
    }
    ship->port = port;
    ship->now = now;
    ship->sink = sink;
    ship->link = link;
    ship->options = *options;
    evc_list_init(&ship->ready);
    evc_list_init(&ship->active);
    evc_retry_init(&ship->retry, options->retry_min_ms, options->retry_max_ms);
    evc_pool_init(&ship->pool, sizeof(struct ship_item), options->items_max);
    if (evc_key_table_init(&ship->table, options->items_max) != EVC_OK) {
        evc_ship_destroy(ship);
        return EVC_E_NOMEM;
    }
    *ret = ship;
    return EVC_OK;
}

static struct ship_item *
item_of_link(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct ship_item, wait.link);
}

static void
give_back_list(struct evc_ship *ship, struct evc_list *list)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(list))) {
        evc_pool_give_back(&ship->pool, item_of_link(link));
    }
}

void
evc_ship_destroy(struct evc_ship *ship)
{
    struct evc_retry_link *wait;

    if (!ship) {
        return;
    }
    give_back_list(ship, &ship->ready);
    give_back_list(ship, &ship->active);
    while ((wait = evc_retry_pop_any(&ship->retry))) {
        evc_pool_give_back(&ship->pool, item_of_link(&wait->link));
    }
    evc_pool_finish(&ship->pool);
    evc_key_table_finish(&ship->table);
    free(ship);
}

/* --- items --- */

static struct evc_slice
item_key(const struct ship_item *item)
{
    return evc_key_entry_key(&item->key);
}

static struct ship_item *
item_of_entry(struct evc_key_entry *entry)
{
    return entry ? EVC_CONTAINER_OF(entry, struct ship_item, key) : NULL;
}

static struct ship_item *
item_add(struct evc_ship *ship, uint64_t hash, struct evc_slice key)
{
    struct ship_item *item = evc_pool_borrow(&ship->pool);

    assert(item);
    memset(item, 0, offsetof(struct ship_item, key));
    item->ship = ship;
    evc_key_table_add(&ship->table, &item->key, hash, key);
    evc_list_init(&item->wait.link);
    return item;
}

static void
item_remove(struct ship_item *item)
{
    struct evc_ship *ship = item->ship;

    evc_key_table_remove(&ship->table, &item->key);
    evc_list_remove(&item->wait.link);
    evc_pool_give_back(&ship->pool, item);
}

static bool
state_is_active(enum ship_state state)
{
    return state != SHIP_READY && state != SHIP_LATER;
}

/** The only place where an item changes state. */
static void
set_state(struct ship_item *item, enum ship_state state)
{
    struct evc_ship *ship = item->ship;

    ship->active_count -= state_is_active(item->state);
    ship->active_count += state_is_active(state);
    item->state = state;
}

static void
make_active(struct ship_item *item, enum ship_state state)
{
    assert(state_is_active(state));
    set_state(item, state);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->ship->active, &item->wait.link);
}

static void
make_ready(struct ship_item *item)
{
    set_state(item, SHIP_READY);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->ship->ready, &item->wait.link);
}

/* --- outcomes --- */

static void
end_event(struct ship_event *event, enum evc_outcome outcome)
{
    struct evc_batch *batch = event->batch;

    event->batch = NULL;
    evc_batch_outcome(batch, outcome);
}

/**
 * Whether what was sent speaks for the events that arrived since it was read. It speaks for itself
 * and for older ones of the same writer; an older one of another writer may have buried it in the
 * zones after it was read, and an echo says that the destination needs it once more.
 */
static bool
next_is_spoken_for(const struct ship_item *item)
{
    evc_version next = item->next.version;

    return !item->next_must_go &&
           (next == item->sent_version ||
            (next < item->sent_version &&
             evc_version_writer(next) == evc_version_writer(item->sent_version)));
}

/** The current event has ended: the next of the key takes its place, or the item goes. */
static void
end_current(struct ship_item *item, enum evc_outcome outcome)
{
    end_event(&item->current, outcome);
    if (item->next.batch && next_is_spoken_for(item)) {
        end_event(&item->next, EVC_OUTCOME_COALESCED);
    }
    if (!item->next.batch) {
        set_state(item, SHIP_READY);
        item_remove(item);
        return;
    }
    item->current = item->next;
    item->next.batch = NULL;
    item->wait.attempts = 0;
    make_ready(item);
}

static void
record_lag(const struct ship_item *item)
{
    uint64_t now_us = item->ship->now->unix_us;
    /* An echo or a reship is written later than the value it announces; the version knows when that
     * was, to the millisecond. */
    uint64_t version_us = evc_version_unix_ms(item->current.version) * 1000 + 999;
    uint64_t from_us =
        item->current.written_us < version_us ? item->current.written_us : version_us;

    evc_histogram_record(evc_books_lag(item->current.batch->books),
                         now_us > from_us ? now_us - from_us : 0);
}

/** Tries again after a while, or gives up when that has gone on for too long. */
static void
retry_later(struct ship_item *item)
{
    struct evc_ship *ship = item->ship;

    if (item->wait.attempts == 0) {
        item->first_us = ship->now->mono_us; /* waiting for the link or the window is no failure */
    }
    if (ship->now->mono_us - item->first_us > ship->options.abandon_after_us) {
        item->sent_version = 0;
        end_current(item, EVC_OUTCOME_ABANDONED);
        return;
    }
    ship->stats.retries_total++;
    set_state(item, SHIP_LATER);
    evc_retry_wait(&ship->retry, &item->wait, ship->now->mono_us);
}

/* --- sending --- */

static void
send_replica(struct ship_item *item, const struct evc_replica *replica)
{
    struct evc_ship *ship = item->ship;

    if (!ship->link->send(ship->link, replica, item->key.number)) {
        ship->is_blocked = true;
        make_ready(item);
        return;
    }
    ship->stats.sends_total++;
    ship->stats.bytes_total += replica->value.len;
    item->sent_version = replica->version;
    make_active(item, SHIP_SENT);
}

static void
send_tombstone(struct ship_item *item, evc_version version)
{
    send_replica(item, &(struct evc_replica){
                           .key = item_key(item),
                           .value = EVC_SLICE(""),
                           .client_flags = EVC_TOMBSTONE_FLAGS,
                           .ttl_s = item->ship->options.tombstone_ttl_s,
                           .version = version,
                       });
}

static void
ask_for_repair(struct ship_item *item, evc_version version, uint8_t flags)
{
    struct evc_event event = {
        .op = EVC_EVENT_SET,
        .flags = EVC_EVENT_REPAIR | flags,
        .key = item_key(item),
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
send_found(struct ship_item *item, const struct evc_node_reply *found)
{
    struct evc_ship *ship = item->ship;
    evc_version version = evc_version_from_cas(found->cas);
    evc_version wanted = item->current.version;

    if (version < wanted && EVC_RULE_IS_ON(ship->options, EVC_RULE_OLDER_READ)) {
        ask_for_repair(item, wanted, EVC_EVENT_RESHIP);
    }
    if (version > wanted && evc_version_writer(version) != evc_version_writer(wanted) &&
        EVC_RULE_IS_ON(ship->options, EVC_RULE_NEWER_READ)) {
        ask_for_repair(item, version, 0);
    }
    if (version == 0) {
        /* A plain client wrote over it on the node: nothing to send until repair has given it a
         * version. */
        item->sent_version = 0;
        end_current(item, EVC_OUTCOME_COALESCED);
        return;
    }
    send_replica(item, &(struct evc_replica){
                           .key = item_key(item),
                           .value = found->value,
                           .client_flags = found->client_flags,
                           .ttl_s = evc_expiry_from_remaining(found->ttl_s, ship->now->unix_us),
                           .version = version,
                       });
}

/* --- reading --- */

static void
submit_get(struct ship_item *item, unsigned zone, uint16_t want,
           void (*on_done)(struct evc_node_op *op))
{
    struct evc_ship *ship = item->ship;

    item->zone = (uint8_t)zone;
    item->op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)zone,
        .want = want | EVC_WANT_CAS | EVC_WANT_NO_BUMP,
        .key = item_key(item),
        .deadline_us = ship->now->mono_us + ship->options.read_timeout_us,
        .on_done = on_done,
    };
    ship->stats.reads_total++;
    evc_node_port_submit(ship->port, &item->op);
}

static const uint16_t want_whole = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_TTL;

static struct ship_item *
item_of(struct evc_node_op *op)
{
    return EVC_CONTAINER_OF(op, struct ship_item, op);
}

static void
on_local_read(struct evc_node_op *op)
{
    struct ship_item *item = item_of(op);
    evc_version version = evc_version_from_cas(op->reply.cas);

    if (op->result == EVC_NODE_HIT &&
        (version >= item->current.version || evc_node_port_readable(item->ship->port) == 1)) {
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
    make_active(item, SHIP_LOOKING);
    look_next(item);
}

static void
read_local(struct ship_item *item)
{
    item->zone_failed = false;
    item->has_best = false;
    item->best_version = 0;
    make_active(item, SHIP_READING_LOCAL);
    submit_get(item, item->ship->port->local_zone, want_whole, on_local_read);
}

/** The value turned out to be elsewhere than a moment ago: once more from the start, not for ever.
 */
static void
read_again(struct ship_item *item)
{
    if (++item->rounds > SHIP_ROUNDS_MAX) {
        retry_later(item);
    } else {
        read_local(item);
    }
}

static void
on_best_read(struct evc_node_op *op)
{
    struct ship_item *item = item_of(op);

    if (op->result == EVC_NODE_HIT) {
        send_found(item, &op->reply);
    } else {
        read_again(item);
    }
}

static void
on_looked(struct evc_node_op *op)
{
    struct ship_item *item = item_of(op);
    evc_version version = evc_version_from_cas(op->reply.cas);

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
conclude_look(struct ship_item *item)
{
    if (item->has_best) {
        make_active(item, SHIP_READING_BEST);
        submit_get(item, item->best_zone, want_whole, on_best_read);
    } else if (item->zone_failed) {
        retry_later(item); /* it may be where nobody answers */
    } else {
        item->ship->stats.gone_total++;
        item->outcome = EVC_OUTCOME_GONE;
        make_active(item, SHIP_BURYING);
        item->zone = UINT8_MAX;
        bury_next(item);
    }
}

static void
look_next(struct ship_item *item)
{
    const struct evc_node_port *port = item->ship->port;
    unsigned next = (item->zone + 1U) % evc_node_port_readable(port);

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
    struct ship_item *item = item_of(op);

    if (op->result == EVC_NODE_NOT_STORED) {
        item->outcome = EVC_OUTCOME_MAX;
        read_again(item); /* something is there after all */
    } else if (op->result == EVC_NODE_STORED) {
        bury_next(item);
    } else {
        item->outcome = EVC_OUTCOME_MAX;
        retry_later(item);
    }
}

static void
bury_next(struct ship_item *item)
{
    struct evc_ship *ship = item->ship;
    unsigned next = item->zone == UINT8_MAX ? 0 : item->zone + 1U;

    if (next == evc_node_port_readable(ship->port) ||
        !EVC_RULE_IS_ON(ship->options, EVC_RULE_GONE)) {
        send_tombstone(item, item->current.version);
        return;
    }
    item->zone = (uint8_t)next;
    item->op = (struct evc_node_op){
        .verb = EVC_NODE_ADD,
        .zone = (uint8_t)next,
        .key = item_key(item),
        .value = EVC_SLICE(""),
        .client_flags = EVC_TOMBSTONE_FLAGS,
        .ttl_s = ship->options.tombstone_ttl_s,
        .version = item->current.version,
        .deadline_us = ship->now->mono_us + ship->options.read_timeout_us,
        .on_done = on_buried,
    };
    evc_node_port_submit(ship->port, &item->op);
}

/* --- the way through --- */

static bool
is_expired(const struct ship_item *item)
{
    return item->current.expiry_s != 0 &&
           item->current.expiry_s <= item->ship->now->unix_us / 1000000;
}

static void
start(struct ship_item *item)
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

/** Starts what the window and the link allow. Not nested: what ends at once is picked up by the
 * loop. */
static void
pump(struct evc_ship *ship)
{
    if (ship->is_pumping) {
        return;
    }
    ship->is_pumping = true;
    while (!ship->is_blocked && ship->active_count < SHIP_WINDOW &&
           !evc_list_is_empty(&ship->ready)) {
        start(item_of_link(ship->ready.next));
    }
    ship->is_pumping = false;
}

bool
evc_ship_has_room(const struct evc_ship *ship, unsigned count)
{
    return ship->pool.in_use + count <= ship->options.items_max;
}

/** Of two events of one key the newer stays; the other is spoken for. */
static void
coalesce(struct ship_event *kept, struct ship_event *arrived)
{
    if (arrived->version > kept->version) {
        struct ship_event older = *kept;

        *kept = *arrived;
        end_event(&older, EVC_OUTCOME_COALESCED);
    } else {
        end_event(arrived, EVC_OUTCOME_COALESCED);
    }
}

static void
take_event(struct evc_ship *ship, struct ship_event *arrived, struct evc_slice key, bool is_echo,
           enum evc_policy policy)
{
    uint64_t hash = evc_hash_key(key);
    struct ship_item *item = item_of_entry(evc_key_table_find(&ship->table, hash, key));

    if (!item) {
        item = item_add(ship, hash, key);
        item->is_delete_only = policy == EVC_POLICY_INVALIDATE;
        item->current = *arrived;
        item->state = SHIP_READY;
        evc_list_push_back(&ship->ready, &item->wait.link);
    } else if (!state_is_active(item->state)) {
        coalesce(&item->current, arrived);
    } else if (item->next.batch) {
        item->next_must_go |= is_echo || evc_version_writer(item->next.version) !=
                                             evc_version_writer(arrived->version);
        coalesce(&item->next, arrived);
    } else {
        item->next = *arrived;
        item->next_must_go = is_echo;
    }
}

void
evc_ship_offer(struct evc_ship *ship, struct evc_batch *batch, const struct evc_event *event)
{
    struct ship_event arrived = {
        .batch = batch,
        .version = event->version,
        .written_us = event->written_us,
        .expiry_s = event->expiry_s,
    };
    enum evc_policy policy = EVC_POLICY_COPY;

    if (ship->options.config) {
        policy = evc_config_policy_of(ship->options.config, event->key.ptr, event->key.len);
    }
    if ((event->flags & EVC_EVENT_REPAIR) || policy == EVC_POLICY_NONE) {
        end_event(&arrived, EVC_OUTCOME_FILTERED);
        return;
    }
    take_event(ship, &arrived, event->key, (event->flags & EVC_EVENT_RESHIP) != 0, policy);
    pump(ship);
}

static enum evc_outcome
outcome_of(const struct ship_item *item, enum evc_apply_result result)
{
    if (item->outcome != EVC_OUTCOME_MAX) {
        return item->outcome;
    }
    switch (result) {
    case EVC_APPLY_APPLIED:
        return EVC_OUTCOME_APPLIED;
    case EVC_APPLY_IDENTICAL:
        return EVC_OUTCOME_IDENTICAL;
    case EVC_APPLY_BEHIND:
        return EVC_OUTCOME_BEHIND;
    case EVC_APPLY_LATE:
        return EVC_OUTCOME_LATE;
    case EVC_APPLY_DRIFT:
    case EVC_APPLY_FAILED:
    case EVC_APPLY_RESULT_MAX:
        break;
    }
    return EVC_OUTCOME_ABANDONED;
}

void
evc_ship_on_reply(struct evc_ship *ship, uint32_t opaque, enum evc_apply_result result,
                  evc_version newest)
{
    struct ship_item *item = item_of_entry(evc_key_table_at(&ship->table, opaque));

    (void)newest; /* the receiver announces it itself (echo) */
    if (!item || item->state != SHIP_SENT) {
        return;
    }
    if (result == EVC_APPLY_FAILED) {
        retry_later(item);
    } else {
        if (result == EVC_APPLY_APPLIED) {
            record_lag(item);
        }
        end_current(item, outcome_of(item, result));
    }
    pump(ship);
}

void
evc_ship_on_link_lost(struct evc_ship *ship)
{
    struct evc_list *link = ship->active.next;

    ship->is_blocked = true;
    while (link != &ship->active) {
        struct ship_item *item = item_of_link(link);

        link = link->next;
        if (item->state == SHIP_SENT) {
            make_ready(item);
        }
    }
}

void
evc_ship_on_link_ready(struct evc_ship *ship)
{
    ship->is_blocked = false;
    pump(ship);
}

void
evc_ship_tick(struct evc_ship *ship)
{
    struct evc_retry_link *wait;

    while ((wait = evc_retry_pop_due(&ship->retry, ship->now->mono_us))) {
        make_ready(item_of_link(&wait->link));
    }
    pump(ship);
}

bool
evc_ship_is_idle(const struct evc_ship *ship)
{
    return ship->pool.in_use == 0;
}

void
evc_ship_stats(const struct evc_ship *ship, struct evc_ship_stats *ret)
{
    *ret = ship->stats;
    ret->items = ship->pool.in_use;
    ret->active = ship->active_count;
}
