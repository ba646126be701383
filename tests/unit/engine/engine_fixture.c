/* SPDX-License-Identifier: Apache-2.0 */
/* See engine_fixture.h. */
#include "engine_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
on_node_state(void *ctx, const struct evc_node *node, enum evc_node_state state, const char *why)
{
    struct engine_fixture *fixture = ctx;

    assert_ptr_equal(node, &fixture->node);
    assert_true(fixture->told_count < FIXTURE_TOLD_MAX);
    fixture->told[fixture->told_count] = state;
    snprintf(fixture->told_why[fixture->told_count], sizeof(fixture->told_why[0]), "%s",
             why != NULL ? why : "");
    fixture->told_count++;
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct engine_fixture *fixture = EVC_CONTAINER_OF(hook, struct engine_fixture, tick);

    fixture->is_met = fixture->until != NULL && fixture->until(fixture->until_ctx);
    if (fixture->is_met || evc_clock_mono_us() >= fixture->until_us) {
        evc_loop_stop(&fixture->loop);
    }
}

void
fixture_start(struct engine_fixture *fixture, uint16_t port)
{
    const struct evc_engine_options options = {
        .connect_timeout_ms = FIXTURE_CONNECT_TIMEOUT_MS,
        .on_node_state = on_node_state,
        .ctx = fixture,
    };

    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->node_text, sizeof(fixture->node_text), "127.0.0.1:%u", port);
    fixture->node = (struct evc_node){.text = fixture->node_text};
    fixture->node.address.v4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fixture->zone = (struct evc_zone){.name = "a", .nodes = &fixture->node, .node_count = 1};
    fixture->topology =
        (struct evc_topology){.zones = &fixture->zone, .zone_count = 1, .node_count = 1, .refs = 1};
    fixture->tick.call = on_tick;
    assert_int_equal(evc_loop_init(&fixture->loop, NULL), EVC_OK);
    assert_int_equal(
        evc_engine_create(&fixture->loop, &fixture->topology, &options, &fixture->engine, NULL),
        EVC_OK);
    fixture->port = evc_engine_port(fixture->engine);
}

bool
fixture_run(struct engine_fixture *fixture, bool (*until)(void *ctx), void *ctx, unsigned ms)
{
    fixture->until = until;
    fixture->until_ctx = ctx;
    fixture->until_us = evc_clock_mono_us() + (uint64_t)ms * 1000;
    fixture->is_met = false;
    evc_loop_add_tick(&fixture->loop, &fixture->tick);
    evc_loop_run(&fixture->loop);
    evc_loop_remove_hook(&fixture->tick);
    return fixture->is_met;
}

void
fixture_wait(struct engine_fixture *fixture, unsigned ms)
{
    (void)fixture_run(fixture, NULL, NULL, ms);
}

struct evc_engine_node_stats
fixture_stats(struct engine_fixture *fixture)
{
    struct evc_engine_node_stats stats;

    evc_engine_node_stats(fixture->engine, 0, &stats);
    return stats;
}

struct awaited {
    struct engine_fixture *fixture;
    enum evc_node_state state;
};

static bool
is_in_state(void *ctx)
{
    const struct awaited *awaited = ctx;

    return fixture_stats(awaited->fixture).state == awaited->state;
}

void
fixture_await(struct engine_fixture *fixture, enum evc_node_state state)
{
    struct awaited awaited = {.fixture = fixture, .state = state};

    if (!fixture_run(fixture, is_in_state, &awaited, FIXTURE_WAIT_MS_MAX)) {
        struct evc_engine_node_stats stats = fixture_stats(fixture);

        fail_msg("the node is %s, not %s; last reason: %s", evc_node_state_str(stats.state),
                 evc_node_state_str(state), stats.why);
    }
}

static void
on_closed(void *ctx)
{
    struct engine_fixture *fixture = ctx;

    fixture->engine = NULL;
}

static bool
is_closed(void *ctx)
{
    const struct engine_fixture *fixture = ctx;

    return fixture->engine == NULL;
}

void
fixture_close_engine(struct engine_fixture *fixture)
{
    evc_engine_close(fixture->engine, on_closed, fixture);
    assert_true(fixture_run(fixture, is_closed, fixture, FIXTURE_WAIT_MS_MAX));
    assert_int_equal(fixture->topology.refs, 1);
}

void
fixture_finish(struct engine_fixture *fixture)
{
    if (fixture->engine != NULL) {
        fixture_close_engine(fixture);
    }
    evc_loop_finish(&fixture->loop);
}
