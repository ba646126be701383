/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues this process has open. LMDB forbids to open one database twice in a process (closing
 * one would drop the other's locks), so handles of one region share their embedded queue; what a
 * feeder needs of it (append) may be called from several threads. Any thread.
 */
#ifndef EVC_LIBRARY_QUEUES_H
#define EVC_LIBRARY_QUEUES_H

#include "queue/queue.h"
#include "topology/config.h"

/** The region's queue, opened or shared. 0 or a status, with *error. */
EVC_MUST_USE int evc_queues_take(const struct evc_config *config, unsigned region,
                                 struct evc_queue **ret, struct evc_error *error);

/** Closes it when nobody else has it. Accepts NULL. */
void evc_queues_give_back(struct evc_queue *queue);

#endif
