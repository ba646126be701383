/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at keys whose copies may differ: asks every copy (no value, no access counted), has the
 * answers judged by explain's own judge, looks again after a pause while they differ and a write
 * may be on its way (for lag_us), and tells the tally. With repair it then brings the copies that
 * are behind, missing or foreign to the newest, region by region, the way a receiver would
 * (replication/ apply.h), and looks once more:
 *
 *   ask ─▶ judge ─▶ alike, or for longer than lag_us not: tally ─▶ end
 *    ▲       └─▶ differ: pause ─┐                └─▶ repair: read the newest ─▶ apply ─▶ look anew
 *    └──────────────────────────┘
 *
 * Invariant: nothing newer is ever replaced; each write is conditional on what the zone holds. What
 * has the newest version already is not touched, so `different` copies stay for a person to judge.
 * Nothing is announced: the sweep looks everywhere itself. Owner: the sweep's thread.
 */
#ifndef EVC_SWEEP_LOOKS_H
#define EVC_SWEEP_LOOKS_H

#include "replication/apply.h"
#include "survey/explain.h"
#include "sweep/sweep.h"
#include "sweep/tally.h"

enum {
    EVC_LOOKS_ASKING_MAX = 4096,                  /* keys whose copies are being asked */
    EVC_LOOKS_BYTES_MAX = 64 * 1024 * 1024,       /* of all keys, those that pause included */
    EVC_LOOKS_REPAIRS_MAX = 1024,                 /* keys being repaired; */
    EVC_LOOKS_VALUE_BYTES_MAX = 32 * 1024 * 1024, /* with so much on its way, none begins */
};

struct evc_looks {
    /* to be read */
    unsigned in_flight;
    uint64_t looked;      /* keys done with */
    unsigned silent_copy; /* whose node was the first not to answer; EVC_SWEEP_COPIES_MAX: none */
    /* internal */
    struct evc_sweep *sweep;
    struct evc_tally *tally;
    void (*on_room)(void *ctx);
    void *ctx;
    unsigned asking;
    uint64_t lag_us;
    bool is_repair, is_stopping;
    struct evc_explain *explain; /* what the judge looks at, filled anew for each key */
    size_t explain_index[EVC_SWEEP_COPIES_MAX]; /* of a copy among explain's */
    struct evc_pool pool;
    struct evc_list paused;  /* the first to be looked at again first */
    struct evc_list waiting; /* to be repaired */
    unsigned repairs;
    bool is_resuming;
    uint64_t value_bytes;
    struct evc_applier appliers[EVC_CONFIG_REGION_MAX];
    struct evc_version_clock clock;
    struct evc_event_sink sink;
};

/**
 * The sweep is connected. lag_us: for so long a write may be on its way. on_room: a key is done
 * with or pauses, so there may be room; it may come from within evc_looks_start. 0 or EVC_E_NOMEM.
 */
EVC_MUST_USE int evc_looks_init(struct evc_looks *looks, struct evc_sweep *sweep,
                                struct evc_tally *tally, uint64_t lag_us, bool is_repair,
                                void (*on_room)(void *ctx), void *ctx);
void evc_looks_finish(struct evc_looks *looks); /* nothing may be in flight */

/** region: for policy none the one whose copies are meant. False: no room. */
EVC_MUST_USE bool evc_looks_start(struct evc_looks *looks, struct evc_slice key,
                                  enum evc_policy policy, unsigned region);

/** Looks again at what has paused for long enough. Often. */
void evc_looks_on_look(struct evc_looks *looks);

/** No more pauses and repairs: what is in flight ends soon. A key that differs, and has not been
 * looked at for lag_us, is not counted. */
void evc_looks_stop(struct evc_looks *looks);

#endif
