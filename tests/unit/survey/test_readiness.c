/* SPDX-License-Identifier: Apache-2.0 */
/* Fail-over readiness: what each part is made of, its bounds, and that the weakest decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "survey/readiness.h"

/** Two regions that hold the same and have nothing on its way. */
static struct evc_readiness_input
input_ideal(void)
{
    const struct evc_readiness_region region = {
        .has_memory = true, .items = 100000, .bytes = 50000000, .hits = 9500, .reads = 10000};

    return (struct evc_readiness_input){
        .lag_p99_us = 5000, .produced = 1000000, .source = region, .destination = region};
}

static struct evc_readiness
rate(const struct evc_readiness_input *input)
{
    struct evc_readiness readiness;

    evc_readiness_rate(input, &readiness);
    return readiness;
}

static void
test_rate__ideal__100_without_a_reason(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();
    struct evc_readiness readiness = rate(&input);

    assert_int_equal(readiness.score, 100);
    for (unsigned i = 0; i < EVC_READINESS_PART_MAX; i++) {
        assert_int_equal(readiness.part[i], 100);
        assert_string_equal(readiness.reason[i], "");
    }
}

static void
test_rate__broken__0_and_says_why(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.broken = "no link: connection refused";
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(readiness.score, 0);
    assert_string_equal(readiness.reason[evc_readiness_weakest(&readiness)], input.broken);
}

static void
test_rate__lag__falls_from_1_to_60_seconds(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.lag_p99_us = 1000000;
    assert_int_equal(rate(&input).score, 100);
    input.lag_p99_us = 1100000;
    assert_in_range(rate(&input).score, 95, 99);
    input.lag_p99_us = 7746000; /* the geometric middle */
    assert_in_range(rate(&input).score, 49, 50);
    input.lag_p99_us = 60000000;
    assert_int_equal(rate(&input).score, 0);
    input.lag_p99_us = UINT64_MAX;
    assert_int_equal(rate(&input).score, 0);
}

static void
test_rate__a_partition_waits__is_named(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.waiting_us = 12500000;
    input.waiting_partition = 3;
    struct evc_readiness readiness = rate(&input);
    assert_in_range(readiness.score, 30, 45);
    assert_string_equal(readiness.reason[EVC_READINESS_LAG], "partition 3 is 12.5 s behind");
    input.is_waiting_in_journal = true;
    readiness = rate(&input);
    assert_in_range(readiness.score, 30, 45);
    assert_string_equal(readiness.reason[EVC_READINESS_LAG], "events wait in journals for 12.5 s");
}

static void
test_rate__backlog__against_the_items_of_the_source(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.in_flight = EVC_READINESS_IN_FLIGHT_FREE;
    input.source.items = input.destination.items = 100;
    assert_int_equal(rate(&input).score, 100);
    input.source.items = input.destination.items = 100000;
    input.in_flight = 5000;
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(readiness.part[EVC_READINESS_BACKLOG], 0);
    assert_string_equal(readiness.reason[EVC_READINESS_BACKLOG], "5000 events are on their way");
    input.source.has_memory = false; /* then as many are assumed */
    input.in_flight = 500;
    assert_in_range(rate(&input).part[EVC_READINESS_BACKLOG], 30, 45);
}

static void
test_rate__one_lost_event__is_not_100(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.produced = UINT64_C(1) << 40;
    input.lost = 1;
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(readiness.score, EVC_READINESS_WRONG_AT_MOST);
    assert_string_equal(readiness.reason[EVC_READINESS_AGREEMENT], "1 events were lost");
    input.produced = 1000;
    input.lost = 4;
    input.unexplained = 6;
    readiness = rate(&input);
    assert_int_equal(readiness.score, 0);
    assert_string_equal(readiness.reason[EVC_READINESS_AGREEMENT],
                        "4 events were lost, 6 unexplained");
    input.produced = 0; /* numbers that make no sense do no harm */
    assert_int_equal(rate(&input).score, 0);
}

static void
test_rate__canaries_are_stale__their_share(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.canaries = 4;
    input.canaries_fresh = 4;
    assert_int_equal(rate(&input).score, 100);
    input.canaries_fresh = 3;
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(readiness.score, 75);
    assert_string_equal(readiness.reason[EVC_READINESS_AGREEMENT], "1 of 4 canaries are stale");
}

static void
test_rate__cold_destination__what_it_lacks(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.destination.items = 50000;
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(readiness.score, 50);
    assert_string_equal(readiness.reason[EVC_READINESS_WARMTH],
                        "it has 50 % of the source's items");
    input.destination.items = 0;
    assert_int_equal(rate(&input).score, 0);
    input.destination.has_memory = false; /* not known is not cold */
    assert_int_equal(rate(&input).score, 100);
    input.destination.hits = 4750;
    assert_int_equal(rate(&input).score, 50);
    input.destination.reads = EVC_READINESS_READS_MIN - 1;
    assert_int_equal(rate(&input).score, 100);
}

static void
test_rate__several_parts__the_weakest_decides(void **state)
{
    (void)state;
    struct evc_readiness_input input = input_ideal();

    input.lag_p99_us = 2000000;
    input.destination.items = 20000;
    struct evc_readiness readiness = rate(&input);
    assert_int_equal(evc_readiness_weakest(&readiness), EVC_READINESS_WARMTH);
    assert_int_equal(readiness.score, readiness.part[EVC_READINESS_WARMTH]);
    assert_true(readiness.part[EVC_READINESS_LAG] > readiness.score);
    assert_true(strlen(readiness.reason[EVC_READINESS_LAG]) > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate__ideal__100_without_a_reason),
        cmocka_unit_test(test_rate__broken__0_and_says_why),
        cmocka_unit_test(test_rate__lag__falls_from_1_to_60_seconds),
        cmocka_unit_test(test_rate__a_partition_waits__is_named),
        cmocka_unit_test(test_rate__backlog__against_the_items_of_the_source),
        cmocka_unit_test(test_rate__one_lost_event__is_not_100),
        cmocka_unit_test(test_rate__canaries_are_stale__their_share),
        cmocka_unit_test(test_rate__cold_destination__what_it_lacks),
        cmocka_unit_test(test_rate__several_parts__the_weakest_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
