/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a proxy process consists of; private to proxy.c, which puts it together and takes it apart,
 * and status.c, which tells of it. Everything but the workers' insides is written before the first
 * thread starts and after the last has ended.
 */
#ifndef EVC_PROXY_PROCESS_H
#define EVC_PROXY_PROCESS_H

#include <jansson.h>

#include "base/metric.h"
#include "daemon/node_sizes.h"
#include "http/admin.h"
#include "proxy/proxy.h"
#include "proxy/worker.h"
#include "survey/watch.h"

enum {
    EVC_PROXY_FEED_MS_MAX = 1000, /* on the way out: how long the journals are fed */
};

struct evc_proxy {
    struct evc_proxy_options options;
    const struct evc_config_region *region;
    struct evc_topology *topology;
    struct evc_queue *queue;
    /* journals[i] is worker i's; behind those, journals of workers that are no longer configured */
    struct evc_journal *journals[EVC_CONFIG_WORKER_MAX];
    unsigned journal_count;
    struct evc_feeder *feeder;
    struct evc_worker workers[EVC_CONFIG_WORKER_MAX];
    unsigned worker_count; /* open; fixed before the first of their threads runs */
    struct evc_admin *admin;
    struct evc_node_sizes *node_sizes;
    struct evc_watch *watch; /* of the region's first proxy: the dashboard; NULL in others */
    uint64_t started_unix_us;
    atomic_uint connections;
    struct evc_flush_schedule flush_schedule;
    /* sums for `stats nodes`, one array per worker: each is used by that worker's thread only */
    struct evc_engine_node_stats *node_sums[EVC_CONFIG_WORKER_MAX];
};

/** The figures of all workers; the asking one's are published first. An asking worker's thread. */
void evc_proxy_collect(void *ctx, struct evc_service *service, struct evc_totals *ret);

/**
 * The proxy's journals, journal_count of them, and behind those the journals of clients that this
 * proxy speaks for. To be freed; NULL without memory. Any thread.
 */
struct evc_journal_peek *evc_proxy_journals(const struct evc_proxy *proxy, unsigned *ret_count);

/** The body of /status.json. Any thread. NULL without memory. */
json_t *evc_proxy_status(void *ctx);

/** The body of /metrics. Any thread. False without memory. */
bool evc_proxy_metrics(void *ctx, struct evc_metric_page *page);

/** Adds all workers up. nodes, scratch: an array by node index each. Any thread. */
void evc_proxy_sum(struct evc_proxy *proxy, struct evc_worker_figures *ret,
                   struct evc_engine_node_stats *nodes, struct evc_engine_node_stats *scratch);

/** Whether every worker can reach its nodes. Any thread. */
bool evc_proxy_is_ready(void *ctx);

#endif
