/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker of a proxy: a thread with its loop, its connections to the nodes, its clock, its
 * journal's writing end, and a listener each for applications and relays (SO_REUSEPORT: the kernel
 * spreads connections over workers). Workers share nothing on the request path.
 *
 *   RUNNING ─stop─▶ DRAINING (nothing new; what was taken is answered) ─▶ CLOSING (connections) ─▶
 *   DISCONNECTING (the engine) ─▶ the loop ends
 */
#ifndef EVC_PROXY_WORKER_H
#define EVC_PROXY_WORKER_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/read.h"
#include "net/listener.h"
#include "proxy/canary.h"
#include "proxy/service.h"
#include "queue/feeder.h"

enum {
    EVC_WORKER_DRAIN_MS_MAX = 2000, /* DRAINING ends then, whatever is unanswered */
};

enum evc_worker_state {
    EVC_WORKER_RUNNING,
    EVC_WORKER_DRAINING,
    EVC_WORKER_CLOSING,
    EVC_WORKER_DISCONNECTING,
    EVC_WORKER_STATE_MAX,
};

struct evc_worker_options {
    const struct evc_config *config;
    struct evc_topology *topology;
    struct evc_journal *journal; /* outlives the worker */
    struct evc_feeder *feeder;   /* outlives the worker */
    unsigned index;
    unsigned slot;
    bool has_canaries; /* writes the region's */
    const struct sockaddr *client_address;
    const struct sockaddr *relay_address;
    struct evc_collector collector;
    atomic_uint *connections;
    struct evc_flush_schedule *flush_schedule;
};

struct evc_worker {
    /* immutable after start */
    struct evc_worker_options options;
    pthread_t thread;
    bool has_thread, has_loop, has_service;
    /* shared, atomic */
    atomic_bool want_stop;
    /* shared: published by its owner, read by any thread */
    struct evc_figures_box box;
    /* owner thread */
    enum evc_worker_state state;
    struct evc_loop loop;
    struct evc_engine *engine;
    struct evc_version_clock clock;
    struct evc_reader reader;
    struct evc_writer writer;
    struct evc_applier applier;
    struct evc_service service;
    struct evc_canary canary; /* at work in the first worker of the region's first proxy */
    struct evc_listener clients, relays;
    unsigned listeners_open;
    bool client_waits, relay_waits; /* a connection there was no room for */
    bool has_clients, has_relays;
    struct evc_loop_hook turn, tick;
    struct evc_engine_node_stats *nodes; /* scratch for publishing */
    uint64_t released_seen;
    uint64_t publish_us, sweep_us, drain_until_us;
    uint64_t returned_seen; /* of the clock */
};

/**
 * Opens everything but the thread: the listeners listen, nobody accepts yet. On failure nothing is
 * left. A status with *error filled.
 */
EVC_MUST_USE int evc_worker_open(struct evc_worker *worker,
                                 const struct evc_worker_options *options, struct evc_error *error);

/** Starts the thread of an open worker. EVC_E_SYS; the worker is still open then. */
EVC_MUST_USE int evc_worker_run(struct evc_worker *worker, struct evc_error *error);

/** Asks it to drain and end. Any thread; returns at once. */
void evc_worker_stop(struct evc_worker *worker);

/**
 * Waits until it has ended (after evc_worker_stop) and frees what it had. A worker whose thread was
 * never started is closed on the caller's.
 */
void evc_worker_close(struct evc_worker *worker);

/** Publishes its figures now. Owner thread. */
void evc_worker_publish(struct evc_worker *worker);

#endif
