/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version every write carries, and the clock that mints it.
 *
 * 64 bits, high to low: 41 bits milliseconds since 2020-01-01 UTC | 9 bits logical counter | 14
 * bits writer (4 bits region index, 10 bits worker slot). Kept in memcached's CAS field, so a plain
 * integer comparison orders writes everywhere.
 *
 * Invariants: a clock never mints a version at or below one it minted or observed, but for the way
 * back (below); two clocks with different writers never mint the same version; an observed version
 * beyond the drift bound changes nothing. A counter that overflows runs into the next millisecond.
 *
 * The way back: observing is bounded, so the last tick is further ahead of the wall than anybody
 * trusts only when the wall has gone back by more than the bound. Then the clock goes on from the
 * wall: what it minted while that was far ahead was refused everywhere, and so would be all that
 * follows. The wall will pass those ticks a second time. They are not minted twice: after a step
 * back the counter of each millisecond begins in its other half (the lane), where the first pass
 * did not come unless it minted more than 256 in that millisecond. The lane is a bit of the tick
 * itself and survives a restart with it. Should two writes meet all the same (a third pass, a busy
 * millisecond), that harms where they are of one key and a node still has the first, which no other
 * region ever took and repair has replaced. A wall that was right and goes back so far is what
 * cannot be told from this: its writes then lose to those of others, as any slow clock's do.
 */
#ifndef EVC_BASE_VERSION_H
#define EVC_BASE_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef uint64_t evc_version;

#define EVC_VERSION_EPOCH_MS UINT64_C(1577836800000) /* 2020-01-01T00:00:00Z, Unix milliseconds */
enum {
    EVC_VERSION_COUNTER_BITS = 9,
    EVC_VERSION_WRITER_BITS = 14,
    EVC_VERSION_SLOT_BITS = 10,
    EVC_VERSION_REGION_MAX = 16, /* regions a cache may have */
    EVC_VERSION_SLOT_MAX = 1024, /* writers a region may have */
    EVC_VERSION_DRIFT_MS_DEFAULT = 60000,
    /* What entered by one machine's clock is read by another's: so far apart they may be. */
    EVC_VERSION_SKEW_MS = 5000,
};

/** A CAS below this was not minted by us (a plain client wrote on the node): older than any
 * version. */
#define EVC_VERSION_OURS_MIN (UINT64_C(1) << 40)

/** The writer bits for a region (< EVC_VERSION_REGION_MAX) and slot (< EVC_VERSION_SLOT_MAX). */
uint32_t evc_version_writer_make(unsigned region, unsigned slot);

/** What a node's raw CAS means: the version, or 0 when it was not minted by us. */
static inline evc_version
evc_version_from_cas(uint64_t cas)
{
    return cas >= EVC_VERSION_OURS_MIN ? cas : 0;
}

static inline uint32_t
evc_version_writer(evc_version version)
{
    return (uint32_t)(version & ((1U << EVC_VERSION_WRITER_BITS) - 1));
}

static inline unsigned
evc_version_region(evc_version version)
{
    return evc_version_writer(version) >> EVC_VERSION_SLOT_BITS;
}

/** Unix milliseconds of the version's time part. */
static inline uint64_t
evc_version_unix_ms(evc_version version)
{
    return (version >> (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS)) + EVC_VERSION_EPOCH_MS;
}

/** Whether a version lies no further ahead of unix_ms than drift_ms. Anything not ours is
 * acceptable. For entrances. */
bool evc_version_is_sane(evc_version version, uint64_t unix_ms, uint32_t drift_ms);

/**
 * What a raw CAS counts for that was found in a node: the version, or 0 (older than every version)
 * when it was not minted by us, or lies further ahead of unix_ms than the drift bound and an
 * ordinary skew: a bad clock minted it, and must not win over what good ones mint until then. To
 * write over it, compare the raw CAS.
 */
evc_version evc_version_trusted(uint64_t cas, uint64_t unix_ms, uint32_t drift_ms);

/** One writer's clock. Belongs to one thread. */
struct evc_version_clock {
    uint32_t writer;         /* immutable after init */
    uint32_t drift_ms;       /* immutable after init */
    uint64_t last_tick;      /* milliseconds since the epoch above and counter, as in a version */
    uint64_t lane;           /* where in a millisecond its counter begins: 0 or half of it */
    uint64_t *kept_tick;     /* where last_tick survives a restart, or NULL */
    uint64_t refused_total;  /* observed versions beyond the drift bound */
    uint64_t returned_total; /* times it went back to a wall that had been far ahead */
};

void evc_version_clock_init(struct evc_version_clock *clock, uint32_t writer, uint32_t drift_ms);

/**
 * Takes up where an earlier life of this writer left its clock, and from now on leaves every minted
 * tick there (one store, no system call). cell outlives the clock. Without it, a writer that is
 * restarted after observing a version ahead of its wall clock could mint one twice.
 */
void evc_version_clock_keep(struct evc_version_clock *clock, uint64_t *cell);

/**
 * A new version, above all this clock minted or observed (or returned_total counts) and not behind
 * the wall clock.
 * unix_ms: the wall clock now, in Unix milliseconds; may jump backwards.
 */
evc_version evc_version_clock_mint(struct evc_version_clock *clock, uint64_t unix_ms);

/**
 * Learns of a version seen anywhere. 0 is ignored. Returns false, counts and changes nothing when
 * the version lies beyond the drift bound: the caller must refuse what carried it.
 */
bool evc_version_clock_observe(struct evc_version_clock *clock, evc_version version,
                               uint64_t unix_ms);

#endif
