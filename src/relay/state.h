/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relay process consists of; shared by its assembly (relay.c), what it works at (work.c),
 * and what it tells (admin.c, status.c, metrics.c, explain.c).
 */
#ifndef EVC_RELAY_STATE_H
#define EVC_RELAY_STATE_H

#include "daemon/feeder_watch.h"
#include "daemon/report.h"
#include "engine/engine.h"
#include "http/admin.h"
#include "queue/feeder.h"
#include "relay/canary_watch.h"
#include "relay/group.h"
#include "relay/link.h"
#include "relay/prefixes.h"
#include "relay/relay.h"

struct evc_relay;

/** Another region: a group of the queue, its shipment and the link there. */
struct evc_destination {
    const struct evc_relay *relay;
    unsigned region;
    struct evc_link link;
    struct evc_ship *ship;
    struct evc_group group;
};

struct evc_relay {
    struct evc_relay_options options;
    const struct evc_config_region *region;
    char id[32]; /* "oregon/0", cut: how the relay names itself to receivers */
    uint64_t started_us;
    struct evc_topology *topology;
    struct evc_loop loop;
    struct evc_engine *engine;
    struct evc_version_clock clock;
    struct evc_queue *queue;
    struct evc_journal *journal;
    struct evc_feeder *feeder;
    struct evc_feeder_watch feeder_watch;
    struct evc_event_sink sink; /* into the journal, and rings the feeder at the end of the turn */
    bool has_events_to_feed;
    struct evc_prefix_top prefixes; /* of what is shipped, to all destinations together */
    struct evc_destination *destinations;
    unsigned destination_count;
    struct evc_repair *repair;
    struct evc_canary_watch *canaries; /* NULL: off, or another relay's */
    struct evc_group repair_group;
    struct evc_admin *admin;
    struct evc_loop_hook turn, tick;
    uv_idle_t busy; /* runs while records wait: the loop does not sleep */
    bool is_busy;
    uv_signal_t signals[2];
    bool is_stopping;
    bool is_engine_closed;
};

/**
 * Starts repair, the shipments and the canaries; the engine runs. What was started is given back by
 * relay.c, whatever is returned. EVC_E_*, with *error.
 */
EVC_MUST_USE int evc_relay_start_work(struct evc_relay *relay, struct evc_error *error);

/** Serves the admin address, as the last thing: it asks all the others. EVC_E_*, with *error. */
EVC_MUST_USE int evc_relay_start_admin(struct evc_relay *relay, struct evc_error *error);

/** The body of /status.json. Loop thread. NULL without memory. */
json_t *evc_relay_report(struct evc_relay *relay);

/** The body of /metrics. Loop thread. False without memory, or when the queue cannot be read. */
bool evc_relay_metrics(struct evc_relay *relay, struct evc_metric_page *page);

/** The body of /explain.json: what each destination's shipment knows of a key. Loop thread. NULL
 * without memory. */
json_t *evc_relay_explain(const struct evc_relay *relay, struct evc_slice key);

/** Commits what is done in every group, so that books and backlog are of one moment. Loop thread.
 */
void evc_relay_commit_all(struct evc_relay *relay);

#endif
