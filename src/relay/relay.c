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
    RELAY_RETRY_MIN_MS = 20,
    RELAY_RETRY_MAX_MS = 2000,
    RELAY_WINDOW_SLACK_US = 500 * 1000, /* clocks of the writers of a region, and their feeders */
    RELAY_SETTLE_SLACK_US = 50 * 1000,
    RELAY_STATUS_TIMEOUT_MS = 1000,
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

/* --- the admin address --- */

struct report_call {
    struct evc_relay *relay;
    json_t *report;
    struct evc_metric_page *page;
    struct evc_slice key;
    bool is_ready;
    bool has_metrics;
};

static void
make_report(void *arg)
{
    struct report_call *call = arg;

    call->is_ready = evc_engine_is_ready(call->relay->engine);
    call->report = evc_relay_report(call->relay);
}

static json_t *
admin_status(void *ctx)
{
    struct report_call call = {.relay = ctx};

    if (evc_loop_call(&call.relay->loop, make_report, &call, RELAY_STATUS_TIMEOUT_MS) != EVC_OK) {
        return NULL;
    }
    return call.report;
}

static void
make_explanation(void *arg)
{
    struct report_call *call = arg;

    call->report = evc_relay_explain(call->relay, call->key);
}

static json_t *
admin_explain(void *ctx, struct evc_slice key)
{
    struct report_call call = {.relay = ctx, .key = key};

    if (evc_loop_call(&call.relay->loop, make_explanation, &call, RELAY_STATUS_TIMEOUT_MS) !=
        EVC_OK) {
        return NULL;
    }
    return call.report;
}

static void
make_metrics(void *arg)
{
    struct report_call *call = arg;

    call->has_metrics = evc_relay_metrics(call->relay, call->page);
}

static bool
admin_metrics(void *ctx, struct evc_metric_page *page)
{
    struct report_call call = {.relay = ctx, .page = page};

    return evc_loop_call(&call.relay->loop, make_metrics, &call, RELAY_STATUS_TIMEOUT_MS) ==
               EVC_OK &&
           call.has_metrics;
}

static void
look_ready(void *arg)
{
    struct report_call *call = arg;

    call->is_ready = evc_engine_is_ready(call->relay->engine);
}

static bool
admin_is_ready(void *ctx)
{
    struct report_call call = {.relay = ctx};

    return evc_loop_call(&call.relay->loop, look_ready, &call, RELAY_STATUS_TIMEOUT_MS) == EVC_OK &&
           call.is_ready;
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

/** The partitions this relay has: those with p % relays == index. */
static unsigned
own_partitions(const struct evc_relay *relay, uint32_t *ret)
{
    unsigned count = 0;

    for (unsigned p = 0; p < relay->options.config->queue.partitions; p++) {
        if (p % relay->region->relays_count == relay->options.index) {
            ret[count++] = p;
        }
    }
    return count;
}

static int
open_group(struct evc_relay *relay, struct evc_group *group, unsigned region, struct evc_ship *ship,
           struct evc_error *error)
{
    uint32_t partitions[EVC_PARTITION_MAX];
    unsigned count = own_partitions(relay, partitions);

    return evc_group_open(group,
                          &(struct evc_group_options){
                              .loop = &relay->loop,
                              .queue = relay->queue,
                              .name = relay->options.config->regions[region].name,
                              .partitions = partitions,
                              .partition_count = count,
                              .ship = ship,
                              .repair = ship ? NULL : relay->repair,
                          },
                          error);
}

static void
on_repair_abandoned(void *ctx, struct evc_slice key, evc_version version)
{
    static struct evc_log_limit limit;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    (void)ctx;
    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_warn("a repair is given up: zones may differ until the key is written again",
                     "version=%016llx key=%s why=%s suppressed=%lu", (unsigned long long)version,
                     evc_log_quote(key, quoted), "\"a zone did not answer for too long\"",
                     suppressed);
    }
}

static void
on_too_far_ahead(void *ctx, struct evc_slice key, evc_version version)
{
    static struct evc_log_limit limit;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    (void)ctx;
    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_warn("a version is too far ahead: the clock of its writer is wrong",
                     "version=%016llx slot=%u key=%s suppressed=%lu", (unsigned long long)version,
                     evc_version_writer(version) & (EVC_VERSION_SLOT_MAX - 1),
                     evc_log_quote(key, quoted), suppressed);
    }
}

static int
start_repair(struct evc_relay *relay, struct evc_error *error)
{
    const struct evc_config *config = relay->options.config;
    uint32_t write_timeout_us = config->write_timeout_ms * 1000;
    int rc = evc_repair_create(evc_engine_port(relay->engine), &relay->clock, &relay->loop.now,
                               &relay->sink,
                               &(struct evc_repair_options){
                                   .items_max = EVC_REPAIR_ITEMS_MAX_DEFAULT,
                                   .recent_max = EVC_REPAIR_RECENT_MAX_DEFAULT,
                                   .window_us = write_timeout_us + RELAY_WINDOW_SLACK_US,
                                   .settle_us = write_timeout_us + RELAY_SETTLE_SLACK_US,
                                   .zone_timeout_us = write_timeout_us,
                                   .retry_min_ms = RELAY_RETRY_MIN_MS,
                                   .retry_max_ms = RELAY_RETRY_MAX_MS,
                                   .hold_ms = EVC_REPAIR_HOLD_MS_DEFAULT,
                                   .abandon_after_us = (uint64_t)config->abandon_after_s * 1000000,
                                   .tombstone_ttl_s = config->tombstone_ttl_s,
                                   .on_abandoned = on_repair_abandoned,
                                   .on_too_far_ahead = on_too_far_ahead,
                               },
                               &relay->repair);

    if (rc != EVC_OK) {
        return evc_error_set(error, rc, "out of memory");
    }
    return open_group(relay, &relay->repair_group, relay->options.region, NULL, error);
}

/** The batch names the event in the logs of all processes, the version in the receiver's too. */
static void
on_trouble(void *ctx, struct evc_slice key, const struct evc_trail_event *event, bool has_ended)
{
    static struct evc_log_limit late_limit, abandoned_limit, retry_limit;
    const struct evc_destination *destination = ctx;
    const struct evc_relay *relay = destination->relay;
    bool is_late = has_ended && event->outcome == EVC_OUTCOME_LATE;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    if (!evc_log_allowed(is_late     ? &late_limit
                         : has_ended ? &abandoned_limit
                                     : &retry_limit,
                         &suppressed)) {
        return;
    }
    evc_log(has_ended ? EVC_LOG_WARN : EVC_LOG_DEBUG,
            is_late     ? "an event came too late to be applied"
            : has_ended ? "an event is given up"
                        : "an event is tried again",
            "destination=%s batch=%u/%u/%llu version=%016llx key=%s attempts=%u suppressed=%lu",
            relay->options.config->regions[destination->region].name,
            evc_queue_partition(key, evc_queue_partitions(relay->queue)), (unsigned)event->slot,
            (unsigned long long)event->first_seq, (unsigned long long)event->version,
            evc_log_quote(key, quoted), (unsigned)event->attempts, suppressed);
}

static int
start_destination(struct evc_relay *relay, struct evc_destination *destination, unsigned region,
                  struct evc_error *error)
{
    const struct evc_config *config = relay->options.config;
    int rc;

    destination->relay = relay;
    destination->region = region;
    evc_link_init(&destination->link, &(struct evc_link_options){
                                          .loop = &relay->loop,
                                          .config = config,
                                          .source = relay->options.region,
                                          .destination = region,
                                          .relay_id = relay->id,
                                      });
    rc = evc_ship_create(evc_engine_port(relay->engine), &relay->loop.now, &relay->sink,
                         &destination->link.ship_link,
                         &(struct evc_ship_options){
                             .config = config,
                             .region = (uint8_t)relay->options.region,
                             .destination = (uint8_t)region,
                             .items_max = EVC_SHIP_ITEMS_MAX_DEFAULT,
                             .read_timeout_us = config->read_timeout_ms * 1000,
                             .retry_min_ms = RELAY_RETRY_MIN_MS,
                             .retry_max_ms = RELAY_RETRY_MAX_MS,
                             .hold_ms = EVC_SHIP_HOLD_MS_DEFAULT,
                             .abandon_after_us = (uint64_t)config->abandon_after_s * 1000000,
                             .tombstone_ttl_s = config->tombstone_ttl_s,
                             .drift_ms = config->drift_ms,
                             .trail_max = EVC_SHIP_TRAIL_MAX_DEFAULT,
                             .prefixes = &relay->prefixes,
                             .on_trouble = on_trouble,
                             .ctx = destination,
                         },
                         &destination->ship);
    if (rc != EVC_OK) {
        return evc_error_set(error, rc, "out of memory");
    }
    destination->link.ship = destination->ship;
    return open_group(relay, &destination->group, region, destination->ship, error);
}

static int
start_destinations(struct evc_relay *relay, struct evc_error *error)
{
    unsigned regions_count = relay->options.config->regions_count;

    relay->destinations = calloc(regions_count, sizeof(*relay->destinations));
    if (!relay->destinations) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (unsigned region = 0; region < regions_count; region++) {
        int rc;

        if (region == relay->options.region) {
            continue;
        }
        rc = start_destination(relay, &relay->destinations[relay->destination_count++], region,
                               error);
        if (rc != EVC_OK) {
            return rc;
        }
    }
    return EVC_OK;
}

static int64_t
source_ahead_us(void *ctx, unsigned source)
{
    const struct evc_relay *relay = ctx;
    struct evc_skew_sample sample;

    for (unsigned i = 0; i < relay->destination_count; i++) {
        if (relay->destinations[i].region == source &&
            evc_skew_get(&relay->destinations[i].link.skew, &sample)) {
            return sample.ahead_us;
        }
    }
    return 0;
}

/** One relay of the region reads the other regions' canaries. */
static int
start_canaries(struct evc_relay *relay, struct evc_error *error)
{
    if (relay->options.index != 0) {
        return EVC_OK;
    }
    if (evc_canary_watch_create(
            &(struct evc_canary_watch_options){
                .topology = relay->topology,
                .port = evc_engine_port(relay->engine),
                .now = &relay->loop.now,
                .ahead_us = source_ahead_us,
                .ctx = relay,
            },
            &relay->canaries) != EVC_OK) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    return EVC_OK;
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
    rc = start_repair(relay, error);
    rc = rc ? rc : start_destinations(relay, error);
    rc = rc ? rc : start_canaries(relay, error);
    if (rc != EVC_OK) {
        return rc;
    }
    return evc_admin_start(&relay->region->relays[relay->options.index],
                           &(struct evc_admin_handler){
                               .status = admin_status,
                               .metrics = admin_metrics,
                               .is_ready = admin_is_ready,
                               .explain = admin_explain,
                               .ctx = relay,
                           },
                           &relay->admin, error);
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
