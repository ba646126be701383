/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on a node that misbehaves: a small server on the same loop says what the test wants.
 * Needs no memcached. Also the table of states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "engine/node_conn.h"
#include "engine_fixture.h"
#include "net/listener.h"
#include "net/stream.h"
#include "node_process.h"

enum {
    OPS_MAX = 4000,
    FAKE_INPUT_BYTES_MAX = 128 * 1024 * 1024,
    FAKE_OUTPUT_BYTES_MAX = 1024 * 1024,
    HOG_MS = 40,
};

#define SETTINGS_GOOD "STAT maxbytes 67108864\r\nSTAT cas_enabled yes\r\nEND\r\n"

struct fake {
    struct engine_fixture fixture;
    struct evc_listener listener;
    struct evc_stream stream;
    bool has_stream;
    bool is_silent;       /* never answers anything */
    bool pauses_when_up;  /* takes nothing any more, once it was checked */
    const char *version;  /* the answer to version, with CRLF */
    const char *settings; /* the answer to stats settings */
    const char *answer;   /* to every request after that; NULL: none */
    bool wants_value;     /* GETs ask for it */
    unsigned checks_seen;
    unsigned accepts;
    unsigned data_calls; /* with requests in them */
    struct evc_node_op ops[OPS_MAX];
    uint64_t done_us[OPS_MAX];
    unsigned done_calls[OPS_MAX];
    unsigned submitted, done;
    struct evc_loop_hook hog;
};

static struct fake *fake;

/* --- the fake node --- */

static void
say(const char *text)
{
    assert_int_equal(evc_buf_append(evc_stream_output(&fake->stream), evc_slice_str(text)), EVC_OK);
    evc_stream_flush_later(&fake->stream);
}

static void
on_line(const char *line, size_t len)
{
    if (fake->is_silent) {
        return;
    }
    if (len == 7 && memcmp(line, "version", 7) == 0) {
        fake->checks_seen++;
        say(fake->version);
    } else if (len == 14 && memcmp(line, "stats settings", 14) == 0) {
        say(fake->settings);
    } else if (fake->answer != NULL) {
        say(fake->answer);
    }
}

static size_t
on_fake_data(struct evc_stream *stream, char *data, size_t len)
{
    size_t used = 0;
    char *end;

    fake->data_calls += memcmp(data, "mg ", 3) == 0;
    while (used < len && (end = memchr(data + used, '\n', len - used)) != NULL) {
        size_t line_len = (size_t)(end - (data + used));

        on_line(data + used, line_len > 0 && end[-1] == '\r' ? line_len - 1 : line_len);
        used += line_len + 1;
    }
    if (fake->pauses_when_up && fake->checks_seen > 0) {
        evc_stream_pause(stream);
    }
    return used;
}

static void
on_fake_closed(struct evc_stream *stream, int reason)
{
    (void)stream;
    (void)reason;
    fake->has_stream = false;
}

static const struct evc_stream_handler fake_handler = {
    .on_data = on_fake_data,
    .on_closed = on_fake_closed,
};

static void
on_connection(struct evc_listener *listener)
{
    assert_false(fake->has_stream);
    fake->has_stream = true;
    fake->accepts++;
    assert_int_equal(evc_stream_accept(&fake->stream, &fake->fixture.loop,
                                       (uv_stream_t *)&listener->tcp, FAKE_INPUT_BYTES_MAX,
                                       FAKE_OUTPUT_BYTES_MAX, &fake_handler),
                     EVC_OK);
}

static int
setup(void **state)
{
    uint16_t port = free_port();
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)state;
    fake = calloc(1, sizeof(*fake));
    fixture_start(&fake->fixture, port);
    assert_int_equal(evc_listener_open(&fake->listener, &fake->fixture.loop,
                                       (struct sockaddr *)&address, on_connection, NULL),
                     EVC_OK);
    fake->version = "VERSION 1.6.38\r\n";
    fake->settings = SETTINGS_GOOD;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_stream_close(&fake->stream, 0);
    evc_listener_close(&fake->listener);
    fixture_finish(&fake->fixture);
    free(fake);
    return 0;
}

/* --- operations --- */

static void
on_done(struct evc_node_op *op)
{
    size_t i = (size_t)(op - fake->ops);

    fake->done_calls[i]++;
    fake->done_us[i] = evc_clock_mono_us();
    fake->done++;
}

static struct evc_node_op *
submit(enum evc_node_verb verb, struct evc_slice value, unsigned timeout_ms)
{
    struct evc_node_op *op = &fake->ops[fake->submitted++];

    assert_true(fake->submitted <= OPS_MAX);
    evc_moment_refresh(&fake->fixture.loop.now);
    *op = (struct evc_node_op){
        .verb = verb,
        .key = EVC_SLICE("key"),
        .value = value,
        .want = EVC_WANT_FLAGS | (fake->wants_value ? EVC_WANT_VALUE : EVC_WANT_SIZE),
        .version = EVC_VERSION_OURS_MIN,
        .deadline_us = fake->fixture.loop.now.mono_us + (uint64_t)timeout_ms * 1000,
        .on_done = on_done,
    };
    evc_node_port_submit(fake->fixture.port, op);
    return op;
}

static struct evc_node_op *
submit_get(unsigned timeout_ms)
{
    return submit(EVC_NODE_GET, EVC_SLICE(""), timeout_ms);
}

static bool
all_done(void *ctx)
{
    (void)ctx;
    return fake->done == fake->submitted;
}

static void
await_all(void)
{
    assert_true(fixture_run(&fake->fixture, all_done, NULL, FIXTURE_WAIT_MS_MAX));
    for (unsigned i = 0; i < fake->submitted; i++) {
        assert_int_equal(fake->done_calls[i], 1);
    }
}

/** That the last reason is "127.0.0.1:<port><rest>". */
static void
assert_why(const char *rest)
{
    char expected[160];

    snprintf(expected, sizeof(expected), "%s%s", fake->fixture.node_text, rest);
    assert_string_equal(fixture_stats(&fake->fixture).why, expected);
}

static bool
has_reason(void *ctx)
{
    (void)ctx;
    return fixture_stats(&fake->fixture).why[0] != '\0';
}

/** Runs until an attempt has failed, and its reason is "127.0.0.1:<port><rest>". */
static void
await_why(const char *rest)
{
    assert_true(fixture_run(&fake->fixture, has_reason, NULL, FIXTURE_WAIT_MS_MAX));
    assert_int_not_equal(fixture_stats(&fake->fixture).state, EVC_NODE_STATE_UP);
    assert_why(rest);
}

static bool
is_checked_three_times(void *ctx)
{
    (void)ctx;
    return fake->checks_seen >= 3;
}

/* --- unfit and unreachable --- */

static void
test_engine_unfit__old_node__is_named_told_once_and_tried_again(void **state)
{
    (void)state;
    fake->version = "VERSION 1.6.18\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UNFIT);
    assert_why(" runs memcached 1.6.18, evcache needs 1.6.27 or newer");
    assert_int_equal(submit_get(1000)->result, EVC_NODE_REFUSED);
    assert_true(fixture_run(&fake->fixture, is_checked_three_times, NULL, FIXTURE_WAIT_MS_MAX));
    assert_int_equal(fake->fixture.told_count, 3); /* connecting, checking, unfit */
    assert_string_equal(fake->fixture.told_why[2], fixture_stats(&fake->fixture).why);
    /* It is replaced: the next attempt finds it fit. */
    fake->version = "VERSION 1.6.27\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    assert_int_equal(fake->fixture.told_count, 4);
}

static void
test_engine_unfit__cas_disabled__is_named(void **state)
{
    (void)state;
    fake->settings = "STAT maxbytes 1\r\nSTAT cas_enabled no\r\nEND\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UNFIT);
    assert_why(" runs with CAS disabled (-C), which evcache needs");
}

static void
test_engine_check__garbage__is_down(void **state)
{
    (void)state;
    fake->version = "HTTP/1.1 400 Bad Request\r\n\r\n";
    await_why(": what answers is no memcached");
}

static void
test_engine_check__no_answer__is_down_after_the_timeout(void **state)
{
    (void)state;
    fake->is_silent = true;
    await_why(": connected, but silent for 300 ms");
}

static void
test_engine_check__closed_in_the_middle__is_down(void **state)
{
    (void)state;
    fake->is_silent = true;
    fixture_await(&fake->fixture, EVC_NODE_STATE_CHECKING);
    fixture_wait(&fake->fixture, 20);
    evc_stream_close(&fake->stream, 0);
    fixture_await(&fake->fixture, EVC_NODE_STATE_DOWN);
    /* EOF or reset, as the kernel likes. */
    assert_non_null(strstr(fixture_stats(&fake->fixture).why, "connection"));
}

static void
test_engine__nobody_listens__is_down_by_name(void **state)
{
    (void)state;
    evc_listener_close(&fake->listener);
    await_why(": connection refused");
}

/* --- out of step --- */

static void
test_engine__answer_to_nothing__closes(void **state)
{
    (void)state;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    say("HD\r\n");
    fixture_await(&fake->fixture, EVC_NODE_STATE_DOWN);
    assert_why(": the node sent what nobody asked for");
}

static void
test_engine__answer_that_is_none__ends_as_unknown(void **state)
{
    (void)state;
    fake->answer = "220 mail.example.org ESMTP\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    submit_get(5000);
    submit_get(5000);
    await_all();
    assert_int_equal(fake->ops[0].result, EVC_NODE_UNKNOWN);
    assert_int_equal(fake->ops[1].result, EVC_NODE_UNKNOWN);
    assert_why(": what the node answers is not the meta protocol");
}

/** What stands behind the check's END would be taken for the answer to the first request. */
static void
test_engine__bytes_behind_the_check__close(void **state)
{
    (void)state;
    fake->settings = SETTINGS_GOOD "HD\r\n";
    await_why(": the node sent what nobody asked for");
}

static void
test_engine__answer_of_another_kind__ends_as_unknown(void **state)
{
    (void)state;
    fake->answer = "HD f0 s5\r\n"; /* good for a look, but not for a value */
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    submit_get(5000);
    await_all();
    assert_int_equal(fake->ops[0].result, EVC_NODE_HIT);
    fake->wants_value = true;
    submit_get(5000);
    await_all();
    assert_int_equal(fake->ops[1].result, EVC_NODE_UNKNOWN);
    assert_why(": what the node answers is not what it was asked");
}

/* --- one write, deadlines, loss --- */

static void
test_engine__operations_of_one_turn__leave_in_one_write(void **state)
{
    (void)state;
    fake->answer = "EN\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    for (unsigned i = 0; i < 1000; i++) {
        submit_get(5000);
    }
    await_all();
    assert_int_equal(fake->data_calls, 1);
    assert_int_equal(fake->ops[999].result, EVC_NODE_MISS);
}

static void
test_engine__short_deadline_behind_a_long_one__ends_at_its_own(void **state)
{
    uint64_t started_us;

    (void)state;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    started_us = evc_clock_mono_us();
    submit_get(400);
    submit_get(100);
    fixture_wait(&fake->fixture, 200);
    assert_int_equal(fake->done, 1);
    assert_int_equal(fake->done_calls[1], 1);
    assert_int_equal(fake->ops[1].result, EVC_NODE_UNKNOWN);
    assert_true(fake->done_us[1] - started_us < 200000);
    /* The oldest request is not overdue yet. */
    assert_int_equal(fixture_stats(&fake->fixture).state, EVC_NODE_STATE_UP);
    await_all();
    assert_true(fake->done_us[0] - started_us >= 400000);
    assert_int_equal(fixture_stats(&fake->fixture).state, EVC_NODE_STATE_SILENT);
    /* One late answer, and it is up; the other is still awaited. */
    say("EN\r\n");
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    assert_int_equal(fixture_stats(&fake->fixture).in_flight, 1);
    assert_int_equal(fake->accepts, 1);
}

static void
on_hog(struct evc_loop_hook *hook)
{
    uint64_t until_us = evc_clock_mono_us() + HOG_MS * 1000;

    (void)hook;
    while (evc_clock_mono_us() < until_us) {
        continue;
    }
    evc_loop_keep_awake(&fake->fixture.loop);
}

static void
test_engine__busy_loop__deadlines_still_come(void **state)
{
    uint64_t started_us;

    (void)state;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    fake->hog.call = on_hog;
    evc_loop_add_hook(&fake->fixture.loop, &fake->hog);
    started_us = evc_clock_mono_us();
    submit_get(100);
    await_all();
    assert_int_equal(fake->ops[0].result, EVC_NODE_UNKNOWN);
    assert_true(fake->done_us[0] - started_us >= 100000);
    assert_true(fake->done_us[0] - started_us < 100000 + 5 * HOG_MS * 1000);
    evc_loop_remove_hook(&fake->hog);
}

/** Blocks the loop once, past the deadline, while the answer comes. */
static void
on_long_turn(struct evc_loop_hook *hook)
{
    static unsigned turns;

    if (fake->data_calls > 0 && turns++ == 0) {
        uint64_t until_us = evc_clock_mono_us() + 200000;

        while (evc_clock_mono_us() < until_us) {
            continue;
        }
        evc_loop_remove_hook(hook);
    }
}

static void
test_engine__loop_was_away__answers_that_wait_are_read_first(void **state)
{
    (void)state;
    fake->answer = "EN\r\n";
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    fake->hog.call = on_long_turn;
    evc_loop_add_hook(&fake->fixture.loop, &fake->hog);
    submit_get(100);
    await_all();
    assert_int_equal(fake->ops[0].result, EVC_NODE_MISS);
}

static bool
has_left(void *ctx)
{
    (void)ctx;
    return fixture_stats(&fake->fixture).bytes_out > 0 && fake->data_calls == 0;
}

static void
test_engine__connection_lost__only_what_never_left_is_refused(void **state)
{
    size_t len = 20 * 1024 * 1024;
    char *value = calloc(1, len);

    (void)state;
    fake->pauses_when_up = true;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    /* More than the kernel takes: the rest of it waits, and what comes later waits behind. */
    submit(EVC_NODE_SET, (struct evc_slice){.ptr = value, .len = len}, 5000);
    assert_true(fixture_run(&fake->fixture, has_left, NULL, FIXTURE_WAIT_MS_MAX));
    fixture_wait(&fake->fixture, 20);
    submit_get(5000);
    fixture_wait(&fake->fixture, 20);
    assert_int_equal(fake->done, 0);
    evc_stream_close(&fake->stream, 0);
    await_all();
    assert_int_equal(fake->ops[0].result, EVC_NODE_UNKNOWN);
    assert_int_equal(fake->ops[1].result, EVC_NODE_REFUSED);
    free(value);
}

static void
test_engine__output_over_its_bound__is_refused(void **state)
{
    size_t len = 40 * 1024 * 1024;
    char *value = calloc(1, len);
    struct evc_slice large = {.ptr = value, .len = len};

    (void)state;
    fake->pauses_when_up = true;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    submit(EVC_NODE_SET, large, 5000);
    submit(EVC_NODE_SET, large, 5000); /* begins below the bound */
    assert_int_equal(fake->done, 0);
    assert_int_equal(submit(EVC_NODE_SET, large, 5000)->result, EVC_NODE_REFUSED);
    assert_int_equal(submit_get(5000)->result, EVC_NODE_REFUSED);
    assert_int_equal(fake->done, 2);
    fixture_close_engine(&fake->fixture);
    assert_true(all_done(NULL));
    free(value);
}

static void
test_engine__value_over_the_bound_of_output__is_sent(void **state)
{
    size_t len = EVC_ENGINE_NODE_OUTPUT_BYTES_MAX + 1;
    char *value = calloc(1, len);

    (void)state;
    fake->pauses_when_up = true;
    fixture_await(&fake->fixture, EVC_NODE_STATE_UP);
    submit(EVC_NODE_SET, (struct evc_slice){.ptr = value, .len = len}, 5000);
    assert_int_equal(fake->done, 0);
    fixture_close_engine(&fake->fixture);
    assert_true(all_done(NULL));
    free(value);
}

/* --- the table of states --- */

static void
test_node_state__table__allows_what_the_drawing_shows(void **state)
{
    static const char *const rows[EVC_NODE_STATE_MAX] = {
        /*                              D C K U S X: down connecting checking up silent unfit */
        [EVC_NODE_STATE_DOWN] = "010000",     [EVC_NODE_STATE_CONNECTING] = "101000",
        [EVC_NODE_STATE_CHECKING] = "100101", [EVC_NODE_STATE_UP] = "100010",
        [EVC_NODE_STATE_SILENT] = "100100",   [EVC_NODE_STATE_UNFIT] = "010000",
    };

    (void)state;
    for (unsigned from = 0; from < EVC_NODE_STATE_MAX; from++) {
        for (unsigned to = 0; to < EVC_NODE_STATE_MAX; to++) {
            assert_int_equal(
                evc_node_state_allowed((enum evc_node_state)from, (enum evc_node_state)to),
                rows[from][to] == '1');
        }
        assert_string_not_equal(evc_node_state_str((enum evc_node_state)from), "unknown");
    }
    assert_false(evc_node_state_allowed(EVC_NODE_STATE_MAX, EVC_NODE_STATE_DOWN));
    assert_false(evc_node_state_allowed(EVC_NODE_STATE_DOWN, EVC_NODE_STATE_MAX));
    assert_string_equal(evc_node_state_str(EVC_NODE_STATE_MAX), "unknown");
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_state__table__allows_what_the_drawing_shows),
        FAULT_TEST(test_engine_unfit__old_node__is_named_told_once_and_tried_again),
        FAULT_TEST(test_engine_unfit__cas_disabled__is_named),
        FAULT_TEST(test_engine_check__garbage__is_down),
        FAULT_TEST(test_engine_check__no_answer__is_down_after_the_timeout),
        FAULT_TEST(test_engine_check__closed_in_the_middle__is_down),
        FAULT_TEST(test_engine__nobody_listens__is_down_by_name),
        FAULT_TEST(test_engine__answer_to_nothing__closes),
        FAULT_TEST(test_engine__answer_that_is_none__ends_as_unknown),
        FAULT_TEST(test_engine__bytes_behind_the_check__close),
        FAULT_TEST(test_engine__answer_of_another_kind__ends_as_unknown),
        FAULT_TEST(test_engine__operations_of_one_turn__leave_in_one_write),
        FAULT_TEST(test_engine__short_deadline_behind_a_long_one__ends_at_its_own),
        FAULT_TEST(test_engine__busy_loop__deadlines_still_come),
        FAULT_TEST(test_engine__loop_was_away__answers_that_wait_are_read_first),
        FAULT_TEST(test_engine__connection_lost__only_what_never_left_is_refused),
        FAULT_TEST(test_engine__output_over_its_bound__is_refused),
        FAULT_TEST(test_engine__value_over_the_bound_of_output__is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
