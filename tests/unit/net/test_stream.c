/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over a real loopback connection, both ends on one loop: `client` connects, `server` is
 * what the listener accepts. A raw socket plays the peer where the test needs a slow or rude one.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/listener.h"
#include "net/stream.h"

enum {
    BUFFER_BYTES_MAX = 16 * 1024 * 1024,
    LOOP_MS_MAX = 10000, /* a test that takes longer has failed */
    VALUE_BYTES = 1024 * 1024,
};

struct fixture {
    struct evc_loop loop;
    struct evc_listener listener;
    struct sockaddr_storage address;
    struct evc_stream client, server;
    struct evc_loop_hook watchdog;
    uint64_t started_us;
    bool has_server;
    /* what happened */
    int connected_status;
    unsigned connected_calls, client_closed, server_closed, drained_calls, data_calls, eof_calls;
    int client_reason, server_reason;
    size_t got;
    bool is_out_of_order;
    /* what the server's on_data does */
    size_t want;        /* uses input only in whole messages of this many bytes */
    size_t stop_at;     /* stops the loop when this many bytes were used */
    size_t pause_every; /* pauses after each message, and resumes in the tick */
    bool echo;
    bool close_in_data;
};

static struct fixture *fixture; /* the running test's */

static unsigned char
pattern(size_t offset)
{
    return (unsigned char)(offset % 251);
}

/* --- handlers --- */

static void
on_connected(struct evc_stream *stream, int status)
{
    assert_ptr_equal(stream, &fixture->client);
    fixture->connected_status = status;
    fixture->connected_calls++;
}

static void
use(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i += 509) { /* a sample is enough to see disorder */
        if ((unsigned char)data[i] != pattern(fixture->got + i)) {
            fixture->is_out_of_order = true;
        }
    }
    fixture->got += len;
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    size_t take = fixture->want > 0 ? len / fixture->want * fixture->want : len;

    fixture->data_calls++;
    if (fixture->pause_every > 0) {
        take = take > fixture->pause_every ? fixture->pause_every : take;
    }
    use(data, take);
    if (fixture->echo && stream == &fixture->server) {
        struct evc_slice bytes = {.ptr = data, .len = take};

        assert_int_equal(evc_buf_append(evc_stream_output(stream), bytes), EVC_OK);
        evc_stream_flush_later(stream);
    }
    if (fixture->pause_every > 0 && take > 0) {
        evc_stream_pause(stream);
    }
    if (fixture->close_in_data) {
        evc_stream_close(stream, 0);
        evc_stream_close(stream, 0);
    }
    if (fixture->stop_at > 0 && fixture->got >= fixture->stop_at) {
        evc_loop_stop(&fixture->loop);
    }
    return take;
}

static void
on_drained(struct evc_stream *stream)
{
    (void)stream;
    fixture->drained_calls++;
}

static void
stop_when_all_closed(void)
{
    if (fixture->client_closed > 0 && (!fixture->has_server || fixture->server_closed > 0)) {
        evc_loop_stop(&fixture->loop);
    }
}

static void
on_client_closed(struct evc_stream *stream, int reason)
{
    assert_int_equal(stream->state, EVC_STREAM_CLOSED);
    fixture->client_closed++;
    fixture->client_reason = reason;
    stop_when_all_closed();
}

static void
on_server_closed(struct evc_stream *stream, int reason)
{
    assert_int_equal(stream->state, EVC_STREAM_CLOSED);
    fixture->server_closed++;
    fixture->server_reason = reason;
    stop_when_all_closed();
}

static const struct evc_stream_handler client_handler = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_client_closed,
};

static const struct evc_stream_handler server_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_server_closed,
};

static void
on_eof(struct evc_stream *stream)
{
    fixture->eof_calls++;
    assert_int_equal(evc_buf_append(evc_stream_output(stream), EVC_SLICE("last words")), EVC_OK);
    evc_stream_flush_later(stream);
    evc_stream_close_after_flush(stream);
}

static const struct evc_stream_handler eof_handler = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_closed = on_server_closed,
};

static const struct evc_stream_handler *server_handler_now = &server_handler;

static void
on_connection(struct evc_listener *listener)
{
    assert_int_equal(evc_stream_accept(&fixture->server, &fixture->loop,
                                       (uv_stream_t *)&listener->tcp, BUFFER_BYTES_MAX,
                                       BUFFER_BYTES_MAX, server_handler_now),
                     EVC_OK);
    fixture->has_server = true;
}

static void
on_watchdog(struct evc_loop_hook *hook)
{
    (void)hook;
    if (fixture->pause_every > 0 && fixture->has_server) {
        evc_stream_resume(&fixture->server);
    }
    if (fixture->loop.now.mono_us - fixture->started_us > (uint64_t)LOOP_MS_MAX * 1000) {
        evc_loop_stop(&fixture->loop);
    }
}

/* --- fixture --- */

static int
setup(void **state)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    server_handler_now = &server_handler;
    assert_int_equal(evc_loop_init(&fixture->loop, NULL), EVC_OK);
    assert_int_equal(evc_listener_open(&fixture->listener, &fixture->loop, (struct sockaddr *)&any,
                                       on_connection, NULL),
                     EVC_OK);
    assert_int_equal(evc_listener_address(&fixture->listener, &fixture->address), EVC_OK);
    fixture->watchdog.call = on_watchdog;
    evc_loop_add_tick(&fixture->loop, &fixture->watchdog);
    fixture->started_us = evc_clock_mono_us();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_loop_remove_hook(&fixture->watchdog);
    evc_stream_close(&fixture->client, 0);
    evc_stream_close(&fixture->server, 0);
    evc_listener_close(&fixture->listener);
    evc_loop_finish(&fixture->loop);
    free(fixture);
    return 0;
}

static void
connect_client(void)
{
    assert_int_equal(evc_stream_connect(&fixture->client, &fixture->loop,
                                        (struct sockaddr *)&fixture->address, BUFFER_BYTES_MAX,
                                        BUFFER_BYTES_MAX, &client_handler),
                     EVC_OK);
}

/** A blocking socket connected to the listener. */
static int
raw_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&fixture->address, sizeof(struct sockaddr_in)),
                     0);
    return fd;
}

static void
send_pattern(struct evc_stream *stream, size_t from, size_t len)
{
    char *tail = NULL;

    assert_int_equal(evc_buf_reserve(evc_stream_output(stream), len, &tail), EVC_OK);
    for (size_t i = 0; i < len; i++) {
        tail[i] = (char)pattern(from + i);
    }
    evc_buf_commit(evc_stream_output(stream), len);
    evc_stream_flush_later(stream);
}

/* --- tests --- */

static void
test_stream__output_before_connected__leaves_in_order(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, 100);
    send_pattern(&fixture->client, 100, 200);
    fixture->stop_at = 300;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->connected_calls, 1);
    assert_int_equal(fixture->connected_status, 0);
    assert_int_equal(fixture->got, 300);
    assert_int_equal(fixture->data_calls, 1); /* one write, one read */
    assert_false(fixture->is_out_of_order);
    assert_int_equal(fixture->client.bytes_out, 300);
    assert_int_equal(fixture->client.bytes_handed, 300);
    assert_int_equal(fixture->server.bytes_in, 300);
    assert_true(fixture->drained_calls >= 1);
}

static void
test_stream__large_messages__arrive_whole_with_few_calls(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, 10 * VALUE_BYTES);
    fixture->want = 5 * VALUE_BYTES / 2;
    fixture->stop_at = 10 * VALUE_BYTES;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, 10 * VALUE_BYTES);
    assert_false(fixture->is_out_of_order);
    assert_int_equal(evc_stream_output_waiting(&fixture->client), 0);
    assert_int_equal(fixture->client.bytes_out, 10 * VALUE_BYTES);
}

static void
test_stream__small_rests__are_given_again_in_front(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, 4 * VALUE_BYTES);
    fixture->want = 1000 * 7 + 3; /* never ends where a read does */
    fixture->stop_at = 4 * VALUE_BYTES / fixture->want * fixture->want;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, fixture->stop_at);
    assert_false(fixture->is_out_of_order);
}

static void
test_stream__pause__holds_input_until_resume(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, VALUE_BYTES);
    fixture->pause_every = 50000;
    fixture->stop_at = VALUE_BYTES;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, VALUE_BYTES);
    assert_true(fixture->data_calls >= VALUE_BYTES / 50000);
    assert_true(fixture->data_calls < VALUE_BYTES / 50000 + 50); /* resumed once a tick */
    assert_false(fixture->is_out_of_order);
}

static void
test_stream__connection_refused__is_told_then_closed(void **state)
{
    (void)state;
    evc_listener_close(&fixture->listener);
    connect_client();
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->connected_calls, 1);
    assert_int_equal(fixture->connected_status, UV_ECONNREFUSED);
    assert_int_equal(fixture->client_closed, 1);
    assert_int_equal(fixture->client_reason, UV_ECONNREFUSED);
}

static void
test_stream__closed_while_connecting__only_on_closed_comes(void **state)
{
    (void)state;
    connect_client();
    evc_stream_close(&fixture->client, UV_ETIMEDOUT);
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->connected_calls, 0);
    assert_int_equal(fixture->client_closed, 1);
    assert_int_equal(fixture->client_reason, UV_ETIMEDOUT);
    /* The same memory connects again. */
    fixture->client_closed = 0;
    connect_client();
    send_pattern(&fixture->client, 0, 10);
    fixture->stop_at = 10;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, 10);
}

static void
test_stream__closed_in_its_own_callback__ends_once(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, VALUE_BYTES);
    fixture->close_in_data = true;
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->data_calls, 1);
    assert_int_equal(fixture->server_closed, 1);
    assert_int_equal(fixture->server_reason, 0);
    assert_int_equal(fixture->client_closed, 1);
    assert_true(fixture->client_reason < 0); /* the end or a reset: input was left unread */
}

static void
test_stream__input_over_its_bound__closes(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, BUFFER_BYTES_MAX);
    fixture->want = 2 * BUFFER_BYTES_MAX;
    evc_loop_run(&fixture->loop); /* one more byte and the server cannot hold it */
    assert_int_equal(fixture->server_closed, 1);
    assert_int_equal(fixture->server_reason, UV_ENOBUFS);
}

static void
test_stream__output_over_its_bound__is_the_composers_status(void **state)
{
    char *tail = NULL;

    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, BUFFER_BYTES_MAX);
    assert_int_equal(evc_buf_reserve(evc_stream_output(&fixture->client), 1, &tail), EVC_E_LIMIT);
}

static void
test_stream__peer_closes__reason_is_eof(void **state)
{
    int fd = raw_connect();

    (void)state;
    fixture->client_closed = 1; /* there is none */
    assert_int_equal(write(fd, "\0\1\2", 3), 3);
    close(fd);
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, 3);
    assert_int_equal(fixture->server_closed, 1);
    assert_int_equal(fixture->server_reason, UV_EOF);
}

/** Reads all there is; returns the bytes, or -errno. */
static ssize_t
drain_fd(int fd, char *into, size_t size)
{
    size_t len = 0;
    ssize_t count = 1;

    while (count > 0) {
        char scratch[65536];

        count = recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
        if (count > 0) {
            size_t keep = len < size ? size - len : 0;

            memcpy(into + (len < size ? len : size), scratch,
                   (size_t)count < keep ? (size_t)count : keep);
            len += (size_t)count;
        }
    }
    return count < 0 && errno != EAGAIN ? -errno : (ssize_t)len;
}

static void
test_stream__peer_half_closes__is_still_answered(void **state)
{
    char got[64] = "";
    int fd = raw_connect();

    (void)state;
    fixture->client_closed = 1;
    server_handler_now = &eof_handler;
    assert_int_equal(write(fd, "\0", 1), 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->eof_calls, 1);
    assert_int_equal(fixture->server_closed, 1);
    assert_int_equal(fixture->server_reason, 0);
    assert_int_equal(drain_fd(fd, got, sizeof(got) - 1), 10);
    assert_string_equal(got, "last words");
    close(fd);
}

/** In a tick: once the server is there, says its last words with input unread. */
static struct evc_loop_hook leave_hook;

static void
on_leave(struct evc_loop_hook *hook)
{
    if (fixture->has_server) {
        evc_loop_remove_hook(hook);
        assert_int_equal(evc_buf_append(evc_stream_output(&fixture->server), EVC_SLICE("bye")),
                         EVC_OK);
        evc_stream_pause(&fixture->server);
        evc_stream_close_after_flush(&fixture->server);
        evc_stream_close_after_flush(&fixture->server);
    }
}

static void
test_stream__close_after_flush__last_words_arrive_without_reset(void **state)
{
    static char bytes[100000];
    char got[64] = "";
    int fd = raw_connect();
    uint64_t started_us = evc_clock_mono_us();

    (void)state;
    fixture->client_closed = 1;
    assert_int_equal(write(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    leave_hook = (struct evc_loop_hook){.call = on_leave};
    evc_loop_add_tick(&fixture->loop, &leave_hook);
    evc_loop_run(&fixture->loop); /* the peer does not close: a second */
    assert_true(evc_clock_mono_us() - started_us >= 900000);
    assert_int_equal(fixture->server_closed, 1);
    assert_int_equal(fixture->server_reason, 0);
    assert_int_equal(drain_fd(fd, got, sizeof(got) - 1), 3);
    assert_string_equal(got, "bye");
    close(fd);
}

/** Sends far more than the kernel takes to a peer that reads slowly. */
static int slow_fd;
static size_t slow_got;
static struct evc_loop_hook slow_hook;

static void
on_slow_tick(struct evc_loop_hook *hook)
{
    char scratch[1];
    ssize_t count;

    (void)hook;
    if (!fixture->has_server) {
        return;
    }
    if (fixture->server.bytes_handed == 0 && evc_stream_output_waiting(&fixture->server) == 0) {
        send_pattern(&fixture->server, 0, BUFFER_BYTES_MAX);
        return;
    }
    if (evc_buf_len(&fixture->server.output) == 0 && slow_got == 0) {
        send_pattern(&fixture->server, BUFFER_BYTES_MAX, 1000); /* while the rest waits */
    }
    count = drain_fd(slow_fd, scratch, sizeof(scratch));
    assert_true(count >= 0);
    slow_got += (size_t)count;
    if (slow_got == BUFFER_BYTES_MAX + 1000) {
        evc_loop_stop(&fixture->loop);
    }
}

static void
test_stream__slow_peer__gets_everything_and_drained_is_told(void **state)
{
    (void)state;
    slow_fd = raw_connect();
    slow_got = 0;
    slow_hook = (struct evc_loop_hook){.call = on_slow_tick};
    evc_loop_add_tick(&fixture->loop, &slow_hook);
    evc_loop_run(&fixture->loop);
    assert_int_equal(slow_got, BUFFER_BYTES_MAX + 1000);
    assert_int_equal(fixture->server.bytes_out, BUFFER_BYTES_MAX + 1000);
    assert_int_equal(evc_stream_output_waiting(&fixture->server), 0);
    assert_true(fixture->drained_calls > 0);
    evc_loop_remove_hook(&slow_hook);
    close(slow_fd);
}

static void
test_stream__echo_many_turns__stays_in_order(void **state)
{
    (void)state;
    connect_client();
    fixture->echo = true;
    for (size_t i = 0; i < 100; i++) {
        send_pattern(&fixture->client, i * 251, 251);
    }
    fixture->stop_at = 2 * 25100; /* seen by the server, then by the client */
    evc_loop_run(&fixture->loop);
    assert_int_equal(fixture->got, 2 * 25100);
    assert_false(fixture->is_out_of_order);
}

static void
test_stream__large_buffers__are_given_back_when_out_of_use(void **state)
{
    (void)state;
    connect_client();
    send_pattern(&fixture->client, 0, VALUE_BYTES);
    fixture->stop_at = VALUE_BYTES;
    evc_loop_run(&fixture->loop);
    assert_true(fixture->client.output.capacity + fixture->client.sending.capacity >= VALUE_BYTES);
    fixture->started_us = evc_clock_mono_us() - (uint64_t)(LOOP_MS_MAX - 2500) * 1000;
    evc_loop_run(&fixture->loop); /* 2.5 s of nothing */
    assert_int_equal(fixture->client.output.capacity, 0);
    assert_int_equal(fixture->client.sending.capacity, 0);
    assert_int_equal(fixture->server.input.capacity, 0);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(test_stream__output_before_connected__leaves_in_order),
        STREAM_TEST(test_stream__large_messages__arrive_whole_with_few_calls),
        STREAM_TEST(test_stream__small_rests__are_given_again_in_front),
        STREAM_TEST(test_stream__pause__holds_input_until_resume),
        STREAM_TEST(test_stream__connection_refused__is_told_then_closed),
        STREAM_TEST(test_stream__closed_while_connecting__only_on_closed_comes),
        STREAM_TEST(test_stream__closed_in_its_own_callback__ends_once),
        STREAM_TEST(test_stream__input_over_its_bound__closes),
        STREAM_TEST(test_stream__output_over_its_bound__is_the_composers_status),
        STREAM_TEST(test_stream__peer_closes__reason_is_eof),
        STREAM_TEST(test_stream__peer_half_closes__is_still_answered),
        STREAM_TEST(test_stream__close_after_flush__last_words_arrive_without_reset),
        STREAM_TEST(test_stream__slow_peer__gets_everything_and_drained_is_told),
        STREAM_TEST(test_stream__echo_many_turns__stays_in_order),
        STREAM_TEST(test_stream__large_buffers__are_given_back_when_out_of_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
