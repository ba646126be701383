/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After warm-up an operation allocates nothing, in the engine or below it (libuv included): this
 * program's malloc counts while it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_fixture.h"
#include "node_process.h"

enum {
    OPS_AT_ONCE = 500,
    ROUNDS_WARM_UP = 20,
    ROUNDS_COUNTED = 20, /* 10,000 operations */
    DEADLINE_MS = 5000,
    VALUE_BYTES = 500,
    EXIT_SKIPPED = 77,
};

/* --- malloc --- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);

static atomic_uint allocation_count;

__attribute__((visibility("default"))) void *
malloc(size_t size)
{
    atomic_fetch_add(&allocation_count, 1);
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *
calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocation_count, 1);
    return __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *
realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocation_count, 1);
    return __libc_realloc(memory, size);
}

/* --- the load --- */

struct load {
    struct engine_fixture fixture;
    struct node_process process;
    struct evc_node_op ops[OPS_AT_ONCE];
    char keys[OPS_AT_ONCE][16];
    char value[VALUE_BYTES];
    unsigned rounds_left, in_flight;
    unsigned bad_results;
};

static struct load load;

static void start_round(void);

static void
on_done(struct evc_node_op *op)
{
    load.bad_results += op->result != EVC_NODE_STORED && op->result != EVC_NODE_HIT &&
                        op->result != EVC_NODE_EXISTS;
    load.in_flight--;
    if (load.in_flight == 0 && load.rounds_left > 0) {
        start_round();
    }
}

/** Sets, gets and conditional writes of every key, all in one turn. */
static void
start_round(void)
{
    load.rounds_left--;
    load.in_flight = OPS_AT_ONCE;
    for (unsigned i = 0; i < OPS_AT_ONCE; i++) {
        static const enum evc_node_verb verbs[3] = {EVC_NODE_SET, EVC_NODE_GET, EVC_NODE_CAS};

        load.ops[i] = (struct evc_node_op){
            .verb = verbs[i % 3],
            .key = evc_slice_str(load.keys[i / 3]),
            .value = {.ptr = load.value, .len = VALUE_BYTES},
            .want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_SIZE,
            .version = EVC_VERSION_OURS_MIN + i,
            .deadline_us = load.fixture.loop.now.mono_us + (uint64_t)DEADLINE_MS * 1000,
            .on_done = on_done,
        };
        evc_node_port_submit(load.fixture.port, &load.ops[i]);
    }
}

static bool
is_over(void *ctx)
{
    (void)ctx;
    return load.rounds_left == 0 && load.in_flight == 0;
}

static void
run_rounds(unsigned count)
{
    load.rounds_left = count;
    evc_moment_refresh(&load.fixture.loop.now);
    start_round();
    assert_true(fixture_run(&load.fixture, is_over, NULL, FIXTURE_WAIT_MS_MAX));
    assert_int_equal(load.bad_results, 0);
}

static void
test_engine__after_warm_up__operations_allocate_nothing(void **state)
{
    unsigned before;

    (void)state;
    for (unsigned i = 0; i < OPS_AT_ONCE; i++) {
        snprintf(load.keys[i], sizeof(load.keys[i]), "key%u", i);
    }
    memset(load.value, 'v', sizeof(load.value));
    node_process_start(&load.process, NULL);
    fixture_start(&load.fixture, load.process.port);
    fixture_await(&load.fixture, EVC_NODE_STATE_UP);

    before = atomic_load(&allocation_count);
    run_rounds(ROUNDS_WARM_UP);
    assert_true(atomic_load(&allocation_count) > before); /* the counter counts */
    before = atomic_load(&allocation_count);
    run_rounds(ROUNDS_COUNTED);
    assert_int_equal(atomic_load(&allocation_count) - before, 0);

    fixture_finish(&load.fixture);
    node_process_kill(&load.process);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine__after_warm_up__operations_allocate_nothing),
    };

    if (node_process_binary() == NULL) {
        return EXIT_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
