/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writes of applications, as the plan has them, scheduled before time begins.
 */
#ifndef EVC_SIM_LOAD_H
#define EVC_SIM_LOAD_H

#include "replication/write.h"

struct sim_process;
struct sim_world;

/** Schedules the writes and faults of the world's plan. */
void sim_load_schedule(struct sim_world *world);

/** An application writes, now; nothing when the proxy is dead. */
void sim_load_write(struct sim_world *world, struct sim_process *process, unsigned key,
                    enum evc_write_kind kind);

struct sim_process *sim_load_any_proxy(struct sim_world *world);

#endif
