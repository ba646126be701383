/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a fresh connection to a node: whole, byte by byte, and answers of something else. */
#include "unit.h"

#include <stdio.h>

#include "meta/node_check.h"

/* Feeds the answer in pieces of step bytes, as a connection would. */
static int
feed(struct evc_node_check *check, const char *answer, size_t step)
{
    size_t len = strlen(answer);
    size_t at = 0;
    size_t seen = 0;
    int status = EVC_E_AGAIN;

    *check = (struct evc_node_check){.has_version = false};
    while (status == EVC_E_AGAIN && seen < len) {
        size_t used;
        seen = len - seen < step ? len : seen + step;
        status = evc_node_check_parse(
            check, (struct evc_slice){.ptr = answer + at, .len = seen - at}, &used);
        assert_true(used <= seen - at);
        at += used;
    }
    return status;
}

static void
test_node_check__answers__whole_and_byte_by_byte(void **state)
{
    static const struct {
        const char *answer;
        int status;
        unsigned patch;
        bool cas_enabled;
    } rows[] = {
        {"VERSION 1.6.38\r\nSTAT maxbytes 1\r\nSTAT cas_enabled yes\r\nEND\r\n", 0, 38, true},
        {"VERSION 1.6.18\r\nSTAT cas_enabled no\r\nEND\r\n", 0, 18, false},
        {"VERSION 1.6.9_beta-3\r\nEND\r\n", 0, 9, false},
        {"VERSION 1.6.38\r\nSTAT cas_enabled yes\r\n", EVC_E_AGAIN, 38, true},
        {"VERSION 1.6.38\r\nERROR\r\n", EVC_E_PROTO, 38, false},
        {"STAT cas_enabled yes\r\nEND\r\n", EVC_E_PROTO, 0, false},
        {"VERSION 1.6.38\r\nVERSION 1.6.38\r\n", EVC_E_PROTO, 38, false},
        {"ERROR\r\n", EVC_E_PROTO, 0, false},
        {"\r\n", EVC_E_PROTO, 0, false},
        {"+PONG\n", EVC_E_PROTO, 0, false},
    };
    struct evc_node_check check;

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        for (size_t step = 1; step < 200; step = step * 3 + 1) {
            assert_int_equal(feed(&check, rows[i].answer, step), rows[i].status);
            assert_int_equal(check.patch, rows[i].patch);
            assert_int_equal(check.cas_enabled, rows[i].cas_enabled);
        }
    }
    assert_int_equal(feed(&check, rows[0].answer, 1), 0);
    assert_int_equal(check.major, 1);
    assert_int_equal(check.minor, 6);
}

static void
test_node_check__endless_answers__refused_at_the_bounds(void **state)
{
    struct evc_node_check check = {.has_version = false};
    char line[4000];
    size_t used;
    int status;

    (void)state;
    memset(line, 'x', sizeof(line));
    assert_int_equal(
        evc_node_check_parse(&check, (struct evc_slice){.ptr = line, .len = sizeof(line)}, &used),
        EVC_E_PROTO);
    assert_int_equal(feed(&check, "VERSION 1.6.38\r\n", 100), EVC_E_AGAIN);
    for (unsigned i = 1; i < EVC_NODE_CHECK_LINES_MAX; i++) {
        status = evc_node_check_parse(&check, EVC_SLICE("STAT a b\r\n"), &used);
        assert_int_equal(status, EVC_E_AGAIN);
    }
    assert_int_equal(evc_node_check_parse(&check, EVC_SLICE("STAT a b\r\n"), &used), EVC_E_PROTO);
}

static void
test_node_check__compose__asks_for_version_and_settings(void **state)
{
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 100);
    assert_int_equal(evc_node_check_compose(&buf), 0);
    assert_true(evc_slice_equal(evc_buf_slice(&buf), EVC_SLICE("version\r\nstats settings\r\n")));
    evc_buf_finish(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_check__answers__whole_and_byte_by_byte),
        cmocka_unit_test(test_node_check__endless_answers__refused_at_the_bounds),
        cmocka_unit_test(test_node_check__compose__asks_for_version_and_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
