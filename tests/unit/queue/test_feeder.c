/* SPDX-License-Identifier: Apache-2.0 */
/* From journal to queue: order, numbers, gaps, a queue that is full for a while, a drain at the
 * end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "queue/feeder.h"
#include "queue/record.h"
#include "scratch.h"

enum {
    PARTITIONS = 2,
    WAIT_MS = 5000,
    WRITE_PAUSE_US = 20 * 1000,
};

static const char *const groups[] = {"oregon"};
static char path[64];
static struct evc_queue *queue;
static struct evc_queue_consumer *consumer;
static struct evc_journal *journal;
static struct evc_feeder *feeder;

static void
open_queue(uint64_t bytes_max)
{
    static const uint32_t both[] = {0, 1};
    struct evc_error error;
    char queue_path[96];

    snprintf(queue_path, sizeof(queue_path), "%s/queue", path);
    if (evc_queue_embedded_open(
            &(struct evc_queue_options){
                .path = queue_path,
                .partition_count = PARTITIONS,
                .bytes_max = bytes_max,
                .groups = groups,
                .group_count = 1,
            },
            &queue, &error) != EVC_OK ||
        evc_queue_consumer_open(queue, "oregon", both, PARTITIONS, &consumer, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static void
open_journal(void)
{
    struct evc_error error;
    uint64_t replayed;

    if (evc_journal_open(path, 3, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
    evc_journal_set_partitions(journal, PARTITIONS);
}

static void
start_feeder(void)
{
    struct evc_error error;

    if (evc_feeder_create(queue, PARTITIONS, &journal, 1, &feeder, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static int
setup(void **state)
{
    (void)state;
    if (scratch_make(path) != 0) {
        return -1;
    }
    open_queue(1024 * 1024);
    open_journal();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_feeder_destroy(feeder, 0);
    feeder = NULL;
    evc_journal_close(journal);
    evc_queue_consumer_close(consumer);
    consumer = NULL;
    evc_queue_close(queue);
    scratch_remove(path);
    return 0;
}

static bool
write_event(unsigned number)
{
    char key[16];
    bool is_in;

    snprintf(key, sizeof(key), "key-%u", number % 16);
    is_in = evc_event_sink_append(
        evc_journal_sink(journal),
        &(struct evc_event){.key = evc_slice_str(key), .version = number, .written_us = 1});
    if (feeder) {
        evc_feeder_ring(feeder);
    }
    return is_in;
}

struct heard {
    uint64_t events;
    uint64_t next_seq[PARTITIONS];
    uint64_t gap;
};

/** Polls until at least `events` events and a gap of `gap` came, or the time is over; checks
 * numbers on the way. */
static void
hear_both(struct heard *heard, uint64_t events, uint64_t gap)
{
    uint64_t until_us = evc_clock_mono_us() + WAIT_MS * 1000;

    while ((heard->events < events || heard->gap < gap) && evc_clock_mono_us() < until_us) {
        struct evc_queue_record record;
        struct evc_record_reader reader;

        if (evc_queue_consumer_poll(consumer, &record, 1) != 1) {
            usleep(1000);
            continue;
        }
        assert_int_equal(evc_record_reader_init(&reader, record.bytes), EVC_OK);
        assert_int_equal(reader.header.slot, 3);
        assert_true(reader.header.first_seq > heard->next_seq[record.partition]);
        heard->gap += reader.header.first_seq - heard->next_seq[record.partition] - 1;
        heard->next_seq[record.partition] = reader.header.first_seq + reader.header.count - 1;
        heard->events += reader.header.count;
        assert_int_equal(evc_queue_consumer_commit(consumer, record.partition, record.position + 1,
                                                   EVC_SLICE("")),
                         EVC_OK);
    }
    assert_true(heard->events >= events && heard->gap >= gap);
}

static void
hear_at_least(struct heard *heard, uint64_t events)
{
    hear_both(heard, events, 0);
}

static void
hear(struct heard *heard, uint64_t events)
{
    hear_at_least(heard, events);
    assert_int_equal(heard->events, events);
}

static void
test_feeder__events__arrive_numbered_without_gaps(void **state)
{
    struct heard heard = {0};

    (void)state;
    start_feeder();
    for (unsigned i = 1; i <= 5000; i++) {
        while (!write_event(i)) {
            hear_at_least(&heard, heard.events + 1);
        }
        if (i % 500 == 0) {
            usleep(2000);
        }
    }
    evc_feeder_destroy(feeder, WAIT_MS);
    feeder = NULL;
    hear(&heard, 5000);
}

static void
test_feeder__asleep__is_woken_by_a_single_event(void **state)
{
    struct heard heard = {0};

    (void)state;
    start_feeder();
    usleep(20000);
    for (unsigned i = 1; i <= 20; i++) {
        write_event(i);
        hear(&heard, i);
    }
    assert_int_equal(heard.gap, 0);
}

static void
test_feeder__what_the_journal_lost__is_a_gap_of_exactly_that_size(void **state)
{
    struct heard heard = {0};
    struct evc_journal_stats stats;
    uint64_t kept = 0;

    (void)state;
    for (unsigned i = 1; i <= 3000; i++) {
        kept += write_event(i);
    }
    evc_journal_stats(journal, &stats);
    assert_int_equal(stats.lost_total, 3000 - kept);
    assert_true(stats.lost_total > 0);
    start_feeder();
    hear_both(&heard, kept, stats.lost_total);
    assert_int_equal(heard.events, kept);
    assert_int_equal(heard.gap, stats.lost_total);
}

static void
test_feeder__queue_full_for_a_while__feeds_on_in_order(void **state)
{
    struct evc_feeder_stats stats = {0};
    struct heard heard = {0};
    unsigned written = 0;

    (void)state;
    evc_queue_consumer_close(consumer);
    evc_queue_close(queue);
    open_queue(2048);
    start_feeder();
    for (unsigned i = 0; i < 2000 && !stats.is_stalled; i++) {
        written += write_event(i + 1);
        usleep(1000);
        evc_feeder_stats(feeder, &stats);
    }
    assert_true(stats.is_stalled);
    assert_true(stats.full_total > 0);
    assert_non_null(strstr(stats.last_error, "queue"));
    hear(&heard, written);
    assert_int_equal(heard.gap, 0);
    evc_feeder_stats(feeder, &stats);
    assert_false(stats.is_stalled);
}

static void
test_feeder__killed_between_queue_and_journal__repeats_the_numbers(void **state)
{
    struct evc_record_writer writer;
    struct evc_journal_entry entry;
    struct evc_buf out;
    struct heard heard = {0};
    struct evc_queue_record record;
    struct evc_record_reader reader;
    uint64_t first;

    (void)state;
    write_event(1);
    assert_true(evc_journal_take(journal, &entry));
    evc_buf_init(&out, EVC_RECORD_BYTES_MAX);
    assert_int_equal(evc_record_writer_init(&writer), EVC_OK);
    evc_record_writer_begin(&writer, 3, evc_journal_producer(journal), 5);
    assert_int_equal(evc_record_writer_add(&writer, &entry.event), EVC_OK);
    assert_int_equal(evc_record_writer_encode(&writer, 1, &out), EVC_OK);
    assert_int_equal(
        evc_queue_append(queue,
                         &(struct evc_queue_item){
                             .partition = evc_queue_partition(entry.event.key, PARTITIONS),
                             .event_count = 1,
                             .record = evc_buf_slice(&out),
                         },
                         1, NULL),
        EVC_OK);
    evc_record_writer_finish(&writer);
    evc_buf_finish(&out);
    evc_journal_close(journal); /* dead before evc_journal_fed */
    open_journal();
    hear(&heard, 1);
    start_feeder();
    first = evc_clock_mono_us();
    while (evc_queue_consumer_poll(consumer, &record, 1) != 1) {
        assert_true(evc_clock_mono_us() < first + WAIT_MS * 1000);
        usleep(1000);
    }
    assert_int_equal(evc_record_reader_init(&reader, record.bytes), EVC_OK);
    assert_int_equal(reader.header.first_seq, 1); /* a duplicate by number */
}

static void
test_feeder__destroyed__has_fed_all_that_was_released_before(void **state)
{
    struct heard heard = {0};
    unsigned written = 0;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        start_feeder();
        usleep(round * 17);
        for (unsigned i = 0; i < 20; i++) {
            written += write_event(written + 1);
        }
        evc_feeder_destroy(feeder, WAIT_MS);
        feeder = NULL;
        hear(&heard, written);
    }
    assert_int_equal(heard.gap, 0);
}

static void
test_feeder__destroyed_while_the_queue_is_full__keeps_to_its_time(void **state)
{
    struct evc_journal_stats stats;
    struct heard heard = {0};
    uint64_t start_us, took_us;

    (void)state;
    evc_queue_consumer_close(consumer);
    evc_queue_close(queue);
    open_queue(16); /* no record fits */
    start_feeder();
    for (unsigned i = 1; i <= 50; i++) {
        assert_true(write_event(i));
    }
    start_us = evc_clock_mono_us();
    evc_feeder_destroy(feeder, 300);
    feeder = NULL;
    took_us = evc_clock_mono_us() - start_us;
    assert_in_range(took_us, 250000, 2000000);
    evc_journal_stats(journal, &stats);
    assert_int_equal(stats.events_waiting, 50); /* all of it is still there, for the next */
    evc_queue_consumer_close(consumer);
    evc_queue_close(queue);
    open_queue(1024 * 1024);
    start_feeder();
    hear(&heard, 50);
}

/** A queue of which one partition takes nothing, as one without a leader; counts what others get.
 */
struct half_queue {
    struct evc_queue queue;
    unsigned events[2]; /* of the healthy partition, by slot: 3, 4 */
    pthread_mutex_t lock;
};

static int
half_append(struct evc_queue *base, struct evc_queue_item *items, size_t count,
            struct evc_error *error)
{
    struct half_queue *half = (struct half_queue *)base;
    int rc = EVC_OK;

    for (size_t i = 0; i < count; i++) {
        struct evc_record_reader reader;

        items[i].status = items[i].partition == 0 ? EVC_E_AGAIN : EVC_OK;
        if (items[i].status != EVC_OK) {
            rc = evc_error_set(error, EVC_E_AGAIN, "partition 0 has no leader");
            continue;
        }
        assert_int_equal(evc_record_reader_init(&reader, items[i].record), EVC_OK);
        pthread_mutex_lock(&half->lock);
        half->events[reader.header.slot - 3] += reader.header.count;
        pthread_mutex_unlock(&half->lock);
    }
    return rc;
}

static unsigned
half_partitions(struct evc_queue *base)
{
    (void)base;
    return PARTITIONS;
}

static void
test_feeder__one_partition_refused__other_journals_have_their_turn(void **state)
{
    static const struct evc_queue_ops ops = {.append = half_append, .partitions = half_partitions};
    struct half_queue half = {.queue = {.ops = &ops}, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct evc_journal *journals[2] = {journal};
    unsigned wanted[2] = {0}, heard = 0;
    struct evc_error error;
    uint64_t replayed, until_us = evc_clock_mono_us() + WAIT_MS * 1000;

    (void)state;
    assert_int_equal(
        evc_journal_open(path, 4, EVC_JOURNAL_BYTES_MIN, &journals[1], &replayed, &error), EVC_OK);
    evc_journal_set_partitions(journals[1], PARTITIONS);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        struct evc_event event = {.key = {.ptr = key}, .version = i + 1, .written_us = 1};

        event.key.len = (size_t)snprintf(key, sizeof(key), "key-%u", i / 2);
        assert_true(evc_event_sink_append(evc_journal_sink(journals[i % 2]), &event));
        wanted[i % 2] += evc_queue_partition(event.key, PARTITIONS) == 1;
    }
    assert_int_equal(evc_feeder_create(&half.queue, PARTITIONS, journals, 2, &feeder, &error),
                     EVC_OK);
    while (heard < wanted[0] + wanted[1] && evc_clock_mono_us() < until_us) {
        usleep(1000);
        pthread_mutex_lock(&half.lock);
        heard = half.events[0] + half.events[1];
        pthread_mutex_unlock(&half.lock);
    }
    evc_feeder_destroy(feeder, 0);
    feeder = NULL;
    evc_journal_close(journals[1]);
    assert_int_equal(half.events[0], wanted[0]);
    assert_int_equal(half.events[1], wanted[1]);
}

/** The queue without a leader for partition 0. */
static int
append_refusing(struct evc_queue *refusing, struct evc_queue_item *items, size_t count,
                struct evc_error *error)
{
    int rc = EVC_OK;

    (void)refusing;
    for (size_t i = 0; i < count; i++) {
        if (items[i].partition == 0) {
            items[i].status = evc_error_set(error, EVC_E_SYS, "partition 0 has no leader");
        } else {
            items[i].status = evc_queue_append(queue, &items[i], 1, error);
        }
        rc = rc ? rc : items[i].status;
    }
    return rc;
}

static unsigned
partitions_of_refusing(struct evc_queue *refusing)
{
    (void)refusing;
    return PARTITIONS;
}

static void
write_to(uint32_t partition, unsigned number)
{
    struct evc_event event = {.version = 1, .written_us = 1};
    struct evc_journal_stats stats;
    char key[32];

    do {
        snprintf(key, sizeof(key), "key-%u", number++);
        event.key = evc_slice_str(key);
    } while (evc_queue_partition(event.key, PARTITIONS) != partition);
    evc_journal_stats(journal, &stats);
    if (stats.bytes_used > stats.bytes_max * 5 / 8) {
        usleep(WRITE_PAUSE_US); /* not until there is room: that is made as events come */
    }
    assert_true(evc_event_sink_append(evc_journal_sink(journal), &event));
    evc_feeder_ring(feeder);
}

static void
test_feeder__partition_not_taken__journal_has_room_for_others(void **state)
{
    static const struct evc_queue_ops ops = {.append = append_refusing,
                                             .partitions = partitions_of_refusing};
    struct evc_queue refusing = {.ops = &ops}, *real = queue;
    struct evc_feeder_stats fed;
    struct heard heard = {0};
    unsigned count = 0;

    (void)state;
    queue = &refusing;
    start_feeder();
    queue = real;
    while (count < 5000) { /* four times what the journal holds */
        write_to(count % 20 == 0 ? 0 : 1, count);
        count++;
    }
    evc_feeder_destroy(feeder, WAIT_MS / 50);
    feeder = NULL;
    start_feeder(); /* on the queue as it is when the leader is back */
    hear_both(&heard, count, 0);
    evc_feeder_stats(feeder, &fed);
    assert_int_equal(fed.events_total, 5000 / 20);
    assert_int_equal(heard.events, count);
    assert_int_equal(heard.gap, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_feeder__events__arrive_numbered_without_gaps),
        CASE(test_feeder__partition_not_taken__journal_has_room_for_others),
        CASE(test_feeder__asleep__is_woken_by_a_single_event),
        CASE(test_feeder__what_the_journal_lost__is_a_gap_of_exactly_that_size),
        CASE(test_feeder__queue_full_for_a_while__feeds_on_in_order),
        CASE(test_feeder__one_partition_refused__other_journals_have_their_turn),
        CASE(test_feeder__destroyed__has_fed_all_that_was_released_before),
        CASE(test_feeder__destroyed_while_the_queue_is_full__keeps_to_its_time),
        CASE(test_feeder__killed_between_queue_and_journal__repeats_the_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
