/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open handle of libevcache: what a proxy's worker is, without listeners. Applications' threads
 * hand replies-to-be to the background thread (submit) and get them back answered; that thread owns
 * the loop, the connections to the nodes, the clock and the journal's writing end.
 *
 *   submit (any thread) ─▶ submitted ─bell─▶ serve.c: evc_read | evc_write ─▶ answer
 *        ▲                                                                      │
 *        └───────── waiter (blocking) or inbox (asynchronous) ◀─────────────────┘
 *
 *   RUNNING ─close─▶ DRAINING (what was taken is answered and settled) ─▶ DISCONNECTING ─▶ the loop
 *   ends
 */
#ifndef EVC_LIBRARY_LIBRARY_H
#define EVC_LIBRARY_LIBRARY_H

#include <pthread.h>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/read.h"
#include "engine/wheel.h"
#include "library/reply.h"
#include "queue/feeder.h"
#include "replication/write.h"

enum {
    EVC_LIBRARY_DRAIN_MS_MAX = 2000, /* DRAINING ends then, whatever is unanswered */
    EVC_LIBRARY_FEED_MS_MAX = 2000,  /* for the journal's rest, when closing */
    EVC_LIBRARY_STATS_MS_MAX = 1000,
};

enum evc_library_state {
    EVC_LIBRARY_RUNNING,
    EVC_LIBRARY_DRAINING,
    EVC_LIBRARY_DISCONNECTING,
    EVC_LIBRARY_STATE_MAX,
};

struct evcache {
    /* immutable after opening */
    struct evc_config *config;
    struct evc_topology *topology;
    unsigned region;
    unsigned slot; /* of the library's */
    struct evc_queue *queue;
    struct evc_journal *journal;
    uint64_t replayed;
    struct evc_feeder *feeder;
    pthread_t thread;
    bool has_loop, has_thread, has_contexts;
    /* shared, atomic */
    atomic_bool want_stop;
    atomic_size_t calls_open; /* submitted and not answered */
    atomic_uint inboxes;
    sem_t opened; /* posted once: every node is up, or the time for that is over */
    /* shared, under the lock */
    pthread_mutex_t lock;
    struct evc_list submitted;
    /* background thread */
    enum evc_library_state state;
    struct evc_loop loop;
    struct evc_loop_hook bell, turn, tick;
    struct evc_engine *engine;
    struct evc_version_clock clock;
    struct evc_reader reader;
    struct evc_writer writer;
    struct evc_pool calls;
    struct evc_wheel deadlines;
    uint64_t released_seen;
    uint64_t opening_until_us, drain_until_us;
    bool has_told_opened;
};

/* --- background.c --- */

/** Opens loop, engine and writer; starts the thread. A status with *error filled; whatever it has
 * opened is closed by evc_library_stop. */
EVC_MUST_USE int evc_library_start(evcache *cache, struct evc_error *error);

/** Ends the thread, if there is one, when all is answered; frees what evc_library_start made. */
void evc_library_stop(evcache *cache);

/* --- serve.c --- */

void evc_library_init_calls(evcache *cache);

/** Begins what was submitted. Background thread, after the bell. */
void evc_library_take_submitted(evcache *cache);

/** Answers calls whose deadline has passed. Background thread, every tick. */
void evc_library_end_overdue(evcache *cache);

/**
 * Hands a call to the background thread: reply->waiter or reply->inbox is told when it is answered.
 * EVCACHE_OK, EVCACHE_E_BUSY or EVCACHE_E_CLOSED: nothing has happened. Any thread.
 */
EVC_MUST_USE int evc_library_submit(evcache *cache, evcache_reply *reply);

/* --- call.c --- */

/** Whether a request can be carried out: EVCACHE_OK or what is wrong, with reply's error filled.
 * reply may be NULL. */
int evc_library_check(const evcache *cache, enum evcache_op op, const evcache_request *request,
                      evcache_reply *reply);

/** One of the waiter's calls is answered. Any thread; the waiter may be gone when this returns. */
void evc_waiter_count(struct evc_waiter *waiter);

/* --- inbox.c --- */

/** An answered call of the inbox. Background thread. */
void evc_inbox_post(evcache_inbox *inbox, evcache_reply *reply);

/* --- library.c --- */

/** What a status of the tree is called in the library; fills *ret, which may be NULL. */
int evc_library_error(const struct evc_error *error, evcache_error *ret);

#endif
