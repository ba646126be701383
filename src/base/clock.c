/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the system for the time. */
#include "base/clock.h"

#include <assert.h>
#include <time.h>

static uint64_t
clock_us(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);

    assert(failed == 0); /* only an unknown clock id fails */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
evc_clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t
evc_clock_unix_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

void
evc_moment_refresh(struct evc_moment *moment)
{
    moment->mono_us = evc_clock_mono_us();
    moment->unix_us = evc_clock_unix_us();
}
