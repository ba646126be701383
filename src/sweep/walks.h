/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over all nodes of some copies, EVC_WALKS_MAX nodes at once, each by a connection of its
 * own (engine/node_walk.h). It never pauses, because memcached does not bear it: what cannot be
 * taken in now is left out, and comes again with another walk. Owner: the sweep's loop.
 */
#ifndef EVC_SWEEP_WALKS_H
#define EVC_SWEEP_WALKS_H

#include "engine/node_walk.h"
#include "sweep/sweep.h"

enum {
    EVC_WALKS_MAX = 8
};

struct evc_walks {
    /* set by the caller */
    struct evc_sweep *sweep;
    struct evc_copy_set copies; /* whose nodes are walked */
    void (*on_item)(void *ctx, unsigned copy, const struct evc_node_dump_line *item);
    void (*on_end)(void *ctx); /* once, when every walk is over; may come from within start */
    void *ctx;
    /* to be read */
    uint64_t items; /* told so far */
    unsigned nodes_failed;
    char why[EVC_NODE_WALK_WHY_BYTES]; /* of the first node that failed; names it */
    /* internal */
    struct evc_walks_one {
        struct evc_node_walk walk;
        struct evc_walks *walks;
        unsigned copy;
        bool is_busy;
    } ones[EVC_WALKS_MAX];
    unsigned copy, node; /* the next to be walked */
    unsigned running;
    bool is_stopping;
};

void evc_walks_start(struct evc_walks *walks);

/** Ends it early; on_end comes later. Harmless when it has ended. */
void evc_walks_stop(struct evc_walks *walks);

#endif
