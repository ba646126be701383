/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of /status.json that every process of evcache reports in the same words. Each function
 * returns a new JSON object the caller owns, or NULL without memory.
 */
#ifndef EVC_DAEMON_REPORT_H
#define EVC_DAEMON_REPORT_H

#include <jansson.h>

#include "base/histogram.h"
#include "engine/engine.h"
#include "queue/feeder.h"
#include "queue/journal.h"
#include "queue/queue.h"

struct evc_report_identity {
    const char *part; /* "proxy" or "relay" */
    const struct evc_config *config;
    unsigned region, index;
    uint64_t started_us; /* Unix microseconds */
};

/** part, cache, region, index, pid, version, now_us (Unix time), uptime_s, cpu_us (user and system,
 * of this process). */
json_t *evc_report_process(const struct evc_report_identity *identity);

/** User and system time of this process, microseconds. */
uint64_t evc_report_cpu_us(void);

/** bytes_used, bytes_max, waiting, oldest_us (Unix; 0: none waits), lost, replayed. */
json_t *evc_report_journal(const struct evc_journal_stats *stats);

/** records, events, full, append_errors, stalled, error. */
json_t *evc_report_feeder(struct evc_feeder *feeder);

/** bytes, bytes_max. */
json_t *evc_report_queue(struct evc_queue *queue);

/** One node as an engine sees it: node, zone, state, why, ops, refused, unknown, errors,
 * reconnects. */
json_t *evc_report_node(const struct evc_topology *topology, const struct evc_node *node,
                        const struct evc_engine_node_stats *stats);

/** An array with the first count numbers of produced. */
json_t *evc_report_produced(const uint64_t *produced, unsigned count);

/** count, p50, p99, p999, max. */
json_t *evc_report_lag(const struct evc_histogram *lag);

/** The buckets that are not empty: [[index, count], …], to be merged by the reader. */
json_t *evc_report_buckets(const struct evc_histogram *lag);

/** Sets object[name] = integer; true unless out of memory. Counters beyond 2^63 do not happen. */
bool evc_report_set(json_t *object, const char *name, uint64_t value);

#endif
