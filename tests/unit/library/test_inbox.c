/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous calls: every one is answered exactly once, by the thread that takes them. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "library/library.h"
#include "library_fixture.h"

enum {
    THREADS = 3,
    CALLS_PER_THREAD = 500,
    WAIT_MS_MAX = 5000,
    ROUNDS_MAX = 400,
};

static struct library_fixture f;

struct taker {
    evcache_inbox *inbox;
    pthread_t thread; /* that dispatches */
    unsigned answers, wrong_thread, not_ok;
    unsigned follow_ups; /* still to be started from done functions */
    int status;          /* of the last */
};

static int
setup(void **state)
{
    (void)state;
    library_fixture_start(&f);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    library_fixture_finish(&f);
    return 0;
}

static struct taker
taker_open(void)
{
    struct taker taker = {.thread = pthread_self()};
    evcache_error error;

    assert_int_equal(evcache_inbox_open(f.cache, &taker.inbox, &error), EVCACHE_OK);
    return taker;
}

static void
on_reply(void *ctx, evcache_reply *reply)
{
    struct taker *taker = ctx;
    const evcache_request again = {.key = evcache_str("key"), .value = evcache_str("again")};

    taker->answers++;
    taker->wrong_thread += !pthread_equal(pthread_self(), taker->thread);
    taker->status = evcache_reply_status(reply);
    taker->not_ok += taker->status != EVCACHE_OK;
    evcache_reply_free(reply);
    if (taker->follow_ups > 0) {
        taker->follow_ups--;
        assert_int_equal(evcache_start(taker->inbox, EVCACHE_SET, &again, on_reply, taker),
                         EVCACHE_OK);
    }
}

/** Polls and dispatches until so many answers are there. */
static void
take(struct taker *taker, unsigned answers)
{
    while (taker->answers < answers) {
        struct pollfd readable = {.fd = evcache_inbox_fd(taker->inbox), .events = POLLIN};

        assert_int_equal(poll(&readable, 1, WAIT_MS_MAX), 1);
        evcache_inbox_dispatch(taker->inbox);
    }
    assert_int_equal(taker->wrong_thread, 0);
}

static void
start_set(struct taker *taker, unsigned number)
{
    char key[32];
    evcache_request request = {.value = evcache_str("value")};

    snprintf(key, sizeof(key), "key:%u", number);
    request.key = evcache_str(key); /* copied: gone when this returns */
    assert_int_equal(evcache_start(taker->inbox, EVCACHE_SET, &request, on_reply, taker),
                     EVCACHE_OK);
}

static void *
start_many(void *arg)
{
    for (unsigned i = 0; i < CALLS_PER_THREAD; i++) {
        start_set(arg, i);
    }
    return NULL;
}

static void
test_start__from_many_threads__all_are_answered_in_the_takers(void **state)
{
    struct taker taker = taker_open();
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, start_many, &taker), 0);
    }
    take(&taker, THREADS * CALLS_PER_THREAD);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(taker.answers, THREADS * CALLS_PER_THREAD);
    assert_int_equal(taker.not_ok, 0);
    assert_int_equal(evcache_inbox_dispatch(taker.inbox), 0);
    evcache_inbox_close(taker.inbox);
}

static void
test_start__from_a_done_function__is_for_the_next_dispatch(void **state)
{
    struct taker taker = taker_open();
    struct pollfd readable = {.fd = evcache_inbox_fd(taker.inbox), .events = POLLIN};

    (void)state;
    taker.follow_ups = 3;
    start_set(&taker, 0);
    assert_int_equal(poll(&readable, 1, WAIT_MS_MAX), 1);
    assert_int_equal(evcache_inbox_dispatch(taker.inbox), 1);
    take(&taker, 4);
    assert_int_equal(poll(&readable, 1, 0), 0); /* nothing is left to read */
    evcache_inbox_close(taker.inbox);
}

static void
test_close__inbox_with_calls_under_way__hands_them_out_first(void **state)
{
    struct taker taker = taker_open();

    (void)state;
    node_process_freeze(&f.nodes[0]);
    node_process_freeze(&f.nodes[1]);
    start_set(&taker, 0);
    assert_int_equal(evcache_close(f.cache), EVCACHE_E_BUSY); /* an inbox is open */
    assert_int_equal(taker.answers, 0);
    evcache_inbox_close(taker.inbox);
    assert_int_equal(taker.answers, 1);
    assert_int_equal(taker.status, EVCACHE_E_TIMEOUT);
    node_process_thaw(&f.nodes[0]);
    node_process_thaw(&f.nodes[1]);
}

static void
test_start__what_is_not_allowed__is_refused_without_an_answer(void **state)
{
    struct taker taker = taker_open();
    evcache_request request = {.value = evcache_str("value")};

    (void)state;
    assert_int_equal(evcache_start(taker.inbox, EVCACHE_SET, &request, on_reply, &taker),
                     EVCACHE_E_INVALID);
    request.key = evcache_str("key");
    assert_int_equal(evcache_start(taker.inbox, EVCACHE_SET, &request, NULL, &taker),
                     EVCACHE_E_INVALID);
    assert_int_equal(evcache_start(taker.inbox, (enum evcache_op)99, &request, on_reply, &taker),
                     EVCACHE_E_INVALID);
    evcache_inbox_close(taker.inbox);
    assert_int_equal(taker.answers, 0);
}

static void
test_start__too_many_unanswered__is_busy_and_has_no_effect(void **state)
{
    struct taker taker = taker_open();
    const evcache_request request = {.key = evcache_str("key"), .value = evcache_str("value")};
    evcache_reply *reply = NULL;

    (void)state;
    atomic_fetch_add(&f.cache->calls_open, EVCACHE_CALLS_MAX); /* as if so many were on their way */
    assert_int_equal(evcache_start(taker.inbox, EVCACHE_SET, &request, on_reply, &taker),
                     EVCACHE_E_BUSY);
    assert_int_equal(evcache_set(f.cache, &request, &reply), EVCACHE_E_BUSY);
    assert_string_equal(evcache_reply_error(reply), "busy");
    evcache_reply_free(reply);
    atomic_fetch_sub(&f.cache->calls_open, EVCACHE_CALLS_MAX);
    evcache_inbox_close(taker.inbox);
    assert_int_equal(taker.answers, 0);
    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_NOT_FOUND);
    evcache_reply_free(reply);
}

static void
test_queue__full__writes_go_on_and_the_stats_say_so(void **state)
{
    struct taker taker = taker_open();
    evcache_stats stats = {.zones = 0};
    unsigned rounds = 0;

    (void)state;
    /* No relay reads it: the queue is full in the end, and the journal before it. */
    while ((stats.events_lost == 0 || !stats.is_queue_refusing) && rounds < ROUNDS_MAX) {
        for (unsigned i = 0; i < CALLS_PER_THREAD; i++) {
            start_set(&taker, i);
        }
        rounds++;
        take(&taker, rounds * CALLS_PER_THREAD);
        assert_int_equal(evcache_get_stats(f.cache, &stats), EVCACHE_OK);
    }
    assert_int_equal(taker.not_ok, 0);
    assert_true(stats.events_lost > 0);
    assert_true(stats.events_waiting > 0);
    assert_true(stats.is_queue_refusing);
    assert_non_null(strstr(stats.queue_error, "queue.size"));
    evcache_inbox_close(taker.inbox);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_start__from_many_threads__all_are_answered_in_the_takers),
        CASE(test_start__from_a_done_function__is_for_the_next_dispatch),
        CASE(test_close__inbox_with_calls_under_way__hands_them_out_first),
        CASE(test_start__what_is_not_allowed__is_refused_without_an_answer),
        CASE(test_start__too_many_unanswered__is_busy_and_has_no_effect),
        CASE(test_queue__full__writes_go_on_and_the_stats_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
