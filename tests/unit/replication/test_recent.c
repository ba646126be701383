/* SPDX-License-Identifier: Apache-2.0 */
/* What is a sign of trouble, in the order events are fed: who wrote, and what may have been missed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "replication/recent.h"

enum {
    A = 1, /* writers */
    B = 2,
    SECOND_US = 1000 * 1000,
    WINDOW_US = SECOND_US,
    LONG_US = 10 * SECOND_US, /* nothing crosses anything over so long */
};

struct fixture {
    struct evc_recent *recent;
    uint64_t now_us;
    uint32_t partition;
    uint64_t position;
    uint64_t count; /* of events: what orders versions */
};

static struct fixture f;

static void
begin(uint32_t max)
{
    f = (struct fixture){.recent = evc_recent_create(max, WINDOW_US), .now_us = 1000 * SECOND_US};
    assert_non_null(f.recent);
}

static void
end(void)
{
    evc_recent_destroy(f.recent);
}

/** An event of a writer that is written, fed and seen now. */
static unsigned
note(const char *key, unsigned writer)
{
    const struct evc_event event = {
        .key = evc_slice_str(key),
        .version = ++f.count << EVC_VERSION_WRITER_BITS | writer,
        .written_us = f.now_us,
    };
    const struct evc_recent_place place = {
        .partition = f.partition,
        .position = f.position++,
        .fed_us = f.now_us,
        .seen_us = f.now_us,
    };

    return evc_recent_note(f.recent, &event, &place);
}

static void
test_note__one_writer__no_sign_however_much_is_forgotten(void **state)
{
    char key[16];

    (void)state;
    begin(4);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key-%u", i % 7);
        assert_int_equal(note(key, A), 0);
        f.now_us += 1000;
    }
    end();
}

static void
test_note__two_writers__until_they_cannot_have_crossed(void **state)
{
    (void)state;
    begin(100);
    assert_int_equal(note("key", B), 0);
    f.now_us += WINDOW_US / 2;
    assert_int_equal(note("key", A), EVC_RECENT_TWO_WRITERS);
    f.now_us += WINDOW_US / 4;
    assert_int_equal(note("key", A),
                     EVC_RECENT_TWO_WRITERS); /* this one may have crossed B's too */
    f.now_us += LONG_US;
    assert_int_equal(note("key", A), 0);
    f.now_us += LONG_US;
    assert_int_equal(note("key", B), 0);
    end();
}

static void
test_note__older_than_one_seen__inversion(void **state)
{
    (void)state;
    begin(100);
    f.count = 10;
    assert_int_equal(note("key", A), 0);
    f.count = 5;
    assert_int_equal(note("key", A), EVC_RECENT_INVERSION);
    end();
}

static void
test_note__other_writer_forgotten__blind_where_it_may_have_crossed(void **state)
{
    (void)state;
    begin(2);
    assert_int_equal(note("key", A), 0);
    f.now_us += LONG_US;
    assert_int_equal(note("key", B), 0);
    f.now_us += LONG_US;
    assert_int_equal(note("another", A), 0);
    assert_int_equal(note("key", A), 0);
    assert_int_equal(note("third", A), 0); /* "key" makes room */
    assert_int_equal(note("key", A), 0);   /* B's was long ago */

    assert_int_equal(note("key", B), EVC_RECENT_TWO_WRITERS);
    assert_int_equal(note("key", A), EVC_RECENT_TWO_WRITERS);
    assert_int_equal(note("fourth", A), 0);
    assert_int_equal(note("fifth", A) & ~(unsigned)EVC_RECENT_BLIND, 0); /* "key" is gone again */
    assert_int_equal(note("key", A), EVC_RECENT_BLIND);
    end();
}

static void
test_forget__known_key_of_that_partition__blind_until_nothing_can_have_crossed(void **state)
{
    (void)state;
    begin(100);
    assert_int_equal(note("key", A), 0);
    assert_int_equal(note("another", A), 0);
    f.now_us += LONG_US;
    evc_recent_forget(f.recent, f.partition); /* another relay sees what B writes now */
    f.now_us += LONG_US;
    assert_int_equal(note("key", A), EVC_RECENT_BLIND);
    f.now_us += LONG_US;
    assert_int_equal(note("key", A), 0);
    assert_int_equal(note("another", A), 0);
    end();
}

static void
test_note__key_in_another_partition__what_is_forgotten_then_counts_there(void **state)
{
    (void)state;
    begin(2);
    assert_int_equal(note("key", A), 0);
    f.partition = 1; /* there are more of them now */
    evc_recent_forget(f.recent, f.partition);
    f.now_us += LONG_US;
    assert_int_equal(note("key", B), EVC_RECENT_BLIND);
    f.now_us += LONG_US;
    assert_int_equal(note("key", B), 0);
    assert_int_equal(note("another", B), 0);
    assert_int_equal(note("third", B), 0); /* "key" makes room */
    assert_int_equal(note("key", A), EVC_RECENT_BLIND);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_note__one_writer__no_sign_however_much_is_forgotten),
        cmocka_unit_test(test_note__two_writers__until_they_cannot_have_crossed),
        cmocka_unit_test(test_note__older_than_one_seen__inversion),
        cmocka_unit_test(test_note__other_writer_forgotten__blind_where_it_may_have_crossed),
        cmocka_unit_test(
            test_forget__known_key_of_that_partition__blind_until_nothing_can_have_crossed),
        cmocka_unit_test(test_note__key_in_another_partition__what_is_forgotten_then_counts_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
