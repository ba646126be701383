/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: hooks and ticks that come and go, stopping, and calls from other threads. */
#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/loop.h"

enum {
    CALLERS = 4,
    CALLS_PER_CALLER = 500,
    CALL_TIMEOUT_MS = 10000,
};

struct fixture {
    struct evc_loop loop;
    struct evc_loop_hook first, second, tick;
    unsigned first_calls, second_calls, ticks;
    unsigned order_errors;
    pthread_t thread;
    unsigned counter; /* the loop's thread only */
};

static void
setup(struct fixture *fixture)
{
    *fixture = (struct fixture){.counter = 0};
    assert_int_equal(evc_loop_init(&fixture->loop, NULL), EVC_OK);
}

static void
on_first(struct evc_loop_hook *hook)
{
    struct fixture *fixture = EVC_CONTAINER_OF(hook, struct fixture, first);

    fixture->first_calls++;
    if (fixture->first_calls == 3) {
        evc_loop_remove_hook(hook);
    }
}

static void
on_second(struct evc_loop_hook *hook)
{
    struct fixture *fixture = EVC_CONTAINER_OF(hook, struct fixture, second);

    fixture->second_calls++;
    if (fixture->second_calls <= 3 && fixture->first_calls != fixture->second_calls) {
        fixture->order_errors++;
    }
    evc_loop_keep_awake(&fixture->loop);
    if (fixture->second_calls == 10) {
        evc_loop_stop(&fixture->loop);
    }
}

static void
test_loop__hooks__run_in_order_until_removed(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    fixture.first.call = on_first;
    fixture.second.call = on_second;
    evc_loop_add_hook(&fixture.loop, &fixture.first);
    evc_loop_add_hook(&fixture.loop, &fixture.second);
    evc_loop_run(&fixture.loop);
    assert_int_equal(fixture.first_calls, 3);
    assert_true(fixture.second_calls >= 10);
    assert_int_equal(fixture.order_errors, 0);
    evc_loop_remove_hook(&fixture.first); /* again: harmless */
    evc_loop_remove_hook(&fixture.tick);  /* never added: harmless */
    evc_loop_finish(&fixture.loop);
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct fixture *fixture = EVC_CONTAINER_OF(hook, struct fixture, tick);

    fixture->ticks++;
    if (fixture->ticks == 5) {
        evc_loop_remove_hook(hook);
        evc_loop_stop(&fixture->loop);
    }
}

static void
test_loop__ticks__come_every_ten_milliseconds(void **state)
{
    struct fixture fixture;
    uint64_t started_us = evc_clock_mono_us();

    (void)state;
    setup(&fixture);
    fixture.tick.call = on_tick;
    for (unsigned run = 0; run < 2; run++) { /* the timer stops and starts again */
        fixture.ticks = 0;
        evc_loop_add_tick(&fixture.loop, &fixture.tick);
        evc_loop_run(&fixture.loop);
        assert_int_equal(fixture.ticks, 5);
    }
    assert_true(evc_clock_mono_us() - started_us >= 80000);
    assert_true(fixture.loop.now.mono_us >= started_us + 80000);
    evc_loop_finish(&fixture.loop);
}

static void
test_loop__stop_before_run__returns_after_a_turn(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    evc_loop_stop(&fixture.loop);
    evc_loop_run(&fixture.loop);
    evc_loop_finish(&fixture.loop);
}

/* --- calls --- */

static void *
run_loop(void *arg)
{
    struct fixture *fixture = arg;

    evc_loop_run(&fixture->loop);
    return NULL;
}

static void
increment(void *arg)
{
    struct fixture *fixture = arg;

    fixture->counter++;
    /* From the loop's own thread a call is a plain call. */
    if (fixture->counter % 2 == 1) {
        assert(evc_loop_call(&fixture->loop, increment, fixture, 0) == EVC_OK);
    }
}

static void *
call_often(void *arg)
{
    struct fixture *fixture = arg;

    for (unsigned i = 0; i < CALLS_PER_CALLER; i++) {
        if (evc_loop_call(&fixture->loop, increment, fixture, CALL_TIMEOUT_MS) != EVC_OK) {
            return (void *)1;
        }
    }
    return NULL;
}

static void
test_loop_call__many_threads__each_runs_once_on_the_loop(void **state)
{
    struct fixture fixture;
    pthread_t callers[CALLERS];

    (void)state;
    setup(&fixture);
    assert_int_equal(pthread_create(&fixture.thread, NULL, run_loop, &fixture), 0);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_often, &fixture), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        void *failed = NULL;

        pthread_join(callers[i], &failed);
        assert_null(failed);
    }
    evc_loop_stop(&fixture.loop);
    pthread_join(fixture.thread, NULL);
    assert_int_equal(fixture.counter, 2 * CALLERS * CALLS_PER_CALLER);
    assert_int_equal(evc_loop_call(&fixture.loop, increment, &fixture, 10), EVC_E_CLOSED);
    evc_loop_finish(&fixture.loop);
}

static void
test_loop_call__loop_not_running__times_out_and_never_runs(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    assert_int_equal(evc_loop_call(&fixture.loop, increment, &fixture, 20), EVC_E_TIMEOUT);
    evc_loop_stop(&fixture.loop);
    evc_loop_run(&fixture.loop);
    assert_int_equal(fixture.counter, 0);
    evc_loop_finish(&fixture.loop);
}

static void *
call_until_closed(void *arg)
{
    struct fixture *fixture = arg;
    int status = EVC_OK;

    while (status == EVC_OK) {
        status = evc_loop_call(&fixture->loop, increment, fixture, CALL_TIMEOUT_MS);
    }
    return (void *)(intptr_t)status;
}

static void
test_loop_call__loop_ends__waiting_callers_are_told(void **state)
{
    struct fixture fixture;
    pthread_t callers[CALLERS];

    (void)state;
    setup(&fixture);
    assert_int_equal(pthread_create(&fixture.thread, NULL, run_loop, &fixture), 0);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_until_closed, &fixture), 0);
    }
    assert_int_equal(evc_loop_call(&fixture.loop, increment, &fixture, CALL_TIMEOUT_MS), EVC_OK);
    evc_loop_stop(&fixture.loop);
    pthread_join(fixture.thread, NULL);
    for (unsigned i = 0; i < CALLERS; i++) {
        void *status = NULL;

        pthread_join(callers[i], &status);
        assert_int_equal((intptr_t)status, EVC_E_CLOSED);
    }
    evc_loop_finish(&fixture.loop);
}

struct bell {
    struct evc_loop loop;
    struct evc_loop_hook hook;
    atomic_uint given, taken;
};

static void
on_bell(struct evc_loop_hook *hook)
{
    struct bell *bell = EVC_CONTAINER_OF(hook, struct bell, hook);

    atomic_store(&bell->taken, atomic_load(&bell->given));
    if (atomic_load(&bell->taken) == CALLS_PER_CALLER) {
        evc_loop_stop(&bell->loop);
    }
}

static void *
ring(void *arg)
{
    struct bell *bell = arg;

    for (unsigned i = 0; i < CALLS_PER_CALLER; i++) {
        atomic_fetch_add(&bell->given, 1);
        evc_loop_ring(&bell->loop);
    }
    return NULL;
}

static void
test_loop_ring__from_another_thread__what_came_before_it_is_seen(void **state)
{
    struct bell bell = {.hook = {.call = on_bell}};
    pthread_t thread;

    (void)state;
    assert_int_equal(evc_loop_init(&bell.loop, NULL), EVC_OK);
    evc_loop_set_bell(&bell.loop, &bell.hook);
    assert_int_equal(pthread_create(&thread, NULL, ring, &bell), 0);
    evc_loop_run(&bell.loop); /* ends with the bell for the last */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&bell.taken), CALLS_PER_CALLER);
    evc_loop_finish(&bell.loop);
}

static void
test_loop_init__sigpipe_blocked__leaves_the_signal_alone(void **state)
{
    struct evc_loop loop;
    struct sigaction action;
    sigset_t pipe_only, before;

    (void)state;
    (void)signal(SIGPIPE, SIG_DFL);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &pipe_only, &before), 0);
    assert_int_equal(evc_loop_init(&loop, NULL), EVC_OK);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    evc_loop_finish(&loop);

    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(evc_loop_init(&loop, NULL), EVC_OK);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_IGN);
    evc_loop_finish(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop__hooks__run_in_order_until_removed),
        cmocka_unit_test(test_loop__ticks__come_every_ten_milliseconds),
        cmocka_unit_test(test_loop__stop_before_run__returns_after_a_turn),
        cmocka_unit_test(test_loop_call__many_threads__each_runs_once_on_the_loop),
        cmocka_unit_test(test_loop_call__loop_not_running__times_out_and_never_runs),
        cmocka_unit_test(test_loop_call__loop_ends__waiting_callers_are_told),
        cmocka_unit_test(test_loop_ring__from_another_thread__what_came_before_it_is_seen),
        cmocka_unit_test(test_loop_init__sigpipe_blocked__leaves_the_signal_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
