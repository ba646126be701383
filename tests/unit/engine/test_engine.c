/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a real memcached: every operation, large values, freezing, dying, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/node_conn.h"
#include "engine_fixture.h"
#include "node_process.h"

enum {
    OPS_MAX = 12000,
    KEYS = 5000,
    LARGE_VALUES = 8,
    LARGE_BYTES = 900 * 1024,
    DEADLINE_MS = 5000,
    SHORT_MS = 100,
    EXIT_SKIPPED = 77,
};

#define VERSION_BASE (EVC_VERSION_OURS_MIN + 1000)

/** An operation of a test, its key, and what came of it. */
struct test_op {
    struct evc_node_op op;
    unsigned number;
    unsigned done_calls;
    uint64_t done_us;
    char key[32];
    char got[64]; /* the head of a hit's value */
    size_t got_len;
    bool was_tombstone;
    unsigned submits_left; /* resubmits this often from on_done */
};

struct test_bench {
    struct engine_fixture fixture;
    struct node_process process;
    struct test_op ops[OPS_MAX];
    unsigned submitted, done;
    unsigned nested, nested_max;
    bool close_at_done; /* closes the engine in the first on_done */
};

static struct test_bench *bench;

static int
setup_with(const char *option)
{
    bench = calloc(1, sizeof(*bench));
    node_process_start(&bench->process, option);
    fixture_start(&bench->fixture, bench->process.port);
    return 0;
}

static int
setup(void **state)
{
    (void)state;
    setup_with(NULL);
    fixture_await(&bench->fixture, EVC_NODE_STATE_UP);
    assert_true(evc_engine_is_ready(bench->fixture.engine));
    return 0;
}

static int
setup_without_cas(void **state)
{
    (void)state;
    return setup_with("-C");
}

static int
teardown(void **state)
{
    (void)state;
    fixture_finish(&bench->fixture);
    node_process_kill(&bench->process);
    free(bench);
    return 0;
}

/* --- operations --- */

static void
on_done(struct evc_node_op *op)
{
    struct test_op *test_op = EVC_CONTAINER_OF(op, struct test_op, op);

    bench->nested++;
    if (bench->nested > bench->nested_max) {
        bench->nested_max = bench->nested;
    }
    test_op->done_calls++;
    test_op->done_us = evc_clock_mono_us();
    if (op->result == EVC_NODE_HIT) {
        test_op->got_len = op->reply.value.len;
        test_op->was_tombstone = op->reply.is_tombstone;
        memcpy(test_op->got, op->reply.value.ptr,
               op->reply.value.len < sizeof(test_op->got) ? op->reply.value.len
                                                          : sizeof(test_op->got));
    }
    if (bench->close_at_done) {
        bench->close_at_done = false;
        bench->fixture.is_met = false;
        evc_engine_close(bench->fixture.engine, NULL, NULL);
        bench->fixture.engine = NULL; /* freed at a coming tick */
    }
    if (test_op->submits_left > 0) {
        test_op->submits_left--;
        test_op->done_calls--;
        op->deadline_us = bench->fixture.loop.now.mono_us + DEADLINE_MS * 1000;
        evc_node_port_submit(bench->fixture.port, op);
    } else {
        bench->done++;
    }
    bench->nested--;
}

/** The next operation, on the key "key<k>". */
static struct test_op *
op_new(enum evc_node_verb verb, unsigned k, unsigned timeout_ms)
{
    struct test_op *test_op = &bench->ops[bench->submitted];

    assert_true(bench->submitted < OPS_MAX);
    test_op->number = bench->submitted++;
    snprintf(test_op->key, sizeof(test_op->key), "key%u", k);
    evc_moment_refresh(&bench->fixture.loop.now);
    test_op->op = (struct evc_node_op){
        .verb = verb,
        .key = evc_slice_str(test_op->key),
        .want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_SIZE,
        .version = VERSION_BASE + test_op->number,
        .deadline_us = bench->fixture.loop.now.mono_us + (uint64_t)timeout_ms * 1000,
        .on_done = on_done,
    };
    return test_op;
}

static struct test_op *
submit(struct test_op *test_op)
{
    evc_node_port_submit(bench->fixture.port, &test_op->op);
    return test_op;
}

static struct test_op *
submit_get(unsigned k, unsigned timeout_ms)
{
    return submit(op_new(EVC_NODE_GET, k, timeout_ms));
}

static struct test_op *
submit_write(enum evc_node_verb verb, unsigned k, struct evc_slice value, uint64_t seen)
{
    struct test_op *test_op = op_new(verb, k, DEADLINE_MS);

    test_op->op.value = value;
    test_op->op.seen = seen;
    return submit(test_op);
}

static bool
all_done(void *ctx)
{
    (void)ctx;
    return bench->done == bench->submitted;
}

static void
await_all(void)
{
    assert_true(fixture_run(&bench->fixture, all_done, NULL, FIXTURE_WAIT_MS_MAX));
    for (unsigned i = 0; i < bench->submitted; i++) {
        assert_int_equal(bench->ops[i].done_calls, 1);
    }
}

static void
run_one(struct test_op *test_op, enum evc_node_result expected)
{
    await_all();
    assert_string_equal(evc_node_result_str(test_op->op.result), evc_node_result_str(expected));
}

/* --- tests --- */

static void
test_engine__thousands_in_one_turn__each_gets_its_own_answer(void **state)
{
    char value[32];

    (void)state;
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(value, sizeof(value), "value of %u", k); /* copied by submit */
        submit_write(EVC_NODE_SET, k, evc_slice_str(value), 0);
    }
    for (unsigned k = 0; k < KEYS + 10; k++) {
        submit_get(k, DEADLINE_MS);
    }
    await_all();
    for (unsigned k = 0; k < KEYS; k++) {
        const struct test_op *get = &bench->ops[KEYS + k];

        assert_int_equal(bench->ops[k].op.result, EVC_NODE_STORED);
        assert_int_equal(get->op.result, EVC_NODE_HIT);
        snprintf(value, sizeof(value), "value of %u", k);
        assert_int_equal(get->got_len, strlen(value));
        assert_memory_equal(get->got, value, get->got_len);
        assert_int_equal(get->op.reply.cas, VERSION_BASE + k);
        assert_int_equal(get->op.reply.ttl_s, -1);
    }
    for (unsigned k = KEYS; k < KEYS + 10; k++) {
        assert_int_equal(bench->ops[KEYS + k].op.result, EVC_NODE_MISS);
    }
    assert_int_equal(fixture_stats(&bench->fixture).ops_total, 2 * KEYS + 10);
    assert_int_equal(fixture_stats(&bench->fixture).in_flight, 0);
    assert_int_equal(fixture_stats(&bench->fixture).unknown_total, 0);
}

static void
test_engine__conditional_writes__mean_what_they_say(void **state)
{
    struct test_op *first;

    (void)state;
    run_one(submit_write(EVC_NODE_CAS, 1, EVC_SLICE("x"), 5), EVC_NODE_MISS);
    first = submit_write(EVC_NODE_ADD, 1, EVC_SLICE("one"), 0);
    run_one(first, EVC_NODE_STORED);
    run_one(submit_write(EVC_NODE_ADD, 1, EVC_SLICE("two"), 0), EVC_NODE_NOT_STORED);
    run_one(submit_write(EVC_NODE_CAS, 1, EVC_SLICE("three"), first->op.version + 1),
            EVC_NODE_EXISTS);
    run_one(submit_write(EVC_NODE_CAS, 1, EVC_SLICE("four"), first->op.version), EVC_NODE_STORED);
    run_one(submit_get(1, DEADLINE_MS), EVC_NODE_HIT);
    assert_memory_equal(bench->ops[bench->submitted - 1].got, "four", 4);
}

static void
test_engine__tombstone__is_seen_as_one(void **state)
{
    struct test_op *op;

    (void)state;
    op = op_new(EVC_NODE_SET, 1, DEADLINE_MS);
    op->op.client_flags = EVC_TOMBSTONE_FLAGS;
    op->op.ttl_s = 3600;
    run_one(submit(op), EVC_NODE_STORED);
    op = submit_get(1, DEADLINE_MS);
    run_one(op, EVC_NODE_HIT);
    assert_true(op->was_tombstone);
    assert_true(op->op.reply.ttl_s > 3590 && op->op.reply.ttl_s <= 3600);
}

static void
test_engine__value_too_large__is_an_error_and_in_step(void **state)
{
    size_t len = 3 * 1024 * 1024;
    char *value = calloc(1, len);

    (void)state;
    submit_write(EVC_NODE_SET, 1, (struct evc_slice){.ptr = value, .len = len}, 0);
    run_one(submit_get(2, DEADLINE_MS), EVC_NODE_MISS);
    assert_int_equal(bench->ops[0].op.result, EVC_NODE_ERROR);
    assert_int_equal(fixture_stats(&bench->fixture).errors_total, 1);
    assert_int_equal(fixture_stats(&bench->fixture).reconnects_total, 0);
    free(value);
}

static void
test_engine__large_values__come_back(void **state)
{
    char *value = malloc(LARGE_BYTES);

    (void)state;
    for (unsigned k = 0; k < LARGE_VALUES; k++) {
        memset(value, (int)('a' + k), LARGE_BYTES);
        submit_write(EVC_NODE_SET, k, (struct evc_slice){.ptr = value, .len = LARGE_BYTES}, 0);
    }
    for (unsigned k = 0; k < LARGE_VALUES; k++) {
        submit_get(k, DEADLINE_MS);
    }
    await_all();
    for (unsigned k = 0; k < LARGE_VALUES; k++) {
        const struct test_op *get = &bench->ops[LARGE_VALUES + k];

        assert_int_equal(get->op.result, EVC_NODE_HIT);
        assert_int_equal(get->got_len, LARGE_BYTES);
        assert_int_equal(get->op.reply.size, LARGE_BYTES);
        assert_int_equal(get->got[0], 'a' + k);
    }
    assert_true(fixture_stats(&bench->fixture).bytes_in > (uint64_t)LARGE_VALUES * LARGE_BYTES);
    free(value);
}

static void
test_engine__resubmitted_in_on_done__goes_on(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 100; k++) {
        struct test_op *op = op_new(EVC_NODE_GET, k, DEADLINE_MS);

        op->submits_left = 50;
        submit(op);
    }
    await_all();
    assert_int_equal(fixture_stats(&bench->fixture).ops_total, 100 * 51);
}

static void
test_engine__node_freezes__unknown_silent_refused_then_up_in_step(void **state)
{
    unsigned first;
    uint64_t submitted_us;

    (void)state;
    for (unsigned k = 0; k < 100; k++) {
        char value[32];

        snprintf(value, sizeof(value), "value of %u", k);
        submit_write(EVC_NODE_SET, k, evc_slice_str(value), 0);
    }
    await_all();
    node_process_freeze(&bench->process);
    first = bench->submitted;
    submitted_us = evc_clock_mono_us();
    for (unsigned k = 0; k < 100; k++) {
        submit_get(k, SHORT_MS);
    }
    await_all();
    for (unsigned i = first; i < bench->submitted; i++) {
        assert_int_equal(bench->ops[i].op.result, EVC_NODE_UNKNOWN);
        assert_true(bench->ops[i].done_us - submitted_us >= SHORT_MS * 1000);
        assert_true(bench->ops[i].done_us - submitted_us < 3 * SHORT_MS * 1000);
    }
    assert_int_equal(fixture_stats(&bench->fixture).state, EVC_NODE_STATE_SILENT);
    assert_int_equal(fixture_stats(&bench->fixture).in_flight, 100);
    assert_false(evc_engine_is_ready(bench->fixture.engine));

    assert_int_equal(submit_get(0, DEADLINE_MS)->op.result, EVC_NODE_REFUSED); /* at once */

    node_process_thaw(&bench->process);
    fixture_await(&bench->fixture, EVC_NODE_STATE_UP);
    submit_get(7, DEADLINE_MS);
    await_all();
    assert_int_equal(bench->ops[bench->submitted - 1].op.result, EVC_NODE_HIT);
    assert_memory_equal(bench->ops[bench->submitted - 1].got, "value of 7", 10);
    assert_int_equal(fixture_stats(&bench->fixture).in_flight, 0);
    assert_int_equal(fixture_stats(&bench->fixture).reconnects_total, 0);
    assert_int_equal(fixture_stats(&bench->fixture).unknown_total, 100);
    assert_int_equal(fixture_stats(&bench->fixture).refused_total, 1);
}

static void
test_engine__up_again_before_all_late_answers__new_ones_queue_behind(void **state)
{
    (void)state;
    submit_write(EVC_NODE_SET, 1, EVC_SLICE("right"), 0);
    await_all();
    node_process_freeze(&bench->process);
    for (unsigned i = 0; i < 2000; i++) {
        submit_get(2, SHORT_MS);
    }
    await_all();
    node_process_thaw(&bench->process);
    fixture_await(&bench->fixture, EVC_NODE_STATE_UP);
    run_one(submit_get(1, DEADLINE_MS), EVC_NODE_HIT);
    assert_memory_equal(bench->ops[bench->submitted - 1].got, "right", 5);
}

static void
test_engine__node_dies__unknown_down_refused_then_up_again(void **state)
{
    uint64_t killed_us;

    (void)state;
    node_process_freeze(&bench->process);
    for (unsigned k = 0; k < 100; k++) {
        submit_get(k, DEADLINE_MS);
    }
    fixture_wait(&bench->fixture, 20); /* they have left */
    node_process_kill(&bench->process);
    killed_us = evc_clock_mono_us();
    await_all();
    assert_true(evc_clock_mono_us() - killed_us < 1000000); /* long before their deadline */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(bench->ops[i].op.result, EVC_NODE_UNKNOWN);
    }
    assert_int_equal(fixture_stats(&bench->fixture).state, EVC_NODE_STATE_DOWN);
    assert_int_equal(submit_get(0, DEADLINE_MS)->op.result, EVC_NODE_REFUSED);

    fixture_wait(&bench->fixture, 500); /* some attempts fail */
    node_process_restart(&bench->process);
    fixture_await(&bench->fixture, EVC_NODE_STATE_UP);
    run_one(submit_write(EVC_NODE_SET, 1, EVC_SLICE("new"), 0), EVC_NODE_STORED);
    assert_int_equal(fixture_stats(&bench->fixture).reconnects_total, 1);
    /* Told: connecting, checking, up; the loss, and the first failed attempt's reason; up. */
    assert_true(bench->fixture.told_count >= 5 && bench->fixture.told_count <= 8);
    assert_int_equal(bench->fixture.told[bench->fixture.told_count - 1], EVC_NODE_STATE_UP);
}

static void
test_engine__refused_and_resubmitted__does_not_nest_for_ever(void **state)
{
    struct test_op *op;

    (void)state;
    node_process_kill(&bench->process);
    fixture_await(&bench->fixture, EVC_NODE_STATE_DOWN);
    op = op_new(EVC_NODE_GET, 1, DEADLINE_MS);
    op->submits_left = 200;
    submit(op);
    run_one(op, EVC_NODE_REFUSED);
    assert_true(bench->nested_max <= EVC_ENGINE_REFUSALS_NESTED_MAX);
    assert_true(fixture_stats(&bench->fixture).refused_total >= 201);
}

static void
test_engine__past_deadline__is_refused(void **state)
{
    (void)state;
    run_one(submit_get(1, 0), EVC_NODE_REFUSED);
}

static unsigned crowd_done, crowd_refused;

static void
on_crowd_done(struct evc_node_op *op)
{
    crowd_done++;
    crowd_refused += op->result == EVC_NODE_REFUSED;
}

static void
test_engine__too_many_in_flight__are_refused(void **state)
{
    struct evc_node_op *ops = calloc(EVC_ENGINE_NODE_OPS_MAX + 5, sizeof(*ops));

    (void)state;
    crowd_done = crowd_refused = 0;
    evc_moment_refresh(&bench->fixture.loop.now);
    for (unsigned i = 0; i < EVC_ENGINE_NODE_OPS_MAX + 5; i++) {
        ops[i] = (struct evc_node_op){
            .verb = EVC_NODE_GET,
            .key = EVC_SLICE("k"),
            .want = EVC_WANT_FLAGS,
            .deadline_us = bench->fixture.loop.now.mono_us + (uint64_t)DEADLINE_MS * 1000,
            .on_done = on_crowd_done,
        };
        evc_node_port_submit(bench->fixture.port, &ops[i]);
    }
    assert_int_equal(crowd_done, 5);
    assert_int_equal(crowd_refused, 5);
    fixture_close_engine(&bench->fixture);
    assert_int_equal(crowd_done, EVC_ENGINE_NODE_OPS_MAX + 5);
    assert_int_equal(crowd_refused, EVC_ENGINE_NODE_OPS_MAX + 5); /* none had left */
    free(ops);
}

static void
test_engine__closed_with_operations_on_their_way__each_ends_once(void **state)
{
    (void)state;
    node_process_freeze(&bench->process);
    for (unsigned k = 0; k < 1000; k++) {
        submit_get(k, DEADLINE_MS);
    }
    fixture_wait(&bench->fixture, 20);
    for (unsigned k = 0; k < 1000; k++) {
        submit_get(k, DEADLINE_MS); /* not flushed yet */
    }
    fixture_close_engine(&bench->fixture);
    assert_true(all_done(NULL));
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(bench->ops[i].done_calls, 1);
        assert_int_equal(bench->ops[i].op.result, i < 1000 ? EVC_NODE_UNKNOWN : EVC_NODE_REFUSED);
    }
}

static void
test_engine__closed_in_on_done__each_ends_once(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 1000; k++) {
        struct test_op *op = op_new(EVC_NODE_GET, k, DEADLINE_MS);

        op->submits_left = 3; /* and some are submitted to the closing engine */
        submit(op);
    }
    bench->close_at_done = true;
    await_all();
    fixture_wait(&bench->fixture, 50);
    assert_int_equal(bench->fixture.topology.refs, 1);
}

static void
test_engine__cas_disabled__is_unfit_by_name(void **state)
{
    struct evc_engine_node_stats stats;
    char expected[64];

    (void)state;
    fixture_await(&bench->fixture, EVC_NODE_STATE_UNFIT);
    stats = fixture_stats(&bench->fixture);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u runs with CAS disabled",
             bench->process.port);
    assert_memory_equal(stats.why, expected, strlen(expected));
    assert_int_equal(submit_get(1, DEADLINE_MS)->op.result, EVC_NODE_REFUSED);
}

#define ENGINE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(test_engine__thousands_in_one_turn__each_gets_its_own_answer),
        ENGINE_TEST(test_engine__conditional_writes__mean_what_they_say),
        ENGINE_TEST(test_engine__tombstone__is_seen_as_one),
        ENGINE_TEST(test_engine__value_too_large__is_an_error_and_in_step),
        ENGINE_TEST(test_engine__large_values__come_back),
        ENGINE_TEST(test_engine__resubmitted_in_on_done__goes_on),
        ENGINE_TEST(test_engine__node_freezes__unknown_silent_refused_then_up_in_step),
        ENGINE_TEST(test_engine__up_again_before_all_late_answers__new_ones_queue_behind),
        ENGINE_TEST(test_engine__node_dies__unknown_down_refused_then_up_again),
        ENGINE_TEST(test_engine__refused_and_resubmitted__does_not_nest_for_ever),
        ENGINE_TEST(test_engine__past_deadline__is_refused),
        ENGINE_TEST(test_engine__too_many_in_flight__are_refused),
        ENGINE_TEST(test_engine__closed_with_operations_on_their_way__each_ends_once),
        ENGINE_TEST(test_engine__closed_in_on_done__each_ends_once),
        cmocka_unit_test_setup_teardown(test_engine__cas_disabled__is_unfit_by_name,
                                        setup_without_cas, teardown),
    };

    if (node_process_binary() == NULL) {
        return EXIT_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
