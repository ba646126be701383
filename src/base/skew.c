/* SPDX-License-Identifier: Apache-2.0 */
/* See skew.h. */
#include "base/skew.h"

void
evc_skew_reset(struct evc_skew *skew)
{
    *skew = (struct evc_skew){.count = 0};
}

void
evc_skew_add(struct evc_skew *skew, uint64_t asked_us, uint64_t theirs_us, uint64_t came_us)
{
    uint64_t round_trip_us = came_us - asked_us;

    if (came_us < asked_us) {
        return;
    }
    skew->samples[skew->next] = (struct evc_skew_sample){
        .ahead_us = (int64_t)(theirs_us - (asked_us + round_trip_us / 2)),
        .round_trip_us = round_trip_us,
    };
    skew->next = (skew->next + 1) % EVC_SKEW_SAMPLES_MAX;
    skew->count += skew->count < EVC_SKEW_SAMPLES_MAX;
}

bool
evc_skew_get(const struct evc_skew *skew, struct evc_skew_sample *ret)
{
    const struct evc_skew_sample *best = &skew->samples[0];

    if (skew->count == 0) {
        return false;
    }
    for (unsigned i = 1; i < skew->count; i++) {
        if (skew->samples[i].round_trip_us < best->round_trip_us) {
            best = &skew->samples[i];
        }
    }
    *ret = *best;
    return true;
}
