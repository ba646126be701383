/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram: its layout has no holes, and its quantiles keep the promised error. */
#include "unit.h"

#include <stdlib.h>

#include "base/histogram.h"

enum {
    RECORDS = 20000
};

static void
test_histogram__buckets__follow_each_other_without_holes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EVC_HISTOGRAM_BUCKETS; i++) {
        uint64_t upper = evc_histogram_bucket_upper(i);
        assert_int_equal(evc_histogram_bucket_of(upper), i);
        if (i + 1 < EVC_HISTOGRAM_BUCKETS) {
            assert_int_equal(evc_histogram_bucket_of(upper + 1), i + 1);
        }
    }
    assert_int_equal(evc_histogram_bucket_of(UINT64_MAX), EVC_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(evc_histogram_bucket_upper(EVC_HISTOGRAM_BUCKETS - 1),
                     (UINT64_C(1) << EVC_HISTOGRAM_VALUE_BITS_MAX) - 1);
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
test_histogram__quantiles__at_most_a_sixteenth_above_the_truth(void **state)
{
    static uint64_t values[RECORDS];
    static struct evc_histogram histogram;
    const double quantiles[] = {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0};

    (void)state;
    srand(7);
    evc_histogram_init(&histogram);
    for (int i = 0; i < RECORDS; i++) {
        values[i] = ((uint64_t)rand() << 20 | (uint64_t)rand()) >> (rand() % 40 + 12);
        evc_histogram_record(&histogram, values[i]);
    }
    qsort(values, RECORDS, sizeof(values[0]), compare_u64);
    for (size_t i = 0; i < EVC_COUNT_OF(quantiles); i++) {
        double rank = quantiles[i] * (double)RECORDS;
        size_t index = rank < 1 ? 0 : (size_t)(rank + 0.999999) - 1;
        uint64_t truth = values[index];
        uint64_t estimate = evc_histogram_quantile(&histogram, quantiles[i]);
        assert_true(estimate >= truth);
        assert_true(estimate <= truth + truth / 16);
    }
    assert_int_equal(evc_histogram_quantile(&histogram, 1.0), values[RECORDS - 1]);
}

static void
test_histogram__empty_and_single__are_exact(void **state)
{
    static struct evc_histogram histogram;

    (void)state;
    evc_histogram_init(&histogram);
    assert_int_equal(evc_histogram_quantile(&histogram, 0.5), 0);
    evc_histogram_record(&histogram, 123456789);
    assert_int_equal(evc_histogram_quantile(&histogram, 0.0), 123456789);
    assert_int_equal(evc_histogram_quantile(&histogram, 0.5), 123456789);
}

static void
test_histogram__values_beyond_the_last_bucket__are_the_maximum(void **state)
{
    static struct evc_histogram histogram;

    (void)state;
    evc_histogram_init(&histogram);
    evc_histogram_record(&histogram, UINT64_C(1) << 50);
    assert_int_equal(evc_histogram_quantile(&histogram, 0.5), UINT64_C(1) << 50);
}

static void
test_histogram__merge__is_as_if_recorded_in_one(void **state)
{
    static struct evc_histogram a, b, both;

    (void)state;
    evc_histogram_init(&a);
    evc_histogram_init(&b);
    evc_histogram_init(&both);
    for (uint64_t i = 0; i < 1000; i++) {
        evc_histogram_record(i % 3 == 0 ? &a : &b, i * i);
        evc_histogram_record(&both, i * i);
    }
    evc_histogram_merge(&a, &b);
    assert_memory_equal(&a, &both, sizeof(a));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram__buckets__follow_each_other_without_holes),
        cmocka_unit_test(test_histogram__quantiles__at_most_a_sixteenth_above_the_truth),
        cmocka_unit_test(test_histogram__empty_and_single__are_exact),
        cmocka_unit_test(test_histogram__values_beyond_the_last_bucket__are_the_maximum),
        cmocka_unit_test(test_histogram__merge__is_as_if_recorded_in_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
