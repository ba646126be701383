/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine over two zones on real memcacheds, the first zone with two nodes: keys go where the
 * ring says, and a read finds another zone when a node of the local one is dead or frozen.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/read.h"
#include "node_process.h"

enum {
    NODES = 3,
    KEYS = 500,
    WAIT_MS_MAX = 8000,
    WRITE_US = 5000000,
    READ_US = 400000,
    EXIT_SKIPPED = 77,
};

struct region {
    struct evc_loop loop;
    struct node_process processes[NODES];
    char texts[NODES][32];
    struct evc_node nodes[NODES]; /* two of zone 0, one of zone 1 */
    struct evc_zone zones[2];
    struct evc_topology topology;
    struct evc_engine *engine;
    struct evc_loop_hook tick;
    uint64_t until_us;
    bool (*until)(void);
    struct evc_node_op writes[KEYS][2];
    struct evc_reader reader;
    char keys[KEYS][16];
    unsigned pending, stored, hits;
    bool is_closed;
};

static struct region *region;

/* --- the region --- */

static void
on_tick(struct evc_loop_hook *hook)
{
    (void)hook;
    if (region->until() || evc_clock_mono_us() >= region->until_us) {
        evc_loop_stop(&region->loop);
    }
}

static void
run_until(bool (*until)(void))
{
    region->until = until;
    region->until_us = evc_clock_mono_us() + (uint64_t)WAIT_MS_MAX * 1000;
    evc_loop_run(&region->loop);
    assert_true(until());
}

static bool
is_ready(void)
{
    return evc_engine_is_ready(region->engine);
}

static bool
is_idle(void)
{
    return region->pending == 0;
}

static bool
is_closed(void)
{
    return region->is_closed;
}

static void
on_closed(void *ctx)
{
    ((struct region *)ctx)->is_closed = true;
}

static void
start_nodes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        node_process_start(&region->processes[i], NULL);
        snprintf(region->texts[i], sizeof(region->texts[i]), "127.0.0.1:%u",
                 region->processes[i].port);
        region->nodes[i] = (struct evc_node){.text = region->texts[i],
                                             .index = i,
                                             .zone = i < 2 ? 0 : 1,
                                             .address.v4 = {
                                                 .sin_family = AF_INET,
                                                 .sin_port = htons(region->processes[i].port),
                                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                             }};
    }
}

static int
setup(void **state)
{
    const char *addresses[2];

    (void)state;
    region = calloc(1, sizeof(*region));
    start_nodes();
    addresses[0] = region->texts[0];
    addresses[1] = region->texts[1];
    region->zones[0] = (struct evc_zone){.name = "a",
                                         .nodes = region->nodes,
                                         .node_count = 2,
                                         .ring = evc_ring_create(addresses, 2)};
    region->zones[1] = (struct evc_zone){.name = "b", .nodes = &region->nodes[2], .node_count = 1};
    region->topology = (struct evc_topology){
        .zones = region->zones, .zone_count = 2, .node_count = NODES, .refs = 1};
    assert_int_equal(evc_loop_init(&region->loop, NULL), EVC_OK);
    assert_int_equal(evc_engine_create(&region->loop, &region->topology,
                                       &(struct evc_engine_options){.connect_timeout_ms = 1000},
                                       &region->engine, NULL),
                     EVC_OK);
    evc_reader_init(&region->reader, evc_engine_port(region->engine), &region->loop.now,
                    &(struct evc_reader_options){.timeout_us = READ_US});
    region->tick.call = on_tick;
    evc_loop_add_tick(&region->loop, &region->tick);
    run_until(is_ready);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_engine_close(region->engine, on_closed, region);
    run_until(is_closed);
    evc_reader_finish(&region->reader);
    evc_loop_remove_hook(&region->tick);
    evc_loop_finish(&region->loop);
    evc_ring_destroy(region->zones[0].ring);
    for (unsigned i = 0; i < NODES; i++) {
        node_process_kill(&region->processes[i]);
    }
    free(region);
    return 0;
}

/* --- what is asked --- */

static void
on_written(struct evc_node_op *op)
{
    region->pending--;
    region->stored += op->result == EVC_NODE_STORED;
}

/** Every key to both zones. */
static void
write_all(void)
{
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(region->keys[k], sizeof(region->keys[k]), "key%u", k);
        for (uint8_t zone = 0; zone < 2; zone++) {
            region->writes[k][zone] = (struct evc_node_op){
                .verb = EVC_NODE_SET,
                .zone = zone,
                .key = evc_slice_str(region->keys[k]),
                .value = evc_slice_str(region->keys[k]),
                .version = EVC_VERSION_OURS_MIN + k,
                .deadline_us = region->loop.now.mono_us + WRITE_US,
                .on_done = on_written,
            };
            region->pending++;
            evc_node_port_submit(evc_engine_port(region->engine), &region->writes[k][zone]);
        }
    }
    run_until(is_idle);
    assert_int_equal(region->stored, 2 * KEYS);
}

static void
on_read(void *ctx, const struct evc_read_answer *answer)
{
    const char *key = ctx;

    region->pending--;
    if (answer->result == EVC_NODE_HIT) {
        assert_true(evc_slice_equal(answer->reply.value, evc_slice_str(key)));
        region->hits++;
    }
}

static void
read_all(void)
{
    region->hits = 0;
    evc_moment_refresh(&region->loop.now);
    region->pending = KEYS;
    for (unsigned k = 0; k < KEYS; k++) {
        assert_int_equal(evc_read_start(&region->reader, evc_slice_str(region->keys[k]),
                                        EVC_WANT_VALUE, on_read, region->keys[k]),
                         EVC_OK);
    }
    run_until(is_idle);
}

static uint64_t
ops_of(unsigned node)
{
    struct evc_engine_node_stats stats;

    evc_engine_node_stats(region->engine, node, &stats);
    return stats.ops_total;
}

/* --- tests --- */

static void
test_engine__two_nodes_in_a_zone__keys_go_where_the_ring_says(void **state)
{
    uint64_t expected[2] = {0, 0};

    (void)state;
    write_all();
    for (unsigned k = 0; k < KEYS; k++) {
        uint32_t hash = evc_ring_hash(evc_slice_str(region->keys[k]));

        expected[evc_ring_find(region->zones[0].ring, hash)]++;
    }
    assert_true(expected[0] > KEYS / 10 && expected[1] > KEYS / 10);
    assert_int_equal(ops_of(0), expected[0]);
    assert_int_equal(ops_of(1), expected[1]);
    assert_int_equal(ops_of(2), KEYS);
    read_all();
    assert_int_equal(region->hits, KEYS);
    assert_int_equal(ops_of(2), KEYS); /* the local zone had all */
}

static void
test_read__a_node_of_the_local_zone_dies__the_other_zone_answers(void **state)
{
    (void)state;
    write_all();
    node_process_kill(&region->processes[0]);
    read_all();
    assert_int_equal(region->hits, KEYS);
    assert_true(ops_of(2) > KEYS);
}

static void
test_read__a_node_of_the_local_zone_freezes__the_other_zone_answers(void **state)
{
    (void)state;
    write_all();
    node_process_freeze(&region->processes[1]);
    read_all(); /* the frozen node's share of the time passes first */
    assert_int_equal(region->hits, KEYS);
    read_all(); /* now it is known to be silent */
    assert_int_equal(region->hits, KEYS);
    node_process_thaw(&region->processes[1]);
    run_until(is_ready);
}

#define ZONES_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ZONES_TEST(test_engine__two_nodes_in_a_zone__keys_go_where_the_ring_says),
        ZONES_TEST(test_read__a_node_of_the_local_zone_dies__the_other_zone_answers),
        ZONES_TEST(test_read__a_node_of_the_local_zone_freezes__the_other_zone_answers),
    };

    if (node_process_binary() == NULL) {
        return EXIT_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
