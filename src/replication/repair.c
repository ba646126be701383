/* SPDX-License-Identifier: Apache-2.0 */
/* See repair.h and repair_state.h. */
#include "replication/repair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/expiry.h"
#include "replication/repair_state.h"
#include "topology/config.h"

enum {
    REPAIR_ACTIVE_MAX = 4096,   /* keys read or written at once */
    REPAIR_TTL_SLACK_MS = 2000, /* a node counts in whole seconds */
    REPAIR_SETTLE_TIMES = 8, /* settle times after which a key written without pause is looked at */
};

/* --- life --- */

int
evc_repair_create(struct evc_node_port *port, struct evc_version_clock *clock,
                  const struct evc_moment *now, struct evc_event_sink *sink,
                  const struct evc_repair_options *options, struct evc_repair **ret)
{
    struct evc_repair *repair = calloc(1, sizeof(*repair));

    if (!repair) {
        return EVC_E_NOMEM;
    }
    repair->port = port;
    repair->clock = clock;
    repair->now = now;
    repair->sink = sink;
    repair->options = *options;
    evc_progress_init(&repair->progress, now->mono_us);
    evc_list_init(&repair->settling);
    evc_list_init(&repair->active);
    evc_retry_init(&repair->retry, options->retry_min_ms, options->retry_max_ms);
    evc_pool_init(&repair->pool,
                  sizeof(struct evc_repair_item) +
                      port->zone_count * sizeof(struct evc_repair_zone),
                  options->items_max);
    repair->recent = evc_recent_create(options->recent_max, options->window_us);
    if (!repair->recent || evc_key_table_init(&repair->table, options->items_max) != EVC_OK) {
        evc_repair_destroy(repair);
        return EVC_E_NOMEM;
    }
    *ret = repair;
    return EVC_OK;
}

static struct evc_repair_item *
item_of_link(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct evc_repair_item, wait.link);
}

static void
give_back_list(struct evc_repair *repair, struct evc_list *list)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(list))) {
        evc_pool_give_back(&repair->pool, item_of_link(link));
    }
}

void
evc_repair_destroy(struct evc_repair *repair)
{
    struct evc_retry_link *wait;

    if (!repair) {
        return;
    }
    give_back_list(repair, &repair->settling);
    give_back_list(repair, &repair->active);
    while ((wait = evc_retry_pop_any(&repair->retry))) {
        evc_pool_give_back(&repair->pool, item_of_link(&wait->link));
    }
    evc_pool_finish(&repair->pool);
    evc_key_table_finish(&repair->table);
    evc_recent_destroy(repair->recent);
    free(repair);
}

/* --- items --- */

static bool
state_is_active(enum evc_repair_state state)
{
    return state != EVC_REPAIR_SETTLING && state != EVC_REPAIR_RETRYING;
}

void
evc_repair_set_state(struct evc_repair_item *item, enum evc_repair_state state)
{
    item->repair->active_count -= state_is_active(item->state);
    item->repair->active_count += state_is_active(state);
    item->repair->retrying_count -= item->state == EVC_REPAIR_RETRYING;
    item->repair->retrying_count += state == EVC_REPAIR_RETRYING;
    item->state = state;
}

static void
settle_until(struct evc_repair_item *item, uint64_t due_us)
{
    item->wait.due_us = due_us;
    evc_repair_set_state(item, EVC_REPAIR_SETTLING);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->repair->settling, &item->wait.link);
}

static uint64_t
settle_latest_us(const struct evc_repair_item *item)
{
    return item->first_us + (uint64_t)item->repair->options.settle_us * REPAIR_SETTLE_TIMES;
}

/** Waits until writes in flight have settled; asked for again and again, not for ever. */
static void
settle(struct evc_repair_item *item)
{
    const struct evc_repair *repair = item->repair;
    uint64_t due_us = repair->now->mono_us + repair->options.settle_us;
    uint64_t latest_us = settle_latest_us(item);

    settle_until(item, due_us < latest_us ? due_us : latest_us);
}

static struct evc_repair_item *
item_add(struct evc_repair *repair, uint64_t hash, struct evc_slice key)
{
    struct evc_repair_item *item = evc_pool_borrow(&repair->pool);

    assert(item);
    memset(item, 0, offsetof(struct evc_repair_item, key));
    item->repair = repair;
    item->first_us = repair->now->mono_us;
    item->state = EVC_REPAIR_SETTLING;
    evc_list_init(&item->wait.link);
    evc_key_table_add(&repair->table, &item->key, hash, key);
    return item;
}

static void
item_remove(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;

    evc_repair_set_state(item, EVC_REPAIR_SETTLING);
    evc_key_table_remove(&repair->table, &item->key);
    evc_list_remove(&item->wait.link);
    evc_pool_give_back(&repair->pool, item);
}

/* --- the end of a repair --- */

static void
announce(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    const struct evc_repair_goal *goal = &item->goal;
    struct evc_event event = {
        .op = goal->is_tombstone ? EVC_EVENT_DELETE : EVC_EVENT_SET,
        .key = evc_key_entry_key(&item->key),
        .version = goal->version,
        .expiry_s = goal->is_tombstone ? 0 : evc_expiry_unix_s(goal->ttl_s, repair->now->unix_us),
        .written_us = repair->now->unix_us,
    };

    repair->stats.reshipped_total++;
    /* A full journal counts the event as lost; there is no better place to say so. */
    (void)evc_event_sink_append(repair->sink, &event);
}

/** The batch has its outcome; a repair asked for meanwhile takes the item over. */
static void
end_item(struct evc_repair_item *item, enum evc_outcome outcome)
{
    struct evc_batch *batch = item->batch;

    item->batch = item->next_batch;
    item->next_batch = NULL;
    item->has_changed = false;
    item->has_restamped = false;
    item->look_again = false;
    item->rounds = 0;
    item->wait.attempts = 0;
    item->failed_us = item->failed_for_us = 0;
    if (item->batch) {
        item->first_us = item->held_us = item->repair->now->mono_us;
        settle(item);
    } else {
        item_remove(item);
    }
    evc_batch_outcome(batch, outcome);
}

/**
 * Whether all zones have what a relay made and nobody has told of: the relay was killed between the
 * restamp and its event.
 */
static bool
is_untold(const struct evc_repair_item *item)
{
    unsigned slot = evc_version_writer(item->goal.version) & (EVC_VERSION_SLOT_MAX - 1);

    return item->goal.version > item->wish.known && slot >= evc_config_relay_slot(0) &&
           slot < evc_config_client_slot(0);
}

void
evc_repair_conclude(struct evc_repair_item *item)
{
    struct evc_repair_stats *stats = &item->repair->stats;

    if (item->look_again) {
        /* What was on its way to the silent zone may have landed after what was read. */
        item->look_again = false;
        settle_until(item, item->repair->now->mono_us + item->repair->options.settle_us);
        return;
    }
    if (item->has_changed) {
        stats->changed_total++;
    } else {
        stats->clean_total++;
    }
    /* What a plain client wrote has no version that could be shipped or compared: announcing it
     * would ask for another repair, without end. */
    if (evc_version_from_cas(item->goal.version) != 0 &&
        (item->has_restamped || item->wish.has_unknown || is_untold(item) ||
         ((item->has_changed || item->wish.want_reship) &&
          evc_repair_rule_is_on(item, EVC_RULE_RESHIP)))) {
        announce(item);
    }
    item->wish.has_unknown = false;
    item->wish.want_reship = false;
    evc_progress_note(&item->repair->progress, item->repair->now->mono_us);
    end_item(item, EVC_OUTCOME_APPLIED);
}

static void
count_abandoned(struct evc_repair *repair, struct evc_slice key, evc_version version)
{
    repair->stats.abandoned_total++;
    if (repair->options.on_abandoned) {
        repair->options.on_abandoned(repair->options.ctx, key, version);
    }
}

/* --- what cannot be repaired now --- */

/** For how long attempts have failed, those before it was carried included. */
static uint64_t
failing_us(const struct evc_repair_item *item)
{
    uint64_t now_us = item->repair->now->mono_us;

    return item->failed_for_us + (item->failed_us != 0 ? now_us - item->failed_us : 0);
}

/**
 * Asks for the repair anew, through the queue, and ends it here. That is in the journal, which
 * survives this process, before the position may pass it. False: the journal is full.
 */
static bool
carry(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    const struct evc_repair_wish *wish = &item->wish;
    bool must_announce =
        item->has_changed || item->has_restamped || wish->want_reship || wish->has_unknown;
    const struct evc_event again = {
        .op = EVC_EVENT_SET,
        .flags = (uint8_t)(EVC_EVENT_REPAIR | EVC_EVENT_CARRIED |
                           (wish->known == 0 ? EVC_EVENT_UNKNOWN
                            : must_announce  ? EVC_EVENT_RESHIP
                                             : 0)),
        .key = evc_key_entry_key(&item->key),
        .version = wish->known,
        .expiry_s = wish->known_expiry_s,
        .written_us = repair->now->unix_us - failing_us(item),
        .only = (uint8_t)evc_version_region(repair->clock->writer),
    };

    /* Where the partition is another's now, that one has the event already. */
    if (!evc_batch_is_abandoned(item->batch) && !evc_event_sink_append(repair->sink, &again)) {
        item->held_us = repair->now->mono_us; /* not before as much time has passed again */
        return false;
    }
    repair->stats.carried_total++;
    end_item(item, EVC_OUTCOME_COALESCED);
    return true;
}

static bool
is_held_too_long(const struct evc_repair_item *item)
{
    return item->repair->now->mono_us - item->held_us >=
               (uint64_t)item->repair->options.hold_ms * 1000 ||
           evc_batch_is_pinned(item->batch) || evc_batch_is_abandoned(item->batch);
}

/**
 * So many wait that they would take the room of those that get on. Where none does for as long as
 * events are held, too: the queue is not to wait for a zone that is away.
 */
static bool
is_crowded(const struct evc_repair *repair)
{
    uint64_t now_us = repair->now->mono_us;

    return repair->retrying_count >= repair->options.items_max / 2 &&
           (evc_progress_is_made(&repair->progress, now_us) ||
            now_us - repair->progress.last_us >= (uint64_t)repair->options.hold_ms * 1000);
}

void
evc_repair_retry_later(struct evc_repair_item *item)
{
    struct evc_repair *repair = item->repair;
    bool makes_room = is_crowded(repair);

    if (item->failed_us == 0) {
        item->failed_us = repair->now->mono_us;
    }
    if (makes_room || failing_us(item) > repair->options.abandon_after_us) {
        repair->stats.crowded_total += makes_room;
        count_abandoned(repair, evc_key_entry_key(&item->key), item->wish.known);
        end_item(item, EVC_OUTCOME_ABANDONED);
        return;
    }
    if (is_held_too_long(item) && carry(item)) {
        return;
    }
    repair->stats.retries_total++;
    item->look_again |= item->zone_failed;
    item->rounds = 0;
    evc_repair_set_state(item, EVC_REPAIR_RETRYING);
    evc_retry_wait(&repair->retry, &item->wait, repair->now->mono_us);
}

/* --- asking --- */

bool
evc_repair_has_room(const struct evc_repair *repair, unsigned count)
{
    return repair->pool.in_use + count <= repair->options.items_max;
}

void
evc_repair_note_known(struct evc_repair_wish *wish, evc_version version, uint32_t expiry_s)
{
    if (version > wish->known || (version == wish->known && wish->known_expiry_s == 0)) {
        wish->known = version;
        wish->known_expiry_s = expiry_s; /* not everybody who asks for repair knows it */
    }
}

static void
join(struct evc_repair_item *item, struct evc_batch *batch)
{
    if (!item->batch) {
        item->batch = batch;
        item->held_us = item->repair->now->mono_us;
        settle(item);
    } else if (item->state == EVC_REPAIR_SETTLING) {
        evc_batch_outcome(batch, EVC_OUTCOME_COALESCED);
        if (item->wait.due_us < settle_latest_us(item)) { /* else it keeps its place in the list */
            settle(item);
        }
    } else if (!item->next_batch) {
        item->next_batch = batch;
    } else {
        evc_batch_outcome(batch, EVC_OUTCOME_COALESCED);
    }
}

/** A zone did not answer in a repair before this one, which goes on with its clock. */
static void
note_carried(struct evc_repair_item *item, const struct evc_event *event)
{
    const struct evc_moment *now = item->repair->now;
    uint64_t age_us = now->unix_us > event->written_us ? now->unix_us - event->written_us : 0;

    item->look_again = true;
    if (age_us > item->failed_for_us) {
        item->failed_for_us = age_us;
    }
}

static void
ask(struct evc_repair *repair, struct evc_batch *batch, const struct evc_event *event)
{
    uint64_t hash = evc_hash_key(event->key);
    struct evc_key_entry *entry = evc_key_table_find(&repair->table, hash, event->key);
    struct evc_repair_item *item = entry ? EVC_CONTAINER_OF(entry, struct evc_repair_item, key)
                                         : item_add(repair, hash, event->key);

    repair->stats.asked_total++;
    if (event->flags & EVC_EVENT_UNKNOWN) {
        item->asked.has_unknown = true;
    } else {
        evc_repair_note_known(&item->asked, event->version, event->expiry_s);
    }
    item->asked.want_reship |= (event->flags & EVC_EVENT_RESHIP) != 0;
    if (event->flags & EVC_EVENT_CARRIED) {
        note_carried(item, event);
    }
    join(item, batch);
}

/** Whether the signs an event shows ask for a repair, by the rules that are on. */
static bool
is_suspicious(struct evc_repair *repair, unsigned signs)
{
    struct evc_repair_stats *stats = &repair->stats;
    bool is_asked = false;

    if ((signs & EVC_RECENT_TWO_WRITERS) && EVC_RULE_IS_ON(repair->options, EVC_RULE_TWO_WRITERS)) {
        stats->two_writers_total++;
        is_asked = true;
    }
    if ((signs & EVC_RECENT_INVERSION) && EVC_RULE_IS_ON(repair->options, EVC_RULE_INVERSION)) {
        stats->inversions_total++;
        is_asked = true;
    }
    if ((signs & EVC_RECENT_BLIND) && EVC_RULE_IS_ON(repair->options, EVC_RULE_TWO_WRITERS)) {
        stats->blind_total++;
        is_asked = true;
    }
    return is_asked;
}

/**
 * A version too far ahead must not win for ever, so nothing is learned of it; but what was written
 * under it may have buried something, or be all there is, and gets a version that counts.
 */
static void
take_without_version(struct evc_repair *repair, struct evc_batch *batch,
                     const struct evc_event *event)
{
    struct evc_event unknown = *event;

    unknown.flags |= EVC_EVENT_UNKNOWN;
    repair->stats.too_far_ahead_total++;
    if (repair->options.on_too_far_ahead) {
        repair->options.on_too_far_ahead(repair->options.ctx, event->key, event->version);
    }
    ask(repair, batch, &unknown);
}

void
evc_repair_expect(const struct evc_repair *repair, uint64_t key_hash)
{
    evc_recent_expect(repair->recent, key_hash);
}

/**
 * A delete is known for as long as its tombstone surely lives (apply.c counts alike), like a value
 * that runs out: when that is gone, what was deleted must not be taken for a survivor.
 */
static uint32_t
tombstone_expiry_s(const struct evc_repair *repair, evc_version version)
{
    uint64_t ttl_ms = (uint64_t)repair->options.tombstone_ttl_s * 1000;
    uint64_t slack_ms = repair->clock->drift_ms + REPAIR_TTL_SLACK_MS;

    return (uint32_t)((evc_version_unix_ms(version) + (ttl_ms > slack_ms ? ttl_ms - slack_ms : 0)) /
                      1000);
}

void
evc_repair_offer(struct evc_repair *repair, struct evc_batch *batch,
                 const struct evc_event *offered, unsigned partition, uint64_t fed_us)
{
    struct evc_event known = *offered;
    const struct evc_event *event = &known;
    struct evc_recent_place place = {
        .partition = partition,
        .position = batch->position,
        .fed_us = fed_us,
        .seen_us = repair->now->mono_us,
    };

    if (known.op == EVC_EVENT_DELETE) {
        known.expiry_s = tombstone_expiry_s(repair, known.version);
    }
    if (!evc_version_is_sane(event->version, repair->now->unix_us / 1000,
                             repair->clock->drift_ms)) {
        take_without_version(repair, batch, event);
    } else if ((event->flags & EVC_EVENT_CARRIED) && !(event->flags & EVC_EVENT_REPAIR)) {
        /* For a destination. It was noted when it came first; now it would look like an inversion.
         */
        evc_batch_outcome(batch, EVC_OUTCOME_FILTERED);
    } else if ((event->flags & EVC_EVENT_REPAIR) ||
               is_suspicious(repair, evc_recent_note(repair->recent, event, &place))) {
        ask(repair, batch, event);
    } else {
        evc_batch_outcome(batch, EVC_OUTCOME_FILTERED);
    }
}

void
evc_repair_forget(struct evc_repair *repair, unsigned partition)
{
    evc_recent_forget(repair->recent, partition);
}

void
evc_repair_tick(struct evc_repair *repair)
{
    uint64_t now_us = repair->now->mono_us;
    struct evc_retry_link *wait;

    while (repair->active_count < REPAIR_ACTIVE_MAX && !evc_list_is_empty(&repair->settling)) {
        struct evc_repair_item *item = item_of_link(repair->settling.next);

        if (item->wait.due_us > now_us) {
            break;
        }
        evc_repair_read_zones(item);
    }
    while (repair->active_count < REPAIR_ACTIVE_MAX &&
           (wait = evc_retry_pop_due(&repair->retry, now_us))) {
        evc_repair_read_zones(item_of_link(&wait->link));
    }
}

static void
note_failing(struct evc_list *link)
{
    struct evc_repair_item *item = item_of_link(link);

    if (item->failed_us != 0 || item->failed_for_us != 0) {
        evc_batch_note_failing(item->batch, item->repair->now->unix_us - failing_us(item));
    }
}

void
evc_repair_note_failing(const struct evc_repair *repair)
{
    evc_list_visit(&repair->settling, note_failing);
    evc_list_visit(&repair->active, note_failing);
    evc_retry_visit(&repair->retry, note_failing);
}

bool
evc_repair_is_idle(const struct evc_repair *repair)
{
    return repair->pool.in_use == 0;
}

void
evc_repair_stats(const struct evc_repair *repair, struct evc_repair_stats *ret)
{
    *ret = repair->stats;
    ret->items = repair->pool.in_use;
    ret->retrying = repair->retrying_count;
}
