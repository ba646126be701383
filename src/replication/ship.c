/* SPDX-License-Identifier: Apache-2.0 */
/* See ship.h and ship_state.h. Items are found in a table, by key and by number (the opaque on the
 * wire). */
#include "replication/ship.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/prefetch.h"
#include "replication/ship_state.h"

enum {
    SHIP_WINDOW = 8192, /* items being read or sent at once */
};

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
    evc_progress_init(&ship->progress, now->mono_us);
    evc_list_init(&ship->ready);
    evc_list_init(&ship->active);
    evc_retry_init(&ship->retry, options->retry_min_ms, options->retry_max_ms);
    evc_pool_init(&ship->pool, sizeof(struct evc_ship_item), options->items_max);
    if (evc_key_table_init(&ship->table, options->items_max) != EVC_OK ||
        evc_trail_init(&ship->trail, options->trail_max) != EVC_OK) {
        evc_ship_destroy(ship);
        return EVC_E_NOMEM;
    }
    *ret = ship;
    return EVC_OK;
}

static void
give_back_list(struct evc_ship *ship, struct evc_list *list)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(list))) {
        evc_pool_give_back(&ship->pool, evc_ship_item_of_link(link));
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
        evc_pool_give_back(&ship->pool, evc_ship_item_of_link(&wait->link));
    }
    evc_pool_finish(&ship->pool);
    evc_key_table_finish(&ship->table);
    evc_trail_finish(&ship->trail);
    free(ship);
}

/* --- items --- */

static struct evc_ship_item *
item_of_entry(struct evc_key_entry *entry)
{
    return entry ? EVC_CONTAINER_OF(entry, struct evc_ship_item, key) : NULL;
}

static struct evc_ship_item *
item_add(struct evc_ship *ship, uint64_t hash, struct evc_slice key)
{
    struct evc_ship_item *item = evc_pool_borrow(&ship->pool);

    assert(item);
    memset(item, 0, offsetof(struct evc_ship_item, key));
    item->ship = ship;
    evc_key_table_add(&ship->table, &item->key, hash, key);
    evc_list_init(&item->wait.link);
    return item;
}

static void
item_remove(struct evc_ship_item *item)
{
    struct evc_ship *ship = item->ship;

    evc_key_table_remove(&ship->table, &item->key);
    evc_list_remove(&item->wait.link);
    evc_pool_give_back(&ship->pool, item);
}

static bool
state_is_active(enum evc_ship_state state)
{
    return state != EVC_SHIP_READY && state != EVC_SHIP_LATER;
}

void
evc_ship_set_state(struct evc_ship_item *item, enum evc_ship_state state)
{
    struct evc_ship *ship = item->ship;

    ship->active_count -= state_is_active(item->state);
    ship->active_count += state_is_active(state);
    ship->later_count -= item->state == EVC_SHIP_LATER;
    ship->later_count += state == EVC_SHIP_LATER;
    item->state = state;
}

void
evc_ship_make_active(struct evc_ship_item *item, enum evc_ship_state state)
{
    assert(state_is_active(state));
    evc_ship_set_state(item, state);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->ship->active, &item->wait.link);
}

void
evc_ship_make_ready(struct evc_ship_item *item)
{
    evc_ship_set_state(item, EVC_SHIP_READY);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->ship->ready, &item->wait.link);
}

/* --- outcomes --- */

static struct evc_trail_event
trail_of(const struct evc_ship_event *event, uint64_t hash)
{
    return (struct evc_trail_event){
        .key_hash = hash,
        .version = event->version,
        .first_seq = evc_batch_first_seq(event->batch),
        .slot = event->batch->slot,
        .op = event->op,
        .flags = event->flags,
    };
}

void
evc_ship_tell_trouble(struct evc_ship_item *item, bool has_ended, enum evc_outcome outcome)
{
    const struct evc_ship_options *options = &item->ship->options;
    struct evc_trail_event event;

    if (options->on_trouble) {
        event = trail_of(&item->current, item->key.hash);
        event.attempts = item->wait.attempts;
        event.outcome = (uint8_t)outcome;
        options->on_trouble(options->ctx, evc_ship_item_key(item), &event, has_ended);
    }
}

/** hash: of its key; attempts: that failed. */
static void
end_event(struct evc_ship *ship, uint64_t hash, struct evc_ship_event *event, uint8_t attempts,
          enum evc_outcome outcome)
{
    struct evc_batch *batch = event->batch;
    struct evc_trail_event ended = trail_of(event, hash);

    ended.ended_us = ship->now->unix_us;
    ended.attempts = attempts;
    ended.outcome = (uint8_t)outcome;
    evc_trail_add(&ship->trail, &ended);
    event->batch = NULL;
    evc_batch_outcome(batch, outcome);
}

/**
 * Whether what was sent speaks for the events that arrived since it was read. It speaks for itself
 * and for older ones of the same writer; an older one of another writer may have buried it in the
 * zones after it was read, and an echo says that the destination needs it once more.
 */
static bool
next_is_spoken_for(const struct evc_ship_item *item)
{
    evc_version next = item->next.version;

    return !item->next_must_go &&
           (next == item->sent_version ||
            (next < item->sent_version &&
             evc_version_writer(next) == evc_version_writer(item->sent_version)));
}

void
evc_ship_pass_on(struct evc_ship_item *item)
{
    if (item->next.batch && next_is_spoken_for(item)) {
        end_event(item->ship, item->key.hash, &item->next, 0, EVC_OUTCOME_COALESCED);
    }
    if (item->sent_version != 0) {
        item->stale_us = 0; /* the destination has it */
    }
    if (!item->next.batch) {
        evc_ship_set_state(item, EVC_SHIP_READY);
        item_remove(item);
        return;
    }
    item->current = item->next;
    item->next.batch = NULL;
    item->wait.attempts = 0;
    item->first_us = 0;
    evc_ship_make_ready(item);
}

void
evc_ship_end_current(struct evc_ship_item *item, enum evc_outcome outcome)
{
    if (outcome == EVC_OUTCOME_ABANDONED || outcome == EVC_OUTCOME_LATE) {
        evc_ship_tell_trouble(item, true, outcome);
    }
    end_event(item->ship, item->key.hash, &item->current, item->wait.attempts, outcome);
    evc_ship_pass_on(item);
}

static void
record_lag(const struct evc_ship_item *item)
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

/* --- the way through --- */

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
        struct evc_ship_item *item = evc_ship_item_of_link(ship->ready.next);
        const struct evc_ship_item *after = evc_ship_item_of_link(item->wait.link.next);

        evc_prefetch(after, 1);
        evc_prefetch(&after->key, 1);
        evc_ship_start(item);
    }
    ship->is_pumping = false;
}

bool
evc_ship_has_room(const struct evc_ship *ship, unsigned count)
{
    return ship->pool.in_use + count <= ship->options.items_max;
}

/**
 * Where nothing is read, nobody would notice that an older write, of another writer, has buried a
 * newer one here: when one is coalesced with the other, or may have overtaken it.
 */
static void
ask_unread(struct evc_ship_item *item, evc_version version, bool may_be_buried)
{
    if (item->is_delete_only && may_be_buried) {
        evc_ship_ask_for_repair(item, version, 0);
    }
}

/** Of two events of one key the newer stays; the other is spoken for. */
static void
coalesce(struct evc_ship_item *item, struct evc_ship_event *kept, struct evc_ship_event *arrived)
{
    ask_unread(item, arrived->version > kept->version ? arrived->version : kept->version,
               evc_version_writer(kept->version) != evc_version_writer(arrived->version));
    if (arrived->version > kept->version) {
        struct evc_ship_event older = *kept;

        *kept = *arrived;
        end_event(item->ship, item->key.hash, &older, 0, EVC_OUTCOME_COALESCED);
    } else {
        end_event(item->ship, item->key.hash, arrived, 0, EVC_OUTCOME_COALESCED);
    }
}

static void
take_event(struct evc_ship *ship, struct evc_ship_event *arrived, struct evc_slice key,
           bool is_echo, enum evc_policy policy)
{
    uint64_t hash = evc_hash_key(key);
    struct evc_ship_item *item = item_of_entry(evc_key_table_find(&ship->table, hash, key));

    if (!item) {
        item = item_add(ship, hash, key);
        item->is_delete_only = policy == EVC_POLICY_INVALIDATE;
        item->current = *arrived;
        item->state = EVC_SHIP_READY;
        evc_list_push_back(&ship->ready, &item->wait.link);
    } else if (!state_is_active(item->state)) {
        if (arrived->version > item->current.version) {
            item->first_us = 0; /* no attempt at this one has failed */
        }
        coalesce(item, &item->current, arrived);
    } else if (item->next.batch) {
        item->next_must_go |= is_echo || evc_version_writer(item->next.version) !=
                                             evc_version_writer(arrived->version);
        coalesce(item, &item->next, arrived);
    } else {
        item->next = *arrived;
        item->next_must_go = is_echo;
    }
    ask_unread(item, arrived->version, (arrived->flags & EVC_EVENT_CARRIED) != 0);
    evc_ship_note_stale(item, arrived);
}

void
evc_ship_expect(const struct evc_ship *ship, uint64_t key_hash)
{
    evc_hash_index_prefetch(&ship->table.index, key_hash);
}

/** No destination would take it. Repair gives what it speaks of another version, and announces it.
 */
static void
refuse_too_far_ahead(struct evc_ship *ship, struct evc_ship_event *arrived, struct evc_slice key)
{
    uint64_t hash = evc_hash_key(key);
    struct evc_trail_event event = trail_of(arrived, hash);

    event.outcome = EVC_OUTCOME_ABANDONED;
    if (ship->options.on_trouble) {
        ship->options.on_trouble(ship->options.ctx, key, &event, true);
    }
    end_event(ship, hash, arrived, 0, EVC_OUTCOME_ABANDONED);
}

void
evc_ship_offer(struct evc_ship *ship, struct evc_batch *batch, const struct evc_event *event)
{
    struct evc_ship_event arrived = {
        .batch = batch,
        .version = event->version,
        .written_us = event->written_us,
        .expiry_s = event->expiry_s,
        .op = (uint8_t)event->op,
        .flags = event->flags,
    };
    enum evc_policy policy = EVC_POLICY_COPY;

    if (ship->options.config) {
        policy = evc_config_policy_of(ship->options.config, event->key.ptr, event->key.len);
    }
    if ((event->flags & EVC_EVENT_REPAIR) || policy == EVC_POLICY_NONE ||
        (policy == EVC_POLICY_INVALIDATE &&
         evc_version_region(event->version) == ship->options.destination) ||
        ((event->flags & EVC_EVENT_CARRIED) && event->only != ship->options.destination)) {
        end_event(ship, evc_hash_key(event->key), &arrived, 0, EVC_OUTCOME_FILTERED);
        return;
    }
    if (evc_version_trusted(event->version, ship->now->unix_us / 1000, ship->options.drift_ms) ==
        0) {
        refuse_too_far_ahead(ship, &arrived, event->key);
        return;
    }
    if (ship->options.prefixes) {
        evc_prefix_top_event(ship->options.prefixes, event->key, ship->now->mono_us);
    }
    take_event(ship, &arrived, event->key, (event->flags & EVC_EVENT_RESHIP) != 0, policy);
    pump(ship);
}

static enum evc_outcome
outcome_of(const struct evc_ship_item *item, enum evc_apply_result result)
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
    case EVC_APPLY_REJECTED:
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
    struct evc_ship_item *item = item_of_entry(evc_key_table_at(&ship->table, opaque));

    if (!item || item->state != EVC_SHIP_SENT) {
        return;
    }
    /* The receiver announces what is newer itself (echo), but has no value for us to read. */
    ask_unread(item, newest,
               result == EVC_APPLY_BEHIND && evc_version_region(newest) == ship->options.region);
    if (result == EVC_APPLY_FAILED) {
        evc_ship_retry_later(item);
    } else {
        evc_progress_note(&ship->progress, ship->now->mono_us);
        if (result == EVC_APPLY_APPLIED) {
            record_lag(item);
        }
        evc_ship_end_current(item, outcome_of(item, result));
    }
    pump(ship);
}

void
evc_ship_on_link_lost(struct evc_ship *ship)
{
    struct evc_list *link = ship->active.next;

    ship->is_blocked = true;
    while (link != &ship->active) {
        struct evc_ship_item *item = evc_ship_item_of_link(link);

        link = link->next;
        if (item->state == EVC_SHIP_SENT) {
            evc_ship_make_ready(item);
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
        evc_ship_make_ready(evc_ship_item_of_link(&wait->link));
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
    ret->later = ship->later_count;
}

void
evc_ship_explain(const struct evc_ship *ship, struct evc_slice key, struct evc_ship_account *ret)
{
    static const char *const states[EVC_SHIP_STATE_MAX] = {
        [EVC_SHIP_READY] = "waiting",
        [EVC_SHIP_LATER] = "retrying",
        [EVC_SHIP_READING_LOCAL] = "reading",
        [EVC_SHIP_LOOKING] = "reading",
        [EVC_SHIP_READING_BEST] = "reading",
        [EVC_SHIP_BURYING] = "burying",
        [EVC_SHIP_SENT] = "sent",
    };
    uint64_t hash = evc_hash_key(key);
    const struct evc_ship_item *item = item_of_entry(evc_key_table_find(&ship->table, hash, key));

    *ret = (struct evc_ship_account){.remembered = ship->trail.remembered};
    ret->event_count = evc_trail_find(&ship->trail, hash, ret->events);
    if (item) {
        ret->is_under_way = true;
        ret->state = states[item->state];
        ret->current = trail_of(&item->current, hash);
        ret->current.attempts = item->wait.attempts;
        ret->failing_us = evc_ship_failing_us(item);
    }
}
