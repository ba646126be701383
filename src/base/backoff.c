/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential back-off. The jitter keeps clients of one dead node from coming back in step. */
#include "base/backoff.h"

#include <assert.h>

void
evc_backoff_init(struct evc_backoff *backoff, uint32_t min_ms, uint32_t max_ms, uint64_t seed)
{
    assert(min_ms <= max_ms);
    *backoff = (struct evc_backoff){.min_ms = min_ms, .max_ms = max_ms, .seed = seed};
}

/* splitmix64: any seed will do, zero too. */
static uint64_t
backoff_random(struct evc_backoff *backoff)
{
    uint64_t mixed = backoff->seed += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

uint32_t
evc_backoff_next_ms(struct evc_backoff *backoff)
{
    uint64_t nominal = backoff->max_ms;
    uint64_t jittered;

    if (backoff->attempt < 32 && (uint64_t)backoff->min_ms << backoff->attempt < nominal) {
        nominal = (uint64_t)backoff->min_ms << backoff->attempt;
        backoff->attempt++;
    }
    jittered = nominal - nominal / 4 + backoff_random(backoff) % (nominal / 2 + 1);
    return jittered < UINT32_MAX ? (uint32_t)jittered : UINT32_MAX;
}

void
evc_backoff_reset(struct evc_backoff *backoff)
{
    backoff->attempt = 0;
}
