/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place that asks the system what time it is. Rules never call it: their callers pass the
 * time in, so that the simulation can run in virtual time.
 */
#ifndef EVC_BASE_CLOCK_H
#define EVC_BASE_CLOCK_H

#include <stdint.h>

/** Microseconds of a clock that never goes back; origin unspecified. For deadlines and durations.
 */
uint64_t evc_clock_mono_us(void);

/** Microseconds since 1970 UTC. For versions, expiry and lag. */
uint64_t evc_clock_unix_us(void);

/**
 * The time as one thread last looked: the loop refreshes its moment once per turn, the simulation
 * moves it. Rules hold a pointer to it.
 */
struct evc_moment {
    uint64_t mono_us;
    uint64_t unix_us;
};

void evc_moment_refresh(struct evc_moment *moment);

#endif
