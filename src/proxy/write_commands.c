/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set, add, replace, append, prepend, cas, delete, touch, ms, md: each is one write of
 * replication/write.h, and its result one of memcached's lines. Versions are the proxy's own: a
 * client that sends one (E) is refused.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"
#include "replication/decision.h"

enum {
    FAILURE_LINE_BYTES = EVC_WRITE_ERROR_BYTES + 128
};

/** No item has this CAS: what a client's CAS 0 means, which must never count as "none given". */
#define UNIQUE_OF_NOTHING UINT64_MAX

#define LINE_RESERVED                                                                              \
    EVC_SLICE("CLIENT_ERROR these client flags with an empty value are reserved\r\n")
#define LINE_BUSY EVC_SLICE("SERVER_ERROR too many writes in flight\r\n")

/** What each result is called, in both protocols. */
static const struct result_row {
    struct evc_slice line;
    enum evc_meta_code code;
} result_rows[EVC_WRITE_RESULT_MAX] = {
    [EVC_WRITE_STORED] = {{"STORED\r\n", 8}, EVC_META_HD},
    [EVC_WRITE_NOT_STORED] = {{"NOT_STORED\r\n", 12}, EVC_META_NS},
    [EVC_WRITE_EXISTS] = {{"EXISTS\r\n", 8}, EVC_META_EX},
    [EVC_WRITE_NOT_FOUND] = {{"NOT_FOUND\r\n", 11}, EVC_META_NF},
    [EVC_WRITE_DELETED] = {{"DELETED\r\n", 9}, EVC_META_HD},
    [EVC_WRITE_TOUCHED] = {{"TOUCHED\r\n", 9}, EVC_META_HD},
};

/* --- replies --- */

static void
count_result(struct evc_exchange *exchange, enum evc_write_result result)
{
    struct evc_counters *counters = &exchange->service->counters;
    bool is_delete = exchange->command == EVC_CMD_DELETE || exchange->command == EVC_CMD_MD;

    counters->delete_hits += is_delete && result == EVC_WRITE_DELETED;
    counters->delete_misses += is_delete && result == EVC_WRITE_NOT_FOUND;
    counters->touch_hits += result == EVC_WRITE_TOUCHED;
    counters->touch_misses += exchange->command == EVC_CMD_TOUCH && result == EVC_WRITE_NOT_FOUND;
    if (exchange->has_cas && !is_delete) {
        counters->cas_hits += result == EVC_WRITE_STORED;
        counters->cas_misses += result == EVC_WRITE_NOT_FOUND;
        counters->cas_badval += result == EVC_WRITE_EXISTS;
    }
}

int
evc_command_compose_failure(const struct evc_service *service,
                            const struct evc_write_answer *answer, struct evc_buf *out)
{
    char line[FAILURE_LINE_BYTES];

    if (answer->result == EVC_WRITE_REJECTED) {
        snprintf(line, sizeof(line), "%.*s\r\n", (int)answer->error.len, answer->error.ptr);
    } else {
        snprintf(line, sizeof(line),
                 "SERVER_ERROR not enough zones acknowledged the write (%u of %u)\r\n",
                 answer->zones_stored, service->writer->options.zones_needed);
    }
    return evc_buf_append(out, evc_slice_str(line));
}

static int
compose_result(struct evc_exchange *exchange, const struct evc_write_answer *answer,
               struct evc_buf *out)
{
    const struct result_row *row = &result_rows[answer->result];

    if (!row->line.ptr) {
        return evc_command_compose_failure(exchange->service, answer, out);
    }
    if (!evc_command_info(exchange->command)->is_meta) {
        return evc_buf_append(out, row->line);
    }
    return evc_meta_reply_compose_write(out, &exchange->meta, row->code, answer->version,
                                        answer->made_len > 0 ? answer->made_len
                                                             : exchange->value_len);
}

void
evc_command_finish_write(struct evc_exchange *exchange, const struct evc_write_answer *answer)
{
    struct evc_buf *out;

    count_result(exchange, answer->result);
    exchange->service->counters.too_large += answer->result == EVC_WRITE_REJECTED;
    out = evc_exchange_begin(exchange);
    evc_exchange_end(exchange, out ? compose_result(exchange, answer, out) : EVC_OK);
}

static void
on_written(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    (void)tag;
    evc_command_finish_write(ctx, answer);
}

/* --- starting --- */

void
evc_command_write(struct evc_exchange *exchange, const struct evc_write_request *write,
                  evc_write_fn on_done)
{
    if (evc_decision_is_needed(write)) {
        evc_exchange_decides(exchange, write->key);
    }
    if (evc_write_start(exchange->service->writer, write, on_done, exchange, 0) != EVC_OK) {
        evc_exchange_reply(exchange, LINE_BUSY);
    }
}

static bool
start_write(struct evc_session *session, const struct evc_request *request,
            const struct evc_write_request *write)
{
    struct evc_exchange *exchange = evc_command_open(session, request);

    if (exchange) {
        exchange->is_silent = request->noreply;
        exchange->has_cas = write->unique != 0;
        exchange->value_len = (uint32_t)write->value.len;
        if (request->command == EVC_CMD_MD) {
            evc_meta_reply_keep(&exchange->meta, EVC_SLICE("kO"));
        }
        evc_command_write(exchange, write, on_written);
    }
    return true;
}

uint64_t
evc_command_unique(const struct evc_request *request)
{
    return request->cas != 0 ? request->cas : UNIQUE_OF_NOTHING;
}

/** Whether a client tries to store what would be a tombstone; then it has been answered. */
static bool
refuse_reserved(struct evc_session *session, const struct evc_request *request)
{
    if (request->value.len > 0 || request->client_flags != EVC_TOMBSTONE_FLAGS) {
        return false;
    }
    session->service->counters.bad_requests++;
    evc_session_answer(session, request, LINE_RESERVED);
    return true;
}

static bool
store(struct evc_session *session, const struct evc_request *request, enum evc_write_kind kind)
{
    struct evc_write_request write = {
        .kind = kind,
        .key = request->key,
        .value = request->value,
        .client_flags = request->client_flags,
        .exptime = request->exptime,
        .vivifies = evc_request_flag(request, 'N') != NULL,
        .vivify_exptime = request->vivify,
    };

    session->service->counters.cmd_set++;
    if (refuse_reserved(session, request)) {
        return true;
    }
    if (request->has_cas && kind != EVC_WRITE_ADD) {
        write.unique = evc_command_unique(request);
    }
    return start_write(session, request, &write);
}

static void
on_dropped(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    (void)ctx;
    (void)tag;
    (void)answer;
}

void
evc_command_too_large(struct evc_session *session, const struct evc_request *request,
                      struct evc_slice line)
{
    struct evc_service *service = session->service;
    const struct evc_write_request drop = {.kind = EVC_WRITE_DELETE, .key = request->key};
    bool drops = request->command == EVC_CMD_SET || request->command == EVC_CMD_MS;

    service->counters.too_large++;
    /* As memcached does: who set a value must not read an older one. Without room it stays. */
    if (drops && evc_write_start(service->writer, &drop, on_dropped, NULL, 0) != EVC_OK) {
        line = line.len > 0 ? LINE_BUSY : line;
    }
    if (line.len > 0) {
        evc_session_answer(session, request, line);
    }
}

/* --- classic --- */

bool
evc_command_store(struct evc_session *session, const struct evc_request *request)
{
    static const enum evc_write_kind kinds[EVC_CMD_MAX] = {
        [EVC_CMD_SET] = EVC_WRITE_SET,         [EVC_CMD_ADD] = EVC_WRITE_ADD,
        [EVC_CMD_REPLACE] = EVC_WRITE_REPLACE, [EVC_CMD_APPEND] = EVC_WRITE_APPEND,
        [EVC_CMD_PREPEND] = EVC_WRITE_PREPEND, [EVC_CMD_CAS] = EVC_WRITE_CAS,
    };

    return store(session, request, kinds[request->command]);
}

bool
evc_command_delete(struct evc_session *session, const struct evc_request *request)
{
    session->service->counters.cmd_delete++;
    return start_write(session, request,
                       &(struct evc_write_request){
                           .kind = EVC_WRITE_DELETE,
                           .key = request->key,
                           .want_existed = !request->noreply,
                       });
}

bool
evc_command_touch(struct evc_session *session, const struct evc_request *request)
{
    session->service->counters.cmd_touch++;
    return start_write(session, request,
                       &(struct evc_write_request){
                           .kind = EVC_WRITE_TOUCH,
                           .key = request->key,
                           .exptime = request->exptime,
                       });
}

/* --- meta --- */

/** With a CAS, set and replace are cas; add does not look at it. */
static enum evc_write_kind
kind_of_mode(const struct evc_request *request)
{
    switch (request->mode) {
    case 'E':
        return EVC_WRITE_ADD;
    case 'A':
        return EVC_WRITE_APPEND;
    case 'P':
        return EVC_WRITE_PREPEND;
    case 'R':
        return request->has_cas ? EVC_WRITE_CAS : EVC_WRITE_REPLACE;
    default:
        assert(request->mode == 'S');
        return request->has_cas ? EVC_WRITE_CAS : EVC_WRITE_SET;
    }
}

bool
evc_command_ms(struct evc_session *session, const struct evc_request *request)
{
    if (!evc_command_check_flags(session, request, "EI")) {
        return true;
    }
    session->service->counters.cmd_meta++;
    return store(session, request, kind_of_mode(request));
}

/** md x: the item stays, without its value. */
static void
on_emptied(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_write_answer as_delete = *answer;

    (void)tag;
    if (answer->result == EVC_WRITE_STORED) {
        as_delete.result = EVC_WRITE_DELETED;
    } else if (answer->result == EVC_WRITE_NOT_STORED) {
        as_delete.result = EVC_WRITE_NOT_FOUND;
    }
    evc_command_finish_write(ctx, &as_delete);
}

bool
evc_command_md(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange;
    struct evc_write_request write = {
        .kind = EVC_WRITE_DELETE,
        .key = request->key,
        .unique = request->has_cas ? evc_command_unique(request) : 0,
        .client_flags = request->client_flags,
        .exptime = request->exptime,
    };

    if (!evc_command_check_flags(session, request, "E")) {
        return true;
    }
    if (evc_request_flag(request, 'x') && refuse_reserved(session, request)) {
        return true;
    }
    session->service->counters.cmd_meta++;
    session->service->counters.cmd_delete++;
    exchange = evc_command_open(session, request);
    if (!exchange) {
        return true;
    }
    exchange->has_cas = write.unique != 0;
    exchange->value_len = 0;
    evc_meta_reply_keep(&exchange->meta, EVC_SLICE("kO"));
    if (evc_request_flag(request, 'I')) {
        evc_command_md_invalidate(exchange, request);
    } else if (evc_request_flag(request, 'x')) {
        write.kind = EVC_WRITE_REPLACE;
        evc_command_write(exchange, &write, on_emptied);
    } else {
        write.want_existed = true;
        evc_command_write(exchange, &write, on_written);
    }
    return true;
}
