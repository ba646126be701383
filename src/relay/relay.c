/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See relay.h. Start-up acquires in the order of struct evc_relay and gives back in reverse; while
 * it runs, everything happens on one loop: the end of each turn polls the groups, each tick retries
 * and commits.
 */
#include "relay/relay.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/storage.h"
#include "relay/state.h"

enum {
    RELAY_DRAIN_MS = 500,
};

/* --- at work --- */

static void set_busy(struct evc_relay *relay, bool is_busy);

static void
on_busy(uv_idle_t *handle)
{
    (void)handle; /* its existence keeps the loop from sleeping; the turn's end does the work */
}

static void
set_busy(struct evc_relay *relay, bool is_busy)
{
    if (relay->is_busy == is_busy) {
        return;
    }
    relay->is_busy = is_busy;
    if (is_busy) {
        uv_idle_start(&relay->busy, on_busy);
    } else {
        uv_idle_stop(&relay->busy);
    }
}

static void
on_turn(struct evc_loop_hook *hook)
{
    struct evc_relay *relay = EVC_CONTAINER_OF(hook, struct evc_relay, turn);
    bool has_more = false;

    if (relay->is_stopping) {
        return;
    }
    has_more |= evc_group_poll(&relay->repair_group);
    for (unsigned i = 0; i < relay->destination_count; i++) {
        has_more |= evc_group_poll(&relay->destinations[i].group);
    }
    set_busy(relay, has_more);
    if (relay->has_events_to_feed) {
        relay->has_events_to_feed = false;
        evc_feeder_ring(relay->feeder);
    }
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct evc_relay *relay = EVC_CONTAINER_OF(hook, struct evc_relay, tick);

    if (relay->is_stopping) {
        return;
    }
    evc_feeder_watch_tick(&relay->feeder_watch, relay->feeder, &relay->journal, 1,
                          relay->loop.now.mono_us);
    evc_repair_tick(relay->repair);
    evc_canary_watch_tick(relay->canaries);
    evc_group_commit(&relay->repair_group, false);
    for (unsigned i = 0; i < relay->destination_count; i++) {
        evc_ship_tick(relay->destinations[i].ship);
        evc_group_commit(&relay->destinations[i].group, false);
    }
}

static bool
sink_append(struct evc_event_sink *sink, const struct evc_event *event)
{
    struct evc_relay *relay = EVC_CONTAINER_OF(sink, struct evc_relay, sink);

    relay->has_events_to_feed = true;
    return evc_event_sink_append(evc_journal_sink(relay->journal), event);
}

static void
on_node_state(void *ctx, const struct evc_node *node, enum evc_node_state state, const char *why)
{
    (void)ctx;
    if (state == EVC_NODE_STATE_UP) {
        evc_log_info("node is up", "node=%s", node->text);
    } else if (state == EVC_NODE_STATE_SILENT || state == EVC_NODE_STATE_UNFIT ||
               (state == EVC_NODE_STATE_DOWN && why)) {
        evc_log_warn("node does not serve", "node=%s state=%s why=\"%s\"", node->text,
                     evc_node_state_str(state), why ? why : "");
    }
}

/* --- start --- */

static int
open_journal(struct evc_relay *relay, struct evc_error *error)
{
    const struct evc_config *config = relay->options.config;
    unsigned slot = evc_config_relay_slot(relay->options.index);
    uint64_t replayed = 0;
    int rc = evc_storage_open_journal(config, relay->options.region, slot, &relay->journal,
                                      &replayed, error);

    if (rc != EVC_OK) {
        return rc;
    }
    evc_storage_log_replay(relay->journal, replayed);
    evc_version_clock_init(&relay->clock, evc_version_writer_make(relay->options.region, slot),
                           config->drift_ms);
    evc_version_clock_keep(&relay->clock, evc_journal_clock_cell(relay->journal));
    relay->sink.append = sink_append;
    return evc_feeder_create(relay->queue, config->queue.partitions, &relay->journal, 1,
                             &relay->feeder, error);
}

static int
start_engine(struct evc_relay *relay, struct evc_error *error)
{
    int rc = evc_topology_create(relay->options.config, relay->options.region,
                                 relay->options.local_zone, &relay->topology, error);

    if (rc != EVC_OK) {
        return rc;
    }
    return evc_engine_create(&relay->loop, relay->topology,
                             &(struct evc_engine_options){
                                 .connect_timeout_ms = relay->options.config->connect_timeout_ms,
                                 .on_node_state = on_node_state,
                             },
                             &relay->engine, error);
}

/* --- stop --- */

static void
on_engine_closed(void *ctx)
{
    struct evc_relay *relay = ctx;

    relay->is_engine_closed = true;
    evc_loop_stop(&relay->loop);
}

static void
begin_stop(struct evc_relay *relay)
{
    if (relay->is_stopping) {
        return;
    }
    relay->is_stopping = true;
    set_busy(relay, false);
    evc_group_commit(&relay->repair_group, true);
    evc_group_stop(&relay->repair_group);
    for (unsigned i = 0; i < relay->destination_count; i++) {
        struct evc_destination *destination = &relay->destinations[i];

        evc_group_commit(&destination->group, true);
        evc_group_stop(&destination->group);
        evc_link_close(&destination->link);
    }
    for (unsigned i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&relay->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&relay->busy, NULL);
    evc_loop_remove_hook(&relay->turn);
    evc_loop_remove_hook(&relay->tick);
    evc_engine_close(relay->engine, on_engine_closed, relay);
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    evc_log_info("stopping", "signal=%d", signum);
    begin_stop(handle->data);
}

static void
start_hooks(struct evc_relay *relay)
{
    static const int signums[2] = {SIGINT, SIGTERM};

    relay->turn.call = on_turn;
    relay->tick.call = on_tick;
    evc_loop_add_hook(&relay->loop, &relay->turn);
    evc_loop_add_tick(&relay->loop, &relay->tick);
    uv_idle_init(&relay->loop.uv, &relay->busy);
    relay->busy.data = relay;
    for (unsigned i = 0; i < 2; i++) {
        uv_signal_init(&relay->loop.uv, &relay->signals[i]);
        relay->signals[i].data = relay;
        uv_signal_start(&relay->signals[i], on_signal, signums[i]);
    }
}

static int
start(struct evc_relay *relay, struct evc_error *error)
{
    int rc =
        evc_storage_open_queue(relay->options.config, relay->options.region, &relay->queue, error);

    rc = rc ? rc : open_journal(relay, error);
    rc = rc ? rc : start_engine(relay, error);
    if (rc != EVC_OK) {
        return rc;
    }
    start_hooks(relay);
    rc = evc_relay_start_work(relay, error);
    return rc ? rc : evc_relay_start_admin(relay, error);
}

/** The loop has ended: memory goes in the reverse order of start. */
static void
finish(struct evc_relay *relay)
{
    for (unsigned i = 0; i < relay->destination_count; i++) {
        evc_ship_destroy(relay->destinations[i].ship);
        evc_group_finish(&relay->destinations[i].group);
    }
    free(relay->destinations);
    evc_repair_destroy(relay->repair);
    evc_canary_watch_destroy(relay->canaries);
    evc_group_finish(&relay->repair_group);
    evc_topology_unref(relay->topology);
    evc_feeder_destroy(relay->feeder, RELAY_DRAIN_MS);
    evc_journal_close(relay->journal);
    evc_queue_close(relay->queue);
}

int
evc_relay_run(const struct evc_relay_options *options, struct evc_error *error)
{
    struct evc_relay *relay = calloc(1, sizeof(*relay));
    int rc;

    if (!relay) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    relay->options = *options;
    relay->region = &options->config->regions[options->region];
    relay->started_us = evc_clock_unix_us();
    assert(options->index < relay->region->relays_count);
    snprintf(relay->id, sizeof(relay->id), "%.20s/%u", relay->region->name, options->index);
    rc = evc_loop_init(&relay->loop, error);
    if (rc != EVC_OK) {
        free(relay);
        return rc;
    }
    evc_prefix_top_init(&relay->prefixes, relay->loop.now.mono_us);
    rc = start(relay, error);
    if (rc == EVC_OK) {
        evc_log_info("relay serves", "region=%s index=%u destinations=%u", relay->region->name,
                     options->index, relay->destination_count);
        evc_loop_run(&relay->loop);
        evc_admin_stop(relay->admin);
    }
    if (relay->engine && !relay->is_engine_closed) {
        begin_stop(relay);
        evc_loop_run(&relay->loop);
    }
    evc_loop_finish(&relay->loop);
    finish(relay);
    free(relay);
    return rc;
}
