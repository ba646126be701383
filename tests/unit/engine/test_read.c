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
    HEDGE_US = 10000,
};

static const struct evc_reader_options plain = {.timeout_us = TIMEOUT_US};

/** Answers each submit with the zone's result; a zone that is UNKNOWN takes its whole deadline. */
struct table_port {
    struct evc_node_port port;
    struct evc_moment now;
    struct evc_reader reader;
    enum evc_node_result results[EVC_ZONE_MAX];
    bool tombstone[EVC_ZONE_MAX];
    bool is_slow[EVC_ZONE_MAX]; /* answers when the test says so */
    struct evc_node_op *held[EVC_ZONE_MAX];
    uint64_t took_us[EVC_ZONE_MAX];
    uint8_t order[EVC_ZONE_MAX];
    unsigned submits;
    unsigned refilled; /* zones, as bits */
    unsigned answers;
    struct evc_read_answer answer;
};

static void
keep_refill(struct table_port *table, struct evc_node_op *op)
{
    assert_int_equal(op->version, 77);
    assert_true(evc_slice_equal(op->value, EVC_SLICE("value")));
    assert_int_equal(op->client_flags, 5);
    assert_int_equal(op->ttl_s, 90);
    table->refilled |= 1U << op->zone;
    op->result = EVC_NODE_STORED;
    op->on_done(op);
}

static void
table_submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct table_port *table = EVC_CONTAINER_OF(port, struct table_port, port);
    unsigned zone = op->zone;

    assert_true(op->key.len == 3 && memcmp(op->key.ptr, "key", 3) == 0);
    if (op->verb == EVC_NODE_ADD) {
        keep_refill(table, op);
        return;
    }
    assert_int_equal(op->verb, EVC_NODE_GET);
    assert_int_equal(op->want & ~(EVC_WANT_CAS | EVC_WANT_TTL),
                     EVC_WANT_VALUE | EVC_WANT_NO_BUMP | EVC_WANT_FLAGS | EVC_WANT_SIZE);
    assert_true(table->submits < port->zone_count);
    table->order[table->submits++] = op->zone;
    op->result = table->results[zone];
    op->reply = (struct evc_node_reply){.cas = 77,
                                        .value = EVC_SLICE("value"),
                                        .client_flags = 5,
                                        .ttl_s = 90,
                                        .is_tombstone = table->tombstone[zone]};
    if (table->is_slow[zone]) {
        assert_null(table->held[zone]);
        table->held[zone] = op;
        return;
    }
    if (table->results[zone] == EVC_NODE_UNKNOWN) {
        table->took_us[zone] = op->deadline_us - table->now.mono_us;
        table->now.mono_us = op->deadline_us;
    }
    op->on_done(op);
}

/** A slow zone answers at last. */
static void
let_answer(struct table_port *table, unsigned zone)
{
    struct evc_node_op *op = table->held[zone];

    assert_non_null(op);
    table->held[zone] = NULL;
    op->on_done(op);
}

static void
on_read(void *ctx, const struct evc_read_answer *answer)
{
    struct table_port *table = ctx;

    table->answers++;
    table->answer = *answer;
}

static void
table_init(struct table_port *table, unsigned zones, unsigned local,
           const struct evc_reader_options *options)
{
    *table = (struct table_port){
        .port = {.submit = table_submit, .zone_count = zones, .local_zone = local},
        .now = {.mono_us = 1000000},
    };
    evc_reader_init(&table->reader, &table->port, &table->now, options);
}

static void
start(struct table_port *table)
{
    table->submits = 0;
    table->answers = 0;
    assert_int_equal(evc_read_start(&table->reader, EVC_SLICE("key"),
                                    EVC_WANT_VALUE | EVC_WANT_NO_BUMP, on_read, table),
                     EVC_OK);
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
        struct table_port table;

        table_init(&table, rows[i].zones, rows[i].local, &plain);
        memcpy(table.results, rows[i].results, sizeof(rows[i].results));
        memcpy(table.tombstone, rows[i].tombstone, sizeof(rows[i].tombstone));
        start(&table);
        assert_int_equal(table.answers, 1);
        assert_int_equal(table.answer.result, rows[i].expected);
        assert_int_equal(table.submits, rows[i].submits);
        assert_memory_equal(table.order, rows[i].order, rows[i].submits);
        assert_true(table.now.mono_us <= 1000000 + TIMEOUT_US);
        assert_int_equal(table.refilled, 0);
        evc_reader_finish(&table.reader);
    }
}

static void
test_read__silent_zones__share_the_time(void **state)
{
    struct table_port table;

    (void)state;
    table_init(&table, 3, 0, &plain);
    memcpy(table.results, (enum evc_node_result[]){U, U, U}, 3 * sizeof(U));
    start(&table);
    assert_int_equal(table.took_us[0], TIMEOUT_US / 3);
    assert_int_equal(table.took_us[1], TIMEOUT_US / 3);
    assert_int_equal(table.took_us[2], TIMEOUT_US / 3);
    evc_reader_finish(&table.reader);
}

static void
test_read__found_elsewhere__fills_the_zones_that_missed_it(void **state)
{
    struct table_port table;

    (void)state;
    table_init(&table, 4, 1,
               &(struct evc_reader_options){.timeout_us = TIMEOUT_US, .refills = true});
    memcpy(table.results, (enum evc_node_result[]){H, M, M, R}, 4 * sizeof(H));
    start(&table);
    assert_int_equal(table.answer.result, H);
    assert_int_equal(table.answer.zones_asked, 4);
    assert_int_equal(table.refilled, 1 << 1 | 1 << 2); /* not the one that refused */
    assert_int_equal(table.reader.stats.refills_total, 2);
    assert_int_equal(table.reader.stats.fallbacks_total, 1);
    table.refilled = 0;
    table.tombstone[0] = true; /* deleted: nothing is to come back */
    start(&table);
    assert_int_equal(table.answer.result, M);
    assert_int_equal(table.refilled, 0);
    evc_reader_finish(&table.reader);
}

static const struct evc_reader_options hedging = {
    .timeout_us = TIMEOUT_US,
    .hedge_us = HEDGE_US,
    .hedge_percent = 100,
    .refills = true,
};

static void
test_read__first_zone_is_slow__the_next_is_asked_beside_it(void **state)
{
    struct table_port table;

    (void)state;
    table_init(&table, 3, 0, &hedging);
    table.results[1] = H;
    table.is_slow[0] = true;
    start(&table);
    evc_reader_on_turn(&table.reader);
    assert_int_equal(table.submits, 1); /* not yet */
    table.now.mono_us += HEDGE_US;
    evc_reader_on_turn(&table.reader);
    assert_int_equal(table.answers, 1);
    assert_int_equal(table.answer.result, H);
    assert_int_equal(table.reader.in_flight, 1); /* the slow one is awaited */
    let_answer(&table, 0);
    assert_int_equal(table.answers, 1);
    assert_int_equal(table.submits, 2);
    assert_int_equal(table.reader.stats.hedges_won_total, 1);
    evc_reader_finish(&table.reader);
}

static void
test_read__first_zone_answers_after_its_hedge__whatever_was_found_counts(void **state)
{
    const struct {
        enum evc_node_result first, hedge, third, expected;
        bool first_is_last; /* to answer */
        unsigned submits;
        unsigned refilled;
    } rows[] = {
        {H, M, M, H, true, 2, 0},  /* its reply does not say enough to fill the other */
        {M, H, M, H, false, 2, 1}, /* the first is known to miss it when the hedge finds it */
        {M, M, H, H, true, 3, 3},  {M, M, M, M, false, 3, 0},
        {U, M, M, M, true, 3, 0},  {R, U, H, H, false, 3, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct table_port table;

        table_init(&table, 3, 0, &hedging);
        memcpy(table.results, (enum evc_node_result[]){rows[i].first, rows[i].hedge, rows[i].third},
               3 * sizeof(H));
        table.is_slow[0] = table.is_slow[1] = true;
        start(&table);
        table.now.mono_us += HEDGE_US;
        evc_reader_on_turn(&table.reader);
        let_answer(&table, rows[i].first_is_last);
        assert_true(table.answers == 0 || rows[i].submits == 2);
        let_answer(&table, !rows[i].first_is_last);
        assert_int_equal(table.answers, 1);
        assert_int_equal(table.answer.result, rows[i].expected);
        assert_int_equal(table.submits, rows[i].submits);
        assert_int_equal(table.refilled, rows[i].refilled);
        evc_reader_finish(&table.reader);
    }
}

static void
test_read__everything_is_slow__hedges_stay_within_their_share(void **state)
{
    enum {
        READS = 1000,
        PERCENT = 5
    };
    struct evc_reader_options options = hedging;
    struct table_port table;

    (void)state;
    options.hedge_percent = PERCENT;
    table_init(&table, 2, 0, &options);
    table.results[0] = table.results[1] = H;
    table.is_slow[0] = true;
    for (unsigned i = 0; i < READS; i++) {
        start(&table);
        table.now.mono_us += HEDGE_US;
        evc_reader_on_turn(&table.reader);
        let_answer(&table, 0);
        assert_int_equal(table.answers, 1);
    }
    assert_int_equal(table.reader.stats.hedges_total, READS * PERCENT / 100);
    assert_int_equal(table.reader.stats.hedges_capped_total, READS - READS * PERCENT / 100);
    evc_reader_finish(&table.reader);
}

static void
test_read__delay_is_measured__most_reads_answer_within_it(void **state)
{
    enum {
        READS = 100,
        TOOK_US = 5000,
        SELDOM_US = 90000
    };
    struct evc_reader_options options = hedging;
    struct table_port table;

    (void)state;
    options.hedge_us = EVC_READ_HEDGE_MEASURED;
    table_init(&table, 2, 0, &options);
    table.is_slow[0] = true;
    for (unsigned i = 0; i < READS; i++) {
        start(&table);
        table.now.mono_us += i % 50 == 0 ? SELDOM_US : TOOK_US;
        evc_reader_on_turn(&table.reader);
        assert_int_equal(table.submits, 1); /* nothing to conclude from yet */
        let_answer(&table, 0);
    }
    table.now.mono_us += EVC_READ_MEASURE_US;
    evc_reader_on_turn(&table.reader);
    assert_in_range(table.reader.hedge_us, TOOK_US, TOOK_US * 17 / 16);
    evc_reader_finish(&table.reader);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read__answers_of_zones__decide_as_in_the_table),
        cmocka_unit_test(test_read__silent_zones__share_the_time),
        cmocka_unit_test(test_read__found_elsewhere__fills_the_zones_that_missed_it),
        cmocka_unit_test(test_read__first_zone_is_slow__the_next_is_asked_beside_it),
        cmocka_unit_test(test_read__first_zone_answers_after_its_hedge__whatever_was_found_counts),
        cmocka_unit_test(test_read__everything_is_slow__hedges_stay_within_their_share),
        cmocka_unit_test(test_read__delay_is_measured__most_reads_answer_within_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
