/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a proxy process: a worker's writer for applications and applier for the other
 * regions' relays, sharing one clock and one journal as in production.
 */
#ifndef EVC_SIM_PROXY_H
#define EVC_SIM_PROXY_H

#include <stdbool.h>

#include "replication/apply.h"
#include "replication/write.h"

struct sim_process;

/** Called when its process starts, entered; memory is the process's. */
void sim_proxy_start(struct sim_process *process);

/** An application's request, now. The answer goes to the history's write of that number. */
void sim_proxy_write(struct sim_process *process, const struct evc_write_request *request,
                     unsigned write);

/** A replicated write arrives at its receiver. */
void sim_proxy_apply(struct sim_process *process, const struct evc_replica *replica,
                     evc_apply_fn done, void *ctx, uint64_t tag);

bool sim_proxy_is_idle(const struct sim_process *process);

#endif
