/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's connections to the nodes of its region, as the engine keeps them: what is sent on one
 * connection arrives and is answered in order. It is the node port production code is given.
 *
 * Kept faithfully, because rules depend on it:
 *   - an operation past its deadline ends as UNKNOWN and may take effect later all the same;
 *   - until an overdue answer comes, further operations on that connection are REFUSED;
 *   - when a connection breaks, or its process is killed, what is on its way may still take effect.
 */
#ifndef EVC_SIM_PORT_H
#define EVC_SIM_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "meta/node_op.h"
#include "sim_node.h"

struct sim_process;
struct sim_conn;

/** A command on its way; the world's, not the process's. */
struct sim_request {
    struct evc_list link;      /* the world's requests */
    struct evc_list conn_link; /* its connection's, in the order they were sent */
    struct evc_list wait_link; /* a frozen node's */
    uint64_t id;
    struct sim_conn *conn;
    struct evc_node_op *op; /* NULL: nobody waits for the answer */
    bool is_lost;           /* the connection broke: it never arrives */
    bool has_arrived;
    struct sim_command command;
    struct sim_answer answer;
};

struct sim_port {
    struct evc_node_port port; /* first */
    struct sim_process *process;
    struct sim_conn *conns[SIM_ZONE_MAX][SIM_NODES_PER_ZONE_MAX];
};

void sim_port_init(struct sim_port *port, struct sim_process *process);

/** The process is gone: its operations are nobody's, what it sent may land. */
void sim_port_orphan(struct sim_port *port);

/** The request reaches its node. Called by the connection, and when a frozen node thaws or dies. */
void sim_request_arrive(struct sim_request *request);

/** Every connection to a node breaks. */
void sim_port_break_node(struct sim_node *node);

/** Frees every connection and request of a world that is being destroyed. */
void sim_port_free_all(struct sim_world *world);

#endif
