/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of one worker: a persistent, pipelined connection to every node of the region, and a
 * port (meta/node_op.h) through which everybody submits operations. One per loop; proxy workers,
 * receivers, relays and tools all use it. All requests to a node in one turn leave in one write.
 *
 * A node's connection:
 *   DOWN ─connect─▶ CONNECTING ─▶ CHECKING (version, CAS enabled) ─▶ UP ⇄ SILENT
 *    ▲ └──── back-off, a half-open probe each time ◀───────┘           └▶ DOWN (closed)
 * SILENT: the answer to the oldest request is overdue. New operations are refused at once; the
 * connection is kept, because bytes already sent may still take effect and their answers tell when
 * that is over; the first answer makes it UP again. Answers to operations that were given up are
 * taken in order and thrown away. Where the node's whole host is gone, the kernel closes the
 * connection after EVC_STREAM_USER_TIMEOUT_MS.
 *
 * Operations past their deadline end as EVC_NODE_UNKNOWN whatever the node does, at the first tick
 * after it (a loop that was away for long looks at its sockets first). Of those on their way when a
 * connection is lost, the ones of which no byte was handed to the kernel end as EVC_NODE_REFUSED,
 * all others as EVC_NODE_UNKNOWN.
 *
 * on_done may submit again, close the engine, anything. A refusal calls it from within submit;
 * where refusals nest too deep the rest come at the next tick.
 *
 * Bounds: operations in flight and bytes waiting per node; beyond them operations are refused.
 */
#ifndef EVC_ENGINE_ENGINE_H
#define EVC_ENGINE_ENGINE_H

#include "base/error.h"
#include "base/histogram.h"
#include "base/latency.h"
#include "meta/node_op.h"
#include "net/loop.h"
#include "topology/topology.h"

enum {
    EVC_ENGINE_NODE_OPS_MAX = 65536, /* in flight per node */
    /* Waiting for a node, beyond which it is sent nothing more; the last may have any value. */
    EVC_ENGINE_NODE_OUTPUT_BYTES_MAX = 64 * 1024 * 1024,
    EVC_NODE_VERSION_MAJOR_MIN = 1,
    EVC_NODE_VERSION_MINOR_MIN = 6,
    EVC_NODE_VERSION_PATCH_MIN = 27,
};

enum evc_node_state {
    EVC_NODE_STATE_DOWN,
    EVC_NODE_STATE_CONNECTING,
    EVC_NODE_STATE_CHECKING,
    EVC_NODE_STATE_UP,
    EVC_NODE_STATE_SILENT,
    EVC_NODE_STATE_UNFIT, /* connected, but too old or CAS is off; tried again with back-off */
    EVC_NODE_STATE_MAX,
};

const char *evc_node_state_str(enum evc_node_state state);

struct evc_engine;

struct evc_engine_options {
    uint32_t connect_timeout_ms;
    /**
     * Told of every change of a node's state, for the log; why is NULL or says it (an unfit node
     * with its version and the one needed). Attempts in a row that fail for one reason are told
     * once, without their CONNECTING and CHECKING; nothing is told once the engine is closing. May
     * be NULL.
     */
    void (*on_node_state)(void *ctx, const struct evc_node *node, enum evc_node_state state,
                          const char *why);
    void *ctx;
};

/** Starts connecting at the loop's next tick. Takes a reference of topology. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_engine_create(struct evc_loop *loop, struct evc_topology *topology,
                                   const struct evc_engine_options *options,
                                   struct evc_engine **ret, struct evc_error *error);

/**
 * Ends every operation (REFUSED or UNKNOWN) and closes the connections; on_closed (may be NULL)
 * comes from a later tick of the loop, when all have ended and everything is freed. Until then the
 * port refuses.
 */
void evc_engine_close(struct evc_engine *engine, void (*on_closed)(void *ctx), void *ctx);

/** The port to submit to; lives as long as the engine. */
struct evc_node_port *evc_engine_port(struct evc_engine *engine);

struct evc_engine_node_stats {
    enum evc_node_state state;
    uint64_t ops_total, refused_total, unknown_total, errors_total, reconnects_total;
    uint64_t in_flight;
    uint64_t bytes_in, bytes_out;
    struct evc_latency answers; /* from submission to answer, of what was not given up */
    char why[128];              /* last reason for not being UP; kept when it is UP again */
};

/** Owner thread. node: 0 to topology->node_count - 1. */
void evc_engine_node_stats(const struct evc_engine *engine, unsigned node,
                           struct evc_engine_node_stats *ret);

/** Whether every node is UP. Owner thread. */
bool evc_engine_is_ready(const struct evc_engine *engine);

#endif
