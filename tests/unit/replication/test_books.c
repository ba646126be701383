/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and outcomes: what is lost, what is repeated, what may be committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/queue.h"
#include "replication/books.h"

static struct evc_books *books;

static int
setup(void **state)
{
    (void)state;
    books = evc_books_create();
    return books ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    evc_books_destroy(books);
    return 0;
}

static struct evc_batch *
open_batch(uint64_t position, uint64_t producer, uint64_t first_seq, uint32_t count)
{
    struct evc_record_header header = {
        .slot = 3,
        .producer = producer,
        .first_seq = first_seq,
        .fed_us = 1000000,
        .count = count,
    };
    struct evc_books_opened opened;

    return evc_books_open(books, position, &header, &opened);
}

static void
end_all(struct evc_batch *batch, enum evc_outcome outcome)
{
    for (uint32_t left = batch->open; left > 0; left--) {
        evc_batch_outcome(batch, outcome);
    }
}

static struct evc_books_totals
totals(void)
{
    struct evc_books_totals ret;
    uint64_t open;

    evc_books_totals(books, &ret, &open);
    return ret;
}

static uint64_t
position(void)
{
    bool has_moved;

    return evc_books_position(books, &has_moved);
}

static void
test_books__numbers_in_order__nothing_lost(void **state)
{
    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    end_all(open_batch(1, 1, 11, 5), EVC_OUTCOME_BEHIND);
    assert_int_equal(totals().received, 15);
    assert_int_equal(totals().lost, 0);
    assert_int_equal(totals().duplicate, 0);
    assert_int_equal(totals().outcome[EVC_OUTCOME_APPLIED], 10);
    assert_int_equal(totals().outcome[EVC_OUTCOME_BEHIND], 5);
    assert_int_equal(position(), 2);
}

static void
test_books__gap__is_lost_by_number(void **state)
{
    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    end_all(open_batch(1, 1, 15, 1), EVC_OUTCOME_APPLIED);
    assert_int_equal(totals().lost, 4);
}

static void
test_books__empty_batch_after_a_gap__announces_it(void **state)
{
    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    assert_null(open_batch(1, 1, 18, 0));
    assert_int_equal(totals().lost, 7);
    assert_int_equal(position(), 2);
}

static void
test_books__repeat__is_duplicate_and_still_gets_outcomes(void **state)
{
    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    end_all(open_batch(1, 1, 6, 7), EVC_OUTCOME_IDENTICAL);
    assert_int_equal(totals().duplicate, 5);
    assert_int_equal(totals().received, 17);
    assert_int_equal(totals().outcome[EVC_OUTCOME_IDENTICAL], 7);
    /* produced (12) + duplicate = lost + outcomes */
    assert_int_equal(12 + totals().duplicate, totals().lost + totals().received);
}

static void
test_books__out_of_order_ends__fold_in_order(void **state)
{
    struct evc_batch *first = open_batch(0, 1, 1, 2);
    struct evc_batch *second = open_batch(1, 1, 3, 1);

    (void)state;
    evc_batch_outcome(second, EVC_OUTCOME_APPLIED);
    assert_int_equal(position(), 0);
    evc_batch_outcome(first, EVC_OUTCOME_COALESCED);
    assert_int_equal(position(), 0);
    evc_batch_outcome(first, EVC_OUTCOME_APPLIED);
    assert_int_equal(position(), 2);
}

/** A batch of one event of a producer, fed at this time. */
static struct evc_batch *
open_one(uint64_t at, uint64_t producer, uint64_t fed_us)
{
    struct evc_record_header header = {
        .slot = 3, .producer = producer, .first_seq = 1, .fed_us = fed_us, .count = 1};
    struct evc_books_opened opened;

    return evc_books_open(books, at, &header, &opened);
}

static void
test_books__blob_over_its_bound__forgets_who_is_silent_for_a_day_and_has_nothing_open(void **state)
{
    struct evc_batch *open;
    struct evc_buf blob;
    size_t all;

    (void)state;
    end_all(open_one(0, 1, 2000), EVC_OUTCOME_APPLIED);
    end_all(open_one(1, 2, 1000), EVC_OUTCOME_APPLIED);
    end_all(open_one(2, 3, EVC_BOOKS_SILENT_US), EVC_OUTCOME_APPLIED);
    open = open_one(3, 4, 1);
    end_all(open_one(4, 5, EVC_BOOKS_SILENT_US + 3000), EVC_OUTCOME_APPLIED);
    all = evc_books_blob_bytes(books);
    evc_buf_init(&blob, EVC_QUEUE_BLOB_BYTES_MAX);
    assert_int_equal(evc_books_save(books, &blob), EVC_OK);
    assert_int_equal(evc_buf_len(&blob), all);
    assert_int_equal(evc_books_forget_producers(books, all), 0);
    assert_int_equal(evc_books_forget_producers(books, all - 1), 1); /* the second */
    end_all(open_one(5, 1, EVC_BOOKS_SILENT_US), EVC_OUTCOME_APPLIED);
    assert_int_equal(evc_books_forget_producers(books, 0), 0);
    end_all(open, EVC_OUTCOME_APPLIED);
    assert_int_equal(totals().duplicate, 1);                   /* the first was remembered */
    assert_int_equal(evc_books_forget_producers(books, 0), 1); /* the fourth */
    assert_int_equal(evc_books_producers(books), 3);
    evc_buf_clear(&blob);
    assert_int_equal(evc_books_save(books, &blob), EVC_OK);
    assert_int_equal(evc_buf_len(&blob), evc_books_blob_bytes(books));
    evc_buf_finish(&blob);
}

static void
test_books__saved_and_loaded__count_exactly_on(void **state)
{
    struct evc_buf blob;
    struct evc_batch *open;

    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    open = open_batch(1, 1, 11, 10); /* not ended when the process dies */
    assert_non_null(open);
    evc_buf_init(&blob, EVC_QUEUE_BLOB_BYTES_MAX);
    assert_int_equal(evc_books_save(books, &blob), EVC_OK);

    evc_books_destroy(books);
    books = evc_books_create();
    assert_int_equal(evc_books_load(books, 1, evc_buf_slice(&blob)), EVC_OK);
    end_all(open_batch(1, 1, 11, 10), EVC_OUTCOME_IDENTICAL);
    assert_int_equal(totals().received, 20);
    assert_int_equal(totals().lost, 0);
    assert_int_equal(totals().duplicate, 0);
    evc_buf_finish(&blob);
}

static void
test_books__any_cut_of_a_blob__is_corrupt_not_a_crash(void **state)
{
    struct evc_buf blob;
    struct evc_slice whole;

    (void)state;
    end_all(open_batch(0, 1, 1, 10), EVC_OUTCOME_APPLIED);
    evc_buf_init(&blob, EVC_QUEUE_BLOB_BYTES_MAX);
    assert_int_equal(evc_books_save(books, &blob), EVC_OK);
    whole = evc_buf_slice(&blob);
    for (size_t len = 1; len < whole.len; len++) {
        evc_books_destroy(books);
        books = evc_books_create();
        assert_int_equal(evc_books_load(books, 1, (struct evc_slice){.ptr = whole.ptr, .len = len}),
                         EVC_E_CORRUPT);
    }
    evc_buf_finish(&blob);
}

static void
test_books__two_producers_on_a_slot__are_noticed(void **state)
{
    struct evc_record_header header = {
        .slot = 3, .producer = 1, .first_seq = 1, .fed_us = 50000000, .count = 0};
    struct evc_books_opened opened;

    (void)state;
    (void)evc_books_open(books, 0, &header, &opened);
    assert_false(opened.is_slot_conflict);
    header.producer = 2;
    header.fed_us += 1000000;
    (void)evc_books_open(books, 1, &header, &opened);
    assert_true(opened.is_slot_conflict);
    header.producer = 3;
    header.slot = 4;
    (void)evc_books_open(books, 2, &header, &opened);
    assert_false(opened.is_slot_conflict);
}

static void
test_books__more_producers_than_remembered__forget_the_longest_silent(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < EVC_BOOKS_PRODUCERS_MAX + 10; i++) {
        end_all(open_batch(i, i + 1, 1, 1), EVC_OUTCOME_APPLIED);
    }
    assert_int_equal(totals().received, EVC_BOOKS_PRODUCERS_MAX + 10);
    assert_int_equal(totals().lost, 0);
}

static void
test_books__abandoned__stay_until_their_last_event_has_ended(void **state)
{
    struct evc_batch *batch;
    struct evc_list abandoned;

    (void)state;
    evc_list_init(&abandoned);
    batch = open_batch(0, 7, 1, 2);
    evc_books_abandon(books, &abandoned);
    books = NULL;
    evc_batch_outcome(batch, EVC_OUTCOME_APPLIED);
    assert_false(evc_list_is_empty(&abandoned));
    evc_batch_outcome(batch, EVC_OUTCOME_APPLIED);
    assert_true(evc_list_is_empty(&abandoned)); /* and freed */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_books__numbers_in_order__nothing_lost),
        CASE(test_books__abandoned__stay_until_their_last_event_has_ended),
        CASE(test_books__gap__is_lost_by_number),
        CASE(test_books__empty_batch_after_a_gap__announces_it),
        CASE(test_books__repeat__is_duplicate_and_still_gets_outcomes),
        CASE(test_books__out_of_order_ends__fold_in_order),
        CASE(test_books__blob_over_its_bound__forgets_who_is_silent_for_a_day_and_has_nothing_open),
        CASE(test_books__saved_and_loaded__count_exactly_on),
        CASE(test_books__any_cut_of_a_blob__is_corrupt_not_a_crash),
        CASE(test_books__two_producers_on_a_slot__are_noticed),
        CASE(test_books__more_producers_than_remembered__forget_the_longest_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
