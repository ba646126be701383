/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a repair group remembers of the events it has seen lately, to notice signs of trouble: the
 * newest version of each key, who wrote last and when, and when others did. Bounded: at the bound
 * the oldest is forgotten.
 *
 * Invariant: of a partition, every event of a writer fed after that writer's `complete since` is
 * remembered. An event for a key that is not remembered, or was noted last before others may have
 * gone by unseen, is a sign of trouble (blind) when a write of another writer crossing it may have
 * been fed before that, by its own times or by when it was
 * noted here; so a restart and a long wait in a journal are covered, and in a backlog old times
 * look like live ones. What was forgotten of the event's own writer does not count: one writer's
 * writes of a key reach every zone in their order, so with one writer nothing is ever blind,
 * however fast events are forgotten. Pure. Used by repair.c alone.
 */
#ifndef EVC_REPLICATION_RECENT_H
#define EVC_REPLICATION_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/event.h"
#include "queue/queue.h"

struct evc_recent;

enum evc_recent_sign {
    EVC_RECENT_TWO_WRITERS = 1 << 0, /* another's of its key was noted, which may have crossed it */
    EVC_RECENT_INVERSION = 1 << 1,   /* older than one seen for its key */
    EVC_RECENT_BLIND = 1 << 2,       /* another writer's that crossed it may have been forgotten */
};

/** max: events remembered. NULL only without memory. */
struct evc_recent *evc_recent_create(uint32_t max, uint32_t window_us);
void evc_recent_destroy(struct evc_recent *recent); /* accepts NULL */

/** Where an event was found: its record's partition, position in it, and when that was fed. */
struct evc_recent_place {
    uint32_t partition;
    uint64_t position; /* 0: nothing was fed before it */
    uint64_t fed_us;
    uint64_t seen_us; /* now, monotonic */
};

/** An event of a key with this hash (evc_hash_key) will be noted soon: fetches what that needs. */
void evc_recent_expect(const struct evc_recent *recent, uint64_t key_hash);

/** Remembers an event and says what it is a sign of (enum evc_recent_sign bits). */
unsigned evc_recent_note(struct evc_recent *recent, const struct evc_event *event,
                         const struct evc_recent_place *place);

/** What was fed to a partition before the next event of it is not known: another relay had it, or
 * its keys were in other partitions before. */
void evc_recent_forget(struct evc_recent *recent, uint32_t partition);

/** A version was made that no event has told of yet; nothing when the key is not remembered. */
void evc_recent_learn(struct evc_recent *recent, struct evc_slice key, evc_version version);

/** The newest version remembered for a key, 0 when none, with its expiry (Unix seconds, 0: never).
 */
evc_version evc_recent_newest(const struct evc_recent *recent, struct evc_slice key,
                              uint32_t *ret_expiry_s);

#endif
