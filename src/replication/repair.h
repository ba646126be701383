/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repair, by the region's own relay group: looks at every event of its own region for signs of
 * trouble and, only then, brings the key's zones to one version. Pure: effects through the port and
 * the sink.
 *
 * Signs: an event flagged REPAIR; two writers on the key within the window; an event older than one
 * seen for its key; an event whose neighbours this relay cannot know (recent.h).
 *
 *   SETTLING (until writes in flight have settled) ─▶ READING all zones ─▶ all equal: done
 *        ▲                                               ├─▶ WRITING the newest where it differs
 *        └── a zone does not answer, a race is lost ◀────┘        (CAS or ADD) ─▶ done
 *
 * A repair during which a zone failed to answer is followed by a second look after another settle
 * time: bytes that were on their way to that zone may have landed after the first. Restamp: the
 * newest found is older than a version known to have been written: a later arrival has buried it;
 * the survivor gets a new version just above both, with this relay's writer bits: not one of now,
 * which would also win over what another region has written since. If what was known has expired
 * meanwhile, a tombstone takes its place: an older value must not outlive it. An event with a
 * version beyond the drift bound teaches nothing: the zones are compared, and what only such a
 * version is left of gets one that counts.
 * A node that rejects the value (it is too large there) has dropped what it had and will reject it
 * again: counted, and the zone stays without.
 * Carried: a repair that has failed for hold_ms, or behind which the books fill up, is
 * asked for anew through the queue and ends as coalesced, so that the position moves on
 * (replication/ship.h says why). One that has failed for abandon_after_us in all is given up, and
 * so is one more than half of items_max that wait for a zone, unless all have been waiting for a
 * moment only (progress.h).
 * Reship: what was changed is announced. Repairs of one key coalesce into one.
 */
#ifndef EVC_REPLICATION_REPAIR_H
#define EVC_REPLICATION_REPAIR_H

#include "base/clock.h"
#include "meta/node_op.h"
#include "queue/event.h"
#include "replication/books.h"

enum {
    EVC_REPAIR_ITEMS_MAX_DEFAULT = 65536, /* keys under repair */
    EVC_REPAIR_HOLD_MS_DEFAULT = 10000,
    EVC_REPAIR_RECENT_MAX_DEFAULT = 524288, /* events remembered for the window: 64 bytes each */
};

struct evc_repair_options {
    uint32_t items_max, recent_max;
    uint32_t window_us; /* two writers this close may have crossed: the write timeout */
    uint32_t settle_us; /* wait before reading: the write timeout and a little */
    uint32_t zone_timeout_us;
    uint32_t retry_min_ms, retry_max_ms;
    uint32_t hold_ms; /* for so long a repair that fails keeps its batch open */
    uint64_t abandon_after_us;
    uint32_t tombstone_ttl_s;
    /**
     * Told of a repair that is given up, for the log: zones may differ until the next write.
     * version is the newest known, 0: none. The caller limits the lines. May be NULL.
     */
    void (*on_abandoned)(void *ctx, struct evc_slice key, evc_version version);
    /** Told of an event whose version is too far ahead, for the log, likewise. */
    void (*on_too_far_ahead)(void *ctx, struct evc_slice key, evc_version version);
    void *ctx;
    uint32_t rules_off; /* test only */
};

struct evc_repair_stats {
    uint64_t items;
    uint64_t retrying; /* of those, wait for a zone that did not answer */
    uint64_t carried_total;
    uint64_t crowded_total; /* given up because too many waited */
    uint64_t asked_total, two_writers_total, inversions_total, blind_total, too_far_ahead_total;
    uint64_t clean_total; /* looked at, nothing to do */
    uint64_t changed_total, restamped_total, reshipped_total, gone_total;
    uint64_t retries_total, abandoned_total;
    uint64_t rejected_total; /* zones whose node would not take the value */
};

struct evc_repair;

/** clock: whose writer bits restamped versions carry, and whose drift bound events must keep. */
EVC_MUST_USE int evc_repair_create(struct evc_node_port *port, struct evc_version_clock *clock,
                                   const struct evc_moment *now, struct evc_event_sink *sink,
                                   const struct evc_repair_options *options,
                                   struct evc_repair **ret);
void evc_repair_destroy(struct evc_repair *repair); /* accepts NULL */

/** Whether evc_repair_offer will take count more events. */
bool evc_repair_has_room(const struct evc_repair *repair, unsigned count);

/** An event of a key with this hash (evc_hash_key) will be offered soon: fetches what that needs.
 */
void evc_repair_expect(const struct evc_repair *repair, uint64_t key_hash);

/**
 * Looks at one event. Its outcome (filtered: no sign of trouble; applied: looked at and repaired
 * where needed; coalesced; abandoned) is reported to the batch, now or when its repair has ended.
 * Needs room.
 */
void evc_repair_offer(struct evc_repair *repair, struct evc_batch *batch,
                      const struct evc_event *event, unsigned partition, uint64_t fed_us);

/** A partition comes from another relay, or is new: what its keys were told before is not known. */
void evc_repair_forget(struct evc_repair *repair, unsigned partition);

/** Starts what is due. Call at least every EVC_LOOP_TICK_MS. */
void evc_repair_tick(struct evc_repair *repair);

/** Tells the books (evc_batch_note_failing) of every repair whose attempts fail. */
void evc_repair_note_failing(const struct evc_repair *repair);

bool evc_repair_is_idle(const struct evc_repair *repair);
void evc_repair_stats(const struct evc_repair *repair, struct evc_repair_stats *ret);

#endif
