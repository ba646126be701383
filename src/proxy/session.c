/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See session.h. Connections and their input; replies are in exchange.c, what the requests mean in
 * the command handlers (command.h).
 */
#include "proxy/session.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "proxy/command.h"
#include "proxy/exchange.h"

#define LINE_TOO_MANY EVC_SLICE("ERROR Too many open connections\r\n")

static struct evc_session *
session_of(struct evc_stream *stream)
{
    return EVC_CONTAINER_OF(stream, struct evc_session, stream);
}

void
evc_session_close(struct evc_session *session, int reason)
{
    session->is_closing = true;
    evc_stream_close(&session->stream, reason);
}

bool
evc_session_output_is_full(const struct evc_session *session)
{
    return evc_stream_output_waiting(&session->stream) >= EVC_SESSION_OUTPUT_PAUSE_BYTES;
}

uint8_t
evc_session_bucket(struct evc_slice key)
{
    return (uint8_t)(evc_hash_key(key) % EVC_SESSION_KEY_BUCKETS);
}

bool
evc_session_may_use(struct evc_session *session, struct evc_slice key)
{
    if (session->deciding_count == 0) {
        return true;
    }
    session->waited_bucket = evc_session_bucket(key);
    session->waits_for_key = session->deciding[session->waited_bucket] > 0;
    return !session->waits_for_key;
}

bool
evc_session_is_quiet(struct evc_session *session)
{
    session->waits_for_quiet = session->exchange_count > 0;
    return !session->waits_for_quiet;
}

void
evc_session_advance(struct evc_session *session)
{
    if (session->is_advancing) {
        return; /* a read that ended at once when it was begun again: the loop goes on with it */
    }
    session->is_advancing = true;
    while (evc_exchange_send_next(session)) {
        continue; /* at most twice EVC_SESSION_EXCHANGES_MAX */
    }
    session->is_advancing = false;
    if (session->is_leaving && session->exchange_count == 0 && !session->is_closing) {
        session->is_closing = true;
        evc_stream_close_after_flush(&session->stream);
    }
    evc_session_continue(session);
}

void
evc_session_answer(struct evc_session *session, const struct evc_request *request,
                   struct evc_slice line)
{
    struct evc_exchange *exchange = evc_exchange_open(session, request);

    if (!exchange) {
        evc_session_close(session, UV_ENOMEM); /* there was room by count: memory itself is out */
        return;
    }
    exchange->is_silent = request->noreply;
    evc_exchange_reply(exchange, line);
}

/* --- requests come in --- */

bool
evc_session_has_room(const struct evc_session *session)
{
    return !session->is_leaving && !session->is_closing && !session->is_barred &&
           evc_service_has_room(session->service) &&
           session->exchange_count < EVC_SESSION_EXCHANGES_MAX &&
           (!evc_service_is_short_of_chunks(session->service) || session->exchange_count == 0) &&
           session->staged_bytes < EVC_SESSION_STAGED_BYTES_MAX &&
           session->exchange_count * session->reply_bytes < EVC_SESSION_EXPECTED_BYTES_MAX &&
           !evc_session_output_is_full(session);
}

/** evc_service_continue will call evc_session_continue. */
static void
wait_for_service(struct evc_session *session)
{
    evc_list_remove(&session->starved_link);
    evc_list_push_back(&session->service->starved, &session->starved_link);
}

/** Stops reading; whoever frees what was missing calls evc_session_continue. */
static void
pause_input(struct evc_session *session)
{
    if (!session->is_closing) {
        session->is_paused = true;
        evc_stream_pause(&session->stream);
    }
}

void
evc_session_continue(struct evc_session *session)
{
    if (!session->is_paused || session->is_parsing || session->is_leaving || session->is_closing) {
        return;
    }
    if (!evc_service_has_room(session->service)) {
        wait_for_service(session);
        return;
    }
    /* Half of the bound is free again before reading goes on, so that one wake-up does much. */
    if (evc_session_has_room(session) && session->exchange_count <= EVC_SESSION_EXCHANGES_MAX / 2 &&
        session->staged_bytes <= EVC_SESSION_STAGED_BYTES_MAX / 2 &&
        !(session->waits_for_key && session->deciding[session->waited_bucket] > 0) &&
        !(session->waits_for_quiet && session->exchange_count > 0)) {
        session->waits_for_quiet = false;
        session->is_paused = false;
        session->is_resuming = true;
        session->waits_for_key = false;
        evc_stream_resume(&session->stream);
    }
}

/** What the parser refused: a malformed request, or a value that is too large. */
static void
answer_bad(struct evc_session *session, struct evc_request *request, struct evc_slice line,
           int status)
{
    if (request->is_too_large) {
        evc_command_too_large(session, request, line);
        return;
    }
    session->service->counters.bad_requests++;
    request->command = EVC_CMD_MAX; /* nothing else of it can be relied on */
    if (line.len > 0) {
        evc_session_answer(session, request, line);
    }
    if (status == EVC_E_PROTO) {
        evc_session_leave(session);
    }
}

/** One request from the front of data. False: no more can be done with it now. */
static bool
take_request(struct evc_session *session, char *data, size_t len, size_t *used)
{
    struct evc_request request; /* some 800 bytes, filled by the parser: not cleared here */
    struct evc_slice error = {.ptr = NULL, .len = 0};
    size_t request_used = 0;
    size_t need = 0;
    int status =
        evc_request_parse(&session->parser, data, len, &request, &request_used, &need, &error);

    assert(request_used <= len);
    if (status == EVC_OK) {
        if (!evc_command_dispatch(session, &request)) {
            return false;
        }
    } else if (status != EVC_E_AGAIN) {
        /* It drops what the key holds, and that too waits for what is being decided about it. */
        if (request.is_too_large && !evc_session_may_use(session, request.key)) {
            evc_request_parse_again(&session->parser);
            return false;
        }
        answer_bad(session, &request, error, status);
    }
    *used += request_used;
    return status != EVC_E_AGAIN || request_used > 0;
}

/** After parsing: whether to stop reading for now, or for good. */
static void
settle_input(struct evc_session *session, bool has_rest)
{
    if (session->is_leaving || session->is_closing) {
        return;
    }
    if (!evc_session_has_room(session) || session->keys_taken > 0 || session->waits_for_key ||
        session->waits_for_quiet) {
        pause_input(session);
    }
    if (session->is_half_closed && !(session->is_paused && has_rest)) {
        session->is_leaving = true; /* what is left, if anything, will never be a request */
    }
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_session *session = session_of(stream);
    size_t used = 0;

    session->is_resuming = false;
    if (session->is_leaving || session->is_closing) {
        return len;
    }
    session->is_parsing = true;
    while (used < len && evc_session_has_room(session) &&
           take_request(session, data + used, len - used, &used)) {
        continue;
    }
    session->is_parsing = false;
    session->service->counters.bytes_read += used;
    settle_input(session, used < len);
    if (session->is_leaving || session->is_closing) {
        used = len;
    }
    evc_session_advance(session); /* what was missing may have come free meanwhile */
    return used;
}

/** `printf … | nc` closes its half at once: what it asked before is still answered. */
static void
on_eof(struct evc_stream *stream)
{
    struct evc_session *session = session_of(stream);

    session->is_half_closed = true;
    if (!session->is_resuming || evc_buf_len(&stream->input) == 0) {
        evc_session_leave(session);
    }
}

static void
on_drained(struct evc_stream *stream)
{
    evc_session_advance(session_of(stream));
}

void
evc_session_leave(struct evc_session *session)
{
    session->is_leaving = true;
    if (!session->is_parsing) {
        evc_session_advance(session);
    }
}

void
evc_session_drain(struct evc_session *session)
{
    if (session->exchange_count == 0 && evc_stream_output_waiting(&session->stream) == 0) {
        evc_session_close(session, 0); /* no last words to linger for */
    } else {
        evc_session_leave(session);
    }
}

/** The rest of a request is awaited, and not held back by ourselves. */
static bool
is_unfinished(const struct evc_session *session)
{
    return !session->is_paused && !session->is_resuming && !session->is_leaving &&
           evc_buf_len(&session->stream.input) > 0;
}

static void
check_input(struct evc_session *session, uint64_t now_us)
{
    if (!is_unfinished(session) || session->stream.bytes_in != session->input_bytes) {
        session->input_us = now_us;
        session->input_bytes = session->stream.bytes_in;
    } else if (now_us - session->input_us > EVC_SESSION_UNFINISHED_US && !session->is_closing) {
        session->service->counters.connections_unfinished_total++;
        evc_session_close(session, UV_ETIMEDOUT);
    }
}

static void
check_output(struct evc_session *session, uint64_t now_us)
{
    if (evc_stream_output_waiting(&session->stream) == 0 ||
        session->stream.bytes_out != session->progress_bytes) {
        session->progress_us = now_us;
        session->progress_bytes = session->stream.bytes_out;
    } else if (now_us - session->progress_us > EVC_SESSION_STALL_US && !session->is_closing) {
        session->service->counters.connections_slow_total++;
        evc_session_close(session, UV_ETIMEDOUT);
    }
}

void
evc_session_check_progress(struct evc_session *session)
{
    uint64_t now_us = session->service->loop->now.mono_us;

    check_output(session, now_us);
    check_input(session, now_us);
}

/* --- connections come and go --- */

static void
uncount(struct evc_session *session)
{
    struct evc_service *service = session->service;

    if (session->is_refused) {
        service->refused_count--;
    } else {
        service->counters.connections--;
        atomic_fetch_sub(service->connections, 1);
    }
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_session *session = session_of(stream);

    (void)reason;
    session->is_closing = true;
    session->is_paused = false;
    evc_exchange_abandon_all(session);
    uncount(session);
    evc_list_remove(&session->link);
    evc_list_remove(&session->starved_link);
    evc_pool_give_back(&session->service->sessions_pool, session);
}

static const struct evc_stream_handler session_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_eof = on_eof,
    .on_closed = on_closed,
};

static void
count(struct evc_session *session)
{
    struct evc_service *service = session->service;

    if (atomic_fetch_add(service->connections, 1) < service->config->connections_max) {
        service->counters.connections++;
        service->counters.connections_total++;
        return;
    }
    atomic_fetch_sub(service->connections, 1);
    session->is_refused = true;
    service->refused_count++;
    service->counters.connections_rejected_total++;
}

static void
refuse(struct evc_session *session)
{
    struct evc_buf *output = evc_stream_output(&session->stream);

    session->is_closing = true;
    if (evc_buf_append(output, LINE_TOO_MANY) == EVC_OK) {
        evc_stream_flush_later(&session->stream);
    }
    evc_stream_close_after_flush(&session->stream);
}

static struct evc_session *
session_new(struct evc_service *service)
{
    struct evc_session *session = NULL;

    if (service->refused_count < EVC_SERVICE_REFUSED_MAX) {
        session = evc_pool_borrow(&service->sessions_pool);
    }
    if (session) {
        memset(session, 0, sizeof(*session));
        session->service = service;
        session->parser.value_len_max = service->config->value_len_max;
        evc_list_init(&session->exchanges);
        evc_list_init(&session->starved_link);
        session->progress_us = service->loop->now.mono_us;
        session->input_us = session->progress_us;
        session->reply_bytes = EVC_SESSION_REPLY_BYTES_FIRST;
        evc_list_push_back(&service->sessions, &session->link);
        count(session);
    }
    return session;
}

bool
evc_session_accept(struct evc_service *service, struct evc_listener *listener)
{
    struct evc_session *session = session_new(service);
    size_t value_max = service->config->value_len_max;

    if (!session) {
        return false;
    }
    /* The largest request, and what one read may bring behind it while nothing is parsed. */
    if (evc_stream_accept(&session->stream, service->loop, (uv_stream_t *)&listener->tcp,
                          value_max + EVC_REQUEST_LINE_MAX + 2 * EVC_LOOP_READ_BYTES,
                          value_max + 2 * EVC_SESSION_OUTPUT_PAUSE_BYTES,
                          &session_handler) != EVC_OK) {
        uncount(session);
        evc_list_remove(&session->link);
        evc_pool_give_back(&service->sessions_pool, session);
        return false;
    }
    if (session->is_refused) {
        refuse(session);
    }
    return true;
}
