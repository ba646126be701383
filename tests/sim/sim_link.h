/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from a relay to the receivers of one other region: items with delay, loss of the
 * connection (what is on its way may still arrive, its answer never does), items that arrive twice,
 * and in some seeds out of order, as retries over a second connection would.
 */
#ifndef EVC_SIM_LINK_H
#define EVC_SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/ship.h"

struct sim_process;
struct sim_world;

struct sim_link {
    struct evc_ship_link link; /* first; what evc_ship is given */
    struct sim_process *relay;
    struct evc_ship *ship;
    unsigned region;              /* the destination */
    struct sim_process *receiver; /* NULL: not connected */
    uint64_t receiver_life;
    uint64_t epoch; /* counts connections; answers of another one are not heard */
    uint64_t arrives_us;
    unsigned in_flight;
    bool has_refused; /* ship waits to hear that there is room */
};

/** In the relay's memory. Starts connecting. */
void sim_link_init(struct sim_link *link, struct sim_process *relay, unsigned region);

/** A process is killed: connections from or to it are lost. Called before its memory goes. */
void sim_link_forget_process(struct sim_process *process);

void sim_link_free_all(struct sim_world *world);

#endif
