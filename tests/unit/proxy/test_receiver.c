/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receivers against zones that are a table: the greeting, replicated writes and their outcomes, and
 * that a relay that is out of step is told so once and closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "front.h"
#include "meta/replication.h"
#include "proxy/receiver.h"

static struct front *
open_front(void)
{
    struct front *front = malloc(sizeof(*front));

    assert_non_null(front);
    front_start(front, 10, 64 * 1024);
    return front;
}

static void
close_front(struct front *front)
{
    front_stop(front);
    free(front);
}

static void
expect(int fd, const char *text)
{
    char got[512];

    assert_true(strlen(text) < sizeof(got));
    front_receive(fd, got, strlen(text));
    assert_string_equal(got, text);
}

static void
say(int fd, const char *text)
{
    front_send(fd, text, strlen(text), false);
}

static const char greeting[] = "hello 1 movies there 0\r\n";
static const char welcome[] = "HELLO 1 movies here\r\n";

static int
dial_greeted(struct front *front)
{
    int fd = front_dial(front->relay_port);

    say(fd, greeting);
    expect(fd, welcome);
    return fd;
}

/** A version of this moment, by a writer of the other region; step orders them. */
static evc_version
version_now(unsigned step)
{
    return (evc_clock_unix_us() / 1000 - EVC_VERSION_EPOCH_MS)
               << (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS) |
           (evc_version)step << EVC_VERSION_WRITER_BITS | evc_version_writer_make(1, 3);
}

static void
test_receiver__right_greeting__welcomed_also_byte_by_byte(void **state)
{
    struct front *front = open_front();
    int fd = dial_greeted(front);
    int other = front_dial(front->relay_port);

    (void)state;
    front_send(other, greeting, strlen(greeting), true);
    expect(other, welcome);
    close(fd);
    close(other);
    close_front(front);
}

static void
test_receiver__asked_for_the_time__tells_it(void **state)
{
    struct front *front = open_front();
    int fd = dial_greeted(front);
    uint64_t before_us = evc_clock_unix_us(), theirs_us;
    char line[64] = "";
    size_t len = 0;

    (void)state;
    say(fd, "mn\r\n");
    while (len < sizeof(line) - 1 && (len == 0 || line[len - 1] != '\n')) {
        ssize_t got = read(fd, line + len, sizeof(line) - 1 - len);

        assert_true(got > 0);
        len += (size_t)got;
    }
    assert_memory_equal(line, "MN ", 3);
    theirs_us = strtoull(line + 3, NULL, 10);
    assert_true(theirs_us >= before_us && theirs_us <= evc_clock_unix_us());
    close(fd);
    close_front(front);
}

static void
test_receiver__wrong_input__one_line_and_closed(void **state)
{
    static const struct {
        const char *in, *out;
        bool is_greeted;
    } cases[] = {
        {"hello 2 movies there 0\r\n", "CLIENT_ERROR this receiver speaks protocol 1, not 2\r\n",
         false},
        {"hello 1 books there 0\r\n", "CLIENT_ERROR this receiver serves the cache movies\r\n",
         false},
        {"hello 1 movies nowhere 0\r\n",
         "CLIENT_ERROR region nowhere is not in this receiver's configuration\r\n", false},
        {"hello 1 movies here 0\r\n", "CLIENT_ERROR this receiver is in region here itself\r\n",
         false},
        {"hello\r\n", "", false},
        {"get a\r\n", "CLIENT_ERROR a relay greets first: this is a receiver, not a proxy\r\n",
         false},
        {"nonsense\r\n", "CLIENT_ERROR not the replication protocol (ERROR)\r\n", false},
        {"get a\r\n", "CLIENT_ERROR a receiver takes ms only after the greeting\r\n", true},
        {"hello 1 movies there 0\r\n",
         "CLIENT_ERROR a receiver takes ms only after the greeting\r\n", true},
        {"ms a 1 T0 F0 O1\r\nx\r\n",
         "CLIENT_ERROR a replicated write is ms <key> <len> T<ttl> F<flags> E<version> "
         "O<opaque>\r\n",
         true},
        {"ms a 1 T0 F0 E5 O1\r\nx\r\n",
         "CLIENT_ERROR a replicated write is ms <key> <len> T<ttl> F<flags> E<version> "
         "O<opaque>\r\n",
         true},
    };
    struct front *front = open_front();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = cases[i].is_greeted ? dial_greeted(front) : front_dial(front->relay_port);

        say(fd, cases[i].in);
        expect(fd, cases[i].out);
        assert_true(front_is_closed(fd));
        close(fd);
    }
    close_front(front);
}

static void
send_item(int fd, const char *key, const char *value, uint32_t flags, evc_version version,
          uint32_t opaque)
{
    struct evc_replica replica = {
        .key = evc_slice_str(key),
        .value = evc_slice_str(value),
        .client_flags = flags,
        .version = version,
    };
    struct evc_buf out;

    evc_buf_init(&out, 2 * 1024 * 1024);
    assert_int_equal(evc_replication_compose_item(&out, &replica, opaque), 0);
    front_send(fd, out.data, evc_buf_len(&out), false);
    evc_buf_finish(&out);
}

static void
expect_reply(int fd, uint32_t opaque, enum evc_apply_result result, evc_version newest)
{
    struct evc_buf want;

    evc_buf_init(&want, 1024);
    assert_int_equal(evc_replication_compose_reply(&want, opaque, result, newest), 0);
    assert_int_equal(evc_buf_append(&want, (struct evc_slice){.ptr = "", .len = 1}), 0);
    expect(fd, want.data);
    evc_buf_finish(&want);
}

static void
test_receiver__items__each_outcome(void **state)
{
    struct front *front = open_front();
    int fd = dial_greeted(front);
    evc_version old = version_now(1), new = version_now(2);
    char text[256], want[256];

    (void)state;
    send_item(fd, "a", "one", 5, new, 1);
    expect_reply(fd, 1, EVC_APPLY_APPLIED, new);
    send_item(fd, "a", "one", 5, new, 2);
    expect_reply(fd, 2, EVC_APPLY_IDENTICAL, new);
    send_item(fd, "a", "zero", 5, old, 3);
    expect_reply(fd, 3, EVC_APPLY_BEHIND, new);
    snprintf(want, sizeof(want), "5 %llu one", (unsigned long long)new);
    for (unsigned zone = 0; zone < FRONT_ZONES; zone++) {
        front_look(front, zone, "a", text);
        assert_string_equal(text, want);
    }
    send_item(fd, "a", "", EVC_TOMBSTONE_FLAGS, version_now(9), 4);
    {
        char reply[8];

        front_receive(fd, reply, 5);
        assert_string_equal(reply, "HD O4");
    }
    close(fd);

    fd = front_dial(front->client_port);
    say(fd, "get a\r\n");
    expect(fd, "END\r\n");
    close(fd);
    close_front(front);
}

static void
test_receiver__version_ahead_of_time__refused(void **state)
{
    struct front *front = open_front();
    int fd = dial_greeted(front);
    evc_version far =
        version_now(0) + (UINT64_C(600000) << (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS));
    char text[256], got[16];

    (void)state;
    send_item(fd, "a", "one", 0, far, 1);
    front_receive(fd, got, strlen("HD O1 Pd"));
    assert_string_equal(got, "HD O1 Pd");
    front_look(front, 0, "a", text);
    assert_string_equal(text, "-");
    close(fd);
    close_front(front);
}

/** As after values.max was raised in another region first. The value comes in many reads. */
static void
test_receiver__value_larger_than_it_reads__rejected_and_the_connection_stays(void **state)
{
    const size_t large = 64 * 1024 + EVC_RECEIVER_VALUE_SLACK_BYTES + 1;
    struct front *front = open_front();
    int fd = dial_greeted(front);
    evc_version version = version_now(1);
    char *value = malloc(large + 1);
    char text[256], want[256];

    (void)state;
    assert_non_null(value);
    memset(value, 'v', large);
    value[large] = '\0';
    front_put(front, 0, "a", "old", 0, version - 1);
    send_item(fd, "a", value, 0, version, 1);
    expect_reply(fd, 1, EVC_APPLY_REJECTED, version);
    snprintf(want, sizeof(want), "%u %llu ", EVC_TOMBSTONE_FLAGS,
             (unsigned long long)version - (1ULL << EVC_VERSION_WRITER_BITS));
    for (unsigned zone = 0; zone < FRONT_ZONES; zone++) {
        front_look(front, zone, "a", text);
        assert_string_equal(text, want);
    }
    send_item(fd, "b", "small", 0, version, 2);
    expect_reply(fd, 2, EVC_APPLY_APPLIED, version);
    free(value);
    close(fd);
    close_front(front);
}

static void
test_receiver__no_greeting_for_long__closed_and_counted(void **state)
{
    struct front *front = open_front();
    int silent = front_dial(front->relay_port);
    int greeted = dial_greeted(front);
    evc_version version = version_now(1);
    struct evc_counters counters;
    size_t exchanges;

    (void)state;
    front_sweep_later(front, 0);
    front_counters(front, &counters, &exchanges);
    assert_int_equal(counters.receivers, 2);
    front_sweep_later(front, EVC_RECEIVER_GREET_US);
    assert_true(front_is_closed(silent));
    front_counters(front, &counters, &exchanges);
    assert_int_equal(counters.receivers, 1);
    assert_int_equal(counters.receivers_silent_total, 1);
    send_item(greeted, "a", "one", 0, version, 1);
    expect_reply(greeted, 1, EVC_APPLY_APPLIED, version);
    close(silent);
    close(greeted);
    close_front(front);
}

static void
test_receiver__relay_goes_away_with_items_in_flight__they_take_effect(void **state)
{
    struct front *front = open_front();
    int fd = dial_greeted(front);
    char text[256];

    (void)state;
    front_set_pace(front, FRONT_HELD);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", i);
        send_item(fd, key, "one", 0, version_now(1), i);
    }
    usleep(50 * 1000);
    close(fd);
    usleep(50 * 1000);
    front_set_pace(front, FRONT_IN_TURN);
    for (int i = 0; i < 200; i++) {
        front_look(front, 1, "k99", text);
        if (text[0] != '-') {
            break;
        }
        usleep(5000);
    }
    assert_string_not_equal(text, "-");
    close_front(front);
}

/** Items of a thousand keys, all of one version. */
static void
compose_items(struct evc_buf *out, uint32_t from, uint32_t to)
{
    static evc_version version;

    version = version ? version : version_now(1);
    for (uint32_t i = from; i < to; i++) {
        char key[16];
        struct evc_replica replica = {.value = EVC_SLICE("one"), .version = version};

        snprintf(key, sizeof(key), "k%u", i % 1000);
        replica.key = evc_slice_str(key);
        assert_int_equal(evc_replication_compose_item(out, &replica, i), 0);
    }
}

static size_t
front_receive_one(int fd, char *byte)
{
    char got[2];
    size_t n = front_receive(fd, got, 1);

    *byte = got[0];
    return n;
}

static void
wait_bytes_read(struct front *front, uint64_t bytes)
{
    struct evc_counters counters = {0};
    size_t exchanges;

    for (unsigned i = 0; i < 1000 && counters.bytes_read < bytes; i++) {
        usleep(10 * 1000);
        front_counters(front, &counters, &exchanges);
    }
    assert_true(counters.bytes_read >= bytes);
}

static void
test_receiver__items_held_up_by_a_node__leave_room_for_others(void **state)
{
    enum {
        ITEMS = 4 * EVC_RECEIVER_NEW_MAX
    };
    struct front *front = open_front();
    int fd = dial_greeted(front);
    struct evc_buf out;
    char got = 0;

    (void)state;
    evc_buf_init(&out, 8 * 1024 * 1024);
    front_set_pace(front, FRONT_HELD);
    compose_items(&out, 0, ITEMS);
    front_send(fd, out.data, evc_buf_len(&out), false);
    wait_bytes_read(front, evc_buf_len(&out));
    front_set_pace(front, FRONT_IN_TURN);
    for (unsigned answers = 0; answers < ITEMS; answers += got == '\n') {
        assert_int_equal(front_receive_one(fd, &got), 1);
    }
    evc_buf_finish(&out);
    close(fd);
    close_front(front);
}

static void
test_receiver__more_items_than_may_be_in_flight__held_back_and_then_all_answered(void **state)
{
    enum {
        ITEMS = 20000,
        HELD_ITEMS = EVC_RECEIVER_IN_FLIGHT_MAX + 1000
    };
    struct front *front = open_front();
    int fd = dial_greeted(front);
    struct evc_buf out;
    char got;

    (void)state;
    evc_buf_init(&out, 8 * 1024 * 1024);
    front_set_pace(front, FRONT_HELD);
    compose_items(&out, 0, HELD_ITEMS);
    front_send(fd, out.data, evc_buf_len(&out), false);
    usleep(100 * 1000);
    front_set_pace(front, FRONT_REVERSED);
    evc_buf_clear(&out);
    compose_items(&out, HELD_ITEMS, ITEMS);
    front_send(fd, out.data, evc_buf_len(&out), false);
    for (unsigned answers = 0; answers < ITEMS; answers += got == '\n') {
        assert_int_equal(front_receive_one(fd, &got), 1);
    }
    evc_buf_finish(&out);
    close(fd);
    close_front(front);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receiver__right_greeting__welcomed_also_byte_by_byte),
        cmocka_unit_test(test_receiver__asked_for_the_time__tells_it),
        cmocka_unit_test(test_receiver__wrong_input__one_line_and_closed),
        cmocka_unit_test(test_receiver__items__each_outcome),
        cmocka_unit_test(test_receiver__version_ahead_of_time__refused),
        cmocka_unit_test(
            test_receiver__value_larger_than_it_reads__rejected_and_the_connection_stays),
        cmocka_unit_test(test_receiver__no_greeting_for_long__closed_and_counted),
        cmocka_unit_test(test_receiver__relay_goes_away_with_items_in_flight__they_take_effect),
        cmocka_unit_test(test_receiver__items_held_up_by_a_node__leave_room_for_others),
        cmocka_unit_test(
            test_receiver__more_items_than_may_be_in_flight__held_back_and_then_all_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
