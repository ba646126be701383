/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See worker.h. A worker that failed to open ends like one that was stopped: its loop runs, on the
 * caller's thread, until everything that was opened is closed.
 */
#include "proxy/worker.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "proxy/receiver.h"
#include "proxy/session.h"

/* --- figures --- */

void
evc_worker_publish(struct evc_worker *worker)
{
    struct evc_worker_figures figures = {
        .counters = worker->service.counters,
        .reads = worker->reader.stats,
        .writes = worker->writer.stats,
        .applies = worker->applier.stats,
        .clock_refused = worker->clock.refused_total,
        .clock_returned = worker->clock.returned_total,
        .canary = worker->canary.stats,
        .turn_busy_us_max = worker->loop.turn_busy_us_max,
        .turns = worker->loop.turns,
        .is_ready = worker->state == EVC_WORKER_RUNNING && evc_engine_is_ready(worker->engine),
    };

    for (unsigned i = 0; i < worker->options.topology->node_count; i++) {
        evc_engine_node_stats(worker->engine, i, &worker->nodes[i]);
    }
    evc_figures_box_put(&worker->box, &figures, worker->nodes);
}

static void
on_node_state(void *ctx, const struct evc_node *node, enum evc_node_state state, const char *why)
{
    const struct evc_worker *worker = ctx;
    const char *zone = worker->options.topology->zones[node->zone].name;
    bool is_bad = state == EVC_NODE_STATE_DOWN || state == EVC_NODE_STATE_SILENT ||
                  state == EVC_NODE_STATE_UNFIT;

    if (state == EVC_NODE_STATE_CONNECTING || state == EVC_NODE_STATE_CHECKING) {
        return; /* each attempt would be two lines */
    }
    evc_log(is_bad && worker->state == EVC_WORKER_RUNNING ? EVC_LOG_WARN : EVC_LOG_INFO,
            "a node has changed state", "worker=%u zone=%s node=%s state=%s why=\"%s\"",
            worker->options.index, zone, node->text, evc_node_state_str(state), why ? why : "");
}

/* --- connections --- */

static void
on_client(struct evc_listener *listener)
{
    struct evc_worker *worker = EVC_CONTAINER_OF(listener, struct evc_worker, clients);

    worker->client_waits = !evc_session_accept(&worker->service, listener);
}

static void
on_relay(struct evc_listener *listener)
{
    struct evc_worker *worker = EVC_CONTAINER_OF(listener, struct evc_worker, relays);

    worker->relay_waits = !evc_receiver_accept(&worker->service, listener);
}

static void
on_clients_closed(struct evc_listener *listener)
{
    EVC_CONTAINER_OF(listener, struct evc_worker, clients)->listeners_open--;
}

static void
on_relays_closed(struct evc_listener *listener)
{
    EVC_CONTAINER_OF(listener, struct evc_worker, relays)->listeners_open--;
}

static int
open_listeners(struct evc_worker *worker, struct evc_error *error)
{
    int status = evc_listener_open(&worker->clients, &worker->loop, worker->options.client_address,
                                   on_client, error);

    if (status != EVC_OK) {
        return status;
    }
    worker->clients.on_closed = on_clients_closed;
    worker->has_clients = true;
    worker->listeners_open++;
    status = evc_listener_open(&worker->relays, &worker->loop, worker->options.relay_address,
                               on_relay, error);
    if (status != EVC_OK) {
        return status;
    }
    worker->relays.on_closed = on_relays_closed;
    worker->has_relays = true;
    worker->listeners_open++;
    return EVC_OK;
}

static void
close_listeners(struct evc_worker *worker)
{
    if (worker->has_clients) {
        evc_listener_close(&worker->clients);
    }
    if (worker->has_relays) {
        evc_listener_close(&worker->relays);
    }
    worker->has_clients = worker->has_relays = false;
    worker->client_waits = worker->relay_waits = false;
}

/** Connections that found no room are asked for again. */
static void
accept_waiting(struct evc_worker *worker)
{
    if (worker->client_waits) {
        on_client(&worker->clients);
    }
    if (worker->relay_waits) {
        on_relay(&worker->relays);
    }
}

/* --- stopping --- */

static void
on_engine_closed(void *ctx)
{
    struct evc_worker *worker = ctx;

    worker->engine = NULL;
    evc_loop_remove_hook(&worker->turn);
    evc_loop_remove_hook(&worker->tick);
    evc_loop_stop(&worker->loop);
}

static void
disconnect(struct evc_worker *worker)
{
    worker->state = EVC_WORKER_DISCONNECTING;
    if (worker->engine) {
        evc_engine_close(worker->engine, on_engine_closed, worker);
    } else {
        on_engine_closed(worker);
    }
}

static bool
is_drained(const struct evc_worker *worker)
{
    return !worker->has_service ||
           (evc_service_is_idle(&worker->service) && worker->reader.in_flight == 0 &&
            worker->writer.stats.in_flight == 0 && worker->applier.pool.in_use == 0);
}

static void
warn_undrained(const struct evc_worker *worker)
{
    evc_log_warn("stopping with work unfinished",
                 "worker=%u requests=%zu writes=%llu replicated=%zu connections=%llu",
                 worker->options.index, worker->service.exchanges_pool.in_use,
                 (unsigned long long)worker->writer.stats.in_flight, worker->applier.pool.in_use,
                 (unsigned long long)worker->service.counters.connections);
}

/** One step of the way from RUNNING to the end; called every tick. */
static void
step_towards_end(struct evc_worker *worker)
{
    uint64_t now_us = worker->loop.now.mono_us;

    switch (worker->state) {
    case EVC_WORKER_RUNNING:
        if (atomic_load(&worker->want_stop)) {
            worker->state = EVC_WORKER_DRAINING;
            worker->drain_until_us = now_us + EVC_WORKER_DRAIN_MS_MAX * UINT64_C(1000);
            close_listeners(worker);
            if (worker->has_service) {
                evc_service_drain(&worker->service);
            }
        }
        break;
    case EVC_WORKER_DRAINING:
        if (is_drained(worker) || now_us >= worker->drain_until_us) {
            if (!is_drained(worker)) {
                warn_undrained(worker);
            }
            worker->state = EVC_WORKER_CLOSING;
            if (worker->has_service) {
                evc_service_close_all(&worker->service);
            }
        }
        break;
    case EVC_WORKER_CLOSING:
        if (worker->listeners_open == 0 &&
            (!worker->has_service || !evc_service_has_connections(&worker->service))) {
            disconnect(worker);
        }
        break;
    case EVC_WORKER_DISCONNECTING:
    case EVC_WORKER_STATE_MAX:
        break;
    }
}

/* --- the loop --- */

/** End of each turn: what was held back for others gets its chance, and the feeder its bell. */
static void
on_turn(struct evc_loop_hook *hook)
{
    struct evc_worker *worker = EVC_CONTAINER_OF(hook, struct evc_worker, turn);
    uint64_t released = evc_journal_released_total(worker->options.journal);

    evc_service_continue(&worker->service);
    evc_reader_on_turn(&worker->reader);
    if (released != worker->released_seen) {
        worker->released_seen = released;
        evc_feeder_ring(worker->options.feeder);
    }
}

static void
look_at_clock(struct evc_worker *worker)
{
    if (worker->clock.returned_total != worker->returned_seen) {
        worker->returned_seen = worker->clock.returned_total;
        evc_log_error("the clock was far ahead: what was written meanwhile counts for nothing",
                      "worker=%u slot=%u times=%llu", worker->options.index, worker->options.slot,
                      (unsigned long long)worker->returned_seen);
    }
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct evc_worker *worker = EVC_CONTAINER_OF(hook, struct evc_worker, tick);
    uint64_t now_us = worker->loop.now.mono_us;

    if (worker->has_service && worker->state == EVC_WORKER_RUNNING) {
        if (now_us - worker->publish_us >= EVC_STATS_PUBLISH_MS * UINT64_C(1000)) {
            worker->publish_us = now_us;
            evc_worker_publish(worker);
            accept_waiting(worker);
        }
        if (now_us - worker->sweep_us >= EVC_SERVICE_SWEEP_MS * UINT64_C(1000)) {
            worker->sweep_us = now_us;
            evc_service_sweep(&worker->service);
            look_at_clock(worker);
        }
        evc_canary_tick(&worker->canary);
    }
    if (worker->has_service) {
        evc_flush_on_tick(&worker->service.flush);
    }
    step_towards_end(worker);
}

static void *
run(void *arg)
{
    struct evc_worker *worker = arg;

    evc_loop_run(&worker->loop);
    return NULL;
}

/* --- starting --- */

static int
start_engine(struct evc_worker *worker, struct evc_error *error)
{
    const struct evc_engine_options options = {
        .connect_timeout_ms = worker->options.config->connect_timeout_ms,
        .on_node_state = on_node_state,
        .ctx = worker,
    };

    return evc_engine_create(&worker->loop, worker->options.topology, &options, &worker->engine,
                             error);
}

static void
start_service(struct evc_worker *worker)
{
    const struct evc_config *config = worker->options.config;
    const struct evc_topology *topology = worker->options.topology;
    struct evc_node_port *port = evc_engine_port(worker->engine);
    const struct evc_reader_options read_options = evc_reader_options_of(config);
    const struct evc_write_options write_options = evc_write_options_of(config, port);
    const struct evc_apply_options apply_options = {
        .region = topology->region,
        .zone_timeout_us = config->write_timeout_ms * 1000,
        .tombstone_ttl_s = config->tombstone_ttl_s,
        .guess_keys = EVC_GUESS_KEYS_DEFAULT,
    };

    evc_version_clock_init(&worker->clock,
                           evc_version_writer_make(topology->region, worker->options.slot),
                           config->drift_ms);
    evc_version_clock_keep(&worker->clock, evc_journal_clock_cell(worker->options.journal));
    evc_reader_init(&worker->reader, port, &worker->loop.now, &read_options);
    evc_writer_init(&worker->writer, port, &worker->clock, &worker->loop.now,
                    worker->options.journal, &write_options);
    evc_applier_init(&worker->applier, port, &worker->clock, &worker->loop.now,
                     evc_journal_sink(worker->options.journal), &apply_options);
    evc_service_init(&worker->service, &(struct evc_service_options){
                                           .loop = &worker->loop,
                                           .port = port,
                                           .topology = worker->options.topology,
                                           .reader = &worker->reader,
                                           .writer = &worker->writer,
                                           .applier = &worker->applier,
                                           .config = config,
                                           .region = topology->region,
                                           .collector = worker->options.collector,
                                           .connections = worker->options.connections,
                                           .flush_schedule = worker->options.flush_schedule,
                                       });
    worker->has_service = true;
    worker->turn.call = on_turn;
    evc_loop_add_hook(&worker->loop, &worker->turn);
}

static int
start_parts(struct evc_worker *worker, struct evc_error *error)
{
    unsigned node_count = worker->options.topology->node_count;
    int status = evc_loop_init(&worker->loop, error);

    if (status != EVC_OK) {
        return status;
    }
    worker->has_loop = true;
    worker->tick.call = on_tick;
    evc_loop_add_tick(&worker->loop, &worker->tick);
    worker->nodes = calloc(node_count > 0 ? node_count : 1, sizeof(*worker->nodes));
    status = evc_figures_box_init(&worker->box, node_count);
    if (status != EVC_OK || !worker->nodes) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    status = start_engine(worker, error);
    if (status != EVC_OK) {
        return status;
    }
    start_service(worker);
    if (worker->options.has_canaries &&
        evc_canary_init(&worker->canary, worker->options.config, worker->options.topology->region,
                        &worker->writer, &worker->loop.now) != EVC_OK) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    return open_listeners(worker, error);
}

static void
finish_parts(struct evc_worker *worker)
{
    if (worker->has_service) {
        evc_service_finish(&worker->service);
        evc_canary_finish(&worker->canary);
        evc_applier_finish(&worker->applier);
        evc_writer_finish(&worker->writer);
        evc_reader_finish(&worker->reader);
    }
    if (worker->has_loop) {
        evc_loop_finish(&worker->loop);
    }
    evc_figures_box_finish(&worker->box);
    free(worker->nodes);
    worker->nodes = NULL;
}

int
evc_worker_open(struct evc_worker *worker, const struct evc_worker_options *options,
                struct evc_error *error)
{
    int status;

    *worker = (struct evc_worker){.options = *options, .state = EVC_WORKER_RUNNING};
    evc_list_init(&worker->turn.link);
    evc_list_init(&worker->tick.link);
    status = start_parts(worker, error);
    if (status != EVC_OK) {
        evc_worker_stop(worker);
        evc_worker_close(worker);
    }
    return status;
}

int
evc_worker_run(struct evc_worker *worker, struct evc_error *error)
{
    int sys_errno = pthread_create(&worker->thread, NULL, run, worker);

    if (sys_errno != 0) {
        return evc_error_sys(error, sys_errno, "cannot start a worker thread");
    }
    worker->has_thread = true;
    return EVC_OK;
}

void
evc_worker_stop(struct evc_worker *worker)
{
    atomic_store(&worker->want_stop, true);
}

void
evc_worker_close(struct evc_worker *worker)
{
    assert(atomic_load(&worker->want_stop));
    if (worker->has_thread) {
        pthread_join(worker->thread, NULL);
        worker->has_thread = false;
    } else if (worker->has_loop) {
        evc_loop_run(&worker->loop);
    }
    finish_parts(worker);
}
