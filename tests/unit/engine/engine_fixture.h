/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop and an engine over one zone with one node (a port on loopback), and a way to let the loop
 * run until something is true.
 */
#ifndef EVC_TEST_ENGINE_FIXTURE_H
#define EVC_TEST_ENGINE_FIXTURE_H

#include "engine/engine.h"

enum {
    FIXTURE_CONNECT_TIMEOUT_MS = 300,
    FIXTURE_WAIT_MS_MAX = 8000, /* for what must come */
    FIXTURE_TOLD_MAX = 64,
};

struct engine_fixture {
    struct evc_loop loop;
    struct evc_node node;
    struct evc_zone zone;
    struct evc_topology topology;
    struct evc_engine *engine; /* NULL once closed */
    struct evc_node_port *port;
    char node_text[32];
    /* what on_node_state was told */
    enum evc_node_state told[FIXTURE_TOLD_MAX];
    char told_why[FIXTURE_TOLD_MAX][128];
    unsigned told_count;
    /* running */
    struct evc_loop_hook tick;
    bool (*until)(void *ctx);
    void *until_ctx;
    uint64_t until_us;
    bool is_met;
};

/** Engine and loop for the node at 127.0.0.1:port; not connected yet. */
void fixture_start(struct engine_fixture *fixture, uint16_t port);

/** Closes what is left, finishes the loop. */
void fixture_finish(struct engine_fixture *fixture);

/** Runs the loop until until(ctx), looked at every tick, or for ms. Whether it came true. */
bool fixture_run(struct engine_fixture *fixture, bool (*until)(void *ctx), void *ctx, unsigned ms);

/** Runs the loop for a while. */
void fixture_wait(struct engine_fixture *fixture, unsigned ms);

/** Runs until the node is in this state; fails the test when it does not come to it. */
void fixture_await(struct engine_fixture *fixture, enum evc_node_state state);

struct evc_engine_node_stats fixture_stats(struct engine_fixture *fixture);

/** Closes the engine and runs until that is done. */
void fixture_close_engine(struct engine_fixture *fixture);

#endif
