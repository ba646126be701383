/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the canaries of the other regions (topology/canary.h) where they should have arrived, each
 * on the one node of this region it was made for: how old a reader here would find them is known
 * with no traffic at all. The relay's clock is put right by what its link has measured of the
 * source's, so a wrong clock is no age. The age is that of what was read last, not of the newest
 * ever seen: where an older one has come back, that is what a reader finds, and it is counted; so
 * is a source's clock that has stepped back. One relay of the region does. Owner: its loop.
 */
#ifndef EVC_RELAY_CANARY_WATCH_H
#define EVC_RELAY_CANARY_WATCH_H

#include <jansson.h>

#include "base/clock.h"
#include "base/metric.h"
#include "meta/node_op.h"
#include "topology/canary.h"
#include "topology/topology.h"

enum {
    EVC_WATCH_STALE_ROUNDS = 3,      /* a canary older than so many rounds and */
    EVC_WATCH_STALE_SLACK_MS = 1000, /* that much more is stale */
    EVC_WATCH_READS_PER_TICK = 64,
};

struct evc_canary_watch;

struct evc_canary_watch_options {
    const struct evc_topology *topology;
    struct evc_node_port *port;
    const struct evc_moment *now;
    /** How far the source's clock is ahead of ours, microseconds; 0 while unknown. */
    int64_t (*ahead_us)(void *ctx, unsigned source);
    void *ctx;
};

/** *ret is NULL where canaries are off or there is no other region. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_canary_watch_create(const struct evc_canary_watch_options *options,
                                         struct evc_canary_watch **ret);

/** No read may be in flight. Accepts NULL, as the others below do. */
void evc_canary_watch_destroy(struct evc_canary_watch *watch);

/** Reads what is due. Every tick. */
void evc_canary_watch_tick(struct evc_canary_watch *watch);

/** The families evcache_canary_…. */
void evc_canary_watch_metrics(const struct evc_canary_watch *watch, struct evc_metric_page *page);

/** [{source, keys, stale, missing, went_back, oldest_us}, …], empty for NULL. NULL without memory.
 */
json_t *evc_canary_watch_report(const struct evc_canary_watch *watch);

#endif
