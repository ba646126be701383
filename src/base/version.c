/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hybrid logical clock. A tick is the upper 50 bits of a version (milliseconds and counter as
 * one number), so that an overflowing counter carries into the next millisecond by itself.
 */
#include "base/version.h"

#include <assert.h>

#define TICK_BITS (64 - EVC_VERSION_WRITER_BITS)
#define TICK_MAX ((UINT64_C(1) << TICK_BITS) - 1)
#define TICK_LANE (UINT64_C(1) << (EVC_VERSION_COUNTER_BITS - 1))
/* A wall clock from before 2020 must still mint what counts as ours. */
#define TICK_MIN (EVC_VERSION_OURS_MIN >> EVC_VERSION_WRITER_BITS)

uint32_t
evc_version_writer_make(unsigned region, unsigned slot)
{
    assert(region < EVC_VERSION_REGION_MAX);
    assert(slot < EVC_VERSION_SLOT_MAX);
    return region << EVC_VERSION_SLOT_BITS | slot;
}

static uint64_t
version_tick_of_wall(uint64_t unix_ms)
{
    uint64_t ms = unix_ms > EVC_VERSION_EPOCH_MS ? unix_ms - EVC_VERSION_EPOCH_MS : 0;
    uint64_t tick;

    if (ms > TICK_MAX >> EVC_VERSION_COUNTER_BITS) {
        ms = TICK_MAX >> EVC_VERSION_COUNTER_BITS;
    }
    tick = ms << EVC_VERSION_COUNTER_BITS;
    return tick > TICK_MIN ? tick : TICK_MIN;
}

void
evc_version_clock_init(struct evc_version_clock *clock, uint32_t writer, uint32_t drift_ms)
{
    assert(writer >> EVC_VERSION_WRITER_BITS == 0);
    *clock = (struct evc_version_clock){.writer = writer, .drift_ms = drift_ms};
}

void
evc_version_clock_keep(struct evc_version_clock *clock, uint64_t *cell)
{
    clock->kept_tick = cell;
    if (*cell > clock->last_tick && *cell <= TICK_MAX) {
        clock->last_tick = *cell;
        clock->lane = *cell & TICK_LANE;
    }
}

/** Whether nobody would trust what comes after the last tick. */
static bool
clock_is_far_ahead(const struct evc_version_clock *clock, uint64_t unix_ms)
{
    evc_version last = clock->last_tick << EVC_VERSION_WRITER_BITS;

    return last != 0 && evc_version_trusted(last, unix_ms, clock->drift_ms) == 0;
}

evc_version
evc_version_clock_mint(struct evc_version_clock *clock, uint64_t unix_ms)
{
    uint64_t wall = version_tick_of_wall(unix_ms);
    uint64_t tick = wall | clock->lane;

    if (tick <= clock->last_tick) {
        if (clock_is_far_ahead(clock, unix_ms)) {
            clock->lane ^= TICK_LANE;
            clock->returned_total++;
            tick = wall | clock->lane;
        } else {
            tick = clock->last_tick + 1;
        }
    }
    assert(tick <= TICK_MAX); /* the layout ends in 2089 */
    clock->last_tick = tick;
    if (clock->kept_tick) {
        *clock->kept_tick = tick;
    }
    return tick << EVC_VERSION_WRITER_BITS | clock->writer;
}

bool
evc_version_is_sane(evc_version version, uint64_t unix_ms, uint32_t drift_ms)
{
    return version < EVC_VERSION_OURS_MIN || evc_version_unix_ms(version) <= unix_ms + drift_ms;
}

evc_version
evc_version_trusted(uint64_t cas, uint64_t unix_ms, uint32_t drift_ms)
{
    evc_version version = evc_version_from_cas(cas);

    return evc_version_is_sane(version, unix_ms, drift_ms + EVC_VERSION_SKEW_MS) ? version : 0;
}

bool
evc_version_clock_observe(struct evc_version_clock *clock, evc_version version, uint64_t unix_ms)
{
    uint64_t tick = version >> EVC_VERSION_WRITER_BITS;

    if (!evc_version_is_sane(version, unix_ms, clock->drift_ms)) {
        clock->refused_total++;
        return false;
    }
    if (version >= EVC_VERSION_OURS_MIN && tick > clock->last_tick) {
        clock->last_tick = tick;
    }
    return true;
}
