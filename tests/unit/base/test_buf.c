/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded buffer: limits, growth, compaction, and that its content is always what was put in.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"

static void
test_buf__fresh__is_empty_and_has_no_memory(void **state)
{
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 100);
    assert_int_equal(evc_buf_len(&buf), 0);
    assert_null(buf.data);
    assert_int_equal(evc_buf_slice(&buf).len, 0);
    assert_non_null(evc_buf_slice(&buf).ptr);
    evc_buf_finish(&buf);
}

static void
test_buf__append_up_to_limit__then_refused_whole(void **state)
{
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 10);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("0123456")), 0);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("7890")), EVC_E_LIMIT);
    assert_int_equal(evc_buf_len(&buf), 7);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("789")), 0);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("x")), EVC_E_LIMIT);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("")), 0);
    assert_memory_equal(evc_buf_slice(&buf).ptr, "0123456789", 10);
    evc_buf_consume(&buf, 4);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("abcd")), 0);
    assert_memory_equal(evc_buf_slice(&buf).ptr, "456789abcd", 10);
    evc_buf_finish(&buf);
}

static void
test_buf__reserve_and_commit__count_what_was_written(void **state)
{
    struct evc_buf buf;
    char *tail;

    (void)state;
    evc_buf_init(&buf, 1 << 20);
    assert_int_equal(evc_buf_reserve(&buf, 5000, &tail), 0);
    memcpy(tail, "abc", 3);
    evc_buf_commit(&buf, 3);
    assert_true(evc_slice_equal(evc_buf_slice(&buf), EVC_SLICE("abc")));
    assert_int_equal(evc_buf_reserve(&buf, 1 << 20, &tail), EVC_E_LIMIT);
    assert_int_equal(evc_buf_reserve(&buf, (1 << 20) - 3, &tail), 0);
    assert_true(evc_slice_equal(evc_buf_slice(&buf), EVC_SLICE("abc")));
    evc_buf_finish(&buf);
}

static void
test_buf__random_appends_and_consumes__keep_the_stream(void **state)
{
    struct evc_buf buf;
    unsigned char written = 0;
    unsigned char expected = 0;

    (void)state;
    srand(1);
    evc_buf_init(&buf, 20000);
    for (int round = 0; round < 20000; round++) {
        char bytes[700];
        size_t len = (size_t)rand() % sizeof(bytes);
        struct evc_slice held;
        size_t used;

        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)(unsigned char)(written + i);
        }
        if (evc_buf_append(&buf, (struct evc_slice){.ptr = bytes, .len = len}) == 0) {
            written = (unsigned char)(written + len);
        } else {
            assert_true(evc_buf_len(&buf) + len > 20000);
        }
        held = evc_buf_slice(&buf);
        used = held.len == 0 ? 0 : (size_t)rand() % (held.len + 1);
        for (size_t i = 0; i < used; i++) {
            assert_int_equal((unsigned char)held.ptr[i], expected);
            expected++;
        }
        evc_buf_consume(&buf, used);
    }
    evc_buf_finish(&buf);
}

static void
test_buf__truncate__takes_back_what_was_appended_last(void **state)
{
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 64);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("some words")), 0);
    evc_buf_consume(&buf, 5);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE(" more")), 0);
    evc_buf_truncate(&buf, 5);
    assert_true(evc_slice_equal(evc_buf_slice(&buf), EVC_SLICE("words")));
    evc_buf_truncate(&buf, 0);
    assert_int_equal(evc_buf_len(&buf), 0);
    evc_buf_finish(&buf);
}

static void
test_buf__shrink__frees_only_when_empty_and_large(void **state)
{
    struct evc_buf buf;
    char *tail;

    (void)state;
    evc_buf_init(&buf, 1 << 20);
    assert_int_equal(evc_buf_reserve(&buf, 100000, &tail), 0);
    evc_buf_commit(&buf, 1);
    evc_buf_shrink(&buf, 4096);
    assert_true(buf.capacity >= 100000);
    evc_buf_clear(&buf);
    evc_buf_shrink(&buf, 1 << 20);
    assert_true(buf.capacity >= 100000);
    evc_buf_shrink(&buf, 4096);
    assert_int_equal(buf.capacity, 0);
    assert_int_equal(evc_buf_append(&buf, EVC_SLICE("again")), 0);
    evc_buf_finish(&buf);
}

static void
test_buf__steady_traffic__never_allocates_again(void **state)
{
    struct evc_buf buf;
    const char *data;

    (void)state;
    evc_buf_init(&buf, 1 << 16);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(evc_buf_append(&buf, EVC_SLICE("0123456789")), 0);
    }
    data = buf.data;
    for (int i = 0; i < 10000; i++) {
        evc_buf_consume(&buf, 10);
        assert_int_equal(evc_buf_append(&buf, EVC_SLICE("0123456789")), 0);
    }
    assert_ptr_equal(buf.data, data);
    evc_buf_finish(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__fresh__is_empty_and_has_no_memory),
        cmocka_unit_test(test_buf__append_up_to_limit__then_refused_whole),
        cmocka_unit_test(test_buf__reserve_and_commit__count_what_was_written),
        cmocka_unit_test(test_buf__random_appends_and_consumes__keep_the_stream),
        cmocka_unit_test(test_buf__truncate__takes_back_what_was_appended_last),
        cmocka_unit_test(test_buf__shrink__frees_only_when_empty_and_large),
        cmocka_unit_test(test_buf__steady_traffic__never_allocates_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
