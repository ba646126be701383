/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to one node: its state, and the operations on their way in the order they were
 * sent, because memcached answers in that order and says nothing else about which answer is whose.
 *
 *     slots[head] … slots[tail - 1]: sent and unanswered. A slot whose operation has passed its
 *     deadline is empty ("given up"): its answer is still taken, in order, and thrown away.
 *
 * Not here: deadlines (wheel.h), which node has a key (engine.c). Owner: the engine's loop.
 */
#ifndef EVC_ENGINE_NODE_CONN_H
#define EVC_ENGINE_NODE_CONN_H

#include "base/backoff.h"
#include "engine/engine.h"
#include "engine/wheel.h"
#include "meta/node_check.h"
#include "net/stream.h"

enum {
    EVC_NODE_CONN_SLOTS_FIRST = 256, /* doubled up to EVC_ENGINE_NODE_OPS_MAX */
    EVC_NODE_CONN_BACKOFF_MIN_MS = 50,
    EVC_NODE_CONN_BACKOFF_MAX_MS = 2000,
    EVC_ENGINE_REFUSALS_NESTED_MAX =
        16, /* on_done → submit → on_done …; deeper ones wait for a tick */
};

/** What all connections of an engine share. */
struct evc_engine_shared {
    struct evc_loop *loop;
    struct evc_engine_options options;
    struct evc_wheel wheel;        /* every unanswered operation, by op->link */
    struct evc_list refused_later; /* op->link */
    unsigned refusals_nested;
    bool is_closing;
};

struct evc_node_conn;

struct evc_node_slot {
    struct evc_node_op *op; /* NULL: given up */
    struct evc_node_conn *conn;
    uint64_t start; /* bytes of the connection before the request */
};

struct evc_node_conn {
    struct evc_engine_shared *shared;
    const struct evc_node *node;
    struct evc_stream stream;
    enum evc_node_state state;
    struct evc_backoff backoff;
    uint64_t due_us;             /* CONNECTING, CHECKING: until; DOWN, UNFIT: again at */
    struct evc_node_slot *slots; /* a ring of slot_count, a power of two */
    uint32_t slot_count;
    uint64_t head, tail; /* count up for ever */
    struct evc_node_parse parse;
    struct evc_node_check check;
    enum evc_node_state told_state; /* what on_node_state was last told */
    uint64_t ops_total, refused_total, unknown_total, errors_total, connects_total;
    uint64_t bytes_in, bytes_out; /* of former connections */
    struct evc_latency answers;   /* from submission to answer */
    char why[128];
};

/** Whether the machine may go from one state to the other. */
bool evc_node_state_allowed(enum evc_node_state from, enum evc_node_state to);

/** node outlives the connection. Connects at the first tick. */
void evc_node_conn_init(struct evc_node_conn *conn, struct evc_engine_shared *shared,
                        const struct evc_node *node);

/** Frees memory; the stream must be closed. */
void evc_node_conn_finish(struct evc_node_conn *conn);

/** Ends every operation and closes; from then on everything is refused. */
void evc_node_conn_close(struct evc_node_conn *conn);

bool evc_node_conn_is_closed(const struct evc_node_conn *conn);

/** Sends the operation, or refuses it; see evc_node_port. */
void evc_node_conn_submit(struct evc_node_conn *conn, struct evc_node_op *op);

/** The deadline of an operation on its way has passed. */
void evc_node_conn_give_up(struct evc_node_op *op);

/** Connects, or gives a connection attempt up, when it is time. */
void evc_node_conn_on_tick(struct evc_node_conn *conn);

void evc_node_conn_stats(const struct evc_node_conn *conn, struct evc_engine_node_stats *ret);

/** Ends an operation that was never sent, now or (nested too deep) at the next tick. */
void evc_engine_refuse(struct evc_engine_shared *shared, struct evc_node_op *op);

#endif
