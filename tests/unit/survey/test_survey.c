/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two surveys compared, and the history made of them. Surveys are filled by hand: what processes
 * answer is tested with processes (tests/system/test_status.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "survey/history.h"
#include "survey/survey.h"

enum {
    PARTITIONS = 2,
    START_S = 1700000000, /* a multiple of 10 */
};

static char names[2][8] = {"here", "there"};
static struct evc_address address = {.text = names[0], .host = names[0], .port = 1};
static struct evc_config_zone zone = {.name = names[0], .nodes = &address, .nodes_count = 1};
static struct evc_config_region regions[2];
static const struct evc_config *config;

static int
setup(void **state)
{
    static struct evc_config made;

    (void)state;
    for (unsigned r = 0; r < 2; r++) {
        regions[r] = (struct evc_config_region){.name = names[r],
                                                .admins = &address,
                                                .relays = &address,
                                                .zones = &zone,
                                                .proxies_count = 1,
                                                .relays_count = 1,
                                                .zones_count = 1};
    }
    made = (struct evc_config){.cache = names[0], .regions = regions, .regions_count = 2};
    made.queue.partitions = PARTITIONS;
    config = &made;
    return 0;
}

/** A survey at a second after START_S in which everything is known and nothing has happened. */
static struct evc_survey *
survey_make(unsigned second)
{
    struct evc_survey *survey = evc_survey_create(config);

    assert_non_null(survey);
    survey->unix_us = (START_S + (uint64_t)second) * 1000000;
    survey->mono_us = (1000 + (uint64_t)second) * 1000000;
    for (size_t i = 0; i < survey->pair_count; i++) {
        survey->pairs[i].is_link_up = true;
        survey->pairs[i].total.is_known = true;
        for (unsigned p = 0; p < PARTITIONS; p++) {
            survey->pairs[i].cells[p].is_known = true;
        }
    }
    for (size_t i = 0; i < survey->process_count; i++) {
        survey->processes[i].has_answered = true;
    }
    survey->regions[0].told_count = survey->regions[1].told_count = 1;
    return survey;
}

/** count events of a lag became visible in a partition of here → there. */
static void
apply(struct evc_survey *survey, unsigned partition, uint64_t lag_us, uint64_t count)
{
    struct evc_survey_cell *cell = &evc_survey_pair_at(survey, 0, 1)->cells[partition];

    cell->outcome[EVC_OUTCOME_APPLIED] += count;
    cell->buckets.at =
        reallocarray(cell->buckets.at, cell->buckets.count + 1, sizeof(*cell->buckets.at));
    assert_non_null(cell->buckets.at);
    cell->buckets.at[cell->buckets.count].bucket = evc_histogram_bucket_of(lag_us);
    cell->buckets.at[cell->buckets.count++].count = count;
}

static void
test_compare__what_happened_since__rate_and_lag(void **state)
{
    struct evc_survey *before = survey_make(0), *after = survey_make(2);
    struct evc_survey_pair *pair = evc_survey_pair_at(after, 0, 1);

    (void)state;
    apply(before, 0, 15, 1000);
    apply(after, 0, 15, 1100);
    apply(after, 1, 8000000, 300); /* a slow partition */
    evc_survey_compare(after, before);
    assert_float_equal(pair->rate, 200, 0.001);
    assert_int_equal(pair->recent.count, 400);
    assert_int_equal(pair->cells[0].recent_count, 100);
    assert_int_equal(pair->cells[0].recent_p99_us, 15);
    assert_true(pair->cells[1].recent_p99_us >= 8000000);
    assert_int_equal(evc_histogram_quantile(&pair->recent, 0.2), 15);
    assert_in_range(pair->readiness.score, 1, 60);
    assert_string_equal(pair->readiness.reason[EVC_READINESS_LAG],
                        "1 write in 100 takes 8.1 s or more");
    assert_float_equal(evc_survey_pair_at(after, 1, 0)->rate, 0, 0);
    evc_survey_destroy(before);
    evc_survey_destroy(after);
}

static void
test_compare__counters_went_back__counted_from_0(void **state)
{
    struct evc_survey *before = survey_make(0), *after = survey_make(2);

    (void)state;
    apply(before, 0, 15, 1000);
    apply(after, 0, 15, 10);
    before->regions[0].hits = 500;
    after->regions[0].hits = 20;
    evc_survey_compare(after, before);
    assert_float_equal(evc_survey_pair_at(after, 0, 1)->rate, 5, 0.001);
    assert_int_equal(evc_survey_pair_at(after, 0, 1)->recent.count, 10);
    assert_float_equal(after->regions[0].read_rate, 10, 0.001);
    evc_survey_destroy(before);
    evc_survey_destroy(after);
}

static void
test_compare__who_was_silent__has_no_rate(void **state)
{
    struct evc_survey *before = survey_make(0), *after = survey_make(2);

    (void)state;
    evc_survey_pair_at(before, 0, 1)->cells[0].is_known = false;
    apply(after, 0, 15, 1000000);
    before->regions[0].told_count = 0;
    after->regions[0].hits = 1000000;
    evc_survey_compare(after, before);
    assert_float_equal(evc_survey_pair_at(after, 0, 1)->rate, 0, 0);
    assert_float_equal(after->regions[0].read_rate, 0, 0);
    evc_survey_destroy(before);
    evc_survey_destroy(after);
}

/** Adds a look at a second that saw a rate. */
static void
history_look(struct evc_history *history, unsigned second, double rate, unsigned readiness)
{
    struct evc_survey *survey = survey_make(second);
    struct evc_survey_pair *pair = evc_survey_pair_at(survey, 0, 1);

    pair->rate = rate;
    pair->readiness.score = readiness;
    pair->total.in_flight = 5;
    if (rate > 0) {
        evc_histogram_record(&pair->recent, (uint64_t)rate * 1000);
    }
    evc_history_add(history, survey);
    evc_survey_destroy(survey);
}

static void
test_history__looks_of_ten_seconds__are_one_point(void **state)
{
    struct evc_history *history = evc_history_create(4);

    (void)state;
    assert_non_null(history);
    history_look(history, 0, 100, 90);
    history_look(history, 2, 300, 70);
    history_look(history, 9, 200, 80);
    history_look(history, 10, 0, 100);
    assert_int_equal(evc_history_count(history), 2);
    assert_int_equal(evc_history_time(history, 0), START_S);
    assert_int_equal(evc_history_time(history, 1), START_S + 10);
    const struct evc_history_point *point = evc_history_point(history, 0, 1);
    assert_int_equal(point->look_count, 3);
    assert_float_equal(point->rate, 200, 0.01);
    assert_float_equal(point->p99_ms, 300, 0.01);
    assert_int_equal(point->readiness, 70);
    assert_int_equal(point->in_flight, 5);
    assert_true(evc_history_point(history, 1, 1)->p99_ms < 0); /* nothing was applied */
    evc_history_destroy(history);
}

static void
test_history__an_hour__the_oldest_goes_and_memory_stays(void **state)
{
    struct evc_history *history = evc_history_create(4);

    (void)state;
    assert_int_equal(sizeof(struct evc_history_point), 24);
    for (unsigned i = 0; i < EVC_HISTORY_POINTS_MAX + 3; i++) {
        history_look(history, i * EVC_HISTORY_POINT_S, 1 + i, 100);
    }
    assert_int_equal(evc_history_count(history), EVC_HISTORY_POINTS_MAX);
    assert_int_equal(evc_history_time(history, 0), START_S + 30);
    assert_float_equal(evc_history_point(history, 0, 1)->rate, 4, 0.01);
    size_t last = EVC_HISTORY_POINTS_MAX - 1;
    assert_float_equal(evc_history_point(history, last, 1)->rate, EVC_HISTORY_POINTS_MAX + 3, 0.01);
    evc_history_destroy(history);
}

static void
test_history__clock_goes_back__adds_to_the_last_point(void **state)
{
    struct evc_history *history = evc_history_create(4);

    (void)state;
    history_look(history, 100, 1, 100);
    history_look(history, 50, 3, 100);
    assert_int_equal(evc_history_count(history), 1);
    assert_int_equal(evc_history_point(history, 0, 1)->look_count, 2);
    evc_history_destroy(history);
}

static void
test_history__json__arrays_as_long_as_times(void **state)
{
    struct evc_history *history = evc_history_create(4);
    struct evc_survey *survey = survey_make(0);

    (void)state;
    history_look(history, 0, 250, 100);
    history_look(history, 10, 0, 100);
    char *text = evc_history_json(history, survey);
    assert_non_null(text);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_array_size(json_object_get(json, "times")), 2);
    assert_int_equal(json_array_size(json_object_get(json, "pairs")), 2);
    const json_t *pair = json_array_get(json_object_get(json, "pairs"), 0);
    assert_string_equal(json_string_value(json_object_get(pair, "destination")), "there");
    assert_int_equal(json_array_size(json_object_get(pair, "rate")), 2);
    const json_t *p99 = json_object_get(pair, "p99_ms");
    assert_float_equal(json_number_value(json_array_get(p99, 0)), 250, 0.01);
    assert_true(json_is_null(json_array_get(p99, 1)));
    json_decref(json);
    free(text);
    evc_survey_destroy(survey);
    evc_history_destroy(history);
}

static void
tell_prefixes(struct evc_survey *survey, unsigned source, const char *text)
{
    json_t *told = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(told);
    evc_survey_prefixes_read(&survey->prefixes, source, told);
    json_decref(told);
}

static void
test_prefixes__relays_of_two_regions__added_up_by_prefix(void **state)
{
    struct evc_survey *survey = survey_make(0);

    (void)state;
    tell_prefixes(survey, 0,
                  "{\"rate\": 100, \"byte_rate\": 5000, \"top\": ["
                  "{\"prefix\": \"user:\", \"rate\": 60, \"byte_rate\": 4000},"
                  "{\"prefix\": \"b\", \"rate\": 5.5, \"byte_rate\": 0}]}");
    tell_prefixes(survey, 0,
                  "{\"rate\": 100, \"byte_rate\": 0, \"top\": ["
                  "{\"prefix\": \"user:\", \"rate\": 10}]}");
    tell_prefixes(survey, 1,
                  "{\"rate\": 200, \"byte_rate\": 1000, \"top\": ["
                  "{\"prefix\": \"row:\", \"rate\": 150, \"byte_rate\": 900},"
                  "{\"prefix\": \"user:\", \"rate\": 30, \"byte_rate\": 100},"
                  "{\"prefix\": \"a\", \"rate\": 5.5, \"byte_rate\": 0}]}");
    evc_survey_prefixes_rank(&survey->prefixes);
    json_t *json = evc_survey_json(survey);
    const json_t *prefixes = json_object_get(json, "prefixes");
    const json_t *top = json_object_get(prefixes, "top");
    assert_float_equal(json_number_value(json_object_get(prefixes, "rate")), 400, 0);
    assert_float_equal(json_number_value(json_object_get(prefixes, "byte_rate")), 6000, 0);
    assert_int_equal(json_array_size(top), 4);
    static const char *const order[] = {"row:", "user:", "a", "b"};
    for (unsigned i = 0; i < 4; i++) {
        const json_t *prefix = json_object_get(json_array_get(top, i), "prefix");
        assert_string_equal(json_string_value(prefix), order[i]);
    }
    const json_t *user = json_array_get(top, 1), *sources = json_object_get(user, "sources");
    assert_float_equal(json_number_value(json_object_get(user, "rate")), 100, 0);
    assert_float_equal(json_number_value(json_object_get(user, "byte_rate")), 4100, 0);
    assert_float_equal(json_number_value(json_object_get(user, "share")), 0.25, 0);
    assert_float_equal(json_number_value(json_object_get(sources, "here")), 70, 0);
    assert_float_equal(json_number_value(json_object_get(sources, "there")), 30, 0);
    json_decref(json);
    evc_survey_destroy(survey);
}

static void
test_prefixes__more_than_there_is_room__and_nonsense__are_bounded(void **state)
{
    struct evc_survey *survey = survey_make(0);
    char text[EVC_SURVEY_PREFIX_TEXT_MAX + 64];

    (void)state;
    for (unsigned i = 0; i < EVC_SURVEY_PREFIXES_MAX + 5; i++) {
        snprintf(text, sizeof(text),
                 "{\"rate\": 1, \"top\": [{\"prefix\": \"p%u:\", \"rate\": 1}]}", i);
        tell_prefixes(survey, 0, text);
    }
    assert_int_equal(survey->prefixes.count, EVC_SURVEY_PREFIXES_MAX);
    assert_float_equal(survey->prefixes.rate, EVC_SURVEY_PREFIXES_MAX + 5, 0);
    evc_survey_prefixes_reset(&survey->prefixes);
    tell_prefixes(survey, 0, "null");
    tell_prefixes(survey, 0, "{\"rate\": \"1\", \"top\": 7}");
    tell_prefixes(survey, 0, "{\"rate\": -5, \"top\": [7, {}, {\"prefix\": null, \"rate\": 1}]}");
    snprintf(text, sizeof(text), "{\"top\": [{\"prefix\": \"%0*u\", \"rate\": 1}]}",
             EVC_SURVEY_PREFIX_TEXT_MAX + 1, 1);
    tell_prefixes(survey, 0, text);
    assert_int_equal(survey->prefixes.count, 0);
    assert_float_equal(survey->prefixes.rate, 0, 0);
    snprintf(text, sizeof(text), "{\"top\": [{\"prefix\": \"%0*u\", \"rate\": -1}]}",
             EVC_SURVEY_PREFIX_TEXT_MAX, 1);
    tell_prefixes(survey, 1, text);
    assert_int_equal(survey->prefixes.count, 1);
    assert_float_equal(survey->prefixes.items[0].rate, 0, 0);
    json_t *json = evc_survey_json(survey);
    assert_non_null(json);
    json_decref(json);
    evc_survey_destroy(survey);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare__what_happened_since__rate_and_lag),
        cmocka_unit_test(test_compare__counters_went_back__counted_from_0),
        cmocka_unit_test(test_compare__who_was_silent__has_no_rate),
        cmocka_unit_test(test_history__looks_of_ten_seconds__are_one_point),
        cmocka_unit_test(test_history__an_hour__the_oldest_goes_and_memory_stays),
        cmocka_unit_test(test_history__clock_goes_back__adds_to_the_last_point),
        cmocka_unit_test(test_history__json__arrays_as_long_as_times),
        cmocka_unit_test(test_prefixes__relays_of_two_regions__added_up_by_prefix),
        cmocka_unit_test(test_prefixes__more_than_there_is_room__and_nonsense__are_bounded),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
