/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See repair.h. An item is a key under repair. It is on exactly one list: `settling` (in the order
 * they become due), `retry` (a zone did not answer), or `active` (operations on their way;
 * `pending` counts them, and one hold while they are being submitted).
 */
#include "replication/repair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pool.h"
#include "meta/expiry.h"
#include "replication/key_table.h"
#include "replication/recent.h"
#include "replication/retry.h"
#include "replication/rule.h"

enum {
    REPAIR_ACTIVE_MAX = 4096, /* keys read or written at once */
    REPAIR_ROUNDS_MAX = 8,    /* lost races before a key waits for calm */
    REPAIR_SETTLE_TIMES =
        8, /* a key written without pause is looked at after so many settle times */
};

enum repair_state {
    REPAIR_SETTLING,
    REPAIR_RETRYING,
    REPAIR_READING,
    REPAIR_FETCHING, /* the value to copy, from the zone that has the newest */
    REPAIR_WRITING,
};

struct repair_zone {
    struct evc_node_op op;
    enum evc_node_result result;
    struct evc_node_reply reply; /* of the read; its views are not used */
};

/** What the zones are brought to. */
struct repair_goal {
    evc_version version;
    uint64_t source_cas; /* of the item in source_zone whose value is copied */
    uint8_t source_zone;
    bool is_tombstone;
    bool is_restamped;
    int64_t ttl_s; /* an exptime */
    uint32_t client_flags;
};

/** What events have said of a key. */
struct repair_wish {
    evc_version known; /* the newest version known to have been written */
    uint32_t known_expiry_s;
    bool has_unknown; /* a write nobody acknowledged: what is found must be announced */
    bool want_reship;
};

struct repair_item {
    struct evc_repair *repair; /* first: the pool's link while the object is free */
    struct evc_retry_link wait;
    enum repair_state state;
    struct evc_batch *batch;      /* waits for this repair */
    struct evc_batch *next_batch; /* waits for the one after it: came while zones were read */
    struct repair_wish wish;      /* what was known when the zones were read */
    struct repair_wish asked;     /* since then: counts when they are read again */
    bool has_changed;
    bool has_restamped;
    bool zone_failed; /* a zone did not answer in this attempt */
    bool look_again;  /* a zone did not answer in this repair: look a second time */
    bool has_raced;
    uint8_t rounds;
    unsigned pending;
    uint64_t first_us; /* when the repair was asked for */
    struct repair_goal goal;
    struct evc_key_entry key;
    struct repair_zone zone[];
};

struct evc_repair {
    struct evc_node_port *port;
    struct evc_version_clock *clock;
    const struct evc_moment *now;
    struct evc_event_sink *sink;
    struct evc_repair_options options;
    struct evc_repair_stats stats;
    struct evc_recent *recent;
    struct evc_key_table table;
    struct evc_pool pool;
    struct evc_list settling;
    struct evc_list active;
    struct evc_retry retry;
    uint32_t active_count;
};

static void read_zones(struct repair_item *item);

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
    evc_list_init(&repair->settling);
    evc_list_init(&repair->active);
    evc_retry_init(&repair->retry, options->retry_min_ms, options->retry_max_ms);
    evc_pool_init(&repair->pool,
                  sizeof(struct repair_item) + port->zone_count * sizeof(struct repair_zone),
                  options->items_max);
    repair->recent = evc_recent_create(options->recent_max, options->window_us);
    if (!repair->recent || evc_key_table_init(&repair->table, options->items_max) != EVC_OK) {
        evc_repair_destroy(repair);
        return EVC_E_NOMEM;
    }
    *ret = repair;
    return EVC_OK;
}

static struct repair_item *
item_of_link(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct repair_item, wait.link);
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
rule_is_on(const struct repair_item *item, enum evc_rule rule)
{
    return EVC_RULE_IS_ON(item->repair->options, rule);
}

static bool
state_is_active(enum repair_state state)
{
    return state != REPAIR_SETTLING && state != REPAIR_RETRYING;
}

/** The only place where an item changes state. */
static void
set_state(struct repair_item *item, enum repair_state state)
{
    item->repair->active_count -= state_is_active(item->state);
    item->repair->active_count += state_is_active(state);
    item->state = state;
}

static void
settle_until(struct repair_item *item, uint64_t due_us)
{
    item->wait.due_us = due_us;
    set_state(item, REPAIR_SETTLING);
    evc_list_remove(&item->wait.link);
    evc_list_push_back(&item->repair->settling, &item->wait.link);
}

static uint64_t
settle_latest_us(const struct repair_item *item)
{
    return item->first_us + (uint64_t)item->repair->options.settle_us * REPAIR_SETTLE_TIMES;
}

/** Waits until writes in flight have settled; asked for again and again, not for ever. */
static void
settle(struct repair_item *item)
{
    const struct evc_repair *repair = item->repair;
    uint64_t due_us = repair->now->mono_us + repair->options.settle_us;
    uint64_t latest_us = settle_latest_us(item);

    settle_until(item, due_us < latest_us ? due_us : latest_us);
}

static struct repair_item *
item_add(struct evc_repair *repair, uint64_t hash, struct evc_slice key)
{
    struct repair_item *item = evc_pool_borrow(&repair->pool);

    assert(item);
    memset(item, 0, offsetof(struct repair_item, key));
    item->repair = repair;
    item->first_us = repair->now->mono_us;
    item->state = REPAIR_SETTLING;
    evc_list_init(&item->wait.link);
    evc_key_table_add(&repair->table, &item->key, hash, key);
    return item;
}

static void
item_remove(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;

    set_state(item, REPAIR_SETTLING);
    evc_key_table_remove(&repair->table, &item->key);
    evc_list_remove(&item->wait.link);
    evc_pool_give_back(&repair->pool, item);
}

/* --- the end of a repair --- */

static void
announce(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;
    const struct repair_goal *goal = &item->goal;
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
end_item(struct repair_item *item, enum evc_outcome outcome)
{
    struct evc_batch *batch = item->batch;

    item->batch = item->next_batch;
    item->next_batch = NULL;
    item->has_changed = false;
    item->has_restamped = false;
    item->look_again = false;
    item->rounds = 0;
    item->wait.attempts = 0;
    if (item->batch) {
        item->first_us = item->repair->now->mono_us;
        settle(item);
    } else {
        item_remove(item);
    }
    evc_batch_outcome(batch, outcome);
}

/** All zones have the goal. */
static void
conclude(struct repair_item *item)
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
        (item->has_restamped || item->wish.has_unknown ||
         ((item->has_changed || item->wish.want_reship) && rule_is_on(item, EVC_RULE_RESHIP)))) {
        announce(item);
    }
    item->wish.has_unknown = false;
    item->wish.want_reship = false;
    end_item(item, EVC_OUTCOME_APPLIED);
}

static void
retry_later(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;

    if (repair->now->mono_us - item->first_us > repair->options.abandon_after_us) {
        repair->stats.abandoned_total++;
        end_item(item, EVC_OUTCOME_ABANDONED);
        return;
    }
    repair->stats.retries_total++;
    item->look_again |= item->zone_failed;
    item->rounds = 0;
    set_state(item, REPAIR_RETRYING);
    evc_retry_wait(&repair->retry, &item->wait, repair->now->mono_us);
}

/* --- writing --- */

static struct repair_item *
item_of_zone_op(struct evc_node_op *op)
{
    struct repair_zone *zone = EVC_CONTAINER_OF(op, struct repair_zone, op);

    return EVC_CONTAINER_OF(zone - op->zone, struct repair_item, zone);
}

static void
on_all_written(struct repair_item *item)
{
    if (item->has_raced) {
        item->has_raced = false;
        if (++item->rounds > REPAIR_ROUNDS_MAX) {
            retry_later(item);
        } else {
            read_zones(item);
        }
    } else if (item->zone_failed) {
        retry_later(item);
    } else {
        conclude(item);
    }
}

static void
give_up_write_hold(struct repair_item *item)
{
    assert(item->pending > 0);
    if (--item->pending == 0) {
        on_all_written(item);
    }
}

static void
on_zone_written(struct evc_node_op *op)
{
    struct repair_item *item = item_of_zone_op(op);

    if (op->result == EVC_NODE_STORED) {
        item->has_changed = true;
        item->has_restamped |= item->goal.is_restamped;
    } else if (evc_node_result_is_answer(op->result)) {
        item->has_raced = true;
    } else {
        item->zone_failed = true;
    }
    give_up_write_hold(item);
}

static bool
zone_has_goal(const struct repair_item *item, const struct repair_zone *zone)
{
    return zone->result == EVC_NODE_HIT && zone->reply.cas == item->goal.version;
}

static void
write_zones(struct repair_item *item, struct evc_slice value)
{
    struct evc_repair *repair = item->repair;

    set_state(item, REPAIR_WRITING);
    item->zone_failed = false;
    item->pending = 1;
    for (unsigned i = 0; i < repair->port->zone_count; i++) {
        struct repair_zone *zone = &item->zone[i];

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

static void
on_fetched(struct evc_node_op *op)
{
    struct repair_item *item = item_of_zone_op(op);

    if (op->result == EVC_NODE_HIT && op->reply.cas == item->goal.source_cas) {
        write_zones(item, op->reply.value);
    } else {
        item->pending = 0;
        item->has_raced = evc_node_result_is_answer(op->result);
        item->zone_failed = !item->has_raced;
        on_all_written(item);
    }
}

static void
fetch_value(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;
    struct evc_node_op *op = &item->zone[item->goal.source_zone].op;

    set_state(item, REPAIR_FETCHING);
    *op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = item->goal.source_zone,
        .want = EVC_WANT_VALUE | EVC_WANT_CAS | EVC_WANT_NO_BUMP,
        .key = evc_key_entry_key(&item->key),
        .deadline_us = repair->now->mono_us + repair->options.zone_timeout_us,
        .on_done = on_fetched,
    };
    evc_node_port_submit(repair->port, op);
}

/* --- deciding --- */

static const struct repair_zone *
newest_zone(const struct repair_item *item)
{
    const struct repair_zone *newest = NULL;

    for (unsigned i = 0; i < item->repair->port->zone_count; i++) {
        const struct repair_zone *zone = &item->zone[i];

        if (zone->result == EVC_NODE_HIT && (!newest || zone->reply.cas > newest->reply.cas)) {
            newest = zone;
        }
    }
    return newest;
}

static void
aim_at_tombstone(struct repair_item *item, evc_version version)
{
    item->goal = (struct repair_goal){
        .version = version,
        .is_tombstone = true,
        .ttl_s = item->repair->options.tombstone_ttl_s,
        .client_flags = EVC_TOMBSTONE_FLAGS,
    };
}

static void
aim_at_zone(struct repair_item *item, const struct repair_zone *zone)
{
    aim_at_tombstone(item, zone->reply.cas);
    if (!zone->reply.is_tombstone) {
        item->goal.is_tombstone = false;
        item->goal.ttl_s = evc_expiry_from_remaining(zone->reply.ttl_s, item->repair->now->unix_us);
        item->goal.client_flags = zone->reply.client_flags;
    }
    item->goal.source_cas = zone->reply.cas;
    item->goal.source_zone = zone->op.zone;
}

/**
 * The survivor of a burial gets a version just above what was buried: it must win over that and
 * over nothing else, as another region may have written the key since. Not minted by the clock, so
 * that a few ticks taken from the time keep two restamps above one version apart.
 */
static void
restamp(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;
    evc_version mask = (UINT64_C(1) << EVC_VERSION_WRITER_BITS) - 1;
    evc_version version = (item->wish.known & ~mask) | repair->clock->writer;

    item->goal.version = version > item->wish.known ? version : version + mask + 1;
    item->goal.is_restamped = true;
    item->wish.known = item->goal.version;
    item->wish.known_expiry_s = 0;
    evc_recent_learn(repair->recent, evc_key_entry_key(&item->key), item->goal.version);
    repair->stats.restamped_total++;
}

/** What the zones are to hold. false: nothing is to be done. */
static bool
choose_goal(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;
    const struct repair_zone *newest = newest_zone(item);
    bool known_expired = item->wish.known_expiry_s != 0 &&
                         item->wish.known_expiry_s <= repair->now->unix_us / 1000000;

    item->goal = (struct repair_goal){0};
    if (!newest) {
        if (item->wish.known == 0 || !rule_is_on(item, EVC_RULE_GONE)) {
            return false;
        }
        repair->stats.gone_total++;
        aim_at_tombstone(item, item->wish.known);
        return true;
    }
    if (evc_version_from_cas(newest->reply.cas) < item->wish.known && known_expired) {
        aim_at_tombstone(
            item, item->wish.known); /* the newest has run out; an older one must not outlive it */
        return true;
    }
    aim_at_zone(item, newest);
    if (evc_version_from_cas(newest->reply.cas) < item->wish.known &&
        rule_is_on(item, EVC_RULE_RESTAMP)) {
        restamp(item);
    }
    return true;
}

static bool
all_zones_have_goal(const struct repair_item *item)
{
    for (unsigned i = 0; i < item->repair->port->zone_count; i++) {
        if (!zone_has_goal(item, &item->zone[i])) {
            return false;
        }
    }
    return true;
}

static void
on_all_read(struct repair_item *item)
{
    const struct evc_repair *repair = item->repair;

    for (unsigned i = 0; i < repair->port->zone_count; i++) {
        if (item->zone[i].result != EVC_NODE_HIT && item->zone[i].result != EVC_NODE_MISS) {
            item->zone_failed = true;
            retry_later(item);
            return;
        }
    }
    if (!choose_goal(item) || all_zones_have_goal(item)) {
        conclude(item);
    } else if (item->goal.is_tombstone) {
        write_zones(item, EVC_SLICE(""));
    } else {
        fetch_value(item);
    }
}

/* --- reading --- */

static void
note_known(struct repair_wish *wish, evc_version version, uint32_t expiry_s)
{
    if (version > wish->known || (version == wish->known && wish->known_expiry_s == 0)) {
        wish->known = version;
        wish->known_expiry_s = expiry_s; /* not everybody who asks for repair knows it */
    }
}

/**
 * What is known before the zones are read can be missed in them. What is heard of later, while they
 * are read, cannot: it may have landed behind the read, and restamping over it would lose it.
 */
static void
take_wish(struct repair_item *item)
{
    uint32_t expiry_s;
    evc_version newest =
        evc_recent_newest(item->repair->recent, evc_key_entry_key(&item->key), &expiry_s);

    note_known(&item->wish, newest, expiry_s);
    note_known(&item->wish, item->asked.known, item->asked.known_expiry_s);
    item->wish.has_unknown |= item->asked.has_unknown;
    item->wish.want_reship |= item->asked.want_reship;
    item->asked = (struct repair_wish){0};
}

static void
give_up_read_hold(struct repair_item *item)
{
    assert(item->pending > 0);
    if (--item->pending == 0) {
        on_all_read(item);
    }
}

static void
on_zone_read(struct evc_node_op *op)
{
    struct repair_item *item = item_of_zone_op(op);
    struct repair_zone *zone = &item->zone[op->zone];

    zone->result = op->result;
    zone->reply = op->reply;
    give_up_read_hold(item);
}

static void
read_zones(struct repair_item *item)
{
    struct evc_repair *repair = item->repair;

    take_wish(item);
    set_state(item, REPAIR_READING);
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

/* --- asking --- */

bool
evc_repair_has_room(const struct evc_repair *repair, unsigned count)
{
    return repair->pool.in_use + count <= repair->options.items_max;
}

static void
join(struct repair_item *item, struct evc_batch *batch)
{
    if (!item->batch) {
        item->batch = batch;
        settle(item);
    } else if (item->state == REPAIR_SETTLING) {
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

static void
ask(struct evc_repair *repair, struct evc_batch *batch, const struct evc_event *event)
{
    uint64_t hash = evc_hash_key(event->key);
    struct evc_key_entry *entry = evc_key_table_find(&repair->table, hash, event->key);
    struct repair_item *item = entry ? EVC_CONTAINER_OF(entry, struct repair_item, key)
                                     : item_add(repair, hash, event->key);

    repair->stats.asked_total++;
    if (event->flags & EVC_EVENT_UNKNOWN) {
        item->asked.has_unknown = true;
    } else {
        note_known(&item->asked, event->version, event->expiry_s);
    }
    item->asked.want_reship |= (event->flags & EVC_EVENT_RESHIP) != 0;
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

void
evc_repair_offer(struct evc_repair *repair, struct evc_batch *batch, const struct evc_event *event,
                 unsigned partition, uint64_t fed_us)
{
    struct evc_recent_place place = {
        .partition = partition,
        .position = batch->position,
        .fed_us = fed_us,
        .seen_us = repair->now->mono_us,
    };

    if (!evc_version_is_sane(event->version, repair->now->unix_us / 1000,
                             repair->clock->drift_ms)) {
        repair->stats.abandoned_total++; /* one bad clock must not win for ever */
        evc_batch_outcome(batch, EVC_OUTCOME_ABANDONED);
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
        struct repair_item *item = item_of_link(repair->settling.next);

        if (item->wait.due_us > now_us) {
            break;
        }
        read_zones(item);
    }
    while (repair->active_count < REPAIR_ACTIVE_MAX &&
           (wait = evc_retry_pop_due(&repair->retry, now_us))) {
        read_zones(item_of_link(&wait->link));
    }
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
}
