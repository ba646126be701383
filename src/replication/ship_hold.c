/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cannot be settled now: for how long that has gone on, and whether it is tried again, carried
 * or given up. See ship.h and ship_state.h.
 */
#include "replication/ship_state.h"

static uint64_t
age_us(const struct evc_ship_item *item, uint64_t unix_us)
{
    uint64_t now_us = item->ship->now->unix_us;

    return now_us > unix_us ? now_us - unix_us : 0;
}

/** For how long attempts at the key fail, whatever event they were for. */
static uint64_t
stale_us(const struct evc_ship_item *item)
{
    return item->stale_us != 0 ? item->ship->now->mono_us - item->stale_us : 0;
}

void
evc_ship_note_stale(struct evc_ship_item *item, const struct evc_ship_event *arrived)
{
    if (arrived->flags & EVC_EVENT_CARRIED) {
        uint64_t now_us = item->ship->now->mono_us;
        uint64_t age = age_us(item, arrived->written_us);
        uint64_t since_us = now_us > age ? now_us - age : 1;

        if (item->stale_us == 0 || since_us < item->stale_us) {
            item->stale_us = since_us;
        }
    }
}

uint64_t
evc_ship_failing_us(const struct evc_ship_item *item)
{
    uint64_t key_us, event_us;

    if (!(item->current.flags & EVC_EVENT_CARRIED)) {
        return item->first_us != 0 ? item->ship->now->mono_us - item->first_us : 0;
    }
    key_us = age_us(item, item->current.written_us);
    event_us = age_us(item, evc_version_unix_ms(item->current.version) * 1000);
    return key_us < event_us ? key_us : event_us;
}

/**
 * Puts the event into the queue again and ends it here. It is in the journal, which survives this
 * process, before the position may pass it. False: the journal is full.
 */
static bool
carry(struct evc_ship_item *item)
{
    struct evc_ship *ship = item->ship;
    const struct evc_event again = {
        .op = (enum evc_event_op)item->current.op,
        .flags = item->current.flags | EVC_EVENT_CARRIED,
        .key = evc_ship_item_key(item),
        .version = item->current.version,
        .expiry_s = item->current.expiry_s,
        .written_us = ship->now->unix_us - stale_us(item),
        .only = ship->options.destination,
    };
    struct evc_batch *batch = item->current.batch;

    /* Where the partition is another's now, that one has the event already. */
    if (!evc_batch_is_abandoned(batch) && !evc_event_sink_append(ship->sink, &again)) {
        item->first_us = ship->now->mono_us; /* not before as much time has passed again */
        return false;
    }
    ship->stats.carried_total++;
    item->current.batch = NULL;
    item->sent_version = 0;
    evc_batch_outcome(batch, EVC_OUTCOME_COALESCED);
    evc_ship_pass_on(item);
    return true;
}

/** Whether what fails keeps too much from moving on. */
static bool
is_held_too_long(const struct evc_ship_item *item)
{
    const struct evc_batch *batch = item->current.batch;

    return item->ship->now->mono_us - item->first_us >=
               (uint64_t)item->ship->options.hold_ms * 1000 ||
           evc_batch_is_pinned(batch) || evc_batch_is_abandoned(batch);
}

/** So many wait that they would take the room of those that get on. */
static bool
is_crowded(const struct evc_ship *ship)
{
    return ship->later_count >= ship->options.items_max / 2 &&
           evc_progress_is_made(&ship->progress, ship->now->mono_us);
}

void
evc_ship_retry_later(struct evc_ship_item *item)
{
    struct evc_ship *ship = item->ship;
    bool makes_room = is_crowded(ship);

    if (item->first_us == 0) {
        item->first_us = ship->now->mono_us; /* waiting for the link or the window is no failure */
    }
    if (item->stale_us == 0) {
        item->stale_us = ship->now->mono_us;
    }
    if (makes_room || evc_ship_failing_us(item) > ship->options.abandon_after_us) {
        ship->stats.crowded_total += makes_room;
        item->sent_version = 0;
        evc_ship_end_current(item, EVC_OUTCOME_ABANDONED);
        return;
    }
    if (is_held_too_long(item) && carry(item)) {
        return;
    }
    ship->stats.retries_total++;
    evc_ship_tell_trouble(item, false, EVC_OUTCOME_MAX);
    evc_ship_set_state(item, EVC_SHIP_LATER);
    evc_retry_wait(&ship->retry, &item->wait, ship->now->mono_us);
}

static void
note_failing(struct evc_list *link)
{
    struct evc_ship_item *item = evc_ship_item_of_link(link);
    uint64_t longest_us = stale_us(item);

    if (longest_us > 0) {
        evc_batch_note_failing(item->current.batch, item->ship->now->unix_us - longest_us);
    }
}

void
evc_ship_note_failing(const struct evc_ship *ship)
{
    evc_list_visit(&ship->ready, note_failing);
    evc_list_visit(&ship->active, note_failing);
    evc_retry_visit(&ship->retry, note_failing);
}
