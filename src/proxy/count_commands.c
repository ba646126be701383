/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incr, decr and ma: each is one write that decides in the local zone (replication/decision.h),
 * answered with the new number.
 */
#include "base/decimal.h"
#include "meta/expiry.h"
#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

#define LINE_NON_NUMERIC                                                                           \
    EVC_SLICE("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")

static void
count_result(struct evc_exchange *exchange, enum evc_write_result result)
{
    struct evc_counters *counters = &exchange->service->counters;
    bool hit = result == EVC_WRITE_COUNTED;
    bool miss = result == EVC_WRITE_NOT_FOUND;

    counters->incr_hits += hit && !exchange->counts_down;
    counters->incr_misses += miss && !exchange->counts_down;
    counters->decr_hits += hit && exchange->counts_down;
    counters->decr_misses += miss && exchange->counts_down;
}

static int
compose_number(uint64_t number, struct evc_buf *out)
{
    char text[EVC_DECIMAL_BYTES_MAX + 2];
    size_t len = evc_decimal_format_u64(text, number);

    text[len++] = '\r';
    text[len++] = '\n';
    return evc_buf_append(out, (struct evc_slice){.ptr = text, .len = len});
}

/** A number that was made where none was is told even to a quiet request, as memcached does. */
static int
compose_meta_number(struct evc_exchange *exchange, const struct evc_write_answer *answer,
                    struct evc_buf *out)
{
    char text[EVC_DECIMAL_BYTES_MAX];
    struct evc_node_reply item = {
        .value = {.ptr = text, .len = evc_decimal_format_u64(text, answer->number)},
        .cas = answer->version,
        .ttl_s = evc_expiry_remaining_s(answer->exptime, exchange->service->loop->now.unix_us),
    };

    if (exchange->meta.is_quiet && !answer->is_created) {
        return EVC_OK;
    }
    return evc_meta_reply_compose_get(out, &exchange->meta, &item);
}

static int
compose_result(struct evc_exchange *exchange, const struct evc_write_answer *answer,
               struct evc_buf *out)
{
    bool is_meta = exchange->command == EVC_CMD_MA;

    if (answer->result == EVC_WRITE_COUNTED) {
        return is_meta ? compose_meta_number(exchange, answer, out)
                       : compose_number(answer->number, out);
    }
    if (answer->result == EVC_WRITE_NOT_FOUND) {
        return is_meta ? evc_meta_reply_compose(out, &exchange->meta, EVC_META_NF)
                       : evc_buf_append(out, EVC_SLICE("NOT_FOUND\r\n"));
    }
    if (answer->result == EVC_WRITE_EXISTS) { /* only ma has a CAS */
        return evc_meta_reply_compose(out, &exchange->meta, EVC_META_EX);
    }
    if (answer->result == EVC_WRITE_NON_NUMERIC) {
        return evc_buf_append(out, LINE_NON_NUMERIC);
    }
    return evc_command_compose_failure(exchange->service, answer, out);
}

static void
on_counted(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_exchange *exchange = ctx;
    struct evc_buf *out;

    (void)tag;
    count_result(exchange, answer->result);
    out = evc_exchange_begin(exchange);
    evc_exchange_end(exchange, out ? compose_result(exchange, answer, out) : EVC_OK);
}

bool
evc_command_count(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange = evc_command_open(session, request);

    if (!exchange) {
        return true;
    }
    exchange->is_silent = request->noreply;
    exchange->counts_down = request->command == EVC_CMD_DECR;
    evc_command_write(exchange,
                      &(struct evc_write_request){
                          .kind = exchange->counts_down ? EVC_WRITE_DECR : EVC_WRITE_INCR,
                          .key = request->key,
                          .delta = request->delta,
                      },
                      on_counted);
    return true;
}

/** The expiry of a number that is made: of the flags T and N, memcached goes by the later one. */
static int64_t
exptime_when_made(const struct evc_request *request)
{
    int64_t exptime = request->vivify;

    for (unsigned i = 0; i < request->flag_count; i++) {
        if (request->flags[i].letter == 'N') {
            exptime = request->vivify;
        } else if (request->flags[i].letter == 'T') {
            exptime = request->exptime;
        }
    }
    return exptime;
}

bool
evc_command_ma(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange;

    if (!evc_command_check_flags(session, request, "E")) {
        return true;
    }
    session->service->counters.cmd_meta++;
    exchange = evc_command_open(session, request);
    if (!exchange) {
        return true;
    }
    evc_meta_reply_keep(&exchange->meta, EVC_SLICE("kOct"));
    exchange->counts_down = request->mode == 'D' || request->mode == '-';
    evc_command_write(exchange,
                      &(struct evc_write_request){
                          .kind = exchange->counts_down ? EVC_WRITE_DECR : EVC_WRITE_INCR,
                          .key = request->key,
                          .unique = request->has_cas && request->cas != 0 ? request->cas : 0,
                          .delta = request->delta,
                          .has_exptime = evc_request_flag(request, 'T') != NULL,
                          .exptime = request->exptime,
                          .vivifies = evc_request_flag(request, 'N') != NULL,
                          .vivify_exptime = exptime_when_made(request),
                          .initial = request->initial,
                      },
                      on_counted);
    return true;
}
