/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation's own random numbers: a small generator whose whole state is one number, so that a
 * seed always gives the same run on every machine.
 */
#ifndef EVC_SIM_RANDOM_H
#define EVC_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
    uint64_t state;
};

void sim_random_init(struct sim_random *random, uint64_t seed);
uint64_t sim_random_next(struct sim_random *random);

/** 0 to bound - 1; bound is at least 1. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);

/** low to high, both possible. */
uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high);

/** True in so many of a thousand cases. */
bool sim_random_chance(struct sim_random *random, unsigned per_mille);

/** low to high, where every power of two between them is as likely as any other. */
uint64_t sim_random_spread(struct sim_random *random, uint64_t low, uint64_t high);

#endif
