/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A replicated write at its destination: conditional, zone by zone. Pure: effects through the port
 * and the sink.
 *
 *   each zone:  GET cas ─▶ newer or same there: settled
 *                     └──▶ older: CAS over it, missing: ADD ─▶ stored: settled
 *                                                        ├──▶ EX/NS/NF (raced): read again
 *                                                        └──▶ an error: rejected
 *
 * What every zone that answered has rejected is too large for the nodes or the like, and will be
 * again: those zones, which have dropped what they had, are asked once more and get a tombstone one
 * tick older than it, so that nothing older comes back and the value lives on elsewhere. Where not
 * even that is taken, the value is not to blame, and the write has failed. A replica whose value
 * was too large to read begins there.
 *
 * What this worker wrote last it remembers (guess.h): then the first step is the CAS over that
 * version (or the ADD), in one round trip, and the GET follows only when the guess was wrong.
 *
 * Rules kept here (docs/architecture.md): conditional; late; drift; echo (something newer was
 * found: an event for it goes to this region's queue); conflict echo (a version minted in this
 * region was replaced); failed and differ (zones disagree, a race was lost or a zone did not
 * answer: a repair event goes to this region's queue).
 */
#ifndef EVC_REPLICATION_APPLY_H
#define EVC_REPLICATION_APPLY_H

#include "base/clock.h"
#include "base/pool.h"
#include "meta/replication.h"
#include "queue/event.h"
#include "replication/guess.h"

enum {
    EVC_APPLY_RACES_MAX = 16, /* conditional attempts in one zone before it counts as failed */
    EVC_APPLY_IN_FLIGHT_MAX = 16384,    /* per context */
    EVC_APPLY_VALUE_KEEP_BYTES = 16384, /* memory a pooled item keeps for values */
};

struct evc_apply_options {
    unsigned region;          /* this region's index */
    uint32_t zone_timeout_us; /* one operation in one zone */
    uint32_t tombstone_ttl_s;
    uint32_t guess_keys; /* to remember the versions of, a power of two; 0: none */
    uint32_t rules_off;  /* test only: enum evc_rule bits that are switched off */
};

struct evc_apply_stats {
    uint64_t result[EVC_APPLY_RESULT_MAX];
    uint64_t echoes_total, conflict_echoes_total, repairs_total, races_total;
    uint64_t guesses_total, guesses_wrong_total; /* zones written without being asked first */
};

/** Context of one thread. */
struct evc_applier {
    struct evc_node_port *port;
    struct evc_version_clock *clock; /* learns of every version that passes */
    const struct evc_moment *now;
    struct evc_event_sink *sink;
    struct evc_apply_options options;
    struct evc_pool pool;
    struct evc_guess guess;
    struct evc_apply_stats stats;
};

void evc_applier_init(struct evc_applier *applier, struct evc_node_port *port,
                      struct evc_version_clock *clock, const struct evc_moment *now,
                      struct evc_event_sink *sink, const struct evc_apply_options *options);

/** Nothing may be in flight. */
void evc_applier_finish(struct evc_applier *applier);

typedef void (*evc_apply_fn)(void *ctx, uint64_t tag, enum evc_apply_result result,
                             evc_version newest);

/**
 * Starts one; replica is copied. done comes exactly once, possibly before this returns. EVC_E_FULL
 * when EVC_APPLY_IN_FLIGHT_MAX are in flight: pause reading until some are done. newest: for BEHIND
 * the newer version there, else the replica's own.
 */
EVC_MUST_USE int evc_apply_start(struct evc_applier *applier, const struct evc_replica *replica,
                                 evc_apply_fn done, void *ctx, uint64_t tag);

#endif
