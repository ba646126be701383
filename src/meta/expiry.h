/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached's exptime and what it means in time: 0 never, up to 30 days relative, larger a Unix
 * time, negative at once. Nodes count in whole seconds of their own clock, so remaining time is
 * what travels between regions (up to 30 days, where a clock's error begins not to matter), and
 * absolute time is only compared with the clock of whoever computed it.
 */
#ifndef EVC_META_EXPIRY_H
#define EVC_META_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/node_op.h"

/** Unix seconds when an item with this exptime expires; 0: never. Not for exptimes that are over.
 */
static inline uint32_t
evc_expiry_unix_s(int64_t exptime, uint64_t unix_us)
{
    if (exptime == 0) {
        return 0;
    }
    return (uint32_t)(exptime > EVC_TTL_DELTA_MAX_S ? exptime
                                                    : (int64_t)(unix_us / 1000000) + exptime);
}

/** Whether an item stored with this exptime is dead on arrival. */
static inline bool
evc_expiry_is_over(int64_t exptime, uint64_t unix_us)
{
    return exptime < 0 || (exptime > EVC_TTL_DELTA_MAX_S && (uint64_t)exptime <= unix_us / 1000000);
}

/** Seconds left to an item stored now with this exptime; -1: it never expires, 0: it is over. */
static inline int64_t
evc_expiry_remaining_s(int64_t exptime, uint64_t unix_us)
{
    if (exptime == 0) {
        return -1;
    }
    if (evc_expiry_is_over(exptime, unix_us)) {
        return 0;
    }
    return (int64_t)evc_expiry_unix_s(exptime, unix_us) - (int64_t)(unix_us / 1000000);
}

/** What a node's remaining time (-1: never) is as an exptime for another node; never below 1
 * second. More than 30 days must be said as a Unix time, which 32 bits hold in memcached. */
static inline int64_t
evc_expiry_from_remaining(int64_t ttl_s, uint64_t unix_us)
{
    int64_t unix_s = (int64_t)(unix_us / 1000000);

    if (ttl_s > EVC_TTL_DELTA_MAX_S) {
        return ttl_s < INT32_MAX - unix_s ? unix_s + ttl_s : INT32_MAX;
    }
    return ttl_s < 0 ? 0 : ttl_s == 0 ? 1 : ttl_s;
}

#endif
