/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_random.h. The generator is splitmix64 (Steele, Lea and Flood; public domain). */
#include "sim_random.h"

#include <assert.h>

void
sim_random_init(struct sim_random *random, uint64_t seed)
{
    random->state = seed;
}

uint64_t
sim_random_next(struct sim_random *random)
{
    uint64_t bits = random->state += UINT64_C(0x9E3779B97F4A7C15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bits ^ (bits >> 31);
}

uint64_t
sim_random_below(struct sim_random *random, uint64_t bound)
{
    assert(bound > 0);
    return sim_random_next(random) % bound;
}

uint64_t
sim_random_between(struct sim_random *random, uint64_t low, uint64_t high)
{
    assert(low <= high);
    return low + sim_random_below(random, high - low + 1);
}

bool
sim_random_chance(struct sim_random *random, unsigned per_mille)
{
    return sim_random_below(random, 1000) < per_mille;
}

uint64_t
sim_random_spread(struct sim_random *random, uint64_t low, uint64_t high)
{
    unsigned doublings = 0;
    uint64_t from, to;

    assert(low > 0 && low <= high);
    while (low << (doublings + 1) <= high) {
        doublings++;
    }
    from = low << sim_random_below(random, doublings + 1);
    to = from * 2 < high ? from * 2 : high;
    return sim_random_between(random, from, to);
}
