/* SPDX-License-Identifier: Apache-2.0 */
/* A group's partitions: taken up, given up, and what books nobody can read do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/consume.h"

static struct evc_consume consume;

static int
setup(void **state)
{
    (void)state;
    /* Never called: no event is offered here. */
    evc_consume_init(&consume, (struct evc_ship *)&consume, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_consume_finish(&consume);
    return 0;
}

static void
test_consume__unreadable_books__can_begin_anew(void **state)
{
    (void)state;
    assert_int_equal(evc_consume_add(&consume, 3, 7, EVC_SLICE("of somebody else")), EVC_E_CORRUPT);
    assert_null(consume.books[3]);
    assert_int_equal(evc_consume_add(&consume, 3, 7, (struct evc_slice){0}), EVC_OK);
    assert_non_null(consume.books[3]);
}

static void
test_consume__given_up_and_taken_up__is_another_s_books(void **state)
{
    (void)state;
    assert_int_equal(evc_consume_add(&consume, 0, 0, (struct evc_slice){0}), EVC_OK);
    evc_consume_remove(&consume, 0);
    assert_null(consume.books[0]);
    assert_int_equal(evc_consume_add(&consume, 0, 5, (struct evc_slice){0}), EVC_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_consume__unreadable_books__can_begin_anew),
        CASE(test_consume__given_up_and_taken_up__is_another_s_books),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
