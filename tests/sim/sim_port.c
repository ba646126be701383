/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_port.h. A connection that breaks is replaced by a new one; the old one carries its bytes
 * on. */
#include "sim_port.h"

#include <assert.h>
#include <string.h>

#include "sim_memory.h"
#include "sim_world.h"

enum {
    RECONNECT_US_MIN = 500,
    RECONNECT_US_MAX = 60 * 1000,
    BYTES_KEPT_CHANCE = 700, /* a broken connection's bytes that reach the node all the same */
};

enum conn_state {
    CONN_DOWN,
    CONN_UP,
    CONN_SILENT, /* an answer is overdue */
};

struct sim_conn {
    struct evc_list link; /* the world's */
    struct sim_world *world;
    struct sim_process *process; /* NULL: broken, or its process is dead */
    struct sim_node *node;
    const char *by;
    enum conn_state state;
    uint64_t arrives_us; /* nothing sent later may arrive before */
    uint64_t answers_us;
    struct evc_list requests; /* sent and not answered */
};

/* --- requests --- */

static struct sim_request *
request_create(struct sim_conn *conn, struct evc_node_op *op)
{
    struct sim_request *request = sim_keep_alloc(sizeof(*request));

    assert(op->value.len <= SIM_VALUE_MAX);
    request->id = ++conn->world->request_ids;
    request->conn = conn;
    request->op = op;
    request->command = (struct sim_command){
        .verb = op->verb,
        .key = sim_world_key_index(op->key),
        .client_flags = op->client_flags,
        .ttl_s = op->ttl_s,
        .version = op->version,
        .seen = op->seen,
        .value_len = op->verb == EVC_NODE_GET ? 0 : op->value.len,
    };
    if (request->command.value_len > 0) {
        memcpy(request->command.value, op->value.ptr, op->value.len);
    }
    evc_list_push_back(&conn->world->requests, &request->link);
    evc_list_push_back(&conn->requests, &request->conn_link);
    evc_list_init(&request->wait_link);
    return request;
}

static void
request_free(struct sim_request *request)
{
    evc_list_remove(&request->link);
    evc_list_remove(&request->conn_link);
    evc_list_remove(&request->wait_link);
    sim_keep_free(request);
}

static struct sim_request *
request_find(struct sim_conn *conn, uint64_t id)
{
    struct evc_list *link = conn->requests.next;

    while (link != &conn->requests) {
        struct sim_request *request = EVC_CONTAINER_OF(link, struct sim_request, conn_link);

        if (request->id == id) {
            return request;
        }
        link = link->next;
    }
    return NULL;
}

/** Ends the operation in its process; everything of the process may happen in here. */
static void
end_op(struct sim_process *process, struct evc_node_op *op, enum evc_node_result result,
       const struct evc_node_reply *reply)
{
    sim_process_enter(process);
    op->result = result;
    op->reply = reply ? *reply : (struct evc_node_reply){0};
    op->on_done(op);
    sim_process_leave(process);
}

/* --- connections --- */

static bool
node_answers(const struct sim_conn *conn)
{
    return conn->node->state == SIM_NODE_UP;
}

static void
on_reconnect(void *ctx, uint64_t arg)
{
    struct sim_conn *conn = ctx;
    struct sim_world *world = conn->world;

    (void)arg;
    if (!conn->process) {
        return;
    }
    if (node_answers(conn)) {
        conn->state = CONN_UP;
    } else {
        sim_time_after(&world->time,
                       sim_random_spread(&world->random, RECONNECT_US_MIN, RECONNECT_US_MAX),
                       on_reconnect, conn, 0);
    }
}

static struct sim_conn *
conn_create(struct sim_process *process, struct sim_node *node)
{
    struct sim_conn *conn = sim_keep_alloc(sizeof(*conn));

    conn->world = process->world;
    conn->process = process;
    conn->node = node;
    conn->by = process->name;
    evc_list_init(&conn->requests);
    evc_list_push_back(&process->world->conns, &conn->link);
    return conn;
}

/** Of what has not arrived yet a prefix still will; nobody will hear the answers. */
static void
conn_abandon(struct sim_conn *conn, struct evc_list *ret_ops)
{
    struct sim_random *random = &conn->world->random;
    bool is_lost = false;

    conn->process = NULL;
    for (struct evc_list *link = conn->requests.next; link != &conn->requests; link = link->next) {
        struct sim_request *request = EVC_CONTAINER_OF(link, struct sim_request, conn_link);

        if (request->op && ret_ops) {
            evc_list_push_back(ret_ops, &request->op->link);
        }
        request->op = NULL;
        is_lost = is_lost || !sim_random_chance(random, BYTES_KEPT_CHANCE);
        request->is_lost = is_lost && !request->has_arrived;
    }
}

static void
conn_break(struct sim_conn *conn)
{
    struct sim_process *process = conn->process;
    struct sim_conn **slot = &process->port.conns[conn->node->zone][conn->node->index];
    struct evc_list ops, *link;

    assert(*slot == conn);
    evc_list_init(&ops);
    sim_world_say(conn->world, "%s: connection to z%u n%u breaks", conn->by, conn->node->zone,
                  conn->node->index);
    conn_abandon(conn, &ops);
    *slot = conn_create(process, conn->node);
    sim_time_after(&conn->world->time,
                   sim_random_spread(&conn->world->random, RECONNECT_US_MIN, RECONNECT_US_MAX),
                   on_reconnect, *slot, 0);
    while ((link = evc_list_pop_front(&ops))) {
        end_op(process, EVC_CONTAINER_OF(link, struct evc_node_op, link), EVC_NODE_UNKNOWN, NULL);
    }
}

static void
on_broken(void *ctx, uint64_t arg)
{
    struct sim_conn *conn = ctx;

    (void)arg;
    if (conn->process) {
        conn_break(conn);
    }
}

/* --- the way of a request --- */

static void
on_answered(void *ctx, uint64_t id)
{
    struct sim_conn *conn = ctx;
    struct sim_request *request = request_find(conn, id);
    struct sim_process *process = conn->process;
    struct evc_node_op *op = request->op;
    struct sim_answer answer = request->answer;

    request_free(request);
    if (!process) {
        return;
    }
    conn->state = CONN_UP;
    if (op) {
        answer.reply.value.ptr = answer.bytes;
        end_op(process, op, answer.result, &answer.reply);
    }
}

void
sim_request_arrive(struct sim_request *request)
{
    struct sim_conn *conn = request->conn;
    struct sim_node *node = conn->node;
    struct sim_world *world = conn->world;

    if (request->is_lost || node->state == SIM_NODE_DEAD) {
        bool breaks = !request->is_lost && conn->process;

        request->is_lost = true;
        if (breaks) {
            conn_break(conn);
        }
        request_free(request);
        return;
    }
    request->has_arrived = true;
    if (node->state == SIM_NODE_FROZEN) {
        evc_list_push_back(&node->waiting, &request->wait_link);
        return;
    }
    sim_node_execute(node, &request->command, conn->by, &request->answer);
    conn->answers_us += 1;
    if (conn->answers_us < world->time.now_us) {
        conn->answers_us = world->time.now_us;
    }
    conn->answers_us += sim_random_spread(&world->random, 10, world->plan.latency_us);
    sim_time_after(&world->time, conn->answers_us - world->time.now_us, on_answered, conn,
                   request->id);
}

static void
on_arrival(void *ctx, uint64_t id)
{
    sim_request_arrive(request_find(ctx, id));
}

static void
on_deadline(void *ctx, uint64_t id)
{
    struct sim_conn *conn = ctx;
    struct sim_request *request = request_find(conn, id);

    if (request && request->op) {
        struct evc_node_op *op = request->op;

        request->op = NULL;
        conn->state = CONN_SILENT;
        sim_world_say(conn->world, "%s: z%u n%u does not answer in time", conn->by,
                      conn->node->zone, conn->node->index);
        end_op(conn->process, op, EVC_NODE_UNKNOWN, NULL);
    }
}

static void
conn_send(struct sim_conn *conn, struct evc_node_op *op)
{
    struct sim_world *world = conn->world;
    struct sim_random *random = &world->random;
    struct sim_request *request = request_create(conn, op);
    uint64_t now_us = world->time.now_us;
    uint64_t arrives_us = now_us + sim_random_spread(random, 10, world->plan.latency_us);
    uint64_t mono_us = conn->process->moment.mono_us;

    conn->arrives_us = arrives_us > conn->arrives_us ? arrives_us : conn->arrives_us + 1;
    sim_time_after(&world->time, conn->arrives_us - now_us, on_arrival, conn, request->id);
    sim_time_after(&world->time, op->deadline_us > mono_us ? op->deadline_us - mono_us : 0,
                   on_deadline, conn, request->id);
    if (now_us < world->plan.faults_until_us &&
        sim_random_chance(random, world->plan.request_lost_chance)) {
        sim_time_after(&world->time, sim_random_below(random, 2 * world->plan.latency_us),
                       on_broken, conn, 0);
    }
}

static bool
is_refused(const struct sim_conn *conn)
{
    struct sim_world *world = conn->world;

    return conn->state != CONN_UP ||
           (world->time.now_us < world->plan.faults_until_us &&
            sim_random_chance(&world->random, world->plan.request_refused_chance));
}

static void
submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct sim_process *process = EVC_CONTAINER_OF(port, struct sim_port, port)->process;
    struct sim_node *node =
        sim_world_node(process->world, process->region, op->zone, sim_world_key_index(op->key));
    struct sim_conn *conn = process->port.conns[node->zone][node->index];

    assert(process->is_alive && op->zone < port->zone_count);
    if (op->verb != EVC_NODE_GET) {
        sim_journal_note_command(process, sim_world_key_index(op->key), op->version);
    }
    if (is_refused(conn)) {
        op->result = EVC_NODE_REFUSED;
        op->reply = (struct evc_node_reply){0};
        op->on_done(op);
    } else {
        conn_send(conn, op);
    }
}

/* --- life --- */

void
sim_port_init(struct sim_port *port, struct sim_process *process)
{
    struct sim_world *world = process->world;
    unsigned filling = world->plan.filling >> process->region & 1;
    unsigned readable = world->plan.zone_count - filling;

    *port = (struct sim_port){
        .port =
            {
                .submit = submit,
                .zone_count = world->plan.zone_count,
                .local_zone = (unsigned)sim_random_below(&world->random, readable),
                .write_only_count = filling,
            },
        .process = process,
    };
    for (unsigned zone = 0; zone < world->plan.zone_count; zone++) {
        for (unsigned index = 0; index < world->plan.nodes_per_zone; index++) {
            struct sim_node *node = &world->regions[process->region].nodes[zone][index];

            port->conns[zone][index] = conn_create(process, node);
            on_reconnect(port->conns[zone][index], 0);
        }
    }
}

void
sim_port_orphan(struct sim_port *port)
{
    for (unsigned zone = 0; zone < SIM_ZONE_MAX; zone++) {
        for (unsigned index = 0; index < SIM_NODES_PER_ZONE_MAX; index++) {
            if (port->conns[zone][index]) {
                conn_abandon(port->conns[zone][index], NULL);
                port->conns[zone][index] = NULL;
            }
        }
    }
}

void
sim_port_break_node(struct sim_node *node)
{
    struct evc_list *conns = &node->world->conns;

    for (struct evc_list *link = conns->next; link != conns; link = link->next) {
        struct sim_conn *conn = EVC_CONTAINER_OF(link, struct sim_conn, link);

        if (conn->node == node && conn->process && conn->state != CONN_DOWN) {
            conn_break(conn); /* its successor is down, so the loop passes it by */
        }
    }
}

void
sim_port_free_all(struct sim_world *world)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(&world->requests))) {
        sim_keep_free(EVC_CONTAINER_OF(link, struct sim_request, link));
    }
    while ((link = evc_list_pop_front(&world->conns))) {
        sim_keep_free(EVC_CONTAINER_OF(link, struct sim_conn, link));
    }
}
