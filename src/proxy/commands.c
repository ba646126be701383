/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatch table of the proxy: every command of the protocol has a row. A row without a handler
 * is a command that another release may serve; its line tells the client so in a form every client
 * library treats as an error of the request, not of the connection. docs/protocol.md repeats this
 * table.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

enum {
    REFUSAL_LINE_BYTES = 128
};

struct command_row {
    evc_command_fn handle;
    const char *refusal; /* where handle is NULL */
};

static const struct command_row rows[EVC_CMD_MAX] = {
    [EVC_CMD_GET] = {.handle = evc_command_get},
    [EVC_CMD_GETS] = {.handle = evc_command_get},
    [EVC_CMD_GAT] = {.handle = evc_command_get},
    [EVC_CMD_GATS] = {.handle = evc_command_get},
    [EVC_CMD_SET] = {.handle = evc_command_store},
    [EVC_CMD_ADD] = {.handle = evc_command_store},
    [EVC_CMD_REPLACE] = {.handle = evc_command_store},
    [EVC_CMD_CAS] = {.handle = evc_command_store},
    [EVC_CMD_APPEND] = {.handle = evc_command_store},
    [EVC_CMD_PREPEND] = {.handle = evc_command_store},
    [EVC_CMD_DELETE] = {.handle = evc_command_delete},
    [EVC_CMD_INCR] = {.handle = evc_command_count},
    [EVC_CMD_DECR] = {.handle = evc_command_count},
    [EVC_CMD_TOUCH] = {.handle = evc_command_touch},
    [EVC_CMD_FLUSH_ALL] = {.handle = evc_command_flush_all},
    [EVC_CMD_VERBOSITY] = {.handle = evc_command_verbosity},
    [EVC_CMD_VERSION] = {.handle = evc_command_version},
    [EVC_CMD_STATS] = {.handle = evc_command_stats},
    [EVC_CMD_QUIT] = {.handle = evc_command_quit},
    [EVC_CMD_MG] = {.handle = evc_command_mg},
    [EVC_CMD_MS] = {.handle = evc_command_ms},
    [EVC_CMD_MD] = {.handle = evc_command_md},
    [EVC_CMD_MA] = {.handle = evc_command_ma},
    [EVC_CMD_MN] = {.handle = evc_command_mn},
    [EVC_CMD_ME] = {.handle = evc_command_me},
    [EVC_CMD_HELLO] = {.refusal = "ERROR\r\n"}, /* a relay's greeting, at the wrong door */
};

bool
evc_command_dispatch(struct evc_session *session, const struct evc_request *request)
{
    const struct command_row *row;

    assert(request->command < EVC_CMD_MAX);
    row = &rows[request->command];
    if (request->command == EVC_CMD_FLUSH_ALL && !evc_session_is_quiet(session)) {
        return false; /* what was asked before it is to be flushed, too */
    }
    if (row->handle) {
        /* A get asks for each of its keys itself. */
        if (!evc_command_is_group(request->command) && request->key.len > 0 &&
            !evc_session_may_use(session, request->key)) {
            return false;
        }
        return row->handle(session, request);
    }
    assert(row->refusal);
    evc_command_refuse(session, request, row->refusal);
    return true;
}

bool
evc_command_is_group(enum evc_command command)
{
    return command == EVC_CMD_GET || command == EVC_CMD_GETS || command == EVC_CMD_GAT ||
           command == EVC_CMD_GATS;
}

void
evc_command_refuse(struct evc_session *session, const struct evc_request *request, const char *line)
{
    session->service->counters.not_served++;
    evc_session_answer(session, request, evc_slice_str(line));
}

bool
evc_command_check_flags(struct evc_session *session, const struct evc_request *request,
                        const char *refused)
{
    for (unsigned i = 0; i < request->flag_count; i++) {
        char letter = request->flags[i].letter;
        char line[REFUSAL_LINE_BYTES];

        if (strchr(refused, letter)) {
            snprintf(line, sizeof(line),
                     "CLIENT_ERROR flag %c of %s is not served by this proxy\r\n", letter,
                     evc_command_info(request->command)->name);
            evc_command_refuse(session, request, line);
            return false;
        }
    }
    return true;
}

struct evc_exchange *
evc_command_open(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange = evc_exchange_open(session, request);

    if (!exchange) {
        evc_session_close(session, UV_ENOMEM); /* there was room by count: memory itself is out */
        return NULL;
    }
    if (evc_command_info(request->command)->is_meta) {
        evc_meta_reply_init(&exchange->meta, request, exchange->opaque, exchange->raw_key);
        evc_exchange_keep_key(exchange, request->key);
    }
    return exchange;
}
