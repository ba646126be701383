/* SPDX-License-Identifier: Apache-2.0 */
/* See exchange.h. */
#include "proxy/exchange.h"

#include <assert.h>
#include <string.h>

#include "proxy/command.h"
#include "proxy/session.h"

#define LINE_NO_MEMORY EVC_SLICE("SERVER_ERROR out of memory writing get response\r\n")
#define LINE_END EVC_SLICE("END\r\n")

struct evc_exchange *
evc_exchange_open(struct evc_session *session, const struct evc_request *request)
{
    struct evc_service *service = session->service;
    struct evc_exchange *exchange = evc_pool_borrow(&service->exchanges_pool);

    if (!exchange) {
        return NULL;
    }
    exchange->service = service;
    exchange->session = session;
    exchange->state = EVC_EXCHANGE_WAITING;
    exchange->command = request->command;
    exchange->decides = false;
    exchange->is_read = false;
    exchange->is_read_again = false;
    exchange->is_silent = false;
    exchange->bars_session = false;
    exchange->is_leased = false;
    exchange->closes_group = false;
    exchange->failure = (struct evc_slice){.ptr = NULL, .len = 0};
    exchange->chunks = NULL;
    exchange->chunks_last = NULL;
    exchange->inline_len = 0;
    evc_list_push_back(&session->exchanges, &exchange->link);
    session->exchange_count++;
    return exchange;
}

static void
drop_chunks(struct evc_exchange *exchange)
{
    while (exchange->chunks) {
        struct evc_chunk *chunk = exchange->chunks;

        exchange->chunks = chunk->next;
        evc_pool_give_back(&exchange->service->chunks_pool, chunk);
    }
    exchange->chunks_last = NULL;
}

static void
give_back(struct evc_exchange *exchange)
{
    drop_chunks(exchange);
    evc_pool_give_back(&exchange->service->exchanges_pool, exchange);
}

void
evc_exchange_keep_key(struct evc_exchange *exchange, struct evc_slice key)
{
    assert(key.len >= 1 && key.len <= EVC_KEY_LEN_MAX);
    memcpy(exchange->key, key.ptr, key.len);
    exchange->key_len = (uint8_t)key.len;
}

void
evc_exchange_decides(struct evc_exchange *exchange, struct evc_slice key)
{
    struct evc_session *session = exchange->session;

    assert(session && !exchange->decides);
    exchange->decides = true;
    exchange->bucket = evc_session_bucket(key);
    session->deciding[exchange->bucket]++;
    session->deciding_count++;
}

static void
decided(struct evc_exchange *exchange)
{
    struct evc_session *session = exchange->session;

    if (exchange->bars_session) {
        exchange->bars_session = false;
        session->is_barred = false;
    }
    if (exchange->decides) {
        exchange->decides = false;
        session->deciding[exchange->bucket]--;
        session->deciding_count--;
    }
}

static size_t
staged_len(const struct evc_exchange *exchange)
{
    size_t len = exchange->inline_len;

    for (const struct evc_chunk *chunk = exchange->chunks; chunk; chunk = chunk->next) {
        len += chunk->len;
    }
    return len;
}

static void
drop_from_session(struct evc_exchange *exchange)
{
    struct evc_session *session = exchange->session;

    evc_list_remove(&exchange->link);
    session->exchange_count--;
    exchange->session = NULL;
}

static bool
stage_chunk(struct evc_exchange *exchange, struct evc_slice bytes)
{
    struct evc_chunk *chunk = evc_pool_borrow(&exchange->service->chunks_pool);

    if (!chunk) {
        return false;
    }
    chunk->next = NULL;
    chunk->len = bytes.len;
    memcpy(chunk->bytes, bytes.ptr, bytes.len);
    if (exchange->chunks_last) {
        exchange->chunks_last->next = chunk;
    } else {
        exchange->chunks = chunk;
    }
    exchange->chunks_last = chunk;
    return true;
}

/** Keeps bytes until the exchange's turn. False without memory: what was kept must be dropped. */
static bool
stage(struct evc_exchange *exchange, struct evc_slice bytes)
{
    if (bytes.len == 0) {
        return true;
    }
    if (bytes.len <= sizeof(exchange->inline_bytes)) {
        memcpy(exchange->inline_bytes, bytes.ptr, bytes.len);
        exchange->inline_len = (uint32_t)bytes.len;
        return true;
    }
    while (bytes.len > 0) {
        size_t len = bytes.len < EVC_CHUNK_BYTES ? bytes.len : EVC_CHUNK_BYTES;

        if (!stage_chunk(exchange, (struct evc_slice){.ptr = bytes.ptr, .len = len})) {
            return false;
        }
        bytes.ptr += len;
        bytes.len -= len;
    }
    return true;
}

/** Whether the session and the worker may keep so many bytes more of something read. */
static bool
has_room_for_read(const struct evc_exchange *exchange, size_t len)
{
    return len <= sizeof(exchange->inline_bytes) ||
           (exchange->session->staged_bytes + len <= EVC_SESSION_STAGED_BYTES_MAX &&
            !evc_service_is_short_of_chunks(exchange->service));
}

/** A reply there is no memory for becomes an error in its place. */
static void
stage_failure(struct evc_exchange *exchange)
{
    exchange->service->counters.staged_dropped++;
    if (evc_command_is_group(exchange->command)) {
        exchange->failure = LINE_NO_MEMORY;
    } else {
        (void)stage(exchange, LINE_NO_MEMORY); /* fits the exchange itself */
    }
}

/* --- replies leave --- */

static bool
is_head(const struct evc_exchange *exchange)
{
    return exchange->session->exchanges.next == &exchange->link;
}

/** Ends the group of a get: one END, or one error in its place, for all its keys. */
static int
append_group_end(struct evc_session *session, const struct evc_exchange *exchange,
                 struct evc_buf *output)
{
    struct evc_slice line = LINE_END;

    if (exchange->failure.len > 0 && session->group_failure.len == 0) {
        session->group_failure = exchange->failure;
    }
    if (!exchange->closes_group) {
        return EVC_OK;
    }
    if (session->group_failure.len > 0) {
        line = session->group_failure;
        session->group_failure.len = 0;
    }
    return evc_buf_append(output, line);
}

static int
append_staged(const struct evc_exchange *exchange, struct evc_buf *output)
{
    struct evc_slice bytes = {.ptr = exchange->inline_bytes, .len = exchange->inline_len};
    int status = evc_buf_append(output, bytes);

    for (const struct evc_chunk *chunk = exchange->chunks; chunk && status == EVC_OK;
         chunk = chunk->next) {
        status = evc_buf_append(output, (struct evc_slice){.ptr = chunk->bytes, .len = chunk->len});
    }
    return status;
}

/** What was composed since mark leaves with this turn's output. */
static void
send_since(struct evc_session *session, const struct evc_buf *output, size_t mark, int status)
{
    if (status != EVC_OK) {
        evc_session_close(session, UV_ENOBUFS); /* half a reply may be in the output: out of step */
        return;
    }
    session->service->counters.bytes_written += evc_buf_len(output) - mark;
    if (evc_buf_len(output) > mark) {
        evc_stream_flush_later(&session->stream);
    }
}

static void
send_staged(struct evc_session *session, struct evc_exchange *exchange)
{
    struct evc_buf *output = evc_stream_output(&session->stream);
    size_t mark = evc_buf_len(output);
    int status = append_staged(exchange, output);

    if (status == EVC_OK) {
        status = append_group_end(session, exchange, output);
    }
    send_since(session, output, mark, status);
    session->staged_bytes -= staged_len(exchange);
}

bool
evc_exchange_send_next(struct evc_session *session)
{
    struct evc_exchange *exchange;

    if (session->is_closing || evc_list_is_empty(&session->exchanges) ||
        evc_session_output_is_full(session)) {
        return false;
    }
    exchange = EVC_CONTAINER_OF(session->exchanges.next, struct evc_exchange, link);
    if (exchange->state == EVC_EXCHANGE_WAITING) {
        return false;
    }
    if (exchange->state == EVC_EXCHANGE_POSTPONED) {
        exchange->state = EVC_EXCHANGE_WAITING;
        exchange->is_read_again = true;
        evc_command_read_again(exchange);
        return true;
    }
    send_staged(session, exchange);
    drop_from_session(exchange);
    give_back(exchange);
    return true;
}

struct evc_buf *
evc_exchange_begin(struct evc_exchange *exchange)
{
    struct evc_session *session = exchange->session;

    assert(exchange->state == EVC_EXCHANGE_WAITING);
    exchange->is_direct = false;
    if (!session || session->is_closing || exchange->is_silent) {
        return NULL;
    }
    if (is_head(exchange) && !evc_session_output_is_full(session)) {
        struct evc_buf *output = evc_stream_output(&session->stream);

        exchange->is_direct = true;
        exchange->mark = evc_buf_len(output);
        return output;
    }
    evc_buf_clear(&exchange->service->scratch);
    return &exchange->service->scratch;
}

/** Whether the reply could be kept until its turn, or none is to be. */
static bool
stage_reply(struct evc_exchange *exchange, int status)
{
    struct evc_slice reply = evc_buf_slice(&exchange->service->scratch);

    if (exchange->is_silent) {
        return true;
    }
    if (status == EVC_OK && (!exchange->is_read || has_room_for_read(exchange, reply.len)) &&
        stage(exchange, reply)) {
        return true;
    }
    drop_chunks(exchange);
    return false;
}

/** The reply waits in the scratch buffer; or there is none, and only the order is to be kept. */
static void
end_staged(struct evc_exchange *exchange, int status)
{
    struct evc_service *service = exchange->service;
    bool is_staged = stage_reply(exchange, status);

    evc_buf_clear(&service->scratch);
    evc_buf_shrink(&service->scratch, EVC_SERVICE_SCRATCH_KEEP_BYTES);
    if (!is_staged && exchange->is_read) {
        exchange->state = EVC_EXCHANGE_POSTPONED; /* and still the one that decides, if it does */
        service->counters.read_again++;
        return;
    }
    if (!is_staged) {
        stage_failure(exchange);
    }
    exchange->state = EVC_EXCHANGE_STAGED;
    exchange->session->staged_bytes += staged_len(exchange);
    decided(exchange);
}

/** Composed in place, after what was composed of it when it did not fit is taken back. */
static int
append_failure(struct evc_exchange *exchange, struct evc_buf *output)
{
    evc_buf_truncate(output, exchange->mark);
    exchange->service->counters.staged_dropped++;
    if (evc_command_is_group(exchange->command)) {
        exchange->failure = LINE_NO_MEMORY;
        return EVC_OK;
    }
    return evc_buf_append(output, LINE_NO_MEMORY);
}

/** The first exchange is answered: its reply is in the output. */
static void
end_direct(struct evc_exchange *exchange, int status)
{
    struct evc_session *session = exchange->session;
    struct evc_buf *output = evc_stream_output(&session->stream);

    if (status != EVC_OK) {
        status = append_failure(exchange, output);
    }
    if (status == EVC_OK) {
        status = append_group_end(session, exchange, output);
    }
    send_since(session, output, exchange->mark, status);
    decided(exchange);
    drop_from_session(exchange);
    give_back(exchange);
}

/**
 * Replies of one connection resemble each other; so many requests ahead is how much memory ahead. A
 * large one counts at once: what was asked before it is known may all be as large.
 */
static void
note_reply_bytes(const struct evc_exchange *exchange)
{
    struct evc_session *session = exchange->session;
    size_t len = exchange->is_direct
                     ? evc_buf_len(evc_stream_output(&session->stream)) - exchange->mark
                     : evc_buf_len(&exchange->service->scratch);

    session->reply_bytes = len >= session->reply_bytes ? len : (session->reply_bytes * 7 + len) / 8;
}

void
evc_exchange_end(struct evc_exchange *exchange, int status)
{
    struct evc_session *session = exchange->session;

    if (!session) {
        give_back(exchange);
        return;
    }
    note_reply_bytes(exchange);
    if (exchange->is_direct) {
        end_direct(exchange, status);
    } else {
        end_staged(exchange, status);
    }
    evc_session_advance(session);
}

void
evc_exchange_reply(struct evc_exchange *exchange, struct evc_slice line)
{
    struct evc_buf *out = evc_exchange_begin(exchange);

    evc_exchange_end(exchange, out ? evc_buf_append(out, line) : EVC_OK);
}

void
evc_exchange_abandon_all(struct evc_session *session)
{
    while (!evc_list_is_empty(&session->exchanges)) {
        struct evc_exchange *exchange =
            EVC_CONTAINER_OF(session->exchanges.next, struct evc_exchange, link);

        drop_from_session(exchange);
        if (exchange->state != EVC_EXCHANGE_WAITING) {
            give_back(exchange);
        }
    }
}
