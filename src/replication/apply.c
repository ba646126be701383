/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See apply.h. One item lives from evc_apply_start until every zone is settled: `pending` counts
 * the zones that are not, and one hold while they are being started.
 */
#include "replication/apply.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "meta/expiry.h"
#include "replication/rule.h"

enum {
    /* A node counts whole seconds, so a tombstone lives up to one less than its time, and its
     * version may be as far ahead of when it was stored as the drift bound allows. */
    APPLY_TTL_SLACK_MS = 2000,
};

/** How much older a tombstone is than the rejected value it stands for: one tick. */
#define REJECTED_VERSION_STEP (UINT64_C(1) << EVC_VERSION_WRITER_BITS)

/** How a zone ended. */
enum zone_end {
    ZONE_APPLIED,
    ZONE_IDENTICAL,
    ZONE_NEWER,
    ZONE_LATE,
    ZONE_FAILED,
    ZONE_REJECTED,
    ZONE_END_MAX,
};

struct apply_zone {
    struct evc_node_op op;
    evc_version first_seen; /* what the zone held when first asked; 0: nothing that counts */
    bool has_seen;
    bool is_guess; /* written over first_seen without asking */
    bool has_rejected;
    unsigned races;
};

struct apply_item {
    struct evc_applier *applier; /* first: the pool's link while the object is free */
    evc_apply_fn done;
    void *ctx;
    uint64_t tag;
    uint64_t deadline_us;
    uint64_t key_hash;
    int64_t ttl_s;
    uint32_t client_flags;
    evc_version version;
    evc_version newer;      /* the newest found above it, or 0 */
    evc_version remembered; /* what the zones had when the key was written last, 0: not known */
    unsigned pending;
    unsigned ends[ZONE_END_MAX];
    bool is_tombstone;
    bool is_rejected; /* what is written is a tombstone in its place */
    bool has_raced;
    bool replaced_our_own; /* a version minted in this region was replaced */
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
    struct evc_buf value;
    struct apply_zone zone[];
};

static void ask_zone(struct apply_item *item, unsigned zone);
static void give_up_hold(struct apply_item *item);

void
evc_applier_init(struct evc_applier *applier, struct evc_node_port *port,
                 struct evc_version_clock *clock, const struct evc_moment *now,
                 struct evc_event_sink *sink, const struct evc_apply_options *options)
{
    assert(port->zone_count >= 1 && port->zone_count <= EVC_ZONE_MAX);

    *applier = (struct evc_applier){
        .port = port,
        .clock = clock,
        .now = now,
        .sink = sink,
        .options = *options,
    };
    evc_guess_init(&applier->guess, options->guess_keys);
    evc_pool_init(&applier->pool,
                  sizeof(struct apply_item) + port->zone_count * sizeof(struct apply_zone),
                  EVC_APPLY_IN_FLIGHT_MAX);
}

static void
free_value(void *object)
{
    evc_buf_finish(&((struct apply_item *)object)->value);
}

void
evc_applier_finish(struct evc_applier *applier)
{
    evc_pool_for_each_free(&applier->pool, free_value);
    evc_pool_finish(&applier->pool);
    evc_guess_finish(&applier->guess);
}

static bool
rule_is_on(const struct apply_item *item, enum evc_rule rule)
{
    return EVC_RULE_IS_ON(item->applier->options, rule);
}

/**
 * What a zone gets. The tombstone of a rejected value is older than the value, which lives
 * elsewhere: this region's relay may ship it, and it must delete only what the value would have
 * replaced.
 */
static evc_version
stored_version(const struct apply_item *item)
{
    return item->is_rejected ? item->version - REJECTED_VERSION_STEP : item->version;
}

/** Puts an event about this key into the region's own queue. */
static void
announce(const struct apply_item *item, evc_version version, uint8_t flags)
{
    const struct evc_applier *applier = item->applier;
    uint64_t unix_us = applier->now->unix_us;
    struct evc_event event = {
        .op = item->is_tombstone && version <= item->version ? EVC_EVENT_DELETE : EVC_EVENT_SET,
        .flags = flags,
        .key = {.ptr = item->key, .len = item->key_len},
        .version = version,
        .written_us = unix_us,
    };

    if (version == item->version && !item->is_tombstone) {
        event.expiry_s = evc_expiry_unix_s(item->ttl_s, unix_us);
    }
    /* A full journal counts the event as lost; there is no better place to say so. */
    (void)evc_event_sink_append(applier->sink, &event);
}

static bool
zones_differ(const struct apply_item *item)
{
    const struct apply_zone *first = NULL;

    if (item->ends[ZONE_LATE] > 0 && item->ends[ZONE_APPLIED] > 0) {
        return true;
    }
    for (unsigned i = 0; i < item->applier->port->zone_count; i++) {
        if (!item->zone[i].has_seen) {
            continue;
        }
        if (first && first->first_seen != item->zone[i].first_seen) {
            return true;
        }
        first = &item->zone[i];
    }
    return false;
}

/** A version that no zone took must not be known as written: repair would restamp something over
 * it. */
static uint8_t
repair_flags(const struct apply_item *item)
{
    bool is_here = item->ends[ZONE_APPLIED] + item->ends[ZONE_IDENTICAL] > 0;

    return is_here ? EVC_EVENT_REPAIR : EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
}

static void
follow_rules(const struct apply_item *item)
{
    struct evc_apply_stats *stats = &item->applier->stats;
    bool is_settled_somewhere = item->ends[ZONE_FAILED] < item->applier->port->zone_count;
    bool has_failed =
        item->ends[ZONE_FAILED] + item->ends[ZONE_REJECTED] > 0 && is_settled_somewhere;

    if (item->newer != 0 && rule_is_on(item, EVC_RULE_ECHO)) {
        stats->echoes_total++;
        announce(item, item->newer, EVC_EVENT_RESHIP);
    }
    if (((item->has_raced || zones_differ(item)) && rule_is_on(item, EVC_RULE_DIFFER)) ||
        (has_failed && rule_is_on(item, EVC_RULE_FAILED))) {
        stats->repairs_total++;
        announce(item, stored_version(item), repair_flags(item));
    }
    if (item->replaced_our_own && item->ends[ZONE_APPLIED] > 0 &&
        rule_is_on(item, EVC_RULE_CONFLICT_ECHO)) {
        stats->conflict_echoes_total++;
        announce(item, stored_version(item), 0);
    }
}

static enum evc_apply_result
result_of(const struct apply_item *item)
{
    if (item->newer != 0) {
        return EVC_APPLY_BEHIND;
    }
    if (item->is_rejected) {
        return item->ends[ZONE_APPLIED] + item->ends[ZONE_IDENTICAL] > 0 ? EVC_APPLY_REJECTED
                                                                         : EVC_APPLY_FAILED;
    }
    if (item->ends[ZONE_APPLIED] > 0) {
        return EVC_APPLY_APPLIED;
    }
    if (item->ends[ZONE_LATE] > 0) {
        return EVC_APPLY_LATE;
    }
    return item->ends[ZONE_IDENTICAL] > 0 ? EVC_APPLY_IDENTICAL : EVC_APPLY_FAILED;
}

/** What all zones have now is where the next write of the key begins. */
static void
remember(const struct apply_item *item)
{
    struct evc_applier *applier = item->applier;
    unsigned settled = item->ends[ZONE_APPLIED] + item->ends[ZONE_IDENTICAL];

    if (settled == applier->port->zone_count) {
        evc_guess_note(&applier->guess, item->key_hash, stored_version(item));
    } else if (item->remembered != 0) {
        evc_guess_forget(&applier->guess, item->key_hash);
    }
}

/** Whether all that answered have rejected the value. */
static bool
must_bury(const struct apply_item *item)
{
    return !item->is_tombstone && item->ends[ZONE_REJECTED] > 0 &&
           item->ends[ZONE_REJECTED] + item->ends[ZONE_FAILED] == item->applier->port->zone_count;
}

/** From now on a tombstone is written. */
static void
become_tombstone(struct apply_item *item)
{
    const struct evc_applier *applier = item->applier;

    item->is_rejected = true;
    item->is_tombstone = true;
    item->client_flags = EVC_TOMBSTONE_FLAGS;
    item->ttl_s = applier->options.tombstone_ttl_s;
    item->deadline_us = applier->now->mono_us + applier->options.zone_timeout_us;
    evc_buf_clear(&item->value);
}

/** The zones that have rejected the value get a tombstone, unless something newer is there now. */
static void
bury(struct apply_item *item)
{
    unsigned zone_count = item->applier->port->zone_count;

    become_tombstone(item);
    item->pending = item->ends[ZONE_REJECTED] + 1;
    item->ends[ZONE_REJECTED] = 0;
    for (unsigned i = 0; i < zone_count; i++) {
        if (item->zone[i].has_rejected) {
            ask_zone(item, i);
        }
    }
    give_up_hold(item);
}

static void
give_up_hold(struct apply_item *item)
{
    struct evc_applier *applier = item->applier;
    enum evc_apply_result result;

    assert(item->pending > 0);
    if (--item->pending > 0) {
        return;
    }
    if (must_bury(item)) {
        bury(item);
        return;
    }
    follow_rules(item);
    remember(item);
    result = result_of(item);
    applier->stats.result[result]++;
    item->done(item->ctx, item->tag, result, item->newer != 0 ? item->newer : item->version);
    evc_buf_clear(&item->value);
    evc_buf_shrink(&item->value, EVC_APPLY_VALUE_KEEP_BYTES);
    evc_pool_give_back(&applier->pool, item);
}

static void
end_zone(struct apply_item *item, enum zone_end end)
{
    item->ends[end]++;
    give_up_hold(item);
}

static struct apply_item *
item_of(struct evc_node_op *op)
{
    struct apply_zone *zone = EVC_CONTAINER_OF(op, struct apply_zone, op);

    return EVC_CONTAINER_OF(zone - op->zone, struct apply_item, zone);
}

/** A version minted in this region that is replaced may have been written at the same time. */
static void
note_replaced(struct apply_item *item, evc_version seen)
{
    item->replaced_our_own |=
        seen != 0 && evc_version_region(seen) == item->applier->options.region;
}

static enum evc_guess_kind
kind_of_guess(const struct apply_item *item)
{
    return item->remembered != 0 ? EVC_GUESS_VERSION : EVC_GUESS_MISSING;
}

static void
on_guess_right(struct apply_item *item, const struct apply_zone *zone)
{
    evc_guess_learn(&item->applier->guess, kind_of_guess(item), true);
    note_replaced(item, zone->first_seen);
    end_zone(item, ZONE_APPLIED);
}

/** The node compared, and has something else: it is asked, as if nothing had been guessed. */
static void
on_guess_wrong(struct apply_item *item, struct apply_zone *zone)
{
    item->applier->stats.guesses_wrong_total++;
    zone->has_seen = false;
    ask_zone(item, zone->op.zone);
}

static void
on_zone_written(struct evc_node_op *op)
{
    struct apply_item *item = item_of(op);
    struct apply_zone *zone = &item->zone[op->zone];

    if (zone->is_guess && op->result == EVC_NODE_STORED) {
        on_guess_right(item, zone);
    } else if (zone->is_guess && evc_node_result_is_answer(op->result)) {
        on_guess_wrong(item, zone);
    } else if (op->result == EVC_NODE_STORED) {
        end_zone(item, ZONE_APPLIED);
    } else if (op->result == EVC_NODE_ERROR && !item->is_tombstone) {
        zone->has_rejected = true;
        end_zone(item, ZONE_REJECTED);
    } else if (evc_node_result_is_answer(op->result) && ++zone->races <= EVC_APPLY_RACES_MAX) {
        item->has_raced = true;
        item->applier->stats.races_total++;
        ask_zone(item, op->zone);
    } else {
        end_zone(item, ZONE_FAILED);
    }
}

static void
write_zone(struct apply_item *item, unsigned zone, enum evc_node_verb verb, uint64_t seen)
{
    struct evc_node_op *op = &item->zone[zone].op;

    *op = (struct evc_node_op){
        .verb = verb,
        .zone = (uint8_t)zone,
        .key = {.ptr = item->key, .len = item->key_len},
        .value = evc_buf_slice(&item->value),
        .client_flags = item->client_flags,
        .ttl_s = item->ttl_s,
        .version = stored_version(item),
        .seen = seen,
        .deadline_us = item->deadline_us,
        .on_done = on_zone_written,
    };
    evc_node_port_submit(item->applier->port, op);
}

/** How old what is written over nothing may be: a tombstone above it would still be there. */
static uint64_t
age_limit_ms(const struct evc_applier *applier)
{
    uint64_t ttl_ms = (uint64_t)applier->options.tombstone_ttl_s * 1000;
    uint64_t slack_ms = applier->clock->drift_ms + APPLY_TTL_SLACK_MS;

    return ttl_ms > slack_ms ? ttl_ms - slack_ms : 0;
}

/**
 * Nobody can know whether a key that is missing was deleted once tombstones of that age are gone;
 * nor where there is an older one, which may have come again after a newer one had gone.
 */
static bool
is_late(const struct apply_item *item)
{
    const struct evc_applier *applier = item->applier;

    return !item->is_tombstone && evc_version_unix_ms(item->version) + age_limit_ms(applier) <
                                      applier->now->unix_us / 1000;
}

/** What an item of a node counts for. */
static evc_version
trusted(const struct evc_applier *applier, uint64_t cas)
{
    return evc_version_trusted(cas, applier->now->unix_us / 1000, applier->clock->drift_ms);
}

static void
on_zone_asked(struct evc_node_op *op)
{
    struct apply_item *item = item_of(op);
    struct apply_zone *zone = &item->zone[op->zone];
    evc_version seen;

    if (op->result != EVC_NODE_HIT && op->result != EVC_NODE_MISS) {
        end_zone(item, ZONE_FAILED);
        return;
    }
    seen = op->result == EVC_NODE_HIT ? trusted(item->applier, op->reply.cas) : 0;
    if (!zone->has_seen) {
        zone->has_seen = true;
        zone->first_seen = seen;
        evc_guess_learn(&item->applier->guess, kind_of_guess(item),
                        item->remembered != 0 ? seen == item->remembered
                                              : op->result == EVC_NODE_MISS);
    }
    if (seen > item->version) {
        item->newer = seen > item->newer ? seen : item->newer;
        end_zone(item, ZONE_NEWER);
    } else if (seen == item->version) {
        end_zone(item, ZONE_IDENTICAL);
    } else if ((op->result == EVC_NODE_MISS || op->reply.is_tombstone) && is_late(item)) {
        end_zone(item, ZONE_LATE);
    } else if (op->result == EVC_NODE_HIT) {
        note_replaced(item, seen);
        write_zone(item, op->zone, EVC_NODE_CAS, op->reply.cas);
    } else {
        write_zone(item, op->zone, EVC_NODE_ADD, 0);
    }
}

static void
ask_zone(struct apply_item *item, unsigned zone)
{
    struct evc_node_op *op = &item->zone[zone].op;
    unsigned want = EVC_WANT_CAS | EVC_WANT_NO_BUMP;

    if (is_late(item)) {
        want |= EVC_WANT_FLAGS | EVC_WANT_SIZE; /* whether it is a tombstone */
    }
    item->zone[zone].is_guess = false;
    *op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)zone,
        .want = (uint16_t)want,
        .key = {.ptr = item->key, .len = item->key_len},
        .deadline_us = item->deadline_us,
        .on_done = on_zone_asked,
    };
    evc_node_port_submit(item->applier->port, op);
}

/** The first step in a zone. */
static void
begin_zone(struct apply_item *item, unsigned index)
{
    struct evc_applier *applier = item->applier;
    struct apply_zone *zone = &item->zone[index];
    bool would_change = item->remembered < item->version && !is_late(item);

    if (!would_change || !evc_guess_is_likely(&applier->guess, kind_of_guess(item))) {
        ask_zone(item, index);
        return;
    }
    applier->stats.guesses_total++;
    zone->is_guess = zone->has_seen = true;
    zone->first_seen = item->remembered;
    write_zone(item, index, item->remembered != 0 ? EVC_NODE_CAS : EVC_NODE_ADD, item->remembered);
}

static struct apply_item *
item_borrow(struct evc_applier *applier)
{
    struct apply_item *item = evc_pool_borrow(&applier->pool);
    struct evc_buf value;

    if (!item) {
        return NULL;
    }
    value = item->value; /* a pooled object keeps its buffer's memory */
    if (value.limit == 0) {
        evc_buf_init(&value, EVC_VALUE_LEN_MAX);
    }
    memset(item, 0, sizeof(*item) + applier->port->zone_count * sizeof(item->zone[0]));
    item->value = value;
    item->applier = applier;
    return item;
}

static void
item_fill(struct apply_item *item, const struct evc_replica *replica)
{
    const struct evc_applier *applier = item->applier;

    item->is_tombstone = replica->client_flags == EVC_TOMBSTONE_FLAGS && replica->value.len == 0;
    item->client_flags = replica->client_flags;
    item->ttl_s = item->is_tombstone ? applier->options.tombstone_ttl_s : replica->ttl_s;
    item->version = replica->version;
    item->is_rejected = replica->is_rejected;
    item->key_len = (uint8_t)replica->key.len;
    memcpy(item->key, replica->key.ptr, replica->key.len);
    item->key_hash = evc_hash_key(replica->key);
    item->deadline_us = applier->now->mono_us + applier->options.zone_timeout_us;
    if (item->is_rejected) {
        become_tombstone(item);
    }
}

int
evc_apply_start(struct evc_applier *applier, const struct evc_replica *replica, evc_apply_fn done,
                void *ctx, uint64_t tag)
{
    uint64_t unix_ms = applier->now->unix_us / 1000;
    struct apply_item *item;

    assert(replica->key.len >= 1 && replica->key.len <= EVC_KEY_LEN_MAX);
    if (!evc_version_clock_observe(applier->clock, replica->version, unix_ms)) {
        applier->stats.result[EVC_APPLY_DRIFT]++;
        done(ctx, tag, EVC_APPLY_DRIFT, replica->version);
        return EVC_OK;
    }
    item = item_borrow(applier);
    if (!item) {
        return EVC_E_FULL;
    }
    item->done = done;
    item->ctx = ctx;
    item->tag = tag;
    item_fill(item, replica);
    if (evc_buf_append(&item->value, replica->value) != EVC_OK) {
        evc_pool_give_back(&applier->pool, item);
        return EVC_E_FULL;
    }
    item->remembered = evc_guess_version(&applier->guess, item->key_hash);
    item->pending = applier->port->zone_count + 1;
    for (unsigned zone = 0; zone < applier->port->zone_count; zone++) {
        if (rule_is_on(item, EVC_RULE_CONDITIONAL)) {
            begin_zone(item, zone);
        } else {
            write_zone(item, zone, EVC_NODE_SET, 0);
        }
    }
    give_up_hold(item);
    return EVC_OK;
}
