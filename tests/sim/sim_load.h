/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a seed does to its world: the plan (sizes, latencies, chances), the writes of applications
 * and the faults, all scheduled before time begins.
 */
#ifndef EVC_SIM_LOAD_H
#define EVC_SIM_LOAD_H

struct sim_plan;
struct sim_random;
struct sim_world;

enum {
    SIM_LONG_TTL_S = 3600 /* outlives every run */
};

/** Draws a plan. */
void sim_load_plan(struct sim_plan *plan, struct sim_random *random);

/** Schedules the writes and faults of the world's plan. */
void sim_load_schedule(struct sim_world *world);

#endif
