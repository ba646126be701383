/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of a proxy. Each worker counts in plain memory of its own and publishes a copy (a
 * cell, read without a lock) every EVC_STATS_PUBLISH_MS, and whenever one of its own clients asks;
 * whoever wants the figures of all workers (a stats command, /status.json) adds the published
 * copies. So the request path has no shared cell at all, and what a reader sees of other workers is
 * at most that old.
 */
#ifndef EVC_PROXY_STATS_H
#define EVC_PROXY_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cell.h"
#include "engine/engine.h"
#include "engine/read.h"
#include "proxy/canary.h"
#include "replication/apply.h"
#include "replication/write.h"

enum {
    EVC_STATS_PUBLISH_MS = 50
};

/** What connections count. */
struct evc_counters {
    uint64_t connections; /* applications, now */
    uint64_t connections_total;
    uint64_t connections_rejected_total;
    uint64_t connections_slow_total;       /* closed because they did not read */
    uint64_t connections_unfinished_total; /* closed because a request did not go on */
    uint64_t receivers;                    /* relays, now */
    uint64_t receivers_total;
    uint64_t receivers_refused_total; /* closed for what they sent */
    uint64_t receivers_silent_total;  /* closed because they did not greet */
    uint64_t cmd_get, cmd_set, cmd_delete, cmd_touch, cmd_meta, cmd_flush;
    uint64_t get_hits, get_misses, get_errors;
    uint64_t touch_hits, touch_misses;
    uint64_t delete_hits, delete_misses;
    uint64_t cas_hits, cas_misses, cas_badval;
    uint64_t incr_hits, incr_misses, decr_hits, decr_misses;
    uint64_t bad_requests; /* answered with ERROR or CLIENT_ERROR */
    uint64_t not_served;   /* commands and flags this proxy refuses */
    uint64_t too_large;
    uint64_t staged_dropped; /* replies there was no memory to keep, or larger than may be sent */
    uint64_t read_again;     /* values there was no room to keep until their turn */
    uint64_t bytes_read, bytes_written;
};

/** One worker's figures at one moment. */
struct evc_worker_figures {
    struct evc_counters counters;
    struct evc_reader_stats reads;
    struct evc_write_stats writes;
    struct evc_apply_stats applies;
    uint64_t clock_refused, clock_returned;
    struct evc_canary_stats canary; /* of the worker that writes them */
    uint64_t turn_busy_us_max;
    struct evc_latency turns;
    bool is_ready;
};

/** The sums over all workers of a process. */
struct evc_totals {
    struct evc_worker_figures sum;
    unsigned worker_count;
    const struct evc_topology *topology; /* names of zones and nodes; may be NULL */
    struct evc_engine_node_stats *nodes; /* topology->node_count, summed; owned by the collector */
    uint64_t started_unix_us;
};

/** Where a worker publishes. Any thread reads. */
struct evc_figures_box {
    struct evc_cell cell; /* the figures, then those of the nodes */
    unsigned node_count;  /* immutable after init */
};

/** 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_figures_box_init(struct evc_figures_box *box, unsigned node_count);
void evc_figures_box_finish(struct evc_figures_box *box);

/** nodes: node_count of them. */
void evc_figures_box_put(struct evc_figures_box *box, const struct evc_worker_figures *figures,
                         const struct evc_engine_node_stats *nodes);

/** Copies the figures out and, where nodes is not NULL, those of the nodes. */
void evc_figures_box_get(struct evc_figures_box *box, struct evc_worker_figures *ret,
                         struct evc_engine_node_stats *nodes);

/** Adds from to into. is_ready: of both. */
void evc_figures_add(struct evc_worker_figures *into, const struct evc_worker_figures *from);

/** Adds one node's figures as another worker sees it; the worse state and its reason stay. */
void evc_node_figures_add(struct evc_engine_node_stats *into,
                          const struct evc_engine_node_stats *from);

#endif
