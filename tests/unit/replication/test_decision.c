/* SPDX-License-Identifier: Apache-2.0 */
/* What writes that depend on the item make of it: a table, by kind and by what was found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "replication/decision.h"

#define NOW_US UINT64_C(1767225600000000)

enum {
    VALUE_MAX = 16,
    ITEM_FLAGS = 7,
    ITEM_CAS = 1000,
    ITEM_TTL_S = 90,
    REQUEST_FLAGS = 5,
    REQUEST_EXPTIME = 30,
};

struct row {
    const char *name;
    enum evc_write_kind kind;
    const char *brought;
    uint64_t delta, unique;
    bool vivifies, has_exptime;
    const char *item;             /* NULL: nothing is there */
    const char *stored;           /* NULL: it does not go ahead, */
    enum evc_write_result result; /* for this reason */
    uint32_t client_flags;
    int64_t exptime;
};

#define UINT64_TEXT "18446744073709551615"

static const struct row rows[] = {
    {.name = "add to nothing",
     .kind = EVC_WRITE_ADD,
     .brought = "new",
     .stored = "new",
     .client_flags = REQUEST_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "add to an item",
     .kind = EVC_WRITE_ADD,
     .brought = "new",
     .item = "old",
     .result = EVC_WRITE_NOT_STORED},
    {.name = "replace nothing", .kind = EVC_WRITE_REPLACE, .result = EVC_WRITE_NOT_STORED},
    {.name = "replace an item",
     .kind = EVC_WRITE_REPLACE,
     .brought = "new",
     .item = "old",
     .stored = "new",
     .client_flags = REQUEST_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "cas on nothing", .kind = EVC_WRITE_CAS, .unique = 1, .result = EVC_WRITE_NOT_FOUND},
    {.name = "cas on another version",
     .kind = EVC_WRITE_CAS,
     .unique = 1,
     .item = "old",
     .result = EVC_WRITE_EXISTS},
    {.name = "cas on this version",
     .kind = EVC_WRITE_CAS,
     .unique = ITEM_CAS,
     .brought = "new",
     .item = "old",
     .stored = "new",
     .client_flags = REQUEST_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "touch nothing", .kind = EVC_WRITE_TOUCH, .result = EVC_WRITE_NOT_FOUND},
    {.name = "touch an item",
     .kind = EVC_WRITE_TOUCH,
     .item = "old",
     .stored = "old",
     .client_flags = ITEM_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "append to nothing",
     .kind = EVC_WRITE_APPEND,
     .brought = "b",
     .result = EVC_WRITE_NOT_STORED},
    {.name = "append to nothing and make it",
     .kind = EVC_WRITE_APPEND,
     .brought = "b",
     .vivifies = true,
     .stored = "b",
     .client_flags = REQUEST_FLAGS,
     .exptime = 60},
    {.name = "append",
     .kind = EVC_WRITE_APPEND,
     .brought = "b",
     .item = "a",
     .stored = "ab",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "prepend",
     .kind = EVC_WRITE_PREPEND,
     .brought = "b",
     .item = "a",
     .stored = "ba",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "append to this version",
     .kind = EVC_WRITE_APPEND,
     .unique = ITEM_CAS,
     .brought = "b",
     .item = "a",
     .stored = "ab",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "append to another version",
     .kind = EVC_WRITE_APPEND,
     .unique = 1,
     .brought = "b",
     .item = "a",
     .result = EVC_WRITE_EXISTS},
    {.name = "append as much as fits",
     .kind = EVC_WRITE_APPEND,
     .brought = "12345678",
     .item = "12345678",
     .stored = "1234567812345678",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "append too much",
     .kind = EVC_WRITE_APPEND,
     .brought = "123456789",
     .item = "12345678",
     .result = EVC_WRITE_NOT_STORED},
    {.name = "incr nothing", .kind = EVC_WRITE_INCR, .delta = 1, .result = EVC_WRITE_NOT_FOUND},
    {.name = "incr nothing and make it",
     .kind = EVC_WRITE_INCR,
     .delta = 1,
     .vivifies = true,
     .stored = "42",
     .client_flags = 0,
     .exptime = 60},
    {.name = "incr",
     .kind = EVC_WRITE_INCR,
     .delta = 3,
     .item = "9",
     .stored = "12",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "incr with an expiry of its own",
     .kind = EVC_WRITE_INCR,
     .delta = 3,
     .has_exptime = true,
     .item = "9",
     .stored = "12",
     .client_flags = ITEM_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "incr wraps",
     .kind = EVC_WRITE_INCR,
     .delta = 2,
     .item = UINT64_TEXT,
     .stored = "1                   ",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "decr pads",
     .kind = EVC_WRITE_DECR,
     .delta = 1,
     .item = "100",
     .stored = "99 ",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "decr stops at 0",
     .kind = EVC_WRITE_DECR,
     .delta = 9,
     .item = "5",
     .stored = "0",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "incr what is padded",
     .kind = EVC_WRITE_INCR,
     .delta = 1,
     .item = "99 ",
     .stored = "100",
     .client_flags = ITEM_FLAGS,
     .exptime = ITEM_TTL_S},
    {.name = "incr a word",
     .kind = EVC_WRITE_INCR,
     .delta = 1,
     .item = "x",
     .result = EVC_WRITE_NON_NUMERIC},
    {.name = "incr an empty value of another version",
     .kind = EVC_WRITE_INCR,
     .unique = 1,
     .item = "",
     .result = EVC_WRITE_NON_NUMERIC},
    {.name = "incr a word of another version",
     .kind = EVC_WRITE_INCR,
     .unique = 1,
     .item = "x",
     .result = EVC_WRITE_EXISTS},
    {.name = "delete this version",
     .kind = EVC_WRITE_DELETE,
     .unique = ITEM_CAS,
     .item = "a",
     .stored = "",
     .client_flags = REQUEST_FLAGS,
     .exptime = REQUEST_EXPTIME},
    {.name = "delete another version",
     .kind = EVC_WRITE_DELETE,
     .unique = 1,
     .item = "a",
     .result = EVC_WRITE_EXISTS},
};

static void
check_row(const struct row *row, struct evc_buf *space)
{
    const struct evc_write_request request = {
        .kind = row->kind,
        .key = EVC_SLICE("key"),
        .value = evc_slice_str(row->brought ? row->brought : ""),
        .client_flags = REQUEST_FLAGS,
        .exptime = REQUEST_EXPTIME,
        .unique = row->unique,
        .delta = row->delta,
        .has_exptime = row->has_exptime,
        .vivifies = row->vivifies,
        .vivify_exptime = 60,
        .initial = 42,
    };
    const struct evc_node_reply item = {
        .value = evc_slice_str(row->item ? row->item : ""),
        .cas = ITEM_CAS,
        .ttl_s = ITEM_TTL_S,
        .client_flags = ITEM_FLAGS,
    };
    struct evc_decision decision;

    assert_int_equal(
        evc_decide(&request, row->item ? &item : NULL, NOW_US, VALUE_MAX, space, &decision),
        EVC_OK);
    if (decision.goes_ahead != (row->stored != NULL)) {
        fail_msg("%s: goes ahead %d, result %d", row->name, decision.goes_ahead, decision.result);
    }
    if (!row->stored) {
        assert_int_equal(decision.result, row->result);
        return;
    }
    if (!evc_slice_equal(decision.value, evc_slice_str(row->stored)) ||
        decision.client_flags != row->client_flags || decision.exptime != row->exptime) {
        fail_msg("%s: '%.*s' flags %u exptime %lld", row->name, (int)decision.value.len,
                 decision.value.ptr, decision.client_flags, (long long)decision.exptime);
    }
    assert_int_equal(decision.is_tombstone, row->kind == EVC_WRITE_DELETE);
    assert_int_equal(decision.is_created, row->vivifies && !row->item);
}

static void
test_decision__every_kind__does_as_memcached(void **state)
{
    struct evc_buf space;

    (void)state;
    evc_buf_init(&space, VALUE_MAX + 64);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_row(&rows[i], &space);
    }
    evc_buf_finish(&space);
}

static void
test_decision__exptime_in_the_past__leaves_a_tombstone(void **state)
{
    const struct evc_write_request request = {
        .kind = EVC_WRITE_TOUCH, .key = EVC_SLICE("key"), .exptime = -1};
    const struct evc_node_reply item = {.value = EVC_SLICE("a"), .cas = ITEM_CAS, .ttl_s = -1};
    struct evc_decision decision;
    struct evc_buf space;

    (void)state;
    evc_buf_init(&space, VALUE_MAX);
    assert_int_equal(evc_decide(&request, &item, NOW_US, VALUE_MAX, &space, &decision), EVC_OK);
    assert_true(decision.goes_ahead);
    assert_true(decision.is_tombstone);
    evc_buf_finish(&space);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decision__every_kind__does_as_memcached),
        cmocka_unit_test(test_decision__exptime_in_the_past__leaves_a_tombstone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
