/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a key over zones, on a port whose answers are a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/read.h"

enum {
    TIMEOUT_US = 300000,
};

/** Answers each submit with the zone's result; a zone that is UNKNOWN takes its whole deadline. */
struct table_port {
    struct evc_node_port port;
    struct evc_moment *now;
    enum evc_node_result results[EVC_ZONE_MAX];
    bool tombstone[EVC_ZONE_MAX];
    uint64_t took_us[EVC_ZONE_MAX];
    uint8_t order[EVC_ZONE_MAX];
    unsigned submits;
    unsigned done_calls;
};

static void
table_submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct table_port *table = EVC_CONTAINER_OF(port, struct table_port, port);
    unsigned zone = op->zone;

    assert_int_equal(op->verb, EVC_NODE_GET);
    assert_true(op->key.len == 3 && memcmp(op->key.ptr, "key", 3) == 0);
    assert_int_equal(op->want, EVC_WANT_VALUE | EVC_WANT_NO_BUMP | EVC_WANT_FLAGS | EVC_WANT_SIZE);
    assert_true(table->submits < port->zone_count);
    table->order[table->submits++] = op->zone;
    if (table->results[zone] == EVC_NODE_UNKNOWN) {
        table->took_us[zone] = op->deadline_us - table->now->mono_us;
        table->now->mono_us = op->deadline_us;
    }
    op->result = table->results[zone];
    op->reply = (struct evc_node_reply){.cas = zone, .is_tombstone = table->tombstone[zone]};
    op->on_done(op);
}

static void
on_read(struct evc_read *read)
{
    struct table_port *table = read->ctx;

    table->done_calls++;
}

#define H EVC_NODE_HIT
#define M EVC_NODE_MISS
#define R EVC_NODE_REFUSED
#define U EVC_NODE_UNKNOWN
#define E EVC_NODE_ERROR

static void
test_read__answers_of_zones__decide_as_in_the_table(void **state)
{
    const struct {
        unsigned zones, local;
        enum evc_node_result results[3];
        bool tombstone[3];
        enum evc_node_result expected;
        unsigned submits;
        uint8_t order[3];
    } rows[] = {
        {1, 0, {H}, {false}, H, 1, {0}},
        {1, 0, {M}, {false}, M, 1, {0}},
        {1, 0, {R}, {false}, R, 1, {0}},
        {3, 0, {H, H, H}, {false}, H, 1, {0}},
        {3, 1, {H, H, H}, {false}, H, 1, {1}},
        {3, 2, {H, M, M}, {false}, H, 2, {2, 0}},
        {3, 2, {M, H, M}, {false}, H, 3, {2, 0, 1}},
        {3, 0, {M, M, M}, {false}, M, 3, {0, 1, 2}},
        {3, 0, {R, M, U}, {false}, M, 3, {0, 1, 2}},
        {3, 0, {U, M, R}, {false}, M, 3, {0, 1, 2}},
        {3, 0, {R, U, E}, {false}, E, 3, {0, 1, 2}},
        {3, 0, {U, U, U}, {false}, U, 3, {0, 1, 2}},
        {3, 0, {U, H, U}, {false}, H, 2, {0, 1}},
        {3, 0, {H, H, H}, {true}, M, 1, {0}}, /* deleted: the search ends */
        {3, 0, {M, H, H}, {false, true}, M, 2, {0, 1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct evc_moment now = {.mono_us = 1000000};
        struct table_port table = {
            .port = {.submit = table_submit,
                     .zone_count = rows[i].zones,
                     .local_zone = rows[i].local},
            .now = &now,
        };
        struct evc_read read = {.want = EVC_WANT_VALUE | EVC_WANT_NO_BUMP,
                                .timeout_us = TIMEOUT_US,
                                .on_done = on_read,
                                .ctx = &table};

        memcpy(table.results, rows[i].results, sizeof(rows[i].results));
        memcpy(table.tombstone, rows[i].tombstone, sizeof(rows[i].tombstone));
        evc_read_start(&read, &table.port, &now, EVC_SLICE("key"));
        assert_int_equal(table.done_calls, 1);
        assert_int_equal(read.result, rows[i].expected);
        assert_int_equal(table.submits, rows[i].submits);
        assert_memory_equal(table.order, rows[i].order, rows[i].submits);
        assert_true(now.mono_us <= 1000000 + TIMEOUT_US);
        if (rows[i].expected == H) {
            assert_int_equal(read.op.reply.cas, rows[i].order[rows[i].submits - 1]);
        }
    }
}

static void
test_read__silent_zones__share_the_time(void **state)
{
    struct evc_moment now = {.mono_us = 5};
    struct table_port table = {
        .port = {.submit = table_submit, .zone_count = 3, .local_zone = 0},
        .now = &now,
        .results = {U, U, U},
    };
    struct evc_read read = {.want = EVC_WANT_VALUE | EVC_WANT_NO_BUMP,
                            .timeout_us = TIMEOUT_US,
                            .on_done = on_read,
                            .ctx = &table};

    (void)state;
    evc_read_start(&read, &table.port, &now, EVC_SLICE("key"));
    assert_int_equal(table.took_us[0], TIMEOUT_US / 3);
    assert_int_equal(table.took_us[1], TIMEOUT_US / 3);
    assert_int_equal(table.took_us[2], TIMEOUT_US / 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read__answers_of_zones__decide_as_in_the_table),
        cmocka_unit_test(test_read__silent_zones__share_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
