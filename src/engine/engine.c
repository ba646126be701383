/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See engine.h. Here: which node an operation goes to, the tick that drives deadlines and
 * reconnects, and the end. What happens on one connection is in node_conn.c.
 */
#include "engine/engine.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/node_conn.h"

enum {
    /* A tick that comes later than this after the last one finds answers that nobody had time to
     * read; they are read before deadlines count. */
    TICK_LATE_US = 3 * EVC_LOOP_TICK_MS * 1000,
};

struct evc_engine {
    struct evc_node_port port;
    struct evc_engine_shared shared;
    struct evc_topology *topology;
    struct evc_node_conn *conns; /* by node index */
    struct evc_loop_hook tick;
    uint64_t tick_us;
    bool has_waited; /* the last tick was late and left deadlines alone */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* --- which node --- */

static void
submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct evc_engine *engine = EVC_CONTAINER_OF(port, struct evc_engine, port);
    const struct evc_zone *zone;
    unsigned node = 0;

    assert(op->zone < engine->topology->zone_count);
    assert(op->key.len > 0 && op->key.len <= EVC_KEY_LEN_MAX && op->on_done != NULL);
    zone = &engine->topology->zones[op->zone];
    if (zone->node_count > 1) {
        node = evc_ring_find(zone->ring, evc_ring_hash(op->key));
    }
    evc_node_conn_submit(&engine->conns[zone->nodes[node].index], op);
}

/* --- the tick --- */

static void
expire(struct evc_engine *engine, uint64_t now_us)
{
    struct evc_list due;
    struct evc_list *link;

    evc_wheel_take_due(&engine->shared.wheel, now_us, &due);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        struct evc_node_op *op = EVC_CONTAINER_OF(link, struct evc_node_op, link);

        if (op->deadline_us > now_us) {
            evc_wheel_add(&engine->shared.wheel, link, op->deadline_us);
        } else {
            evc_node_conn_give_up(op);
        }
    }
}

/** Deadlines that passed while the loop did something long wait for one look at the sockets. */
static bool
is_time_to_expire(struct evc_engine *engine, uint64_t now_us)
{
    engine->has_waited = !engine->has_waited && now_us - engine->tick_us > TICK_LATE_US;
    engine->tick_us = now_us;
    return !engine->has_waited;
}

/** Those that were refused too deep in a row of refusals; what they submit waits a tick again. */
static void
refuse_waiting(struct evc_engine *engine)
{
    struct evc_list waiting;
    struct evc_list *link;

    evc_list_init(&waiting);
    while ((link = evc_list_pop_front(&engine->shared.refused_later)) != NULL) {
        evc_list_push_back(&waiting, link);
    }
    while ((link = evc_list_pop_front(&waiting)) != NULL) {
        evc_engine_refuse(&engine->shared, EVC_CONTAINER_OF(link, struct evc_node_op, link));
    }
}

static bool
is_closed(const struct evc_engine *engine)
{
    for (unsigned i = 0; i < engine->topology->node_count; i++) {
        if (!evc_node_conn_is_closed(&engine->conns[i])) {
            return false;
        }
    }
    return engine->shared.is_closing && evc_list_is_empty(&engine->shared.refused_later);
}

static void
destroy(struct evc_engine *engine)
{
    for (unsigned i = 0; i < engine->topology->node_count; i++) {
        evc_node_conn_finish(&engine->conns[i]);
    }
    free(engine->conns);
    evc_topology_unref(engine->topology);
    free(engine);
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct evc_engine *engine = EVC_CONTAINER_OF(hook, struct evc_engine, tick);
    uint64_t now_us = engine->shared.loop->now.mono_us;

    if (is_time_to_expire(engine, now_us)) {
        expire(engine, now_us);
    }
    for (unsigned i = 0; i < engine->topology->node_count; i++) {
        evc_node_conn_on_tick(&engine->conns[i]);
    }
    refuse_waiting(engine);
    if (is_closed(engine)) {
        void (*on_closed)(void *ctx) = engine->on_closed;
        void *ctx = engine->on_closed_ctx;

        evc_loop_remove_hook(hook);
        destroy(engine);
        if (on_closed != NULL) {
            on_closed(ctx);
        }
    }
}

/* --- from start to end --- */

static void
init_conns(struct evc_engine *engine)
{
    const struct evc_topology *topology = engine->topology;

    for (unsigned z = 0; z < topology->zone_count; z++) {
        const struct evc_zone *zone = &topology->zones[z];

        for (unsigned n = 0; n < zone->node_count; n++) {
            const struct evc_node *node = &zone->nodes[n];

            assert(node->index < topology->node_count);
            evc_node_conn_init(&engine->conns[node->index], &engine->shared, node);
        }
    }
}

int
evc_engine_create(struct evc_loop *loop, struct evc_topology *topology,
                  const struct evc_engine_options *options, struct evc_engine **ret,
                  struct evc_error *error)
{
    struct evc_engine *engine = calloc(1, sizeof(*engine));

    assert(topology->zone_count > 0 && topology->zone_count <= EVC_ZONE_MAX);
    if (engine == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    engine->conns = calloc(topology->node_count, sizeof(*engine->conns));
    if (engine->conns == NULL) {
        free(engine);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    engine->port = (struct evc_node_port){
        .submit = submit,
        .zone_count = topology->zone_count,
        .local_zone = topology->local_zone,
        .write_only_count = topology->write_only_count,
    };
    engine->shared.loop = loop;
    engine->shared.options = *options;
    engine->topology = evc_topology_ref(topology);
    evc_moment_refresh(&loop->now); /* the loop may not have run for long, or at all */
    evc_wheel_init(&engine->shared.wheel, loop->now.mono_us);
    evc_list_init(&engine->shared.refused_later);
    engine->tick_us = loop->now.mono_us;
    engine->tick.call = on_tick;
    init_conns(engine);
    evc_loop_add_tick(loop, &engine->tick);
    *ret = engine;
    return EVC_OK;
}

void
evc_engine_close(struct evc_engine *engine, void (*on_closed)(void *ctx), void *ctx)
{
    assert(!engine->shared.is_closing);
    engine->shared.is_closing = true;
    engine->on_closed = on_closed;
    engine->on_closed_ctx = ctx;
    for (unsigned i = 0; i < engine->topology->node_count; i++) {
        evc_node_conn_close(&engine->conns[i]);
    }
}

struct evc_node_port *
evc_engine_port(struct evc_engine *engine)
{
    return &engine->port;
}

void
evc_engine_node_stats(const struct evc_engine *engine, unsigned node,
                      struct evc_engine_node_stats *ret)
{
    assert(node < engine->topology->node_count);
    evc_node_conn_stats(&engine->conns[node], ret);
}

bool
evc_engine_is_ready(const struct evc_engine *engine)
{
    for (unsigned i = 0; i < engine->topology->node_count; i++) {
        if (engine->conns[i].state != EVC_NODE_STATE_UP) {
            return false;
        }
    }
    return true;
}
