/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of ended events: the latest of a key first, and what makes room for what. */
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
    struct evc_trail_event found[EVC_TRAIL_WAYS];
    struct evc_trail trail;

    (void)state;
    assert_int_equal(evc_trail_init(&trail, 64), EVC_OK);
    assert_int_equal(evc_trail_find(&trail, 5, found), 0);
    for (unsigned i = 1; i <= 6; i++) {
        add(&trail, 5, i);
        add(&trail, 6, 100 + i); /* another place */
    }
    assert_int_equal(evc_trail_find(&trail, 5, found), EVC_TRAIL_WAYS);
    for (unsigned i = 0; i < EVC_TRAIL_WAYS; i++) {
        assert_int_equal(found[i].version, 6 - i);
    }
    assert_int_equal(trail.remembered, 2 * EVC_TRAIL_WAYS);
    evc_trail_finish(&trail);
}

static void
test_trail__keys_of_one_place__the_oldest_makes_room(void **state)
{
    struct evc_trail_event found[EVC_TRAIL_WAYS];
    struct evc_trail trail;

    (void)state;
    assert_int_equal(evc_trail_init(&trail, 1), EVC_OK); /* one place for all */
    add(&trail, 5, 1);
    for (unsigned i = 1; i < EVC_TRAIL_WAYS; i++) {
        add(&trail, 77, 10 + i);
    }
    assert_int_equal(evc_trail_find(&trail, 5, found), 1);
    add(&trail, 77, 20);
    assert_int_equal(evc_trail_find(&trail, 5, found), 0);
    assert_int_equal(evc_trail_find(&trail, 77, found), EVC_TRAIL_WAYS);
    assert_int_equal(trail.remembered, EVC_TRAIL_WAYS);
    evc_trail_finish(&trail);
}

static void
test_trail__no_room__remembers_nothing(void **state)
{
    struct evc_trail_event found[EVC_TRAIL_WAYS];
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
        cmocka_unit_test(test_trail__keys_of_one_place__the_oldest_makes_room),
        cmocka_unit_test(test_trail__no_room__remembers_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
