/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What befalls nodes, processes and clocks, and what others do to the nodes, as the plan has it,
 * scheduled before time begins.
 */
#ifndef EVC_SIM_FAULTS_H
#define EVC_SIM_FAULTS_H

struct sim_world;

/** Schedules them up to the plan's faults_until_us, and what must come after. */
void sim_faults_schedule(struct sim_world *world);

#endif
