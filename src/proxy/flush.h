/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush_all: every item of the region that is older than the command becomes a tombstone, by
 * conditional deletes, so that a newer write is never lost, whatever other proxies and regions do
 * meanwhile. memcached's own flush_all would also throw away tombstones and versions, and with them
 * what keeps older writes from coming back.
 *
 * The nodes are walked one after the other (engine/node_walk.h); a key that one zone has told is
 * deleted in all. So one zone whose nodes were all walked is enough; a flush in which no zone was
 * walked whole has failed, and says why. With flush_all: all every delete is announced to the other
 * regions like any; with flush_all: region it is not, but a tombstone wins over an older value that
 * a relay brings later, and then over that value's copies elsewhere.
 *
 * One flush runs at a time; those asked for meanwhile are served together by the next. A flush for
 * later is the process's, as with memcached: whichever worker was asked, the last command of that
 * kind counts, and one at once cancels it. Owner: the worker's loop; the schedule is shared.
 */
#ifndef EVC_PROXY_FLUSH_H
#define EVC_PROXY_FLUSH_H

#include <stdatomic.h>

#include "engine/node_walk.h"
#include "replication/write.h"

enum {
    EVC_FLUSH_IN_FLIGHT_MAX = 1024 /* deletes */
};

struct evc_exchange;

/** The flush that the workers of a process have been asked for later. Zero it to start. */
struct evc_flush_schedule {
    atomic_uint_least64_t due_us; /* shared, atomic: monotonic; 0: none */
};

struct evc_flush_options {
    struct evc_loop *loop;
    struct evc_topology *topology; /* NULL: nothing can be flushed (tests) */
    struct evc_writer *writer;
    struct evc_flush_schedule *schedule; /* outlives the flush */
    bool is_everywhere;                  /* the deletes go to the other regions, too */
};

struct evc_flush {
    struct evc_flush_options options;
    struct evc_list waiting; /* exchange->flush_link: of the next run */
    struct evc_list served;  /* of this one */
    bool is_running, is_walking, is_stopping;
    evc_version before;  /* what is newer stays */
    unsigned zone, node; /* being walked */
    bool has_gap;        /* a node of this zone was not walked whole */
    unsigned zones_walked;
    unsigned in_flight;
    struct evc_node_walk walk;
    char why[EVC_NODE_WALK_WHY_BYTES]; /* of the last gap */
    uint64_t runs_total, deleted_total;
};

void evc_flush_init(struct evc_flush *flush, const struct evc_flush_options *options);

/** Answers the exchange when all is flushed. Cancels one set for later. */
void evc_flush_start(struct evc_flush *flush, struct evc_exchange *exchange);

/** A flush at a time (monotonic microseconds) nobody waits for; replaces the process's last one. */
void evc_flush_schedule(struct evc_flush *flush, uint64_t at_us);

/** Starts what is due, and goes on where room was short. Every tick. */
void evc_flush_on_tick(struct evc_flush *flush);

/** The proxy stops: what is not done is answered so. */
void evc_flush_stop(struct evc_flush *flush);

/** Whether nothing of it is on its way. */
bool evc_flush_is_idle(const struct evc_flush *flush);

#endif
