/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process's feeder thread does, in steps: takes released events from the journal, makes a
 * record per partition, appends them to the region's queue, and only then tells the journal.
 * Production code encodes the records and keeps the journal.
 */
#ifndef EVC_SIM_FEEDER_H
#define EVC_SIM_FEEDER_H

#include <stdbool.h>

struct sim_process;

struct sim_feeder {
    bool is_due;    /* a step is scheduled */
    bool dies_next; /* its process is killed between the next append and the journal's hearing of it
                     */
};

/** There may be something to feed. */
void sim_feeder_ring(struct sim_process *process);

#endif
