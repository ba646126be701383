/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of versions, what makes room, and when it is acted upon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/guess.h"

static struct evc_guess guess;

static int
setup(void **state)
{
    (void)state;
    evc_guess_init(&guess, EVC_GUESS_WAYS); /* one line */
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_guess_finish(&guess);
    return 0;
}

static void
test_guess__noted__is_remembered_until_forgotten(void **state)
{
    (void)state;
    assert_int_equal(evc_guess_version(&guess, 1), 0);
    evc_guess_note(&guess, 1, 10);
    evc_guess_note(&guess, 2, 20);
    evc_guess_note(&guess, 1, 11);
    assert_int_equal(evc_guess_version(&guess, 1), 11);
    assert_int_equal(evc_guess_version(&guess, 2), 20);
    evc_guess_forget(&guess, 1);
    evc_guess_forget(&guess, 3);
    assert_int_equal(evc_guess_version(&guess, 1), 0);
    assert_int_equal(evc_guess_version(&guess, 2), 20);
}

static void
test_guess__line_is_full__the_oldest_version_makes_room(void **state)
{
    (void)state;
    for (uint64_t hash = 1; hash <= EVC_GUESS_WAYS; hash++) {
        evc_guess_note(&guess, hash, 100 - hash);
    }
    evc_guess_note(&guess, 9, 200);
    assert_int_equal(evc_guess_version(&guess, EVC_GUESS_WAYS), 0);
    assert_int_equal(evc_guess_version(&guess, 1), 99);
    assert_int_equal(evc_guess_version(&guess, 9), 200);
}

static void
test_guess__no_keys__remembers_nothing_and_is_never_likely(void **state)
{
    struct evc_guess none;

    (void)state;
    evc_guess_init(&none, 0);
    evc_guess_note(&none, 1, 10);
    assert_int_equal(evc_guess_version(&none, 1), 0);
    for (unsigned i = 0; i < 100; i++) {
        evc_guess_learn(&none, EVC_GUESS_MISSING, true);
    }
    assert_false(evc_guess_is_likely(&none, EVC_GUESS_MISSING));
    evc_guess_finish(&none);
}

static void
test_guess__right_for_a_while__is_likely_until_wrong_a_few_times(void **state)
{
    (void)state;
    assert_false(evc_guess_is_likely(&guess, EVC_GUESS_VERSION));
    for (unsigned i = 0; i < 100; i++) {
        evc_guess_learn(&guess, EVC_GUESS_VERSION, true);
    }
    assert_true(evc_guess_is_likely(&guess, EVC_GUESS_VERSION));
    assert_false(evc_guess_is_likely(&guess, EVC_GUESS_MISSING));
    evc_guess_learn(&guess, EVC_GUESS_VERSION, false);
    assert_true(evc_guess_is_likely(&guess, EVC_GUESS_VERSION));
    for (unsigned i = 0; i < 5; i++) {
        evc_guess_learn(&guess, EVC_GUESS_VERSION, false);
    }
    assert_false(evc_guess_is_likely(&guess, EVC_GUESS_VERSION));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_guess__noted__is_remembered_until_forgotten),
        CASE(test_guess__line_is_full__the_oldest_version_makes_room),
        CASE(test_guess__no_keys__remembers_nothing_and_is_never_likely),
        CASE(test_guess__right_for_a_while__is_likely_until_wrong_a_few_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
