/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over all items of one node, on a connection of its own beside the engine's: keys, raw CAS,
 * expiry and size, no values. memcached walks its hash table, so that every item that stays is told
 * once; items that come or go meanwhile may or may not be told. The node serves others all the
 * while. Owner: the loop's thread.
 *
 * Pauses must be short: memcached (1.6.38) that cannot send for a second begins its buffer anew,
 * and what it has sent of it comes again, from the middle of a line.
 */
#ifndef EVC_ENGINE_NODE_WALK_H
#define EVC_ENGINE_NODE_WALK_H

#include "meta/node_dump.h"
#include "net/stream.h"
#include "topology/topology.h"

enum {
    EVC_NODE_WALK_INPUT_BYTES_MAX = 1024 * 1024,
    EVC_NODE_WALK_OUTPUT_BYTES_MAX = 1024,
    EVC_NODE_WALK_LOOK_MS = 100,    /* how often a busy node is asked again, */
    EVC_NODE_WALK_BUSY_MAX = 100,   /* at most */
    EVC_NODE_WALK_SILENT_MS = 5000, /* a node that says nothing for so long is given up */
    EVC_NODE_WALK_WHY_BYTES = 160,
};

struct evc_node_walk {
    /* set by the caller */
    /** False: enough for now; the same item comes again after evc_node_walk_resume. */
    bool (*on_item)(struct evc_node_walk *walk, const struct evc_node_dump_line *item);
    /** Once, when everything is over and the walk may be freed. why: NULL when all was told. */
    void (*on_end)(struct evc_node_walk *walk, const char *why);
    void *ctx;
    /* internal */
    struct evc_loop *loop;
    const struct evc_node *node;
    struct evc_stream stream;
    uv_timer_t timer;
    struct evc_node_dump dump;
    unsigned busy_count;
    uint64_t heard_us;  /* when the node last said something, or was not to */
    uint64_t looked_us; /* the timer's last call */
    bool is_busy, is_paused, is_over;
    char why[EVC_NODE_WALK_WHY_BYTES];
};

/** Starts; node and loop outlive the walk. on_end comes later, always. */
void evc_node_walk_start(struct evc_node_walk *walk, struct evc_loop *loop,
                         const struct evc_node *node);

/** After on_item said false. */
void evc_node_walk_resume(struct evc_node_walk *walk);

/** Ends it early, with why (copied): on_end comes later. Harmless when it is ending. */
void evc_node_walk_stop(struct evc_node_walk *walk, const char *why);

#endif
