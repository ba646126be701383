/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How full a region's memcached nodes are: a thread asks each of them `stats` every five seconds,
 * over a connection of its own, so that it is in no request's way. For status and fail-over
 * readiness.
 */
#ifndef EVC_DAEMON_NODE_SIZES_H
#define EVC_DAEMON_NODE_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "topology/topology.h"

enum {
    EVC_NODE_SIZES_PERIOD_MS = 5000,
    EVC_NODE_SIZES_TIMEOUT_MS = 500,             /* for one node's answer */
    EVC_NODE_SIZES_ANSWER_BYTES_MAX = 64 * 1024, /* of one node */
};

struct evc_node_size {
    uint64_t items;            /* curr_items */
    uint64_t bytes, bytes_max; /* bytes, limit_maxbytes */
    uint64_t evictions;
    uint64_t unix_s; /* its time; 0: it does not tell */
};

/**
 * Reads the answer to `stats` from the front of input. EVC_E_AGAIN: more bytes are needed;
 * EVC_E_PROTO: it is none, or lacks one of the four numbers.
 */
EVC_MUST_USE int evc_node_size_parse(struct evc_slice input, struct evc_node_size *ret);

/** Asks one node and waits for its answer. False: it does not answer in time, or not with it. */
EVC_MUST_USE bool evc_node_size_ask(const struct evc_address *address, struct evc_node_size *ret);

struct evc_node_sizes;

/** Takes a reference of topology. EVC_E_NOMEM, or EVC_E_SYS when there is no thread. */
EVC_MUST_USE int evc_node_sizes_start(struct evc_topology *topology, struct evc_node_sizes **ret,
                                      struct evc_error *error);

/** Waits for a question under way: EVC_NODE_SIZES_TIMEOUT_MS at most. Accepts NULL. */
void evc_node_sizes_stop(struct evc_node_sizes *sizes);

/** What a node (its index in the topology) said last; false when it did not answer. Any thread. */
bool evc_node_sizes_get(struct evc_node_sizes *sizes, unsigned node_index,
                        struct evc_node_size *ret);

#endif
