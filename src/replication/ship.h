/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shipping: one destination of a relay. Takes events, reads the newest value of each key from the
 * region's own zones, hands it to the link, and gives every event its outcome. Pure: effects
 * through the port, the sink and evc_ship_link.
 *
 * One item per key at a time. Events of a key that arrive while its item has not been read are
 * coalesced into it; those that arrive while it is on its way wait, and are spoken for by what was
 * sent if that was as new, else the item goes round again.
 *
 *   offered ─▶ READING (local zone; the others while what is found is older than the event)
 *                 ├─▶ found ─▶ SENDING ─▶ answered: outcome, and lag of what was applied
 *                 ├─▶ in no zone: tombstone there (gone) ─▶ SENDING as a delete
 *                 ├─▶ a zone did not answer, or the receiver could not: LATER (back-off),
 *                 │   and when that goes on: carried
 *                 └─▶ the link is down or full: READY, until it can take items again
 *
 * Carried: an event that cannot end keeps the queue's position, and with it everything the queue
 * holds, in its place. So one that has failed for hold_ms, or behind which the books fill
 * up, is put into the queue again (for this destination only) and ends as coalesced. A key that has
 * failed for abandon_after_us in all is given up, and so, while others get on (progress.h), is one
 * more than half of items_max that wait: what a dead node holds up must not take the room of all
 * others. Where nothing gets on there is no room any more after items_max, and the queue waits.
 *
 * Invalidated keys are sent as deletes of the event's version, without reading, but never to the
 * region that wrote it: there it is no delete. A receiver that has the delete of something newer
 * that this region wrote says that it may have been buried here: that asks for repair.
 *
 * Rules kept here: newest; gone; newer read and older read (a repair event through the sink).
 * Values are never kept: each attempt reads again and composes straight into the link's buffer.
 */
#ifndef EVC_REPLICATION_SHIP_H
#define EVC_REPLICATION_SHIP_H

#include "base/clock.h"
#include "meta/replication.h"
#include "queue/event.h"
#include "replication/books.h"
#include "replication/prefix_top.h"
#include "replication/trail.h"
#include "topology/config.h"

enum {
    EVC_SHIP_ITEMS_MAX_DEFAULT = 65536, /* keys on their way per destination */
    EVC_SHIP_HOLD_MS_DEFAULT = 10000,
    EVC_SHIP_TRAIL_MAX_DEFAULT = 32768, /* 1.3 MiB per destination */
};

/** The way to the destination: a connection to a receiver in production. */
struct evc_ship_link {
    /**
     * Sends one item; opaque comes back with the answer (evc_ship_on_reply). The replica's views
     * are valid during the call only. false: not now (down, or its buffer is full);
     * evc_ship_on_link_ready will be called when it may be tried again.
     */
    bool (*send)(struct evc_ship_link *link, const struct evc_replica *replica, uint32_t opaque);
};

struct evc_ship_options {
    const struct evc_config *config; /* policies; NULL: copy everything */
    uint8_t region;                  /* the index of this one */
    uint8_t destination;             /* the index of the other */
    uint32_t items_max;
    uint32_t read_timeout_us;
    uint32_t retry_min_ms, retry_max_ms;
    uint32_t hold_ms;          /* for so long an event that fails keeps its batch open */
    uint64_t abandon_after_us; /* a key that cannot be read or sent for so long is given up */
    uint32_t tombstone_ttl_s;
    uint32_t drift_ms;               /* the bound that versions must keep */
    uint32_t trail_max;              /* ended events to remember; 0: none */
    struct evc_prefix_top *prefixes; /* told of what is shipped; not owned; NULL: nobody is */
    /**
     * Told of what is worth a line in a log: an attempt that failed, to be made again (has_ended is
     * false), and an event that ended late or abandoned. The caller limits the lines. May be NULL.
     */
    void (*on_trouble)(void *ctx, struct evc_slice key, const struct evc_trail_event *event,
                       bool has_ended);
    void *ctx;
    uint32_t rules_off; /* test only */
};

struct evc_ship_stats {
    uint64_t items;  /* keys on their way */
    uint64_t active; /* of those, being read or sent; the others wait */
    uint64_t later;  /* of those that wait, after a failure */
    uint64_t reads_total, reads_further_total, sends_total, retries_total, carried_total;
    uint64_t crowded_total; /* given up because too many waited */
    uint64_t repairs_total, gone_total, bytes_total;
};

/** What a shipment knows of one key. */
struct evc_ship_account {
    bool is_under_way;
    const char *state; /* under way: "waiting", "retrying", "reading", "burying", "sent" */
    struct evc_trail_event current; /* under way: the event, without end and outcome */
    uint64_t failing_us;            /* how long attempts at it have failed; 0: none has */
    struct evc_trail_event events[EVC_TRAIL_FOUND_MAX]; /* that ended, the latest first */
    unsigned event_count;
    uint64_t remembered; /* ended events of all keys that it knows of */
};

struct evc_ship;

EVC_MUST_USE int evc_ship_create(struct evc_node_port *port, const struct evc_moment *now,
                                 struct evc_event_sink *sink, struct evc_ship_link *link,
                                 const struct evc_ship_options *options, struct evc_ship **ret);
void evc_ship_destroy(struct evc_ship *ship); /* nothing may be in flight; accepts NULL */

/** Whether evc_ship_offer will take at least count more events. */
bool evc_ship_has_room(const struct evc_ship *ship, unsigned count);

/** An event of a key with this hash (evc_hash_key) will be offered soon: fetches what that needs.
 */
void evc_ship_expect(const struct evc_ship *ship, uint64_t key_hash);

/** Takes one event of a batch; its outcome is reported to the batch, now or later. Needs room. */
void evc_ship_offer(struct evc_ship *ship, struct evc_batch *batch, const struct evc_event *event);

/** The receiver answered. An opaque that is not on its way is ignored. */
void evc_ship_on_reply(struct evc_ship *ship, uint32_t opaque, enum evc_apply_result result,
                       evc_version newest);

/** The connection is lost: everything on its way will be sent again. */
void evc_ship_on_link_lost(struct evc_ship *ship);

/** The link can take items (again). */
void evc_ship_on_link_ready(struct evc_ship *ship);

/** Retries what is due. Call at least every EVC_LOOP_TICK_MS. */
void evc_ship_tick(struct evc_ship *ship);

/** Tells the books (evc_batch_note_failing) of every event whose attempts fail. */
void evc_ship_note_failing(const struct evc_ship *ship);

/** True when no item is left. */
bool evc_ship_is_idle(const struct evc_ship *ship);

void evc_ship_stats(const struct evc_ship *ship, struct evc_ship_stats *ret);

void evc_ship_explain(const struct evc_ship *ship, struct evc_slice key,
                      struct evc_ship_account *ret);

#endif
