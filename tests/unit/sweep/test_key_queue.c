/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the key space, and the queue of keys that wait for theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sweep/key_queue.h"

static void
test_key_range__halved__passes_cover_every_hash_once(void **state)
{
    (void)state;
    for (unsigned halvings = 0; halvings < 6; halvings++) {
        struct evc_key_range range;
        uint64_t next = 0;
        unsigned passes = 0;

        evc_key_range_init(&range);
        assert_int_equal(evc_key_range_passes(&range), 1);
        for (unsigned i = 0; i < halvings; i++) {
            assert_true(evc_key_range_halve(&range));
        }
        assert_int_equal(evc_key_range_passes(&range), 1U << halvings);
        do {
            assert_true(range.first == next);
            assert_true(evc_key_range_has(&range, range.first));
            assert_true(evc_key_range_has(&range, range.last));
            next = range.last + 1;
            passes++;
            assert_int_equal(range.pass, passes);
        } while (evc_key_range_next(&range));
        assert_true(range.last == UINT64_MAX);
        assert_int_equal(passes, 1U << halvings);
    }
}

static void
test_key_range__halved_in_a_later_pass__nothing_is_passed_over(void **state)
{
    struct evc_key_range range;

    (void)state;
    evc_key_range_init(&range);
    assert_true(evc_key_range_halve(&range) && evc_key_range_next(&range));
    assert_true(evc_key_range_halve(&range));
    assert_true(range.first == UINT64_C(1) << 63 && range.last == (UINT64_C(3) << 62) - 1);
    assert_int_equal(evc_key_range_passes(&range), 3);
    assert_true(evc_key_range_next(&range));
    assert_true(range.first == UINT64_C(3) << 62 && range.last == UINT64_MAX);
    range.first = range.last;
    assert_false(evc_key_range_halve(&range));
}

static void
push(struct evc_key_queue *queue, unsigned number, bool is_pushed)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "key-%u", number);
    const struct evc_queued_key key = {.key = {.ptr = text, .len = (size_t)len},
                                       .hash = (uint64_t)number << 60,
                                       .size = number,
                                       .copy = (uint16_t)number};

    assert_int_equal(evc_key_queue_push(queue, &key), is_pushed);
}

static void
expect(struct evc_key_queue *queue, unsigned number)
{
    struct evc_queued_key key;
    char text[16];

    snprintf(text, sizeof(text), "key-%u", number);
    assert_true(evc_key_queue_peek(queue, &key));
    assert_true(evc_slice_equal(key.key, evc_slice_str(text)));
    assert_true(key.hash == (uint64_t)number << 60);
    assert_int_equal(key.size, number);
    assert_int_equal(key.copy, number);
    evc_key_queue_drop(queue);
}

static void
test_key_queue__full__keeps_the_keys_of_a_range_in_order(void **state)
{
    struct evc_key_queue queue;
    struct evc_queued_key key;
    struct evc_key_range range;

    (void)state;
    evc_key_queue_init(&queue, 10 * (16 + 5));
    for (unsigned i = 0; i < 10; i++) {
        push(&queue, i, true);
    }
    push(&queue, 1, false);
    expect(&queue, 0);
    expect(&queue, 1);
    evc_key_range_init(&range);
    assert_true(evc_key_range_halve(&range)); /* up to 7 */
    evc_key_queue_keep(&queue, &range);
    assert_int_equal(queue.count, 6);
    push(&queue, 3, true);
    for (unsigned i = 2; i < 8; i++) {
        expect(&queue, i);
    }
    expect(&queue, 3);
    assert_false(evc_key_queue_peek(&queue, &key));
    evc_key_queue_keep(&queue, &range);
    assert_int_equal(queue.count, 0);
    evc_key_queue_finish(&queue);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_range__halved__passes_cover_every_hash_once),
        cmocka_unit_test(test_key_range__halved_in_a_later_pass__nothing_is_passed_over),
        cmocka_unit_test(test_key_queue__full__keeps_the_keys_of_a_range_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
