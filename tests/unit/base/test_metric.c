/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics page, the latency buckets behind some of it, and the cell figures are read from. */
#include "base/metric.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cell.h"
#include "unit.h"

static void
assert_page(struct evc_metric_page *page, const char *expected)
{
    struct evc_slice text = evc_buf_slice(&page->out);
    char *copy = strndup(text.ptr, text.len);

    assert_non_null(copy);
    assert_string_equal(copy, expected);
    free(copy);
    assert_false(page->is_cut);
    evc_metric_page_finish(page);
}

static void
test_metric__counts_and_seconds__labels_in_order(void **state)
{
    struct evc_metric_page page;

    (void)state;
    evc_metric_page_init(&page);
    evc_metric_family(&page, &(struct evc_metric){"evcache_a_total", EVC_METRIC_COUNTER, "Of a."});
    evc_metric_count(&page, UINT64_MAX, NULL);
    evc_metric_count(&page, 7, "region", "oregon", "zone", "b", NULL);
    evc_metric_family(&page, &(struct evc_metric){"evcache_b_seconds", EVC_METRIC_GAUGE, "Of b."});
    evc_metric_us(&page, 1500, NULL);
    evc_metric_us(&page, -2000001, "region", "oregon", NULL);
    assert_page(&page, "# HELP evcache_a_total Of a.\n"
                       "# TYPE evcache_a_total counter\n"
                       "evcache_a_total 18446744073709551615\n"
                       "evcache_a_total{region=\"oregon\",zone=\"b\"} 7\n"
                       "# HELP evcache_b_seconds Of b.\n"
                       "# TYPE evcache_b_seconds gauge\n"
                       "evcache_b_seconds 0.001500\n"
                       "evcache_b_seconds{region=\"oregon\"} -2.000001\n");
}

static void
test_metric__label_with_quotes_and_newlines__escaped(void **state)
{
    struct evc_metric_page page;

    (void)state;
    evc_metric_page_init(&page);
    evc_metric_family(&page, &(struct evc_metric){"evcache_a", EVC_METRIC_GAUGE, "Of a."});
    evc_metric_count(&page, 1, "why", "a \"b\" \\ c\nd", NULL);
    assert_page(&page, "# HELP evcache_a Of a.\n"
                       "# TYPE evcache_a gauge\n"
                       "evcache_a{why=\"a \\\"b\\\" \\\\ c\\nd\"} 1\n");
}

static bool
has(const struct evc_metric_page *page, const char *line)
{
    struct evc_slice text = evc_buf_slice(&page->out);

    return memmem(text.ptr, text.len, line, strlen(line)) != NULL;
}

static void
test_metric__histogram__cumulative_and_never_too_fast(void **state)
{
    static const uint64_t values_us[] = {0, 900, 1000, 9000, 700000, UINT64_C(1) << 50};
    struct evc_histogram histogram;
    struct evc_metric_page page;

    (void)state;
    evc_histogram_init(&histogram);
    for (unsigned i = 0; i < sizeof(values_us) / sizeof(values_us[0]); i++) {
        evc_histogram_record(&histogram, values_us[i]);
    }
    evc_metric_page_init(&page);
    evc_metric_family(&page,
                      &(struct evc_metric){"evcache_lag_seconds", EVC_METRIC_HISTOGRAM, "Lag."});
    evc_metric_histogram(&page, &histogram, "source", "a", NULL);
    /* 1000 µs shares a bucket with 1007 µs, so it counts above the bound of 1 ms. */
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"0.001\"} 2\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"0.0025\"} 3\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"0.01\"} 4\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"0.5\"} 4\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"1\"} 5\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"600\"} 5\n"));
    assert_true(has(&page, "evcache_lag_seconds_bucket{source=\"a\",le=\"+Inf\"} 6\n"));
    assert_true(has(&page, "evcache_lag_seconds_count{source=\"a\"} 6\n"));
    evc_metric_page_finish(&page);
}

static void
test_metric__beyond_the_bound__said_and_cut_at_a_line(void **state)
{
    struct evc_metric_page page;

    (void)state;
    evc_metric_page_init(&page);
    page.out.limit = 4096;
    evc_metric_family(&page, &(struct evc_metric){"evcache_a", EVC_METRIC_GAUGE, "Of a."});
    for (unsigned i = 0; i < 1000; i++) {
        evc_metric_count(&page, i, "region", "oregon", NULL);
    }
    assert_true(page.is_cut);
    assert_true(evc_buf_len(&page.out) <= 4096);
    assert_int_equal(page.out.data[page.out.write - 1], '\n');
    evc_metric_page_finish(&page);
}

static void
test_latency__edges__each_in_the_bucket_that_takes_it(void **state)
{
    static const struct {
        uint64_t us;
        unsigned bucket;
    } cases[] = {{0, 0},   {64, 0},      {65, 1},      {128, 1},          {129, 2},
                 {256, 2}, {524288, 13}, {524289, 14}, {10000000000u, 14}};

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct evc_latency latency = {0};

        evc_latency_record(&latency, cases[i].us);
        assert_int_equal(latency.bucket[cases[i].bucket], 1);
        assert_int_equal(latency.count, 1);
        assert_int_equal(latency.sum_us, cases[i].us);
        if (cases[i].bucket < EVC_LATENCY_BUCKETS - 1) {
            assert_true(cases[i].us <= evc_latency_bucket_upper_us(cases[i].bucket));
        }
    }
}

/* --- the cell --- */

enum {
    CELL_WORDS = 64,
    CELL_ROUNDS = 20000,
};

static void *
publish(void *arg)
{
    struct evc_cell *cell = arg;
    uint64_t words[CELL_WORDS];

    for (uint64_t round = 1; round <= CELL_ROUNDS; round++) {
        for (unsigned i = 0; i < CELL_WORDS; i++) {
            words[i] = round * (i + 1);
        }
        evc_cell_begin(cell);
        evc_cell_put(cell, 0, words, sizeof(words) / 2);
        evc_cell_put(cell, sizeof(words) / 2, words + CELL_WORDS / 2, sizeof(words) / 2);
        evc_cell_end(cell);
    }
    return NULL;
}

static void
test_cell__read_while_published__always_one_publication(void **state)
{
    struct evc_cell cell;
    pthread_t thread;
    uint64_t words[CELL_WORDS] = {0};

    (void)state;
    assert_int_equal(evc_cell_init(&cell, sizeof(words)), EVC_OK);
    assert_int_equal(pthread_create(&thread, NULL, publish, &cell), 0);
    while (words[0] < CELL_ROUNDS) {
        uint64_t before = words[0];

        evc_cell_get(&cell, 0, words, sizeof(words));
        assert_true(words[0] >= before);
        for (unsigned i = 0; i < CELL_WORDS; i++) {
            assert_int_equal(words[i], words[0] * (i + 1));
        }
    }
    pthread_join(thread, NULL);
    evc_cell_finish(&cell);
}

static void
test_cell__odd_length__rest_of_the_word_is_not_touched(void **state)
{
    struct evc_cell cell;
    char got[13] = "zzzzzzzzzzzz";

    (void)state;
    assert_int_equal(evc_cell_init(&cell, 11), EVC_OK);
    evc_cell_begin(&cell);
    evc_cell_put(&cell, 0, "hello world", 11);
    evc_cell_end(&cell);
    evc_cell_get(&cell, 0, got, 11);
    assert_memory_equal(got, "hello worldz", 12);
    evc_cell_finish(&cell);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metric__counts_and_seconds__labels_in_order),
        cmocka_unit_test(test_metric__label_with_quotes_and_newlines__escaped),
        cmocka_unit_test(test_metric__histogram__cumulative_and_never_too_fast),
        cmocka_unit_test(test_metric__beyond_the_bound__said_and_cut_at_a_line),
        cmocka_unit_test(test_latency__edges__each_in_the_bucket_that_takes_it),
        cmocka_unit_test(test_cell__read_while_published__always_one_publication),
        cmocka_unit_test(test_cell__odd_length__rest_of_the_word_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
