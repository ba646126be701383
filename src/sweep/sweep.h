/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run over the whole cache stands on (`evcache warm`, `evcache verify`): one process, one
 * loop, an engine for each region that takes part, and the zones that do, the copies. It is not a
 * daemon: it waits until every node of its copies is up, does its work and ends; a signal or
 * EVC_SWEEP_RUN_MAX_S ends it early, and what was done until then is told. On a machine whose clock
 * is behind it does not begin: what was written since then would look like a bad clock's, and lose
 * to something older.
 *
 *     evc_sweep_init ─▶ add_zone … ─▶ connect ─▶ run (until leave), as often as needed ─▶ finish
 *
 * Everything is the calling thread's.
 */
#ifndef EVC_SWEEP_SWEEP_H
#define EVC_SWEEP_SWEEP_H

#include "engine/engine.h"

enum {
    EVC_SWEEP_COPIES_MAX = EVC_CONFIG_REGION_MAX * EVC_ZONE_MAX,
    EVC_SWEEP_CONNECT_MS = 4000,       /* until every node is up */
    EVC_SWEEP_OP_TIMEOUT_US = 2000000, /* for one operation; also how long a stop may take */
    EVC_SWEEP_LOOK_MS = 20,            /* how often nodes are looked at, and due work is done */
    EVC_SWEEP_PROGRESS_US = 200000,    /* how often progress is told */
    EVC_SWEEP_RUN_MAX_S = 24 * 3600,   /* of a whole run */
};

/** One zone that takes part. */
struct evc_sweep_copy {
    unsigned region, zone;        /* indexes in the configuration */
    const struct evc_zone *nodes; /* the same zone in the region's topology */
    unsigned port_zone;           /* its index there: where operations go */
    bool is_serving;              /* not write_only: it counts */
    uint64_t items; /* that its nodes said they have, when it was connected; silent ones: 0 */
};

struct evc_sweep_region {
    struct evc_topology *topology; /* NULL: the region takes no part */
    struct evc_engine *engine;
    bool is_closed;
    struct evc_sweep *sweep;
};

/** Some of the copies. */
struct evc_copy_set {
    uint64_t words[EVC_SWEEP_COPIES_MAX / 64];
};

static inline void
evc_copy_set_add(struct evc_copy_set *set, unsigned copy)
{
    set->words[copy / 64] |= UINT64_C(1) << copy % 64;
}

static inline bool
evc_copy_set_has(const struct evc_copy_set *set, unsigned copy)
{
    return (set->words[copy / 64] >> copy % 64 & 1) != 0;
}

struct evc_sweep {
    /* set by the caller after init; each may be NULL */
    void (*on_progress)(void *ctx); /* every EVC_SWEEP_PROGRESS_US of a run */
    void (*on_look)(void *ctx);     /* every EVC_SWEEP_LOOK_MS of a run */
    /** Once, when the run is to end early: whoever works stops, and leaves soon. */
    void (*on_stop)(void *ctx);
    void *ctx;
    /* to be read */
    const struct evc_config *config;
    struct evc_loop loop;
    struct evc_sweep_copy copies[EVC_SWEEP_COPIES_MAX];
    unsigned copy_count;
    bool is_stopped;
    const char *why; /* it was stopped */
    /* internal */
    struct evc_sweep_region regions[EVC_CONFIG_REGION_MAX];
    uv_signal_t signals[2];
    uv_timer_t timer;
    uint64_t started_us, told_us, connect_until_us;
    bool is_connecting;
};

/** From here on SIGINT and SIGTERM stop it. 0, EVC_E_NOMEM or EVC_E_SYS. */
EVC_MUST_USE int evc_sweep_init(struct evc_sweep *sweep, const struct evc_config *config,
                                struct evc_error *error);

/**
 * A zone takes part (index in the configuration; harmless if it does). Resolves the addresses of
 * its region. EVC_E_CONFIG: it is drained, or an address is unknown; EVC_E_NOMEM.
 */
EVC_MUST_USE int evc_sweep_add_zone(struct evc_sweep *sweep, unsigned region, unsigned zone,
                                    struct evc_error *error);

/** The copy that a zone is; EVC_SWEEP_COPIES_MAX where it takes no part. */
unsigned evc_sweep_copy_find(const struct evc_sweep *sweep, unsigned region, unsigned zone);

/**
 * Waits until every node of every copy is up, and asks each what it has and what time it is.
 * EVC_E_TIMEOUT, with *error naming the first that is not up and why; EVC_E_CLOSED when stopped
 * meanwhile; EVC_E_INVALID when this machine's clock is further behind those of most nodes than the
 * drift bound.
 */
EVC_MUST_USE int evc_sweep_connect(struct evc_sweep *sweep, struct evc_error *error);

/** Where operations for a copy go: its port; op->zone is copy->port_zone. */
struct evc_node_port *evc_sweep_port(const struct evc_sweep *sweep,
                                     const struct evc_sweep_copy *copy);

/** Runs the loop until evc_sweep_leave. After a stop on_stop has been called, or is, at once. */
void evc_sweep_run(struct evc_sweep *sweep);
void evc_sweep_leave(struct evc_sweep *sweep);

/** Nobody is called any more: on_progress, on_look, on_stop and ctx are NULL. */
void evc_sweep_forget(struct evc_sweep *sweep);

/** What a raw CAS that was found in a node counts for: 0 if it is none of ours, or a bad clock's.
 */
evc_version evc_sweep_version(const struct evc_sweep *sweep, uint64_t cas);

/** When an operation that is submitted now is given up. */
uint64_t evc_sweep_deadline_us(const struct evc_sweep *sweep);

/** "virginia/virginia-a"; text: EVC_SWEEP_NAME_BYTES, returned. */
enum {
    EVC_SWEEP_NAME_BYTES = 2 * EVC_CONFIG_NAME_LEN_MAX + 2
};
const char *evc_sweep_copy_name(const struct evc_sweep *sweep, const struct evc_sweep_copy *copy,
                                char *text);

/** Closes everything. Nothing may be in flight. Once after init, whatever came between. */
void evc_sweep_finish(struct evc_sweep *sweep);

#endif
