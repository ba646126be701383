/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key on its way to one destination, between ship.c (which keys, in what order, with what
 * outcome), ship_read.c (one attempt: what is found in the zones, and what is sent) and ship_hold.c
 * (what cannot be settled now); not for anybody else.
 *
 * An item is on exactly one list: `ready` (may start when the window and the link allow), `retry`
 * (backing off), or `active` (reading, writing a tombstone, or sent). An attempt begins with
 * evc_ship_start and ends in evc_ship_make_ready (the link was full), evc_ship_retry_later,
 * evc_ship_end_current, or in the state SENT, after which the answer says how it ended.
 */
#ifndef EVC_REPLICATION_SHIP_STATE_H
#define EVC_REPLICATION_SHIP_STATE_H

#include "base/pool.h"
#include "replication/key_table.h"
#include "replication/progress.h"
#include "replication/retry.h"
#include "replication/ship.h"

enum evc_ship_state {
    EVC_SHIP_READY,
    EVC_SHIP_LATER,
    EVC_SHIP_READING_LOCAL, /* the value, from the local zone */
    EVC_SHIP_LOOKING,       /* versions, from the other zones */
    EVC_SHIP_READING_BEST,  /* the value, from the zone that had the newest */
    EVC_SHIP_BURYING,       /* gone: a tombstone for each zone */
    EVC_SHIP_SENT,
    EVC_SHIP_STATE_MAX,
};

/** An event that waits for its outcome. */
struct evc_ship_event {
    struct evc_batch *batch; /* NULL: none */
    evc_version version;
    uint64_t written_us;
    uint32_t expiry_s;
    uint8_t op, flags;
};

struct evc_ship_item {
    struct evc_ship *ship;      /* first: the pool's link while the object is free */
    struct evc_retry_link wait; /* its link is on the list the item is on */
    enum evc_ship_state state;
    bool is_delete_only; /* sent as a delete without reading: invalidation, or expired */
    bool zone_failed;    /* a zone did not answer in this attempt */
    uint8_t zone;        /* the zone asked now */
    uint8_t best_zone;
    uint8_t rounds;
    bool has_best;
    evc_version best_version;
    evc_version sent_version;
    enum evc_outcome outcome; /* instead of what the receiver says; EVC_OUTCOME_MAX: as it says */
    uint64_t first_us;        /* when an attempt at the current event first failed; 0: none has */
    uint64_t stale_us; /* since when attempts at the key fail, whatever event; 0: they do not */
    struct evc_ship_event current;
    struct evc_ship_event next; /* the newest that arrived since the current one was read */
    bool next_must_go;          /* nothing sent before speaks for it */
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
    uint32_t later_count;
    struct evc_progress progress; /* of the receiver's answers */
    struct evc_list ready;
    struct evc_retry retry;
    struct evc_list active;
    struct evc_pool pool;
    struct evc_key_table table;
    struct evc_trail trail;
};

static inline struct evc_slice
evc_ship_item_key(const struct evc_ship_item *item)
{
    return evc_key_entry_key(&item->key);
}

static inline struct evc_ship_item *
evc_ship_item_of_link(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct evc_ship_item, wait.link);
}

/** An attempt at an item's current event. The item may be gone when this returns. */
void evc_ship_start(struct evc_ship_item *item);

/** Asks the region's own relay to compare the zones of the key; flags: more than REPAIR. */
void evc_ship_ask_for_repair(struct evc_ship_item *item, evc_version version, uint8_t flags);

/** The only place where an item changes state. It stays on its list. */
void evc_ship_set_state(struct evc_ship_item *item, enum evc_ship_state state);
void evc_ship_make_active(struct evc_ship_item *item, enum evc_ship_state state);
void evc_ship_make_ready(struct evc_ship_item *item);

/** The current event has ended: the next of the key takes its place, or the item goes. */
void evc_ship_end_current(struct evc_ship_item *item, enum evc_outcome outcome);

/** What follows the current event's outcome, of which the batch has been told. Likewise. */
void evc_ship_pass_on(struct evc_ship_item *item);

/** Tells options.on_trouble of the current event; outcome: how it has ended. */
void evc_ship_tell_trouble(struct evc_ship_item *item, bool has_ended, enum evc_outcome outcome);

/* --- ship_hold.c --- */

/** Tries again after a while, carries the event, or gives up when that has gone on for too long. */
void evc_ship_retry_later(struct evc_ship_item *item);

/** A carried event has arrived for the item: it knows for how long its key has failed. */
void evc_ship_note_stale(struct evc_ship_item *item, const struct evc_ship_event *arrived);

/**
 * For how long attempts at the current event have failed, those before it was carried included: no
 * longer than at its key, and no longer than it has been there. 0: none has failed.
 */
uint64_t evc_ship_failing_us(const struct evc_ship_item *item);

#endif
