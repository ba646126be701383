/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of feeding over a queue that takes some partitions and not others, or leaves it open
 * whether it has: every partition is settled by itself, and numbers stay true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/feed.h"
#include "scratch.h"

enum {
    PARTITIONS = 2,
    RECORDS_MAX = 64,
};

/** What became of one appended record. */
struct heard {
    uint32_t partition;
    uint64_t first_seq;
    uint32_t count;
};

static char path[64];
static struct evc_journal *journal;
static struct evc_feed feed;
static struct evc_feed_source source;
static int status_of[2 * PARTITIONS]; /* what append says of a partition */
static bool takes[2 * PARTITIONS];    /* whether the record is in, whatever it says */
static struct heard heard[RECORDS_MAX];
static unsigned heard_count;
static uint64_t now_us; /* every round comes when nothing is left out any more, but where said */
static int key_len;     /* long ones fill the journal with fewer events than a record may have */

static int
fake_append(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
            struct evc_error *error)
{
    int rc = EVC_OK;

    (void)queue;
    (void)error;
    for (size_t i = 0; i < count; i++) {
        struct evc_record_reader reader;
        uint32_t p = items[i].partition;

        items[i].status = status_of[p];
        rc = rc ? rc : status_of[p];
        if (takes[p]) {
            assert_int_equal(evc_record_reader_init(&reader, items[i].record), EVC_OK);
            assert_int_equal(reader.header.count, items[i].event_count);
            assert_in_range(heard_count, 0, RECORDS_MAX - 1);
            heard[heard_count++] = (struct heard){p, reader.header.first_seq, reader.header.count};
        }
    }
    return rc;
}

static const struct evc_queue_ops ops = {.append = fake_append};
static struct evc_queue queue = {.ops = &ops};

static void
open_journal(void)
{
    struct evc_error error;
    uint64_t replayed;

    if (evc_journal_open(path, 3, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
    evc_journal_set_partitions(journal, PARTITIONS);
    evc_feed_source_init(&source, journal);
}

static void
set_partition(uint32_t partition, int status, bool is_in)
{
    status_of[partition] = status;
    takes[partition] = is_in;
}

static int
setup(void **state)
{
    (void)state;
    heard_count = 0;
    now_us = 1;
    key_len = EVC_EVENT_KEY_LEN_MAX;
    set_partition(0, EVC_OK, true);
    for (uint32_t p = 1; p < 2 * PARTITIONS; p++) {
        set_partition(p, EVC_OK, true);
    }
    if (scratch_make(path) != 0) {
        return -1;
    }
    open_journal();
    return evc_feed_init(&feed, &queue, PARTITIONS);
}

static int
teardown(void **state)
{
    (void)state;
    evc_feed_finish(&feed);
    evc_journal_close(journal);
    scratch_remove(path);
    return 0;
}

/** Writes one event whose key belongs to a partition. */
static bool
write_to(uint32_t partition)
{
    static unsigned number;
    char key[EVC_EVENT_KEY_LEN_MAX + 1];
    struct evc_event event = {.version = 1, .key = {.ptr = key}};
    evc_journal_pos pos;

    do {
        event.key.len = (size_t)snprintf(key, sizeof(key), "%0*u", key_len, number++);
    } while (evc_queue_partition(event.key, PARTITIONS) != partition);
    pos = evc_journal_reserve(journal, &event);
    evc_journal_release(journal, pos);
    evc_journal_settle(journal, pos);
    return pos != EVC_JOURNAL_POS_NONE;
}

static void
write_times(uint32_t partition, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_true(write_to(partition));
    }
}

static int
round_of(unsigned events)
{
    struct evc_feed_count count;
    int rc;

    now_us += EVC_FEED_HOLD_US;
    rc = evc_feed_round(&feed, &source, now_us, &count, NULL);

    assert_int_equal(count.events, events);
    return rc;
}

static void
assert_heard(unsigned index, uint32_t partition, uint64_t first_seq, uint32_t count)
{
    assert_in_range(index, 0, heard_count - 1);
    assert_int_equal(heard[index].partition, partition);
    assert_int_equal(heard[index].first_seq, first_seq);
    assert_int_equal(heard[index].count, count);
}

static void
test_feed__partition_not_taken__holds_up_no_other(void **state)
{
    (void)state;
    write_times(0, 2);
    write_times(1, 3);
    set_partition(0, EVC_E_SYS, false);
    assert_int_equal(round_of(3), EVC_E_SYS);
    assert_heard(0, 1, 1, 3);
    write_times(1, 1);
    assert_int_equal(round_of(1), EVC_E_SYS);
    assert_heard(1, 1, 4, 1);
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_of(2), EVC_OK);
    assert_heard(2, 0, 1, 2);
    assert_int_equal(round_of(0), EVC_OK);
    assert_int_equal(heard_count, 3);
}

static void
test_feed__partition_with_a_full_record__holds_up_no_other(void **state)
{
    (void)state;
    key_len = 8;
    write_times(0, EVC_RECORD_EVENTS_MAX);
    set_partition(0, EVC_E_SYS, false);
    assert_int_equal(round_of(0), EVC_E_SYS);
    write_times(0, 2);
    write_times(1, 1);
    assert_int_equal(round_of(1), EVC_E_SYS);
    assert_heard(0, 1, 1, 1);
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_of(EVC_RECORD_EVENTS_MAX), EVC_OK);
    assert_int_equal(round_of(2), EVC_OK);
    assert_heard(2, 0, EVC_RECORD_EVENTS_MAX + 1, 2);
}

static void
test_feed__record_in_doubt__is_made_again_with_its_numbers(void **state)
{
    (void)state;
    write_times(0, 2);
    set_partition(0, EVC_E_SYS, true); /* it is in, and nobody knows */
    assert_int_equal(round_of(0), EVC_E_SYS);
    write_times(0, 1);
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_of(3), EVC_OK);
    assert_heard(0, 0, 1, 2);
    assert_heard(1, 0, 1, 3); /* two of them again: duplicates */
}

/** Fills the journal with a partition's events; the one that does not fit is lost. */
static unsigned
fill(uint32_t partition)
{
    unsigned count = 0;

    while (write_to(partition)) {
        count++;
    }
    return count;
}

static unsigned
feed_all_of(void)
{
    unsigned fed = 0;
    struct evc_feed_count count;

    do {
        now_us += EVC_FEED_HOLD_US;
        assert_int_equal(evc_feed_round(&feed, &source, now_us, &count, NULL), EVC_OK);
        fed += count.events;
    } while (count.records > 0);
    return fed;
}

static void
test_feed__lost_while_in_doubt__is_skipped_behind_what_was_in_doubt(void **state)
{
    unsigned written;

    (void)state;
    write_times(0, 2);
    set_partition(0, EVC_E_SYS, true);
    assert_int_equal(round_of(0), EVC_E_SYS);
    written = 2 + fill(0);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(write_to(0)); /* five in all */
    }
    set_partition(0, EVC_OK, true);
    assert_int_equal(feed_all_of(), written);
    assert_heard(0, 0, 1, 2);
    assert_heard(1, 0, 1, written);
    assert_heard(2, 0, written + 1 + 5, 0);
}

static void
test_feed__nothing_behind_a_gap__an_empty_record_shows_it(void **state)
{
    unsigned written;

    (void)state;
    written = fill(0);
    assert_int_equal(feed_all_of(), written);
    assert_heard(heard_count - 1, 0, written + 2, 0);
    set_partition(0, EVC_E_SYS, false);
    assert_int_equal(round_of(0), EVC_OK); /* once is enough */
    assert_int_equal(heard_count, 2);
}

static void
test_feed__gap_not_shown_yet__is_shown_when_the_queue_takes_it(void **state)
{
    unsigned written;

    (void)state;
    written = fill(1);
    assert_int_equal(round_of(written), EVC_OK);
    set_partition(1, EVC_E_SYS, false);
    assert_int_equal(round_of(0), EVC_E_SYS);
    set_partition(1, EVC_OK, true);
    assert_int_equal(round_of(0), EVC_OK);
    assert_int_equal(heard_count, 2);
    assert_heard(1, 1, written + 2, 0);
}

static void
test_feed__partitions_added__get_the_events_of_their_keys(void **state)
{
    (void)state;
    write_times(0, 1);
    assert_int_equal(round_of(1), EVC_OK);
    assert_int_equal(evc_feed_grow(&feed, 2 * PARTITIONS), EVC_OK);
    assert_int_equal(evc_feed_grow(&feed, PARTITIONS), EVC_OK); /* never fewer */
    write_times(0, 20);
    assert_int_equal(round_of(20), EVC_OK);
    assert_int_equal(heard_count, 3); /* what was partition 0 is 0 and 2 */
    assert_heard(1, 0, 2, heard[1].count);
    assert_heard(2, PARTITIONS, 1, 20 - heard[1].count);
}

/** Partition 0 is not taken: a round that feeds only others. */
static unsigned
feed_others(void)
{
    struct evc_feed_count count;

    heard_count = 0;
    now_us += EVC_FEED_HOLD_US;
    assert_int_equal(evc_feed_round(&feed, &source, now_us, &count, NULL), EVC_E_SYS);
    return count.events;
}

static void
test_feed__partition_not_taken__keeps_no_room_from_others(void **state)
{
    unsigned stuck = 0, fed = 0;

    (void)state;
    key_len = 30;
    set_partition(0, EVC_E_SYS, false);
    while (stuck < 400) { /* the others' are 300 times the ring */
        write_times(0, 1);
        stuck++;
        for (unsigned i = 0; i < 100; i++) {
            write_times(1, 9);
            fed += feed_others();
        }
    }
    assert_int_equal(fed, stuck * 900);
    heard_count = 0;
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_of(stuck), EVC_OK);
    assert_int_equal(heard_count, 1);
    assert_heard(0, 0, 1, stuck);
    assert_int_equal(feed_all_of(), 0);
}

static void
test_feed__partition_not_taken__is_lost_for_want_of_room_alone(void **state)
{
    struct evc_journal_stats stats;
    unsigned stuck = 0;

    (void)state;
    key_len = 30;
    set_partition(0, EVC_E_SYS, false);
    while (write_to(0)) {
        unsigned beside = 0;

        stuck++;
        while (beside < 5 && write_to(1)) {
            (void)evc_journal_make_room(journal); /* the feeder's thread does what it can */
            beside++;
        }
        assert_int_equal(feed_others(), beside);
        if (beside < 5) {
            break;
        }
    }
    evc_journal_stats(journal, &stats);
    assert_int_equal(stats.lost_total, 1);
    assert_true(stuck * 72 > stats.bytes_max * 3 / 4); /* an entry takes 72 */
    evc_journal_close(journal); /* killed: the next process has the same events, once */
    open_journal();
    set_partition(0, EVC_OK, true);
    heard_count = 0;
    assert_int_equal(feed_all_of(), stuck);
    assert_heard(0, 0, 1, heard[0].count);
}

/** A round so much later; what it says. */
static struct evc_feed_count
round_after(uint64_t us, int status)
{
    struct evc_feed_count count;

    now_us += us;
    assert_int_equal(evc_feed_round(&feed, &source, now_us, &count, NULL), status);
    return count;
}

static void
test_feed__partition_not_taken__is_left_out_for_a_while(void **state)
{
    (void)state;
    write_times(0, 2);
    set_partition(0, EVC_E_SYS, true); /* it is in, and nobody knows */
    assert_int_equal(round_after(0, EVC_E_SYS).events, 0);
    assert_int_equal(heard_count, 1); /* alone: that may be the queue */
    write_times(1, 1);
    assert_int_equal(round_after(1, EVC_E_SYS).events, 1);
    assert_int_equal(heard_count, 3);
    write_times(0, 1);
    write_times(1, 1);
    assert_true(round_after(EVC_FEED_HOLD_US - 1, EVC_OK).is_holding);
    assert_int_equal(heard_count, 4); /* not asked, and no number of its own given away */
    assert_heard(3, 1, 2, 1);
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_after(1, EVC_OK).events, 3);
    assert_heard(4, 0, 1, 3);
    assert_false(round_after(1, EVC_OK).is_holding);
}

static void
test_feed__left_out_and_refused_again__is_left_out_though_it_was_alone(void **state)
{
    (void)state;
    write_times(0, 1);
    write_times(1, 1);
    set_partition(0, EVC_E_SYS, false);
    assert_int_equal(round_after(0, EVC_E_SYS).events, 1);
    assert_int_equal(round_after(EVC_FEED_HOLD_US, EVC_E_SYS).events, 0); /* alone */
    write_times(1, 1);
    heard_count = 0;
    assert_int_equal(round_after(1, EVC_OK).events, 1);
    assert_int_equal(heard_count, 1);
    set_partition(0, EVC_OK, true);
    assert_int_equal(round_after(EVC_FEED_HOLD_US, EVC_OK).events, 1);
    set_partition(0, EVC_E_SYS, false);
    write_times(0, 1);
    assert_int_equal(round_after(1, EVC_E_SYS).events, 0); /* alone, and taken since: the queue */
    assert_false(round_after(1, EVC_E_SYS).is_holding);
}

static void
test_feed__clock_put_back__leaves_nothing_out_for_long(void **state)
{
    (void)state;
    now_us = UINT64_C(1000) * EVC_FEED_HOLD_US;
    write_times(0, 1);
    write_times(1, 1);
    set_partition(0, EVC_E_SYS, false);
    assert_int_equal(round_after(0, EVC_E_SYS).events, 1);
    set_partition(0, EVC_OK, true);
    now_us = 1;
    assert_int_equal(round_after(0, EVC_OK).events, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_feed__partition_not_taken__holds_up_no_other),
        CASE(test_feed__partition_with_a_full_record__holds_up_no_other),
        CASE(test_feed__record_in_doubt__is_made_again_with_its_numbers),
        CASE(test_feed__lost_while_in_doubt__is_skipped_behind_what_was_in_doubt),
        CASE(test_feed__nothing_behind_a_gap__an_empty_record_shows_it),
        CASE(test_feed__partitions_added__get_the_events_of_their_keys),
        CASE(test_feed__gap_not_shown_yet__is_shown_when_the_queue_takes_it),
        CASE(test_feed__partition_not_taken__is_left_out_for_a_while),
        CASE(test_feed__left_out_and_refused_again__is_left_out_though_it_was_alone),
        CASE(test_feed__clock_put_back__leaves_nothing_out_for_long),
        CASE(test_feed__partition_not_taken__keeps_no_room_from_others),
        CASE(test_feed__partition_not_taken__is_lost_for_want_of_room_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
