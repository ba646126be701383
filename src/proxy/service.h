/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the connections of one worker share: the port to the nodes, the writer and the applier, the
 * pools requests and replies live in, the counters. session.h and receiver.h know their worker only
 * through this struct, so a test can serve them from a table of items and without threads.
 *
 * Invariant: every exchange and chunk that was borrowed belongs to exactly one session or to one
 * request that is still with the nodes. Owner: one loop.
 */
#ifndef EVC_PROXY_SERVICE_H
#define EVC_PROXY_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "net/loop.h"
#include "proxy/flush.h"
#include "proxy/stats.h"
#include "replication/apply.h"
#include "replication/write.h"
#include "topology/config.h"

enum {
    EVC_SERVICE_EXCHANGES_MAX = 262144, /* requests of applications in progress per worker */
    EVC_SERVICE_CHUNKS_MAX = 65536,     /* 64 MiB of replies waiting for their turn, */
    /* from half of them on only of replies that cannot be read a second time. */
    EVC_SERVICE_CHUNKS_SHORT = EVC_SERVICE_CHUNKS_MAX / 2,
    /* A zone that does not keep up, while the others have acknowledged, would let them pile up. */
    EVC_SERVICE_WRITES_PAUSE = EVC_WRITE_IN_FLIGHT_MAX / 2, /* then no request is taken */
    EVC_SERVICE_REFUSED_MAX = 64,    /* connections over the bound that are being told so */
    EVC_SERVICE_RECEIVERS_MAX = 256, /* relays' connections per worker */
    EVC_SERVICE_SCRATCH_KEEP_BYTES =
        64 * 1024,               /* memory the scratch buffer keeps between replies */
    EVC_SERVICE_SWEEP_MS = 1000, /* how often slow clients are looked for */
    EVC_CHUNK_BYTES = 1000,
};

/** A piece of a reply that waits for its turn. */
struct evc_chunk {
    struct evc_chunk *next; /* first: the pool's link while the chunk is free */
    size_t len;
    char bytes[EVC_CHUNK_BYTES];
};

struct evc_service;

/** Where a worker's figures meet those of the others: production asks all workers of the process.
 */
struct evc_collector {
    /** Fills *ret with the sums over all workers, service's own being exact. */
    void (*collect)(void *ctx, struct evc_service *service, struct evc_totals *ret);
    void *ctx;
};

struct evc_service {
    /* immutable after init */
    struct evc_loop *loop;
    struct evc_node_port *port;
    struct evc_reader *reader;
    struct evc_writer *writer;
    struct evc_applier *applier;
    const struct evc_config *config;
    unsigned region; /* index */
    struct evc_collector collector;
    /* shared, atomic */
    atomic_uint *connections; /* of applications, over all workers of the process */
    /* owner thread */
    struct evc_counters counters;
    struct evc_flush flush;
    struct evc_pool sessions_pool;
    struct evc_pool receivers_pool;
    struct evc_pool exchanges_pool;
    struct evc_pool chunks_pool;
    struct evc_list sessions;  /* with an open stream */
    struct evc_list receivers; /* open, or with replicated writes in flight */
    struct evc_list starved;   /* sessions that wait for what all share */
    struct evc_buf scratch;    /* where a reply is composed that cannot leave yet */
    unsigned refused_count;    /* sessions over the bound, being told so */
    bool is_draining;          /* no new requests are taken */
};

struct evc_service_options {
    struct evc_loop *loop;
    struct evc_topology *topology; /* whose nodes a flush_all walks; NULL: refused */
    struct evc_node_port *port;
    struct evc_reader *reader;
    struct evc_writer *writer;
    struct evc_applier *applier;
    const struct evc_config *config;
    unsigned region;
    struct evc_collector collector;
    atomic_uint *connections;
    struct evc_flush_schedule *flush_schedule; /* of all workers of the process */
};

/** All that is pointed to outlives the service. Allocates nothing yet. */
void evc_service_init(struct evc_service *service, const struct evc_service_options *options);

/** Frees the pools. No session, receiver or exchange may be left. */
void evc_service_finish(struct evc_service *service);

/** Whether requests of any client may be taken: not while stopping, or short of what all share. */
bool evc_service_has_room(const struct evc_service *service);

/** Whether so many replies wait for their turn that a connection had better ask one by one. */
static inline bool
evc_service_is_short_of_chunks(const struct evc_service *service)
{
    return service->chunks_pool.in_use >= EVC_SERVICE_CHUNKS_SHORT;
}

/** Gives connections that were held back for what all share another chance. Once per turn. */
void evc_service_continue(struct evc_service *service);

/** Closes clients that have not read, or gone on with a request, for too long, and relays that have
 * not greeted for EVC_RECEIVER_GREET_US. Every EVC_SERVICE_SWEEP_MS. */
void evc_service_sweep(struct evc_service *service);

/**
 * Takes no further request, answers those that were taken, then closes each connection. Called
 * once; evc_service_is_idle says when it is done.
 */
void evc_service_drain(struct evc_service *service);

/** Closes every connection at once. */
void evc_service_close_all(struct evc_service *service);

/** Whether a connection is open. */
bool evc_service_has_connections(const struct evc_service *service);

/** Whether no connection is left, and nothing that a client or relay asked for is with the nodes.
 */
bool evc_service_is_idle(const struct evc_service *service);

#endif
