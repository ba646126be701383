/* SPDX-License-Identifier: Apache-2.0 */
/* The version layout and the hybrid logical clock that mints them. */
#include "unit.h"

#include "base/version.h"

enum {
    DRIFT_MS = 60000
};

#define NOW_MS UINT64_C(1790000000000)
#define COUNTER_END (1U << EVC_VERSION_COUNTER_BITS)

static struct evc_version_clock
clock_of(unsigned region, unsigned slot)
{
    struct evc_version_clock clock;

    evc_version_clock_init(&clock, evc_version_writer_make(region, slot), DRIFT_MS);
    return clock;
}

static void
test_version__mint__has_time_and_writer_where_the_layout_says(void **state)
{
    struct evc_version_clock clock = clock_of(15, 1023);
    evc_version version = evc_version_clock_mint(&clock, NOW_MS);

    (void)state;
    assert_int_equal(version >> 23, NOW_MS - EVC_VERSION_EPOCH_MS);
    assert_int_equal(version >> 14 & 511, 0);
    assert_int_equal(version & 0x3fff, 0x3fff);
    assert_int_equal(evc_version_unix_ms(version), NOW_MS);
    assert_int_equal(evc_version_writer(version), 15 << 10 | 1023);
    assert_int_equal(evc_version_region(version), 15);
    assert_true(version >= EVC_VERSION_OURS_MIN);
}

static void
test_version__mint_in_one_millisecond__counts_and_overflows_into_the_next(void **state)
{
    struct evc_version_clock clock = clock_of(1, 2);
    evc_version last = 0;

    (void)state;
    for (unsigned i = 0; i < 3 * COUNTER_END; i++) {
        evc_version version = evc_version_clock_mint(&clock, NOW_MS);
        assert_true(version > last);
        assert_int_equal(evc_version_unix_ms(version), NOW_MS + i / COUNTER_END);
        assert_int_equal(evc_version_writer(version), 1 << 10 | 2);
        last = version;
    }
    /* The wall clock takes over again as soon as it is ahead. */
    assert_int_equal(evc_version_unix_ms(evc_version_clock_mint(&clock, NOW_MS + 10)), NOW_MS + 10);
}

static void
test_version__wall_clock_jumps_back__versions_do_not(void **state)
{
    struct evc_version_clock clock = clock_of(0, 0);
    evc_version before = evc_version_clock_mint(&clock, NOW_MS);
    evc_version after = evc_version_clock_mint(&clock, NOW_MS - DRIFT_MS);

    (void)state;
    assert_true(after > before);
    assert_int_equal(evc_version_unix_ms(after), NOW_MS);
    assert_true(evc_version_clock_mint(&clock, NOW_MS - DRIFT_MS - EVC_VERSION_SKEW_MS) > after);
    assert_int_equal(clock.returned_total, 0);
}

/** As after NTP once had it a year ahead; also by a restart, which takes the tick up. */
static void
test_version__wall_clock_was_far_ahead_and_is_mended__goes_on_from_the_wall(void **state)
{
    const uint64_t year_ms = UINT64_C(365) * 86400 * 1000;
    struct evc_version_clock clock = clock_of(0, 0);
    struct evc_version_clock restarted = clock_of(0, 0);
    uint64_t cell = 0;
    evc_version version;

    (void)state;
    evc_version_clock_keep(&clock, &cell);
    assert_false(
        evc_version_is_sane(evc_version_clock_mint(&clock, NOW_MS + year_ms), NOW_MS, DRIFT_MS));
    evc_version_clock_keep(&restarted, &cell);
    version = evc_version_clock_mint(&restarted, NOW_MS);
    assert_int_equal(evc_version_unix_ms(version), NOW_MS);
    assert_int_equal(restarted.returned_total, 1);
    assert_true(evc_version_clock_mint(&restarted, NOW_MS) > version);
    assert_int_equal(restarted.returned_total, 1);
}

/** The wall passes what was minted ahead of it a second time, with a restart in between. */
static void
test_version__second_pass_after_the_way_back__mints_nothing_twice(void **state)
{
    enum {
        PASS_MS = 100,
        PER_MS = COUNTER_END / 2
    };
    const uint64_t ahead_ms = NOW_MS + UINT64_C(2) * DRIFT_MS;
    static evc_version first[PASS_MS * PER_MS];
    struct evc_version_clock clock = clock_of(0, 0);
    uint64_t cell = 0;
    unsigned count = 0;

    (void)state;
    evc_version_clock_keep(&clock, &cell);
    for (unsigned i = 0; i < PASS_MS * PER_MS; i++) {
        first[i] = evc_version_clock_mint(&clock, ahead_ms + i / PER_MS);
    }
    (void)evc_version_clock_mint(&clock, NOW_MS);
    clock = clock_of(0, 0);
    evc_version_clock_keep(&clock, &cell);
    for (unsigned i = 0; i < PASS_MS * PER_MS; i++) {
        evc_version version = evc_version_clock_mint(&clock, ahead_ms + i / PER_MS);

        while (count < PASS_MS * PER_MS && first[count] < version) {
            count++;
        }
        assert_true(count == PASS_MS * PER_MS || first[count] != version);
    }
}

static void
test_version__wall_clock_before_the_epoch__still_mints_ours(void **state)
{
    struct evc_version_clock clock = clock_of(0, 0);
    evc_version first = evc_version_clock_mint(&clock, 0);

    (void)state;
    assert_true(first >= EVC_VERSION_OURS_MIN);
    assert_true(evc_version_clock_mint(&clock, EVC_VERSION_EPOCH_MS) > first);
}

static void
test_version__two_writers__never_mint_the_same(void **state)
{
    struct evc_version_clock a = clock_of(0, 7);
    struct evc_version_clock b = clock_of(1, 7);

    (void)state;
    for (int i = 0; i < 2000; i++) {
        assert_true(evc_version_clock_mint(&a, NOW_MS) != evc_version_clock_mint(&b, NOW_MS));
    }
}

static void
test_version__observe_within_drift__next_mint_is_above(void **state)
{
    struct evc_version_clock ahead = clock_of(3, 1);
    struct evc_version_clock clock = clock_of(2, 1);
    evc_version seen = evc_version_clock_mint(&ahead, NOW_MS + DRIFT_MS);

    (void)state;
    assert_true(evc_version_clock_observe(&clock, seen, NOW_MS));
    assert_true(evc_version_clock_mint(&clock, NOW_MS) > seen);
    assert_int_equal(clock.refused_total, 0);
}

static void
test_version__observe_beyond_drift__refused_counted_and_forgotten(void **state)
{
    struct evc_version_clock ahead = clock_of(3, 1);
    struct evc_version_clock clock = clock_of(2, 1);
    evc_version seen = evc_version_clock_mint(&ahead, NOW_MS + DRIFT_MS + 1);

    (void)state;
    assert_false(evc_version_is_sane(seen, NOW_MS, DRIFT_MS));
    assert_false(evc_version_clock_observe(&clock, seen, NOW_MS));
    assert_false(evc_version_clock_observe(&clock, UINT64_MAX, NOW_MS));
    assert_int_equal(clock.refused_total, 2);
    assert_int_equal(evc_version_unix_ms(evc_version_clock_mint(&clock, NOW_MS)), NOW_MS);
}

static void
test_version__found_in_a_node__counts_up_to_the_bound_and_a_skew(void **state)
{
    struct evc_version_clock ahead = clock_of(3, 1);
    evc_version last = evc_version_clock_mint(&ahead, NOW_MS + DRIFT_MS + EVC_VERSION_SKEW_MS);
    evc_version first = evc_version_clock_mint(&ahead, NOW_MS + DRIFT_MS + EVC_VERSION_SKEW_MS + 1);

    (void)state;
    assert_int_equal(evc_version_trusted(last, NOW_MS, DRIFT_MS), last);
    assert_int_equal(evc_version_trusted(first, NOW_MS, DRIFT_MS), 0);
    assert_int_equal(evc_version_trusted(first, NOW_MS + 1, DRIFT_MS), first);
    assert_int_equal(evc_version_trusted(UINT64_MAX, NOW_MS, DRIFT_MS), 0);
}

static void
test_version__observe_what_is_not_ours_or_old__changes_nothing(void **state)
{
    struct evc_version_clock clock = clock_of(2, 1);
    evc_version mine = evc_version_clock_mint(&clock, NOW_MS);

    (void)state;
    assert_true(evc_version_clock_observe(&clock, 0, NOW_MS));
    assert_true(evc_version_clock_observe(&clock, 12345, NOW_MS));
    assert_true(evc_version_clock_observe(&clock, mine - (1 << 20), NOW_MS));
    assert_int_equal(evc_version_clock_mint(&clock, NOW_MS), mine + (1 << 14));
}

static void
test_version__from_cas__small_numbers_are_nobodys(void **state)
{
    (void)state;
    assert_int_equal(evc_version_from_cas(1), 0);
    assert_int_equal(evc_version_trusted(1, NOW_MS, DRIFT_MS), 0);
    assert_int_equal(evc_version_from_cas(EVC_VERSION_OURS_MIN - 1), 0);
    assert_int_equal(evc_version_from_cas(EVC_VERSION_OURS_MIN), EVC_VERSION_OURS_MIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version__mint__has_time_and_writer_where_the_layout_says),
        cmocka_unit_test(test_version__mint_in_one_millisecond__counts_and_overflows_into_the_next),
        cmocka_unit_test(test_version__wall_clock_jumps_back__versions_do_not),
        cmocka_unit_test(
            test_version__wall_clock_was_far_ahead_and_is_mended__goes_on_from_the_wall),
        cmocka_unit_test(test_version__second_pass_after_the_way_back__mints_nothing_twice),
        cmocka_unit_test(test_version__wall_clock_before_the_epoch__still_mints_ours),
        cmocka_unit_test(test_version__two_writers__never_mint_the_same),
        cmocka_unit_test(test_version__observe_within_drift__next_mint_is_above),
        cmocka_unit_test(test_version__observe_beyond_drift__refused_counted_and_forgotten),
        cmocka_unit_test(test_version__found_in_a_node__counts_up_to_the_bound_and_a_skew),
        cmocka_unit_test(test_version__observe_what_is_not_ours_or_old__changes_nothing),
        cmocka_unit_test(test_version__from_cas__small_numbers_are_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
