/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One libuv loop with what every worker needs around it: the moment (time, once per turn), hooks at the
 * end of each turn (where gathered output leaves in one write per connection), a millisecond tick for
 * deadlines, and calls from other threads.
 *
 * A turn: poll for events → callbacks → end-of-turn hooks in the order they were added → streams with
 * output are flushed → poll.
 */
#ifndef EVC_NET_LOOP_H
#define EVC_NET_LOOP_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"

enum {
    EVC_LOOP_READ_BYTES = 256 * 1024, /* shared buffer every stream of the loop reads into */
    EVC_LOOP_TICK_MS = 10,            /* how often ticks come while there is any */
};

/** Called from the loop; embed it. */
struct evc_loop_hook {
    void (*call)(struct evc_loop_hook *hook);
    struct evc_list link;
};

struct evc_loop {
    uv_loop_t uv;
    struct evc_moment now;      /* refreshed at the start of each turn's callbacks */
    struct evc_list hooks;      /* end of turn */
    struct evc_list ticks;
    struct evc_list dirty;      /* streams with gathered output */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick_timer;
    uv_async_t async;
    uv_mutex_t calls_lock;
    struct evc_list calls;      /* from other threads, under calls_lock */
    char *read_bytes;           /* EVC_LOOP_READ_BYTES */
    uint64_t turn_busy_us_max;
    bool is_stopping;
};

EVC_MUST_USE int evc_loop_init(struct evc_loop *loop, struct evc_error *error);

/** Everything on the loop must be closed. */
void evc_loop_finish(struct evc_loop *loop);

/** Runs until evc_loop_stop. */
void evc_loop_run(struct evc_loop *loop);

/** Any thread. evc_loop_run returns after the current turn. */
void evc_loop_stop(struct evc_loop *loop);

void evc_loop_add_hook(struct evc_loop *loop, struct evc_loop_hook *hook);
void evc_loop_add_tick(struct evc_loop *loop, struct evc_loop_hook *hook);
void evc_loop_remove_hook(struct evc_loop_hook *hook); /* hooks and ticks alike */

/**
 * Runs call(arg) on the loop's thread and waits until it is done; from the loop's own thread it is a
 * plain call. EVC_E_TIMEOUT when the loop does not come round within timeout_ms (call will then never
 * run, or its result is ignored by the loop's side: arg must be heap memory owned by call on timeout).
 */
EVC_MUST_USE int evc_loop_call(struct evc_loop *loop, void (*call)(void *arg), void *arg,
                               unsigned timeout_ms);

#endif
