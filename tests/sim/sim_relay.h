/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a region's relay process, imitating src/relay's loop: per group a consumer of the
 * queue and an evc_consume over a shipment (other regions) or repair (its own); polls while there
 * is room, commits position and books together.
 */
#ifndef EVC_SIM_RELAY_H
#define EVC_SIM_RELAY_H

#include <stdbool.h>

#include "replication/books.h"

struct sim_link;
struct sim_process;

/** Called when its process starts, entered; memory is the process's. */
void sim_relay_start(struct sim_process *process);

/** There may be something to do. Safe for a dead process. */
void sim_relay_wake(struct sim_process *process);

/** Nothing under way and everything in the queue committed past. */
bool sim_relay_is_idle(struct sim_process *process);

/** The link to a region; not for its own. */
struct sim_link *sim_relay_link(struct sim_process *process, unsigned region);

/** The books of a group and partition; *ret_open: events in batches not folded. */
void sim_relay_books(struct sim_process *process, unsigned group, unsigned partition,
                     struct evc_books_totals *ret, uint64_t *ret_open);

#endif
