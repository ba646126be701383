/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills zones from copies elsewhere: walks the nodes of each source, reads every item as it is
 * (value, flags, version, remaining life, no access counted) and adds it to the targets.
 *
 * Invariant: what is there is never replaced, be it older, newer or a tombstone. It is memcached's
 * add, and because all writes of the region go to the target as well, an item that is there already
 * is newer or the same. What is added carries the version it had, so whatever comes later decides
 * by it. Tombstones are copied as the items they are.
 *
 *   walk ─▶ queue of keys ─▶ the targets have it? ─▶ read ─▶ add ─▶ one outcome
 *
 * The targets are asked first because a node that cannot store a value (too large for its -I, no
 * memory) drops what it has under the key, even when it was told to add: so only what a target
 * lacks is read and added. Where most is there already that costs less, too. Each item that was
 * seen ends in exactly one outcome. Owner: the sweep's thread.
 *
 * Bounds: items and bytes of values on their way, bytes of keys that wait. Where a source has more
 * keys than may wait (with a low rate) it is walked again for the rest: sweep/key_range.h.
 */
#ifndef EVC_SWEEP_WARM_H
#define EVC_SWEEP_WARM_H

#include "base/pool.h"
#include "sweep/key_queue.h"
#include "sweep/walks.h"

enum {
    EVC_WARM_IN_FLIGHT_MAX = 2048,
    EVC_WARM_BYTES_MAX = 32 * 1024 * 1024,      /* of values on their way, at least one */
    EVC_WARM_KEYS_BYTES_MAX = 64 * 1024 * 1024, /* of keys that wait */
    EVC_WARM_RATE_MAX = 10000000,
    EVC_WARM_CATCH_UP_US =
        100000, /* of a rate's items that were not taken when it was their turn */
    EVC_WARM_WHY_BYTES = EVC_ERROR_TEXT_BYTES,
};

enum evc_warm_outcome {
    EVC_WARM_ADDED,    /* to one target at least; in a dry run: it would be */
    EVC_WARM_THERE,    /* every target has something there already */
    EVC_WARM_GONE,     /* it was gone, or about to expire, when it was read */
    EVC_WARM_FOREIGN,  /* written past evcache, or by a bad clock: its version counts for nothing */
    EVC_WARM_FILTERED, /* its policy keeps it in its region, or it is a canary */
    EVC_WARM_FAILED,
    EVC_WARM_OUTCOME_MAX,
};

/** "added", "already there", "expired or gone", "foreign", "filtered", "failed". */
const char *evc_warm_outcome_str(enum evc_warm_outcome outcome);

struct evc_warm_options {
    struct evc_sweep *sweep; /* connected, with all copies of both sides */
    struct evc_copy_set sources, targets;
    bool is_abroad; /* sources and targets are of two regions: policies apply */
    bool is_dry_run;
    uint32_t rate; /* items a second; 0: as fast as it goes */
};

struct evc_warm {
    struct evc_warm_options options;
    /* to be read */
    uint64_t outcomes[EVC_WARM_OUTCOME_MAX];
    uint64_t seen;        /* their sum, when it is over */
    uint64_t expected;    /* items the sources said they have; 0: they did not */
    uint64_t bytes_added; /* of values, each target counted */
    uint64_t started_us, ended_us;
    bool is_incomplete;           /* stopped, or a source could not be walked to its end */
    bool has_silent;              /* a node did not answer */
    char why[EVC_WARM_WHY_BYTES]; /* the first failure, or "" */
    /* internal */
    struct evc_walks walks;
    struct evc_key_queue keys;
    struct evc_key_range range;
    struct evc_pool pool;
    unsigned targets[EVC_ZONE_MAX], target_count;
    unsigned source; /* being walked */
    bool is_walking, is_pumping, is_stopping;
    unsigned in_flight;
    uint64_t in_flight_bytes;
    uint64_t due_ns; /* monotonic: the next item's turn, with a rate */
};

/** Blocks until it is over or the sweep is stopped. */
void evc_warm_run(struct evc_warm *warm, const struct evc_warm_options *options);

#endif
