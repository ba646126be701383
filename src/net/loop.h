/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One libuv loop with what every worker needs around it: the moment (time, once per turn), hooks at
 * the end of each turn (where gathered output leaves in one write per connection), a tick for
 * deadlines, and calls from other threads.
 *
 * A turn: poll for events → callbacks → end-of-turn hooks in the order they were added → streams
 * with output are flushed → poll. Where flushing called somebody (on_drained), hooks and flush have
 * another round; nothing sleeps with output pending.
 */
#ifndef EVC_NET_LOOP_H
#define EVC_NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/latency.h"
#include "base/list.h"

enum {
    EVC_LOOP_READ_BYTES = 256 * 1024, /* shared buffer every stream of the loop reads into */
    EVC_LOOP_TICK_MS = 10,            /* how often ticks come while there is any */
    EVC_LOOP_ROUNDS_MAX = 8,          /* of hooks and flush in one turn */
};

/** Called from the loop; embed it. A hook may remove itself or others, and free itself. */
struct evc_loop_hook {
    void (*call)(struct evc_loop_hook *hook);
    struct evc_list link;
};

struct evc_loop {
    uv_loop_t uv;
    struct evc_moment now; /* refreshed at the start of each turn's callbacks */
    struct evc_list hooks; /* end of turn */
    struct evc_list ticks;
    uint64_t turn_busy_us_max; /* the longest turn so far: how late anything here may be */
    struct evc_latency turns;  /* how long turns took */

    /* what streams do at the loop's pace; src/net only */
    struct evc_list dirty;            /* with gathered output */
    struct evc_list resumed;          /* whose kept input is given again in the next turn */
    struct evc_list holding;          /* with buffers, given back once they are out of use */
    struct evc_list lingering;        /* closing after their output has left */
    struct evc_loop_hook stream_tick; /* on ticks while holding or lingering has any */
    uint64_t memory_sweep_us;
    char *read_bytes; /* EVC_LOOP_READ_BYTES */

    /* internal */
    uv_prepare_t prepare;
    uv_idle_t awake; /* active: the loop does not sleep before the next turn */
    uv_timer_t tick_timer;
    uv_async_t async;
    uint64_t turn_started_us;
    bool is_in_turn;            /* the moment is this turn's */
    struct evc_loop_hook *bell; /* set before the loop runs, or NULL */

    /* shared between threads */
    atomic_bool is_stopping;
    uv_mutex_t calls_lock;
    uv_cond_t calls_changed;
    struct evc_list calls; /* from other threads, under calls_lock like all below */
    unsigned callers;      /* threads inside evc_loop_call */
    uv_thread_t thread;    /* that runs the loop, if has_thread */
    bool has_thread;
    bool is_ended; /* evc_loop_run has returned: nobody answers calls */
};

/**
 * 0, EVC_E_NOMEM or EVC_E_SYS. A peer that went away must be a status, not a signal: from here on
 * the process ignores SIGPIPE, unless the calling thread has it blocked. Who blocks it (a library,
 * which leaves the process's signals alone) runs the loop on a thread where it stays blocked.
 */
EVC_MUST_USE int evc_loop_init(struct evc_loop *loop, struct evc_error *error);

/**
 * Everything on the loop must be closed or closing. Waits for other threads to leave evc_loop_call;
 * none may enter it any more.
 */
void evc_loop_finish(struct evc_loop *loop);

/** Runs until evc_loop_stop, also one from before the start. May be run again, by any one thread.
 */
void evc_loop_run(struct evc_loop *loop);

/** Any thread. evc_loop_run returns after the current turn, with its output flushed. */
void evc_loop_stop(struct evc_loop *loop);

/**
 * The first thing in the callback of a uv handle of one's own (signals, pipes, polls on loop->uv):
 * makes loop->now this turn's. What src/net calls back has done it already.
 */
void evc_loop_enter(struct evc_loop *loop);

/** The loop comes round again without sleeping. */
void evc_loop_keep_awake(struct evc_loop *loop);

void evc_loop_add_hook(struct evc_loop *loop, struct evc_loop_hook *hook);
void evc_loop_add_tick(struct evc_loop *loop, struct evc_loop_hook *hook);

/** Hooks and ticks alike. Harmless for one that was never added (all zero) or is removed. */
void evc_loop_remove_hook(struct evc_loop_hook *hook);

/** Who is called, on the loop's thread, after evc_loop_ring. Before the loop runs; once. */
void evc_loop_set_bell(struct evc_loop *loop, struct evc_loop_hook *bell);

/**
 * Any thread, while the loop is not finished: the bell's hook is called soon. Rings in quick
 * succession may be one call. What it is to look at is its owner's matter, and so is its lock.
 */
void evc_loop_ring(struct evc_loop *loop);

/**
 * Runs call(arg) on the loop's thread and waits until it is done; from the loop's own thread it is
 * a plain call. Any thread. 0; EVC_E_TIMEOUT when the loop does not come round within timeout_ms;
 * EVC_E_CLOSED when it has ended. Unless 0, call has not run and never will: arg is the caller's
 * again. A call that has begun is waited for, however long it takes.
 */
EVC_MUST_USE int evc_loop_call(struct evc_loop *loop, void (*call)(void *arg), void *arg,
                               unsigned timeout_ms);

#endif
