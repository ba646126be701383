/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's feeder: production's rounds (queue/feed.h) without the thread around them. A kill may
 * fall into a round between the queue's having the events and the journal's hearing of it.
 */
#ifndef EVC_SIM_FEEDER_H
#define EVC_SIM_FEEDER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "queue/feed.h"

struct sim_process;

struct sim_feeder {
    struct evc_feed feed; /* in the process's memory */
    bool is_due;          /* a round is scheduled */
    struct evc_feed_source source;
    bool dies_next; /* the process is killed in its next round that appends something */
    jmp_buf killed; /* where production code is left for ever */
};

/** Called when its process starts, entered. */
void sim_feeder_start(struct sim_process *process);

/** There may be something to feed. */
void sim_feeder_ring(struct sim_process *process);

/** The queue has taken events of a round; does not return when that is where the process dies. */
void sim_feeder_has_appended(struct sim_process *process, uint64_t events);

#endif
