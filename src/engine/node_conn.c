/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See node_conn.h and the drawing in engine.h. Whenever somebody is called (on_done, on_node_state)
 * anything may have happened when it returns: more was submitted, the ring moved, the engine was
 * closed. So each loop looks at the state again and holds no pointer into the ring across a call.
 */
#include "engine/node_conn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prefetch.h"

enum {
    /* The largest item a node can have, its line, and what one read may bring behind it. */
    INPUT_BYTES_MAX = EVC_VALUE_LEN_MAX + 2 * EVC_LOOP_READ_BYTES,
    /* What may be waiting, and one more operation with the largest value and its line. */
    OUTPUT_BYTES_MAX = EVC_ENGINE_NODE_OUTPUT_BYTES_MAX + EVC_VALUE_LEN_MAX + 4096,
};

/* --- the state --- */

static const char *const state_names[EVC_NODE_STATE_MAX] = {
    [EVC_NODE_STATE_DOWN] = "down",         [EVC_NODE_STATE_CONNECTING] = "connecting",
    [EVC_NODE_STATE_CHECKING] = "checking", [EVC_NODE_STATE_UP] = "up",
    [EVC_NODE_STATE_SILENT] = "silent",     [EVC_NODE_STATE_UNFIT] = "unfit",
};

#define BIT(state) (1U << EVC_NODE_STATE_##state)

/** Which states may follow which; a bit per state. */
static const unsigned allowed[EVC_NODE_STATE_MAX] = {
    [EVC_NODE_STATE_DOWN] = BIT(CONNECTING),
    [EVC_NODE_STATE_CONNECTING] = BIT(CHECKING) | BIT(DOWN),
    [EVC_NODE_STATE_CHECKING] = BIT(UP) | BIT(UNFIT) | BIT(DOWN),
    [EVC_NODE_STATE_UP] = BIT(SILENT) | BIT(DOWN),
    [EVC_NODE_STATE_SILENT] = BIT(UP) | BIT(DOWN),
    [EVC_NODE_STATE_UNFIT] = BIT(CONNECTING),
};

const char *
evc_node_state_str(enum evc_node_state state)
{
    return (unsigned)state < EVC_NODE_STATE_MAX ? state_names[state] : "unknown";
}

bool
evc_node_state_allowed(enum evc_node_state from, enum evc_node_state to)
{
    return (unsigned)from < EVC_NODE_STATE_MAX && (unsigned)to < EVC_NODE_STATE_MAX &&
           (allowed[from] >> to & 1U) != 0;
}

static bool
is_failed(enum evc_node_state state)
{
    return state == EVC_NODE_STATE_DOWN || state == EVC_NODE_STATE_UNFIT;
}

/** Attempts in a row that fail for one reason are told once. */
static bool
is_news(const struct evc_node_conn *conn, enum evc_node_state state, const char *why)
{
    bool is_trying = state == EVC_NODE_STATE_CONNECTING || state == EVC_NODE_STATE_CHECKING;

    if (conn->shared->is_closing || conn->shared->options.on_node_state == NULL) {
        return false;
    }
    if (!is_failed(conn->told_state) || conn->why[0] == '\0') {
        return true;
    }
    return !is_trying && (state != conn->told_state || strcmp(conn->why, why) != 0);
}

/** why: NULL for states that need no reason. */
static void
set_state(struct evc_node_conn *conn, enum evc_node_state state, const char *why)
{
    const struct evc_engine_options *options = &conn->shared->options;
    char reason[sizeof(conn->why)];
    bool is_told;

    assert(evc_node_state_allowed(conn->state, state));
    snprintf(reason, sizeof(reason), "%s", why != NULL ? why : "");
    is_told = is_news(conn, state, reason);
    conn->state = state;
    if (why != NULL) {
        memcpy(conn->why, reason, sizeof(reason));
    }
    if (is_told) {
        conn->told_state = state;
        options->on_node_state(options->ctx, conn->node, state, why != NULL ? conn->why : NULL);
    }
}

/* --- operations end --- */

static void
refuse_now(struct evc_engine_shared *shared, struct evc_node_op *op)
{
    op->result = EVC_NODE_REFUSED;
    op->reply = (struct evc_node_reply){.ttl_s = 0};
    op->executor = NULL;
    shared->refusals_nested++;
    op->on_done(op);
    shared->refusals_nested--;
}

void
evc_engine_refuse(struct evc_engine_shared *shared, struct evc_node_op *op)
{
    if (shared->refusals_nested < EVC_ENGINE_REFUSALS_NESTED_MAX) {
        refuse_now(shared, op);
    } else {
        evc_list_push_back(&shared->refused_later, &op->link);
    }
}

static void
end_unknown(struct evc_node_conn *conn, struct evc_node_op *op)
{
    conn->unknown_total++;
    op->result = EVC_NODE_UNKNOWN;
    op->reply = (struct evc_node_reply){.ttl_s = 0};
    op->executor = NULL;
    op->on_done(op);
}

static struct evc_node_slot *
slot_at(const struct evc_node_conn *conn, uint64_t position)
{
    return &conn->slots[position & (conn->slot_count - 1)];
}

/**
 * The connection is lost. What was still in our buffer was certainly never sent; anything else may
 * have had effect.
 */
static void
end_all(struct evc_node_conn *conn)
{
    uint64_t handed = conn->stream.bytes_handed;

    while (conn->head != conn->tail) {
        struct evc_node_slot slot = *slot_at(conn, conn->head++);

        if (slot.op == NULL) {
            continue;
        }
        evc_list_remove(&slot.op->link);
        if (slot.start >= handed) {
            conn->refused_total++;
            evc_engine_refuse(conn->shared, slot.op);
        } else {
            end_unknown(conn, slot.op);
        }
    }
}

/** Down (or unfit), everything on its way ends, and back-off begins. */
static void
fall(struct evc_node_conn *conn, enum evc_node_state state, const char *why)
{
    uint64_t wait_us = (uint64_t)evc_backoff_next_ms(&conn->backoff) * 1000;

    conn->due_us = conn->shared->loop->now.mono_us + wait_us;
    evc_stream_close(&conn->stream, 0);
    set_state(conn, state, why);
    end_all(conn);
}

__attribute__((format(printf, 2, 3))) static void
fall_down(struct evc_node_conn *conn, const char *format, ...)
{
    char cause[96];
    char why[sizeof(conn->why)];
    va_list args;

    va_start(args, format);
    vsnprintf(cause, sizeof(cause), format, args);
    va_end(args);
    snprintf(why, sizeof(why), "%s: %s", conn->node->text, cause);
    fall(conn, EVC_NODE_STATE_DOWN, why);
}

void
evc_node_conn_give_up(struct evc_node_op *op)
{
    struct evc_node_slot *slot = op->executor;
    struct evc_node_conn *conn = slot->conn;

    assert(slot->op == op);
    slot->op = NULL;
    if (conn->state == EVC_NODE_STATE_UP && slot_at(conn, conn->head)->op == NULL) {
        char why[sizeof(conn->why)];

        snprintf(why, sizeof(why), "%s: an answer is overdue", conn->node->text);
        set_state(conn, EVC_NODE_STATE_SILENT, why);
    }
    end_unknown(conn, op);
}

/* --- operations begin --- */

/** The ring doubles; whoever knows its slot is told the new one. */
static bool
grow_slots(struct evc_node_conn *conn)
{
    uint32_t count = conn->slot_count > 0 ? conn->slot_count * 2 : EVC_NODE_CONN_SLOTS_FIRST;
    struct evc_node_slot *slots;

    if (count > EVC_ENGINE_NODE_OPS_MAX) {
        return false;
    }
    slots = malloc(count * sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (uint64_t position = conn->head; position != conn->tail; position++) {
        struct evc_node_slot *slot = &slots[position & (count - 1)];

        *slot = *slot_at(conn, position);
        if (slot->op != NULL) {
            slot->op->executor = slot;
        }
    }
    free(conn->slots);
    conn->slots = slots;
    conn->slot_count = count;
    return true;
}

static bool
has_room(struct evc_node_conn *conn)
{
    return evc_stream_output_waiting(&conn->stream) < EVC_ENGINE_NODE_OUTPUT_BYTES_MAX &&
           (conn->tail - conn->head < conn->slot_count || grow_slots(conn));
}

void
evc_node_conn_submit(struct evc_node_conn *conn, struct evc_node_op *op)
{
    struct evc_stream *stream = &conn->stream;
    uint64_t now_us = conn->shared->loop->now.mono_us;
    struct evc_buf *output = evc_stream_output(stream);
    struct evc_node_slot *slot;
    uint64_t start;

    conn->ops_total++;
    if (conn->state != EVC_NODE_STATE_UP || stream->state != EVC_STREAM_OPEN ||
        op->deadline_us <= now_us || !has_room(conn)) {
        conn->refused_total++;
        evc_engine_refuse(conn->shared, op);
        return;
    }
    start = stream->bytes_handed + evc_buf_len(output);
    if (evc_node_op_compose(op, output) != EVC_OK) {
        conn->refused_total++;
        evc_engine_refuse(conn->shared, op);
        return;
    }
    slot = slot_at(conn, conn->tail++);
    *slot = (struct evc_node_slot){.op = op, .conn = conn, .start = start};
    op->executor = slot;
    op->sent_us = now_us;
    evc_wheel_add(&conn->shared->wheel, &op->link, op->deadline_us);
    evc_stream_flush_later(stream);
}

/* --- answers --- */

/** One answer, of the oldest request. False: out of step or gone, nothing more can be read. */
static bool
on_answer(struct evc_node_conn *conn, enum evc_node_result result,
          const struct evc_node_reply *reply)
{
    struct evc_node_op *op = slot_at(conn, conn->head++)->op;

    /* Answers come in the order of requests, so this one is next but one, if it is there at all. */
    evc_prefetch(slot_at(conn, conn->head + 1)->op, sizeof(*op));
    if (conn->state == EVC_NODE_STATE_SILENT) {
        set_state(conn, EVC_NODE_STATE_UP, NULL);
    }
    if (op != NULL) {
        evc_list_remove(&op->link);
        conn->errors_total += result == EVC_NODE_ERROR;
        evc_latency_record(&conn->answers, conn->shared->loop->now.mono_us - op->sent_us);
        op->result = result;
        op->reply = *reply;
        op->executor = NULL;
        op->on_done(op);
    }
    return conn->stream.state == EVC_STREAM_OPEN;
}

static size_t
take_answers(struct evc_node_conn *conn, const char *data, size_t len)
{
    size_t used = 0;

    while (used < len) {
        struct evc_slice input = {.ptr = data + used, .len = len - used};
        struct evc_node_reply reply;
        enum evc_node_result result;
        const struct evc_node_op *op;
        size_t reply_len = 0;
        int status;

        if (conn->head == conn->tail) {
            fall_down(conn, "the node sent what nobody asked for");
            return len;
        }
        op = slot_at(conn, conn->head)->op;
        status = evc_node_reply_parse(&conn->parse, op != NULL ? op->verb : EVC_NODE_GET, input,
                                      &reply_len, &result, &reply);
        if (status == EVC_E_AGAIN) {
            break;
        }
        if (status != EVC_OK) {
            fall_down(conn, "what the node answers is not the meta protocol");
            return len;
        }
        assert(reply_len > 0 && reply_len <= input.len);
        if (op != NULL && !evc_node_reply_answers(op, result, &reply)) {
            fall_down(conn, "what the node answers is not what it was asked");
            return len;
        }
        used += reply_len;
        if (!on_answer(conn, result, &reply)) {
            return len;
        }
    }
    return used;
}

/* --- the half-open probe --- */

static void
start_check(struct evc_node_conn *conn)
{
    uint64_t timeout_us = (uint64_t)conn->shared->options.connect_timeout_ms * 1000;

    conn->due_us = conn->shared->loop->now.mono_us + timeout_us;
    conn->check = (struct evc_node_check){.has_version = false};
    set_state(conn, EVC_NODE_STATE_CHECKING, NULL);
    if (conn->state != EVC_NODE_STATE_CHECKING) {
        return;
    }
    if (evc_node_check_compose(evc_stream_output(&conn->stream)) != EVC_OK) {
        fall_down(conn, "out of memory");
        return;
    }
    evc_stream_flush_later(&conn->stream);
}

static bool
is_new_enough(const struct evc_node_check *check)
{
    if (check->major != EVC_NODE_VERSION_MAJOR_MIN) {
        return check->major > EVC_NODE_VERSION_MAJOR_MIN;
    }
    if (check->minor != EVC_NODE_VERSION_MINOR_MIN) {
        return check->minor > EVC_NODE_VERSION_MINOR_MIN;
    }
    return check->patch >= EVC_NODE_VERSION_PATCH_MIN;
}

/** All is known: the node is fit, or unfit by name. */
static void
end_check(struct evc_node_conn *conn)
{
    const struct evc_node_check *check = &conn->check;
    char why[sizeof(conn->why)];

    if (!is_new_enough(check)) {
        snprintf(why, sizeof(why), "%s runs memcached %u.%u.%u, evcache needs %d.%d.%d or newer",
                 conn->node->text, check->major, check->minor, check->patch,
                 EVC_NODE_VERSION_MAJOR_MIN, EVC_NODE_VERSION_MINOR_MIN,
                 EVC_NODE_VERSION_PATCH_MIN);
        fall(conn, EVC_NODE_STATE_UNFIT, why);
    } else if (!check->cas_enabled) {
        snprintf(why, sizeof(why), "%s runs with CAS disabled (-C), which evcache needs",
                 conn->node->text);
        fall(conn, EVC_NODE_STATE_UNFIT, why);
    } else {
        evc_backoff_reset(&conn->backoff);
        conn->connects_total++;
        set_state(conn, EVC_NODE_STATE_UP, NULL);
    }
}

static size_t
take_check(struct evc_node_conn *conn, const char *data, size_t len)
{
    size_t used = 0;
    int status =
        evc_node_check_parse(&conn->check, (struct evc_slice){.ptr = data, .len = len}, &used);

    assert(used <= len);
    if (status == EVC_OK && used < len) {
        fall_down(conn, "the node sent what nobody asked for"); /* no answer to the first request */
        return len;
    }
    if (status == EVC_OK) {
        end_check(conn);
    } else if (status != EVC_E_AGAIN) {
        fall_down(conn, "what answers is no memcached");
    }
    return used;
}

/* --- the connection --- */

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_node_conn *conn = EVC_CONTAINER_OF(stream, struct evc_node_conn, stream);

    if (conn->state == EVC_NODE_STATE_CHECKING) {
        return take_check(conn, data, len);
    }
    return take_answers(conn, data, len);
}

static void
on_connected(struct evc_stream *stream, int status)
{
    struct evc_node_conn *conn = EVC_CONTAINER_OF(stream, struct evc_node_conn, stream);

    if (conn->state != EVC_NODE_STATE_CONNECTING) {
        return; /* given up meanwhile */
    }
    if (status < 0) {
        fall_down(conn, "%s", uv_strerror(status));
    } else {
        start_check(conn);
    }
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_node_conn *conn = EVC_CONTAINER_OF(stream, struct evc_node_conn, stream);

    conn->bytes_in += stream->bytes_in;
    conn->bytes_out += stream->bytes_out;
    if (!is_failed(conn->state)) { /* else we closed it ourselves, and why is known */
        fall_down(conn, "%s",
                  reason == UV_EOF ? "the node closed the connection" : uv_strerror(reason));
    }
}

static const struct evc_stream_handler stream_handler = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_closed = on_closed,
};

static void
connect_now(struct evc_node_conn *conn)
{
    struct evc_loop *loop = conn->shared->loop;

    conn->due_us = loop->now.mono_us + (uint64_t)conn->shared->options.connect_timeout_ms * 1000;
    conn->parse = (struct evc_node_parse){.scanned = 0};
    set_state(conn, EVC_NODE_STATE_CONNECTING, NULL);
    if (conn->state != EVC_NODE_STATE_CONNECTING) {
        return; /* the engine was closed by who was told */
    }
    if (evc_stream_connect(&conn->stream, loop, (const struct sockaddr *)&conn->node->address,
                           INPUT_BYTES_MAX, OUTPUT_BYTES_MAX, &stream_handler) != EVC_OK) {
        fall_down(conn, "no socket could be made");
    }
}

void
evc_node_conn_on_tick(struct evc_node_conn *conn)
{
    unsigned timeout_ms = conn->shared->options.connect_timeout_ms;

    if (conn->shared->is_closing || conn->shared->loop->now.mono_us < conn->due_us) {
        return;
    }
    switch (conn->state) {
    case EVC_NODE_STATE_DOWN:
    case EVC_NODE_STATE_UNFIT:
        if (conn->stream.state == EVC_STREAM_CLOSED) {
            connect_now(conn);
        }
        break;
    case EVC_NODE_STATE_CONNECTING:
        fall_down(conn, "no connection within %u ms", timeout_ms);
        break;
    case EVC_NODE_STATE_CHECKING:
        fall_down(conn, "connected, but silent for %u ms", timeout_ms);
        break;
    case EVC_NODE_STATE_UP:
    case EVC_NODE_STATE_SILENT:
    case EVC_NODE_STATE_MAX:
        break;
    }
}

/* --- from start to end --- */

void
evc_node_conn_init(struct evc_node_conn *conn, struct evc_engine_shared *shared,
                   const struct evc_node *node)
{
    *conn = (struct evc_node_conn){.shared = shared, .node = node};
    evc_backoff_init(&conn->backoff, EVC_NODE_CONN_BACKOFF_MIN_MS, EVC_NODE_CONN_BACKOFF_MAX_MS,
                     evc_clock_mono_us() + node->index);
}

void
evc_node_conn_close(struct evc_node_conn *conn)
{
    assert(conn->shared->is_closing);
    if (!is_failed(conn->state)) {
        fall_down(conn, "closed here");
    }
}

bool
evc_node_conn_is_closed(const struct evc_node_conn *conn)
{
    return conn->stream.state == EVC_STREAM_CLOSED;
}

void
evc_node_conn_finish(struct evc_node_conn *conn)
{
    assert(evc_node_conn_is_closed(conn) && conn->head == conn->tail);
    free(conn->slots);
    conn->slots = NULL;
}

void
evc_node_conn_stats(const struct evc_node_conn *conn, struct evc_engine_node_stats *ret)
{
    bool is_open = conn->stream.state != EVC_STREAM_CLOSED;

    *ret = (struct evc_engine_node_stats){
        .state = conn->state,
        .ops_total = conn->ops_total,
        .refused_total = conn->refused_total,
        .unknown_total = conn->unknown_total,
        .errors_total = conn->errors_total,
        .reconnects_total = conn->connects_total > 0 ? conn->connects_total - 1 : 0,
        .in_flight = conn->tail - conn->head,
        .bytes_in = conn->bytes_in + (is_open ? conn->stream.bytes_in : 0),
        .bytes_out = conn->bytes_out + (is_open ? conn->stream.bytes_out : 0),
        .answers = conn->answers,
    };
    memcpy(ret->why, conn->why, sizeof(ret->why));
}
