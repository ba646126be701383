/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn is built on libuv's prepare phase: it runs right before the loop polls (and may sleep),
 * after the callbacks of every other phase, so what any of them gathered leaves from there. libuv
 * has no phase between waking up and the first callback: whoever is called first enters the turn.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "net/turn.h"

enum {
    CLOSE_TURNS_MAX = 16, /* in which everything on a finished loop must have closed */
};

/** A call from another thread; lives on its stack. */
struct loop_call {
    struct evc_list link;
    void (*call)(void *arg);
    void *arg;
    enum {
        CALL_WAITING,
        CALL_RUNNING,
        CALL_DONE,
        CALL_DROPPED
    } state;
};

/* --- the turn --- */

void
evc_loop_enter(struct evc_loop *loop)
{
    if (!loop->is_in_turn) {
        loop->is_in_turn = true;
        evc_moment_refresh(&loop->now);
        loop->turn_started_us = loop->now.mono_us;
    }
}

/** Calls what is on the list now, once, whatever is added or removed meanwhile. */
static void
run_hooks(struct evc_list *hooks)
{
    struct evc_list due;
    struct evc_list *link;

    evc_list_move(hooks, &due);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        struct evc_loop_hook *hook = EVC_CONTAINER_OF(link, struct evc_loop_hook, link);

        evc_list_push_back(hooks, link);
        hook->call(hook);
    }
}

static void
end_turn(struct evc_loop *loop)
{
    bool want_round = true;
    uint64_t busy_us;

    evc_loop_enter(loop);
    for (unsigned round = 0; want_round && round < EVC_LOOP_ROUNDS_MAX; round++) {
        run_hooks(&loop->hooks);
        want_round = evc_streams_flush(loop) || !evc_list_is_empty(&loop->dirty);
    }
    if (want_round) {
        evc_loop_keep_awake(loop);
    }
    busy_us = evc_clock_mono_us() - loop->turn_started_us;
    evc_latency_record(&loop->turns, busy_us);
    if (busy_us > loop->turn_busy_us_max) {
        loop->turn_busy_us_max = busy_us;
    }
    loop->is_in_turn = false;
}

static void
on_prepare(uv_prepare_t *prepare)
{
    struct evc_loop *loop = EVC_CONTAINER_OF(prepare, struct evc_loop, prepare);

    end_turn(loop);
    if (atomic_load(&loop->is_stopping)) {
        uv_stop(&loop->uv);
    }
}

static void
on_awake(uv_idle_t *awake)
{
    struct evc_loop *loop = EVC_CONTAINER_OF(awake, struct evc_loop, awake);

    evc_loop_enter(loop);
    uv_idle_stop(awake);
    evc_streams_give_kept(loop);
}

void
evc_loop_keep_awake(struct evc_loop *loop)
{
    if (!uv_is_active((uv_handle_t *)&loop->awake)) {
        int status = uv_idle_start(&loop->awake, on_awake);

        assert(status == 0); /* fails only without a callback */
        (void)status;
    }
}

static void
on_tick_timer(uv_timer_t *timer)
{
    struct evc_loop *loop = EVC_CONTAINER_OF(timer, struct evc_loop, tick_timer);

    evc_loop_enter(loop);
    run_hooks(&loop->ticks);
    if (evc_list_is_empty(&loop->ticks)) {
        uv_timer_stop(timer);
    }
}

void
evc_loop_add_hook(struct evc_loop *loop, struct evc_loop_hook *hook)
{
    assert(hook->call != NULL);
    evc_list_push_back(&loop->hooks, &hook->link);
}

void
evc_loop_add_tick(struct evc_loop *loop, struct evc_loop_hook *hook)
{
    assert(hook->call != NULL);
    evc_list_push_back(&loop->ticks, &hook->link);
    if (!uv_is_active((uv_handle_t *)&loop->tick_timer)) {
        int status =
            uv_timer_start(&loop->tick_timer, on_tick_timer, EVC_LOOP_TICK_MS, EVC_LOOP_TICK_MS);

        assert(status == 0); /* fails only while closing */
        (void)status;
    }
}

void
evc_loop_remove_hook(struct evc_loop_hook *hook)
{
    if (hook->link.next != NULL) {
        evc_list_remove(&hook->link);
    }
}

/* --- calls from other threads --- */

static void
on_async(uv_async_t *async)
{
    struct evc_loop *loop = EVC_CONTAINER_OF(async, struct evc_loop, async);
    struct evc_list *link;

    evc_loop_enter(loop);
    if (loop->bell) {
        loop->bell->call(loop->bell);
    }
    uv_mutex_lock(&loop->calls_lock);
    while ((link = evc_list_pop_front(&loop->calls)) != NULL) {
        struct loop_call *call = EVC_CONTAINER_OF(link, struct loop_call, link);

        call->state = CALL_RUNNING;
        uv_mutex_unlock(&loop->calls_lock);
        call->call(call->arg);
        uv_mutex_lock(&loop->calls_lock);
        call->state = CALL_DONE;
        uv_cond_broadcast(&loop->calls_changed);
    }
    uv_mutex_unlock(&loop->calls_lock);
}

void
evc_loop_set_bell(struct evc_loop *loop, struct evc_loop_hook *bell)
{
    assert(!loop->has_thread && !loop->bell);
    loop->bell = bell;
}

void
evc_loop_ring(struct evc_loop *loop)
{
    (void)uv_async_send(&loop->async); /* fails only on a closed handle */
}

/** Waits, under the lock, until the loop has taken the call or the time is up. */
static int
await_call(struct evc_loop *loop, struct loop_call *call, unsigned timeout_ms)
{
    uint64_t now_us = evc_clock_mono_us();
    uint64_t deadline_us = now_us + (uint64_t)timeout_ms * 1000;

    while (call->state == CALL_WAITING && now_us < deadline_us) {
        (void)uv_cond_timedwait(&loop->calls_changed, &loop->calls_lock,
                                (deadline_us - now_us) * 1000); /* the clock tells */
        now_us = evc_clock_mono_us();
    }
    if (call->state == CALL_WAITING) {
        evc_list_remove(&call->link);
        return EVC_E_TIMEOUT;
    }
    while (call->state == CALL_RUNNING) {
        uv_cond_wait(&loop->calls_changed, &loop->calls_lock);
    }
    return call->state == CALL_DONE ? EVC_OK : EVC_E_CLOSED;
}

int
evc_loop_call(struct evc_loop *loop, void (*call)(void *arg), void *arg, unsigned timeout_ms)
{
    struct loop_call waiting = {.call = call, .arg = arg, .state = CALL_WAITING};
    uv_thread_t self = uv_thread_self();
    int status = EVC_E_CLOSED;

    uv_mutex_lock(&loop->calls_lock);
    if (loop->has_thread && uv_thread_equal(&loop->thread, &self)) {
        uv_mutex_unlock(&loop->calls_lock);
        call(arg);
        return EVC_OK;
    }
    if (!loop->is_ended) {
        loop->callers++;
        evc_list_push_back(&loop->calls, &waiting.link);
        (void)uv_async_send(&loop->async); /* fails only on a closed handle */
        status = await_call(loop, &waiting, timeout_ms);
        loop->callers--;
        uv_cond_broadcast(&loop->calls_changed);
    }
    uv_mutex_unlock(&loop->calls_lock);
    return status;
}

/** Nobody will answer any more: whoever waits learns it now. */
static void
drop_calls(struct evc_loop *loop)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(&loop->calls)) != NULL) {
        EVC_CONTAINER_OF(link, struct loop_call, link)->state = CALL_DROPPED;
    }
    uv_cond_broadcast(&loop->calls_changed);
}

/* --- from start to end --- */

void
evc_loop_run(struct evc_loop *loop)
{
    uv_mutex_lock(&loop->calls_lock);
    assert(!loop->has_thread);
    loop->thread = uv_thread_self();
    loop->has_thread = true;
    loop->is_ended = false;
    uv_mutex_unlock(&loop->calls_lock);

    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* whether handles are left is for finish to ask */
    end_turn(loop);                          /* what the last callbacks gathered */
    atomic_store(&loop->is_stopping, false);

    uv_mutex_lock(&loop->calls_lock);
    loop->has_thread = false;
    loop->is_ended = true;
    drop_calls(loop);
    uv_mutex_unlock(&loop->calls_lock);
}

void
evc_loop_stop(struct evc_loop *loop)
{
    atomic_store(&loop->is_stopping, true);
    (void)uv_async_send(&loop->async); /* fails only on a closed handle */
}

static int
init_handles(struct evc_loop *loop)
{
    int status = uv_async_init(&loop->uv, &loop->async, on_async); /* alone may fail */

    if (status == 0) {
        uv_prepare_init(&loop->uv, &loop->prepare);
        uv_prepare_start(&loop->prepare, on_prepare);
        uv_idle_init(&loop->uv, &loop->awake);
        uv_timer_init(&loop->uv, &loop->tick_timer);
    }
    return status;
}

static void
init_fields(struct evc_loop *loop)
{
    *loop = (struct evc_loop){.stream_tick = {.call = evc_streams_on_tick}};
    evc_list_init(&loop->hooks);
    evc_list_init(&loop->ticks);
    evc_list_init(&loop->dirty);
    evc_list_init(&loop->resumed);
    evc_list_init(&loop->holding);
    evc_list_init(&loop->lingering);
    evc_list_init(&loop->calls);
    evc_list_init(&loop->stream_tick.link);
    evc_moment_refresh(&loop->now);
}

/** libuv writes without MSG_NOSIGNAL. */
static void
ignore_sigpipe(void)
{
    sigset_t blocked;

    (void)pthread_sigmask(SIG_BLOCK, NULL, &blocked); /* fails only for a wrong `how` */
    if (!sigismember(&blocked, SIGPIPE)) {
        (void)signal(SIGPIPE, SIG_IGN);
    }
}

int
evc_loop_init(struct evc_loop *loop, struct evc_error *error)
{
    int status;

    init_fields(loop);
    ignore_sigpipe();
    loop->read_bytes = malloc(EVC_LOOP_READ_BYTES);
    if (loop->read_bytes == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    status = uv_mutex_init(&loop->calls_lock);
    if (status != 0) {
        goto fail_lock;
    }
    status = uv_cond_init(&loop->calls_changed);
    if (status != 0) {
        goto fail_cond;
    }
    status = uv_loop_init(&loop->uv);
    if (status != 0) {
        goto fail_uv;
    }
    status = init_handles(loop);
    if (status != 0) {
        goto fail_handles;
    }
    return EVC_OK;

fail_handles:
    (void)uv_loop_close(&loop->uv); /* nothing is on it */
fail_uv:
    uv_cond_destroy(&loop->calls_changed);
fail_cond:
    uv_mutex_destroy(&loop->calls_lock);
fail_lock:
    free(loop->read_bytes);
    return evc_error_sys(error, -status, "cannot make an event loop");
}

void
evc_loop_finish(struct evc_loop *loop)
{
    int status;

    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->awake, NULL);
    uv_close((uv_handle_t *)&loop->tick_timer, NULL);
    uv_mutex_lock(&loop->calls_lock);
    loop->is_ended = true;
    drop_calls(loop);
    while (loop->callers > 0) {
        uv_cond_wait(&loop->calls_changed, &loop->calls_lock);
    }
    uv_mutex_unlock(&loop->calls_lock);
    uv_close((uv_handle_t *)&loop->async, NULL);
    for (unsigned turn = 0; turn < CLOSE_TURNS_MAX && uv_loop_alive(&loop->uv); turn++) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* the loop's condition asks */
    }
    status = uv_loop_close(&loop->uv);
    assert(status == 0); /* else somebody left a handle open */
    (void)status;
    uv_cond_destroy(&loop->calls_changed);
    uv_mutex_destroy(&loop->calls_lock);
    free(loop->read_bytes);
    loop->read_bytes = NULL;
}
