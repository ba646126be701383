/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every queue backend promises (queue.h), run against each of the table below: order, groups,
 * positions with their blobs, waking, and all of it over processes that are killed. Bounds and
 * exclusivity are the embedded queue's alone.
 *
 * Kafka's part needs a broker: EVCACHE_TEST_KAFKA=host:port. Without it that part is skipped, and
 * says so.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "queue/kafka/kafka.h"
#include "queue/queue.h"
#include "scratch.h"

#define BROKERS_VARIABLE "EVCACHE_TEST_KAFKA"

enum {
    WAIT_MS = 10000,  /* for a record that is there */
    NOTHING_MS = 500, /* without one: there is none */
};

struct backend {
    const char *name;
    int (*open)(const struct evc_queue_options *options, struct evc_queue **ret,
                struct evc_error *error);
    enum evc_durability durability;
    bool is_remote; /* records take a moment to arrive, and are counted when they have */
};

/** A topic of its own for every test: path is new each time. */
static int
open_kafka(const struct evc_queue_options *options, struct evc_queue **ret, struct evc_error *error)
{
    char topic[64];

    snprintf(topic, sizeof(topic), "evcache-test%s", options->path);
    for (char *at = topic; *at; at++) {
        *at = *at == '/' ? '.' : *at;
    }
    return evc_queue_kafka_open(
        &(struct evc_kafka_options){
            .brokers = getenv(BROKERS_VARIABLE),
            .topic = topic,
            .group_prefix = topic,
            .partition_count = options->partition_count,
            .replication = -1,
        },
        ret, error);
}

static const struct backend backends[] = {
    {"embedded", evc_queue_embedded_open, EVC_DURABILITY_PROCESS, false},
    {"embedded, synced", evc_queue_embedded_open, EVC_DURABILITY_POWER, false},
    {"kafka", open_kafka, EVC_DURABILITY_PROCESS, true},
};

static const struct backend *backend = &backends[0];
static const char *const groups[] = {"oregon", "ireland"};
static char path[64];
static struct evc_queue *queue;
static struct evc_queue_consumer *consumer;

static struct evc_queue_options
options_of(uint64_t bytes_max, unsigned partition_count)
{
    return (struct evc_queue_options){
        .path = path,
        .partition_count = partition_count,
        .bytes_max = bytes_max,
        .durability = backend->durability,
        .groups = groups,
        .group_count = 2,
    };
}

static void
open_queue(uint64_t bytes_max)
{
    struct evc_queue_options options = options_of(bytes_max, 2);
    struct evc_error error;

    if (backend->open(&options, &queue, &error) != EVC_OK) {
        fail_msg("%s: %s", backend->name, error.text);
    }
}

static void
open_consumer(const char *group)
{
    static const uint32_t both[] = {0, 1};
    struct evc_error error;

    if (evc_queue_consumer_open(queue, group, both, 2, &consumer, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static void
close_all(void)
{
    evc_queue_consumer_close(consumer);
    consumer = NULL;
    evc_queue_close(queue);
    queue = NULL;
}

static int
setup(void **state)
{
    (void)state;
    if (scratch_make(path) != 0) {
        return -1;
    }
    open_queue(1024 * 1024);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    close_all();
    scratch_remove(path);
    return 0;
}

static int
append(uint32_t partition, const char *text, uint32_t events)
{
    struct evc_queue_item item = {
        .partition = partition, .event_count = events, .record = evc_slice_str(text)};

    return evc_queue_append(queue, &item, 1, NULL);
}

/** Polls until something comes or the time is over. */
static int
poll_for(struct evc_queue_record *ret, size_t max, unsigned wait_ms)
{
    uint64_t until_us = evc_clock_mono_us() + (uint64_t)wait_ms * 1000;
    int count = evc_queue_consumer_poll(consumer, ret, max);

    while (count == 0 && backend->is_remote && evc_clock_mono_us() < until_us) {
        usleep(2000);
        count = evc_queue_consumer_poll(consumer, ret, max);
    }
    return count;
}

/** Polls one record and compares its text; its position is returned. */
static uint64_t
poll_one(uint32_t partition, const char *text)
{
    struct evc_queue_record record;

    assert_int_equal(poll_for(&record, 1, WAIT_MS), 1);
    assert_int_equal(record.partition, partition);
    assert_true(evc_slice_equal(record.bytes, evc_slice_str(text)));
    return record.position;
}

static void
assert_nothing_to_poll(void)
{
    struct evc_queue_record record;

    assert_int_equal(poll_for(&record, 1, NOTHING_MS), 0);
}

static void
commit(uint32_t partition, uint64_t position, const char *blob)
{
    assert_int_equal(evc_queue_consumer_commit(consumer, partition, position, evc_slice_str(blob)),
                     EVC_OK);
}

static struct evc_queue_backlog
backlog(uint32_t partition)
{
    struct evc_queue_backlog ret;

    assert_int_equal(evc_queue_consumer_backlog(consumer, partition, &ret), EVC_OK);
    return ret;
}

/** Kafka's records are counted when they have been read. */
static void
read_if_remote(unsigned count)
{
    struct evc_queue_record record;

    for (unsigned i = 0; backend->is_remote && i < count; i++) {
        assert_int_equal(poll_for(&record, 1, WAIT_MS), 1);
    }
}

static void
test_queue__records__come_in_order_per_partition(void **state)
{
    const char *const expected[2][2] = {{"a0", "a1"}, {"b0", "b1"}};
    unsigned seen[2] = {0, 0};
    unsigned total = 0;

    (void)state;
    open_consumer("oregon");
    assert_int_equal(append(0, "a0", 1), EVC_OK);
    assert_int_equal(append(1, "b0", 1), EVC_OK);
    assert_int_equal(append(1, "b1", 1), EVC_OK);
    assert_int_equal(append(0, "a1", 1), EVC_OK);
    while (total < 4) {
        struct evc_queue_record records[8];
        int count = poll_for(records, 8, WAIT_MS);

        assert_in_range(count, 1, 4 - total);
        for (int i = 0; i < count; i++) {
            uint32_t p = records[i].partition;

            assert_int_equal(records[i].position, seen[p]);
            assert_true(evc_slice_equal(records[i].bytes, evc_slice_str(expected[p][seen[p]++])));
        }
        total += (unsigned)count;
    }
    assert_nothing_to_poll();
}

static void
test_queue__several_items__are_appended_in_one_step(void **state)
{
    struct evc_queue_item items[] = {
        {.partition = 0, .event_count = 3, .record = EVC_SLICE("x")},
        {.partition = 1, .event_count = 4, .record = EVC_SLICE("y")},
    };

    (void)state;
    open_consumer("oregon");
    assert_int_equal(evc_queue_append(queue, items, 2, NULL), EVC_OK);
    assert_int_equal(items[0].status, EVC_OK);
    assert_int_equal(items[1].status, EVC_OK);
    read_if_remote(2);
    assert_int_equal(backlog(0).events, 3);
    assert_int_equal(backlog(1).events, 4);
}

static void
test_queue__every_group__gets_every_record(void **state)
{
    (void)state;
    assert_int_equal(append(0, "a", 1), EVC_OK);
    for (unsigned i = 0; i < 2; i++) {
        open_consumer(groups[i]);
        poll_one(0, "a");
        commit(0, 1, "");
        evc_queue_consumer_close(consumer);
        consumer = NULL;
    }
}

static void
test_queue__committed_position_and_blob__survive_a_reopen(void **state)
{
    struct evc_slice blob;
    uint64_t position;

    (void)state;
    open_consumer("oregon");
    assert_int_equal(append(0, "a", 1), EVC_OK);
    assert_int_equal(append(0, "b", 1), EVC_OK);
    commit(0, poll_one(0, "a") + 1, "books");
    close_all();
    open_queue(1024 * 1024);
    open_consumer("oregon");
    assert_int_equal(evc_queue_consumer_committed(consumer, 0, &position, &blob), EVC_OK);
    assert_int_equal(position, 1);
    assert_true(evc_slice_equal(blob, EVC_SLICE("books")));
    poll_one(0, "b");
}

static void
test_queue__not_committed__is_polled_again_after_a_reopen(void **state)
{
    (void)state;
    open_consumer("oregon");
    assert_int_equal(append(0, "a", 1), EVC_OK);
    poll_one(0, "a");
    close_all();
    open_queue(1024 * 1024);
    open_consumer("oregon");
    poll_one(0, "a");
}

static void
test_queue__backlog__counts_events_behind_the_committed_position(void **state)
{
    (void)state;
    open_consumer("oregon");
    assert_int_equal(backlog(0).records, 0);
    assert_int_equal(backlog(0).oldest_us, 0);
    assert_int_equal(append(0, "a", 10), EVC_OK);
    assert_int_equal(append(0, "b", 0), EVC_OK);
    assert_int_equal(append(0, "c", 7), EVC_OK);
    read_if_remote(3);
    assert_int_equal(backlog(0).records_unread, 0);
    assert_int_equal(backlog(0).records, 3);
    assert_int_equal(backlog(0).events, 17);
    assert_true(backlog(0).oldest_us > 0);
    commit(0, 1, "");
    assert_int_equal(backlog(0).events, 7);
    commit(0, 3, "");
    assert_int_equal(backlog(0).events, 0);
}

static void
test_queue__position_that_is_not_there__is_refused(void **state)
{
    (void)state;
    open_consumer("oregon");
    assert_int_equal(evc_queue_consumer_commit(consumer, 0, 5, EVC_SLICE("")), EVC_E_INVALID);
}

/** Appends records of 1 KiB until the queue refuses; how many it took. */
static unsigned
fill(void)
{
    char text[1025];
    unsigned count = 0;

    memset(text, 'r', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    while (append(0, text, 1) == EVC_OK) {
        count++;
        assert_true(count < 100000);
    }
    return count;
}

static void
test_queue__full__refuses_until_every_group_has_passed(void **state)
{
    struct evc_queue_record record;
    unsigned count;

    (void)state;
    close_all();
    open_queue(64 * 1024);
    count = fill();
    assert_int_equal(count, 64);
    open_consumer("oregon");
    while (evc_queue_consumer_poll(consumer, &record, 1) == 1) {
    }
    commit(0, count, "");
    assert_int_equal(append(0, "more", 1), EVC_E_FULL); /* ireland still needs them */
    evc_queue_consumer_close(consumer);
    open_consumer("ireland");
    commit(0, count, "");
    assert_int_equal(append(0, "more", 1), EVC_OK);
    poll_one(0, "more");
}

static void
test_queue__used_again_and_again__does_not_grow(void **state)
{
    (void)state;
    close_all();
    open_queue(64 * 1024);
    for (uint64_t done = 0; done < 2000;) {
        done += fill();
        for (unsigned i = 0; i < 2; i++) {
            open_consumer(groups[i]);
            commit(0, done, "books of some length");
            evc_queue_consumer_close(consumer);
            consumer = NULL;
        }
    }
}

static void
test_queue__second_consumer__is_told_who_reads(void **state)
{
    static const uint32_t one[] = {1};
    struct evc_queue_consumer *other;
    struct evc_error error;
    int status;
    pid_t child;

    (void)state;
    open_consumer("oregon");
    evc_queue_consumer_close(consumer);
    consumer = NULL;
    evc_queue_close(queue);
    queue = NULL;
    child = fork(); /* a queue is opened by the process that uses it */
    if (child == 0) {
        open_queue(1024 * 1024);
        open_consumer("oregon");
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    open_queue(1024 * 1024);
    assert_int_equal(evc_queue_consumer_open(queue, "oregon", one, 1, &other, &error), EVC_E_BUSY);
    assert_non_null(strstr(error.text, "oregon"));
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    open_consumer("oregon"); /* a killed process holds nothing */
}

static void
test_queue__no_room__nothing_is_polled_and_nothing_is_missed(void **state)
{
    struct evc_queue_record record;

    (void)state;
    open_consumer("oregon");
    assert_int_equal(append(0, "a", 1), EVC_OK);
    for (unsigned i = 0; i < 50; i++) { /* a moment, and on Kafka long enough for a pause */
        assert_int_equal(evc_queue_consumer_poll(consumer, &record, 0), 0);
        usleep(backend->is_remote ? 30000 : 0);
    }
    assert_int_equal(append(0, "b", 1), EVC_OK);
    poll_one(0, "a");
    assert_int_equal(evc_queue_consumer_poll(consumer, &record, 0), 0);
    assert_int_equal(append(0, "c", 1), EVC_OK);
    poll_one(0, "b");
    poll_one(0, "c");
}

static void
test_queue__append__wakes_a_consumer(void **state)
{
    struct pollfd wake = {.events = POLLIN};

    (void)state;
    open_consumer("oregon");
    wake.fd = evc_queue_consumer_wake_fd(consumer);
    if (backend->is_remote) {
        assert_nothing_to_poll(); /* it may have been woken for less than a record */
        evc_queue_consumer_wake_clear(consumer);
    }
    assert_int_equal(poll(&wake, 1, 0), 0);
    assert_int_equal(append(0, "a", 1), EVC_OK);
    assert_int_equal(poll(&wake, 1, 5000), 1);
    evc_queue_consumer_wake_clear(consumer);
    assert_int_equal(poll(&wake, 1, 0), 0);
    poll_one(0, "a");
}

static void
test_queue__fewer_partitions_than_there_are__is_refused(void **state)
{
    struct evc_queue_options options = options_of(1024 * 1024, 1);
    struct evc_error error;

    (void)state;
    close_all();
    assert_int_equal(backend->open(&options, &queue, &error), EVC_E_CONFIG);
    assert_non_null(strstr(error.text, "partitions"));
    options.partition_count = 8;
    assert_int_equal(backend->open(&options, &queue, &error), EVC_OK);
}

static void
test_queue__path_that_cannot_be_made__is_an_error_with_its_name(void **state)
{
    struct evc_queue_options options = options_of(1024 * 1024, 1);
    struct evc_queue *other;
    struct evc_error error;

    (void)state;
    options.path = "/proc/evcache/queue";
    assert_int_equal(backend->open(&options, &other, &error), EVC_E_SYS);
    assert_non_null(strstr(error.text, "/proc/evcache"));
}

/* Children append numbered records, telling each one's success through a pipe, until they are
 * killed. */
static void
append_numbers(uint32_t partition, int fd)
{
    char text[32];

    open_queue(64 * 1024 * 1024);
    for (uint32_t i = 0;; i++) {
        snprintf(text, sizeof(text), "%u", i);
        if (append(partition, text, 1) != EVC_OK || write(fd, &i, sizeof(i)) != sizeof(i)) {
            _exit(1);
        }
    }
}

static void
test_queue__producers_killed_at_any_instant__nothing_appended_is_lost(void **state)
{
    struct evc_queue_record record;
    uint32_t last[2] = {0, 0}, next[2] = {0, 0}, total[2] = {0, 0};

    (void)state;
    close_all();
    for (unsigned round = 0; round < 5; round++) {
        pid_t children[2];
        int pipes[2][2];
        uint32_t number;

        for (uint32_t p = 0; p < 2; p++) {
            assert_int_equal(pipe(pipes[p]), 0);
            children[p] = fork();
            if (children[p] == 0) {
                append_numbers(p, pipes[p][1]);
            }
            close(pipes[p][1]);
        }
        /* Nobody promises two writers equal turns: each has one in every other round. */
        assert_int_equal(
            poll(&(struct pollfd){.fd = pipes[round % 2][0], .events = POLLIN}, 1, WAIT_MS), 1);
        usleep(50000 + round * 7000);
        for (uint32_t p = 0; p < 2; p++) {
            kill(children[p], SIGKILL);
            waitpid(children[p], NULL, 0);
            last[p] = 0;
            while (read(pipes[p][0], &number, sizeof(number)) == sizeof(number)) {
                last[p] = number + 1;
            }
            close(pipes[p][0]);
        }
        open_queue(64 * 1024 * 1024);
        open_consumer("oregon");
        next[0] = next[1] = 0;
        while (poll_for(&record, 1,
                        next[0] < last[0] || next[1] < last[1] ? WAIT_MS : NOTHING_MS) == 1) {
            char text[32];

            snprintf(text, sizeof(text), "%u", next[record.partition]++);
            assert_true(evc_slice_equal(record.bytes, evc_slice_str(text)));
            commit(record.partition, record.position + 1, text);
        }
        for (uint32_t p = 0; p < 2; p++) {
            total[p] += last[p];
            assert_in_range(next[p], last[p], last[p] + 1); /* the last may be in, its news not */
        }
        close_all();
    }
    assert_true(total[0] > 0 && total[1] > 0);
    open_queue(1024 * 1024);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest all[] = {
        CASE(test_queue__records__come_in_order_per_partition),
        CASE(test_queue__several_items__are_appended_in_one_step),
        CASE(test_queue__every_group__gets_every_record),
        CASE(test_queue__committed_position_and_blob__survive_a_reopen),
        CASE(test_queue__not_committed__is_polled_again_after_a_reopen),
        CASE(test_queue__backlog__counts_events_behind_the_committed_position),
        CASE(test_queue__position_that_is_not_there__is_refused),
        CASE(test_queue__no_room__nothing_is_polled_and_nothing_is_missed),
        CASE(test_queue__append__wakes_a_consumer),
        CASE(test_queue__producers_killed_at_any_instant__nothing_appended_is_lost),
    };
    const struct CMUnitTest of_embedded[] = {
        CASE(test_queue__full__refuses_until_every_group_has_passed),
        CASE(test_queue__used_again_and_again__does_not_grow),
        CASE(test_queue__second_consumer__is_told_who_reads),
        CASE(test_queue__fewer_partitions_than_there_are__is_refused),
        CASE(test_queue__path_that_cannot_be_made__is_an_error_with_its_name),
    };
    int failures = 0;

    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        backend = &backends[i];
        if (backend->is_remote && !getenv(BROKERS_VARIABLE)) {
            fprintf(stderr, "%s: SKIPPED, set %s=host:port to test it\n", backend->name,
                    BROKERS_VARIABLE);
            continue;
        }
        failures += cmocka_run_group_tests_name(backend->name, all, NULL, NULL);
        if (!backend->is_remote) {
            failures += cmocka_run_group_tests_name(backend->name, of_embedded, NULL, NULL);
        }
    }
    return failures;
}
