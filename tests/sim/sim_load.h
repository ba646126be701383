/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writes of applications and the faults, as the plan has them, scheduled before time begins.
 */
#ifndef EVC_SIM_LOAD_H
#define EVC_SIM_LOAD_H

struct sim_world;

/** Schedules the writes and faults of the world's plan. */
void sim_load_schedule(struct sim_world *world);

#endif
