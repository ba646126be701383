/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of ended events: the latest of a key first, and the oldest makes room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/trail.h"

static void
add(struct evc_trail *trail, uint64_t key_hash, evc_version version)
{
    evc_trail_add(trail, &(struct evc_trail_event){.key_hash = key_hash, .version = version});
}

static void
test_trail__events_of_a_key__the_latest_first(void **state)
{
    struct evc_trail_event found[EVC_TRAIL_FOUND_MAX];
    struct evc_trail trail;

    (void)state;
    assert_int_equal(evc_trail_init(&trail, 64), EVC_OK);
    assert_int_equal(evc_trail_find(&trail, 5, found), 0);
    for (unsigned i = 1; i <= 6; i++) {
        add(&trail, 5, i);
        add(&trail, 6, 100 + i);
    }
    assert_int_equal(evc_trail_find(&trail, 5, found), EVC_TRAIL_FOUND_MAX);
    for (unsigned i = 0; i < EVC_TRAIL_FOUND_MAX; i++) {
        assert_int_equal(found[i].version, 6 - i);
    }
    assert_int_equal(trail.remembered, 12);
    evc_trail_finish(&trail);
}

static void
test_trail__full__the_oldest_makes_room(void **state)
{
    struct evc_trail_event found[EVC_TRAIL_FOUND_MAX];
    struct evc_trail trail;

    (void)state;
    assert_int_equal(evc_trail_init(&trail, 3), EVC_OK);
    add(&trail, 5, 1);
    add(&trail, 77, 2);
    add(&trail, 5, 3);
    assert_int_equal(evc_trail_find(&trail, 5, found), 2);
    add(&trail, 77, 4);
    assert_int_equal(evc_trail_find(&trail, 5, found), 1);
    assert_int_equal(found[0].version, 3);
    add(&trail, 77, 5);
    assert_int_equal(evc_trail_find(&trail, 5, found), 1);
    add(&trail, 77, 6);
    assert_int_equal(evc_trail_find(&trail, 5, found), 0);
    assert_int_equal(evc_trail_find(&trail, 77, found), 3);
    assert_int_equal(found[2].version, 4);
    assert_int_equal(trail.remembered, 3);
    evc_trail_finish(&trail);
}

static void
test_trail__no_room__remembers_nothing(void **state)
{
    struct evc_trail_event found[EVC_TRAIL_FOUND_MAX];
    struct evc_trail trail;

    (void)state;
    assert_int_equal(evc_trail_init(&trail, 0), EVC_OK);
    add(&trail, 5, 1);
    assert_int_equal(evc_trail_find(&trail, 5, found), 0);
    assert_int_equal(trail.remembered, 0);
    evc_trail_finish(&trail);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trail__events_of_a_key__the_latest_first),
        cmocka_unit_test(test_trail__full__the_oldest_makes_room),
        cmocka_unit_test(test_trail__no_room__remembers_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
