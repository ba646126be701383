/* SPDX-License-Identifier: Apache-2.0 */
/* Where prefixes end, which are found among many, how well they are counted, and that counts fade.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "replication/prefix_top.h"

#define START_US UINT64_C(5000000)

static struct evc_prefix_top top;
static struct evc_prefix_rates rates;

static int
setup(void **state)
{
    (void)state;
    evc_prefix_top_init(&top, START_US);
    return 0;
}

static void
ship(const char *key, size_t bytes, uint64_t now_us)
{
    evc_prefix_top_event(&top, evc_slice_str(key), now_us);
    evc_prefix_top_send(&top, evc_slice_str(key), bytes, now_us);
}

/** NULL: it is not among the told. */
static const struct evc_prefix_rate *
told(const char *prefix)
{
    for (unsigned i = 0; i < rates.count; i++) {
        if (evc_slice_equal(rates.top[i].prefix, evc_slice_str(prefix))) {
            return &rates.top[i];
        }
    }
    return NULL;
}

static void
test_prefix_len__table(void **state)
{
    static const struct {
        const char *key, *prefix;
    } cases[] = {
        {"user:17", "user:"},
        {"user_profile:17:a", "user_profile:"},
        {"a.b.c/17", "a.b.c/"},
        {"v2|17", "v2|"},
        {"row_17", "row_"},
        {"www.example.com", "www."},
        {"key-17", "key-"},
        {"user17_name", "user"},
        {"17", ""},
        {"550e8400-e29b", ""},
        {"17:name", "17:"},
        {"counter", "counter"},
        {"__evcache:canary:x", "__evcache:"},
        {":17", ":"},
        {"/a/b", "/a/"},
        {"::::", "::::"},
        {"\xff\xfe:1", "\xff\xfe:"},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijk:1", "abcdefghijklmnopqrstuvwxyzabcdef"},
        {"abcdefghijklmnopqrstuvwxyzabcde:1", "abcdefghijklmnopqrstuvwxyzabcde:"},
        {"abcdefghijklmnopqrstuvwxyzabcde\xc3\xa4k", "abcdefghijklmnopqrstuvwxyzabcde"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct evc_slice key = evc_slice_str(cases[i].key);

        assert_int_equal(evc_prefix_len(key), strlen(cases[i].prefix));
        assert_memory_equal(key.ptr, cases[i].prefix, strlen(cases[i].prefix));
    }
}

static void
test_prefix_top__among_100000_others__is_found_and_counted(void **state)
{
    enum {
        EVENTS = 400000,
        SECONDS = 10,
    };
    double bound = (double)EVENTS / (double)SECONDS / (double)EVC_PREFIX_TOP_COUNTERS;

    (void)state;
    for (unsigned i = 0; i < EVENTS; i++) {
        uint64_t now_us = START_US + (uint64_t)i * SECONDS * 1000000 / EVENTS;
        char key[32];

        if (i % 4 == 0) {
            snprintf(key, sizeof(key), "heavy:%u", i);
            ship(key, 1000, now_us);
        } else if (i % 4 == 1 && i % 8 == 1) {
            ship("lighter:1", 10, now_us);
        } else {
            snprintf(key, sizeof(key), "p%u:%u", i % 100003, i);
            ship(key, 10, now_us);
        }
    }
    evc_prefix_top_rates(&top, START_US + SECONDS * 1000000, &rates);
    assert_float_equal(rates.all.events, (double)EVENTS / (double)SECONDS, 500);
    assert_true(evc_slice_equal(rates.top[0].prefix, EVC_SLICE("heavy:")));
    assert_true(evc_slice_equal(rates.top[1].prefix, EVC_SLICE("lighter:")));
    /* 2 %: what chance does to 6,250 samples, and rather more. */
    assert_true(rates.top[0].events <= EVENTS / SECONDS / 4.0 * 1.04);
    assert_true(rates.top[0].events >= EVENTS / SECONDS / 4.0 * 0.96 - bound);
    assert_true(rates.top[1].events >= EVENTS / SECONDS / 8.0 * 0.96 - bound);
    assert_float_equal(rates.top[0].bytes, 1000.0 * (double)EVENTS / (double)SECONDS / 4.0,
                       1000000);
    for (unsigned i = 2; i < rates.count; i++) { /* and nobody else is made great */
        assert_true(rates.top[i].events < bound);
    }
}

static void
test_prefix_top__keys_in_turn__are_met_alike(void **state)
{
    static const char *const keys[] = {"a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1", "h:1"};

    (void)state;
    for (unsigned i = 0; i < 80000; i++) {
        ship(keys[i % 8], 1, START_US);
    }
    evc_prefix_top_rates(&top, START_US + 1000000, &rates);
    assert_int_equal(rates.count, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_float_equal(rates.top[i].events, 10000, 1500);
    }
}

/** 1,600 events a second of a key, up to a second. */
static void
ship_seconds(const char *key, unsigned from_s, unsigned to_s)
{
    for (unsigned i = from_s * 1600; i < to_s * 1600; i++) {
        ship(key, 100, START_US + (uint64_t)i * 1000000 / 1600);
    }
}

static void
test_prefix_top__what_was__fades(void **state)
{
    (void)state;
    ship_seconds("old:1", 0, 100);
    evc_prefix_top_rates(&top, START_US + 100 * UINT64_C(1000000), &rates);
    assert_float_equal(told("old:")->events, 1600, 160);
    assert_float_equal(told("old:")->bytes, 160000, 16000);
    ship_seconds("new:1", 100, 160);
    evc_prefix_top_rates(&top, START_US + 160 * UINT64_C(1000000), &rates);
    assert_true(evc_slice_equal(rates.top[0].prefix, EVC_SLICE("new:")));
    assert_float_equal(told("new:")->events, 1500, 160);
    assert_true(told("old:")->events < 160);
    assert_float_equal(rates.all.events, 1600, 160);
    evc_prefix_top_rates(&top, START_US + 3600 * UINT64_C(1000000), &rates);
    assert_int_equal(rates.count, 0);
    assert_float_equal(rates.all.events, 0, 0);
}

static void
test_prefix_top__first_moment__one_event_is_no_flood(void **state)
{
    (void)state;
    ship("one:1", 5, START_US + 1);
    evc_prefix_top_rates(&top, START_US + 2, &rates);
    assert_int_equal(rates.count, 1);
    assert_float_equal(rates.top[0].events, EVC_PREFIX_TOP_GAP, 0.001);
    assert_float_equal(rates.top[0].bytes, 5.0 * (double)EVC_PREFIX_TOP_GAP, 0.001);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix_len__table),
        cmocka_unit_test_setup(test_prefix_top__among_100000_others__is_found_and_counted, setup),
        cmocka_unit_test_setup(test_prefix_top__keys_in_turn__are_met_alike, setup),
        cmocka_unit_test_setup(test_prefix_top__what_was__fades, setup),
        cmocka_unit_test_setup(test_prefix_top__first_moment__one_event_is_no_flood, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
