/* SPDX-License-Identifier: Apache-2.0 */
/* The small modules: statuses, errors, hash, clock, back-off, list, log. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/skew.h"

static void
test_status__every_status__has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = EVC_E_INVALID; a <= EVC_OK; a++) {
        assert_string_not_equal(evc_status_str(a), "unknown");
        for (int b = a + 1; b <= EVC_OK; b++) {
            assert_string_not_equal(evc_status_str(a), evc_status_str(b));
        }
    }
    assert_string_equal(evc_status_str(EVC_E_INVALID - 1), "unknown");
    assert_string_equal(evc_status_str(1), "unknown");
}

static void
test_printable__control_characters__become_escapes_that_fit(void **state)
{
    static const struct {
        const char *text, *expected;
        size_t size;
    } cases[] = {
        {"", "", 8},
        {"caf\xc3\xa9 \xe2\x80\xa6", "caf\xc3\xa9 \xe2\x80\xa6", 32},
        {"\x1b[31m", "\\x1b[31m", 32},
        {"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f", 32},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m", 32}, /* CSI as one character */
        {"\xc2", "\xc2", 32},
        {"ab\x1b", "ab", 6}, /* no room for half an escape */
        {"ab\x1b", "ab\\x1b", 7},
        {"a\x1b"
         "bcd",
         "a\\x1bbc", 8},
        {"\x1b\x1b\x1b", "\\x1b\\x1b", 9},
        {"\xc2\x9b", "\\xc2", 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[40];

        memset(text, 'x', sizeof(text));
        strcpy(text, cases[i].text);
        evc_printable_make(text, cases[i].size);
        assert_string_equal(text, cases[i].expected);
        assert_int_equal(text[cases[i].size], 'x');
        assert_null(evc_printable_find_control(text));
    }
}

static void
test_error__set__fills_cuts_and_returns_the_status(void **state)
{
    struct evc_error error;
    char longer[2 * EVC_ERROR_TEXT_BYTES];

    (void)state;
    assert_int_equal(evc_error_set(NULL, EVC_E_CONFIG, "%d", 1), EVC_E_CONFIG);
    assert_int_equal(evc_error_set(&error, EVC_E_CONFIG, "line %d", 3), EVC_E_CONFIG);
    assert_string_equal(error.text, "line 3");
    assert_int_equal(error.sys_errno, 0);
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    evc_error_set(&error, EVC_E_CONFIG, "%s", longer);
    assert_int_equal(strlen(error.text), EVC_ERROR_TEXT_BYTES - 1);
    assert_int_equal(evc_error_sys(&error, ENOENT, "open %s", "x"), EVC_E_SYS);
    assert_string_equal(error.text, "open x: No such file or directory");
    assert_int_equal(error.sys_errno, ENOENT);
    evc_error_set(&error, EVC_E_CONFIG, "%s", "region \x1b[31m\n");
    assert_string_equal(error.text, "region \\x1b[31m\\x0a");
    evc_error_sys(&error, ENOENT, "open %s", "\t");
    assert_string_equal(error.text, "open \\x09: No such file or directory");
    evc_error_sys(&error, ENOENT, "%s", longer);
    assert_int_equal(strlen(error.text), EVC_ERROR_TEXT_BYTES - 1);
    assert_int_equal(evc_error_sys(NULL, ENOENT, "x"), EVC_E_SYS);
}

static void
test_hash__known_keys__never_change(void **state)
{
    (void)state;
    /* XXH3_64bits, seed 0: partitions on disk depend on these. */
    assert_true(evc_hash_key(EVC_SLICE("")) == UINT64_C(0x2d06800538d394c2));
    assert_true(evc_hash_key(EVC_SLICE("a")) == UINT64_C(0xe6c632b61e964e1f));
    assert_true(evc_hash_key(EVC_SLICE("abc")) == UINT64_C(0x78af5f94892f3950));
}

static void
test_clock__moments__go_forward_and_are_today(void **state)
{
    struct evc_moment first, second;

    (void)state;
    evc_moment_refresh(&first);
    evc_moment_refresh(&second);
    assert_true(second.mono_us >= first.mono_us);
    assert_true(first.unix_us > UINT64_C(1577836800000000));
}

static void
test_backoff__failures__double_with_jitter_up_to_the_maximum(void **state)
{
    const uint32_t nominal[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct evc_backoff backoff;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        evc_backoff_init(&backoff, 100, 1000, seed);
        for (size_t i = 0; i < EVC_COUNT_OF(nominal); i++) {
            uint32_t wait_ms = evc_backoff_next_ms(&backoff);
            assert_in_range(wait_ms, nominal[i] * 3 / 4, nominal[i] * 5 / 4);
        }
        evc_backoff_reset(&backoff);
        assert_in_range(evc_backoff_next_ms(&backoff), 75, 125);
    }
}

static void
test_backoff__extremes__do_not_overflow(void **state)
{
    struct evc_backoff backoff;

    (void)state;
    evc_backoff_init(&backoff, 1, UINT32_MAX, 1);
    for (int i = 0; i < 100; i++) {
        (void)evc_backoff_next_ms(&backoff);
    }
    assert_true(evc_backoff_next_ms(&backoff) >= UINT32_MAX / 4 * 3);
    evc_backoff_init(&backoff, 0, 0, 1);
    assert_int_equal(evc_backoff_next_ms(&backoff), 0);
}

struct item {
    int number;
    struct evc_list link;
};

static void
test_list__push_pop_remove__in_order(void **state)
{
    struct evc_list head;
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};

    (void)state;
    evc_list_init(&head);
    assert_null(evc_list_pop_front(&head));
    for (int i = 0; i < 3; i++) {
        evc_list_push_back(&head, &items[i].link);
    }
    evc_list_remove(&items[1].link);
    evc_list_remove(&items[1].link);
    assert_int_equal(EVC_CONTAINER_OF(evc_list_pop_front(&head), struct item, link)->number, 0);
    assert_int_equal(EVC_CONTAINER_OF(evc_list_pop_front(&head), struct item, link)->number, 2);
    assert_true(evc_list_is_empty(&head));
}

/* What was logged by log() goes to ret. */
static void
capture(void (*log)(void), char *ret, size_t room)
{
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t len;

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    len = read(ends[0], ret, room - 1);
    close(ends[0]);
    assert_true(len >= 0);
    ret[len] = '\0';
}

static void
log_some(void)
{
    evc_log_init("relay", "oregon/0", EVC_LOG_INFO);
    evc_log_debug("hidden", NULL);
    evc_log_info("link is up", "destination=%s receiver=\"%s\"", "ireland", "two\nlines");
    evc_log_warn("plain", NULL);
}

static void
log_much(void)
{
    char longer[3000];

    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    evc_log_error("much", "text=%s", longer);
}

static void
test_log__lines__are_logfmt_and_bounded(void **state)
{
    char text[4096];

    (void)state;
    capture(log_some, text, sizeof(text));
    assert_non_null(strstr(text, " level=info part=relay id=oregon/0 msg=\"link is up\" "
                                 "destination=ireland receiver=\"two lines\"\n"));
    assert_non_null(strstr(text, " level=warn part=relay id=oregon/0 msg=\"plain\"\n"));
    assert_null(strstr(text, "hidden"));
    assert_memory_equal(text, "ts=2", 4);
    capture(log_much, text, sizeof(text));
    assert_int_equal(strlen(text), 1023);
    assert_int_equal(text[1022], '\n');
}

static void
test_log_quote__what_others_chose__stays_one_value(void **state)
{
    char text[EVC_LOG_QUOTE_BYTES], longest[300];

    (void)state;
    assert_string_equal(evc_log_quote(EVC_SLICE("user:17"), text), "\"user:17\"");
    assert_string_equal(evc_log_quote(EVC_SLICE(""), text), "\"\"");
    assert_string_equal(evc_log_quote(EVC_SLICE("a \"b\" \\ \n\x7f\xc3"), text),
                        "\"a \\\"b\\\" \\\\ \\x0a\\x7f\\xc3\"");
    memset(longest, 'k', sizeof(longest));
    assert_int_equal(strlen(evc_log_quote((struct evc_slice){longest, 250}, text)), 252);
    evc_log_quote((struct evc_slice){longest, sizeof(longest)}, text);
    assert_true(strlen(text) < EVC_LOG_QUOTE_BYTES);
    assert_int_equal(text[strlen(text) - 1], '"');
    memset(longest, 1, sizeof(longest));
    evc_log_quote((struct evc_slice){longest, sizeof(longest)}, text);
    assert_int_equal(text[strlen(text) - 1], '"');
    assert_int_equal(text[strlen(text) - 2], '1');
}

static void
test_log__limit__one_a_second_and_the_rest_counted(void **state)
{
    struct evc_log_limit limit = {0};
    unsigned long suppressed = 99;

    (void)state;
    assert_true(evc_log_allowed(&limit, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(evc_log_allowed(&limit, &suppressed));
    assert_false(evc_log_allowed(&limit, &suppressed));
    limit.next_us = 0;
    assert_true(evc_log_allowed(&limit, &suppressed));
    assert_int_equal(suppressed, 2);
}

static void
test_skew__answers__the_shortest_round_trip_counts(void **state)
{
    struct evc_skew skew = {.count = 0};
    struct evc_skew_sample sample;

    (void)state;
    assert_false(evc_skew_get(&skew, &sample));
    evc_skew_add(&skew, 1000, 900, 999); /* came before it was asked */
    assert_false(evc_skew_get(&skew, &sample));
    evc_skew_add(&skew, 1000, 1900, 2000); /* held up on the way back */
    evc_skew_add(&skew, 5000, 5250, 5100);
    evc_skew_add(&skew, 9000, 8000, 9900);
    assert_true(evc_skew_get(&skew, &sample));
    assert_int_equal(sample.ahead_us, 200);
    assert_int_equal(sample.round_trip_us, 100);
    for (unsigned i = 0; i < EVC_SKEW_SAMPLES_MAX; i++) { /* what is older is forgotten */
        evc_skew_add(&skew, 10000, 7000, 10400);
    }
    assert_true(evc_skew_get(&skew, &sample));
    assert_int_equal(sample.ahead_us, -3200);
    evc_skew_reset(&skew);
    assert_false(evc_skew_get(&skew, &sample));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__every_status__has_a_name_of_its_own),
        cmocka_unit_test(test_printable__control_characters__become_escapes_that_fit),
        cmocka_unit_test(test_error__set__fills_cuts_and_returns_the_status),
        cmocka_unit_test(test_hash__known_keys__never_change),
        cmocka_unit_test(test_clock__moments__go_forward_and_are_today),
        cmocka_unit_test(test_backoff__failures__double_with_jitter_up_to_the_maximum),
        cmocka_unit_test(test_backoff__extremes__do_not_overflow),
        cmocka_unit_test(test_skew__answers__the_shortest_round_trip_counts),
        cmocka_unit_test(test_list__push_pop_remove__in_order),
        cmocka_unit_test(test_log__lines__are_logfmt_and_bounded),
        cmocka_unit_test(test_log_quote__what_others_chose__stays_one_value),
        cmocka_unit_test(test_log__limit__one_a_second_and_the_rest_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
