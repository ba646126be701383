/* SPDX-License-Identifier: Apache-2.0 */
/* One partition of a Kafka consumer, without Kafka: books as text and back, what is in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/kafka/part.h"

static void
test_kafka_part__books__come_back_from_their_text(void **state)
{
    char bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 37);
    }
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct evc_slice blob = {.ptr = bytes, .len = len};
        struct evc_kafka_part from = {0}, to = {0};
        struct evc_slice text;

        assert_int_equal(evc_kafka_part_take_up(&from, 7, NULL, 0), EVC_OK);
        assert_int_equal(evc_kafka_part_commit(&from, 7, blob), EVC_OK);
        text = evc_buf_slice(&from.metadata);
        assert_int_equal(evc_kafka_part_take_up(&to, 7, text.ptr, text.len), EVC_OK);
        assert_true(evc_slice_equal(evc_buf_slice(&to.blob), blob));
        evc_kafka_part_drop(&from);
        evc_kafka_part_drop(&to);
    }
}

static void
test_kafka_part__time_of_the_last_record_done__comes_back_with_the_books(void **state)
{
    struct evc_kafka_part from = {0}, to = {0};
    struct evc_slice text;

    (void)state;
    assert_int_equal(evc_kafka_part_take_up(&from, 10, NULL, 0), EVC_OK);
    assert_true(evc_kafka_part_hand_out(&from, 10, 3, 1000000));
    assert_true(evc_kafka_part_hand_out(&from, 11, 4, 2000000));
    assert_true(evc_kafka_part_hand_out(&from, 12, 4, 3000000));
    assert_int_equal(evc_kafka_part_commit(&from, 12, EVC_SLICE("books")), EVC_OK);
    text = evc_buf_slice(&from.metadata);
    assert_int_equal(evc_kafka_part_take_up(&to, 12, text.ptr, text.len), EVC_OK);
    assert_int_equal(to.done_us, 2000000);
    assert_true(evc_slice_equal(evc_buf_slice(&to.blob), EVC_SLICE("books")));
    evc_kafka_part_place(&to, 5); /* the log was cut */
    assert_true(evc_kafka_part_hand_out(&to, 5, 1, 4000000));
    assert_int_equal(evc_kafka_part_commit(&to, 6, EVC_SLICE("books")), EVC_OK);
    assert_int_equal(to.done_us, 4000000);
    evc_kafka_part_drop(&from);
    evc_kafka_part_drop(&to);
}

static void
test_kafka_part__text_of_somebody_else__is_corrupt(void **state)
{
    static const char *const texts[] = {"abc", "a b c d*", "!!!!", "@", "@x", "abcd@-1"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct evc_kafka_part part = {0};

        assert_int_equal(evc_kafka_part_take_up(&part, 0, texts[i], strlen(texts[i])),
                         EVC_E_CORRUPT);
        assert_false(part.is_owned);
    }
}

static void
test_kafka_part__backlog__has_what_was_read_and_says_what_was_not(void **state)
{
    struct evc_kafka_part part = {0};
    struct evc_queue_backlog backlog;

    (void)state;
    assert_int_equal(evc_kafka_part_take_up(&part, 10, NULL, 0), EVC_OK);
    assert_true(evc_kafka_part_hand_out(&part, 10, 3, 100));
    assert_true(evc_kafka_part_hand_out(&part, 11, 4, 200));
    evc_kafka_part_backlog(&part, 0, 15, &backlog);
    assert_int_equal(backlog.records, 5);
    assert_int_equal(backlog.events, 7);
    assert_int_equal(backlog.records_unread, 3);
    assert_int_equal(backlog.oldest_us, 100);
    assert_int_equal(evc_kafka_part_commit(&part, 13, EVC_SLICE("")), EVC_E_INVALID);
    assert_int_equal(evc_kafka_part_commit(&part, 11, EVC_SLICE("")), EVC_OK);
    evc_kafka_part_backlog(&part, 0, 12, &backlog);
    assert_int_equal(backlog.events, 4);
    assert_int_equal(backlog.records_unread, 0);
    evc_kafka_part_backlog(&part, 20, 22, &backlog); /* the log has been deleted up to 20 */
    assert_int_equal(backlog.records, 2);
    assert_int_equal(backlog.records_unread, 2);
    evc_kafka_part_drop(&part);
}

static void
test_kafka_part__too_many_open__are_kept_back(void **state)
{
    struct evc_kafka_part part = {0};

    (void)state;
    assert_int_equal(evc_kafka_part_take_up(&part, 0, NULL, 0), EVC_OK);
    for (uint64_t i = 0; i < EVC_KAFKA_OPEN_MAX; i++) {
        assert_true(evc_kafka_part_hand_out(&part, i, 1, 1));
    }
    assert_false(evc_kafka_part_hand_out(&part, EVC_KAFKA_OPEN_MAX, 1, 1));
    assert_int_equal(evc_kafka_part_commit(&part, 1, EVC_SLICE("")), EVC_OK);
    assert_true(evc_kafka_part_hand_out(&part, EVC_KAFKA_OPEN_MAX, 1, 1));
    evc_kafka_part_drop(&part);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kafka_part__books__come_back_from_their_text),
        cmocka_unit_test(test_kafka_part__time_of_the_last_record_done__comes_back_with_the_books),
        cmocka_unit_test(test_kafka_part__text_of_somebody_else__is_corrupt),
        cmocka_unit_test(test_kafka_part__backlog__has_what_was_read_and_says_what_was_not),
        cmocka_unit_test(test_kafka_part__too_many_open__are_kept_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
