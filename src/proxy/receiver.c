/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See receiver.h. The tag of a write carries what its answer needs: the relay's opaque in the low
 * half, the length of the value in the high half.
 */
#include "proxy/receiver.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/log.h"
#include "meta/replication.h"

enum {
    ERROR_LINE_BYTES = 256
};

static void finish_if_done(struct evc_receiver *receiver);

static struct evc_receiver *
receiver_of(struct evc_stream *stream)
{
    return EVC_CONTAINER_OF(stream, struct evc_receiver, stream);
}

/* --- the connection ends --- */

void
evc_receiver_close(struct evc_receiver *receiver)
{
    if (!receiver->is_closed) {
        receiver->is_closing = true;
        evc_stream_close(&receiver->stream, 0);
    }
}

/** Tells the relay and the log once what is wrong, and closes. */
__attribute__((format(printf, 2, 3))) static void
refuse(struct evc_receiver *receiver, const char *format, ...)
{
    static struct evc_log_limit limit;
    struct evc_buf *output = evc_stream_output(&receiver->stream);
    unsigned long suppressed = 0;
    char why[ERROR_LINE_BYTES];
    char line[ERROR_LINE_BYTES + sizeof("CLIENT_ERROR \r\n")];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "CLIENT_ERROR %s\r\n", why);

    receiver->service->counters.receivers_refused_total++;
    if (evc_log_allowed(&limit, &suppressed)) {
        char quoted[EVC_LOG_QUOTE_BYTES];

        evc_log_warn("a relay's connection is refused", "source=%s why=%s suppressed=%lu",
                     receiver->source[0] ? receiver->source : "-",
                     evc_log_quote(evc_slice_str(why), quoted), suppressed);
    }
    receiver->is_closing = true;
    if (evc_buf_append(output, evc_slice_str(line)) == EVC_OK) {
        evc_stream_flush_later(&receiver->stream);
    }
    evc_stream_close_after_flush(&receiver->stream);
}

void
evc_receiver_leave(struct evc_receiver *receiver)
{
    receiver->is_leaving = true;
    finish_if_done(receiver);
}

static void
finish_if_done(struct evc_receiver *receiver)
{
    if (receiver->in_flight > 0) {
        return;
    }
    if (receiver->is_closed) {
        evc_list_remove(&receiver->link);
        evc_pool_give_back(&receiver->service->receivers_pool, receiver);
    } else if (receiver->is_leaving && !receiver->is_closing) {
        receiver->is_closing = true;
        evc_stream_close_after_flush(&receiver->stream);
    }
}

/* --- room --- */

/** Writes in flight, without those that are held up. */
static unsigned
new_in_flight(const struct evc_receiver *receiver)
{
    return receiver->in_flight - receiver->held_up;
}

static bool
has_room(const struct evc_receiver *receiver)
{
    return receiver->in_flight < EVC_RECEIVER_IN_FLIGHT_MAX &&
           new_in_flight(receiver) < EVC_RECEIVER_NEW_MAX &&
           receiver->in_flight_bytes < EVC_RECEIVER_BYTES_MAX &&
           evc_stream_output_waiting(&receiver->stream) < EVC_RECEIVER_OUTPUT_PAUSE_BYTES;
}

static void
pause_input(struct evc_receiver *receiver)
{
    if (!receiver->is_paused && !receiver->is_closing) {
        receiver->is_paused = true;
        evc_stream_pause(&receiver->stream);
    }
}

static void
look_for_held_up(struct evc_receiver *receiver)
{
    uint64_t now_us = receiver->service->loop->now.mono_us;

    if (now_us - receiver->looked_us >= EVC_RECEIVER_HELD_UP_US) {
        receiver->looked_us = now_us;
        receiver->held_up = receiver->in_flight;
    }
}

void
evc_receiver_continue(struct evc_receiver *receiver)
{
    look_for_held_up(receiver);
    if (receiver->is_paused && !receiver->is_leaving && !receiver->is_closing &&
        new_in_flight(receiver) <= EVC_RECEIVER_NEW_MAX / 2 &&
        receiver->in_flight_bytes <= EVC_RECEIVER_BYTES_MAX / 2 && has_room(receiver)) {
        receiver->is_paused = false;
        evc_stream_resume(&receiver->stream);
    }
}

void
evc_receiver_check_greeting(struct evc_receiver *receiver)
{
    struct evc_service *service = receiver->service;

    if (receiver->source[0] == '\0' && !receiver->is_closing &&
        service->loop->now.mono_us - receiver->accepted_us >= EVC_RECEIVER_GREET_US) {
        service->counters.receivers_silent_total++;
        evc_receiver_close(receiver);
    }
}

/* --- one replicated write --- */

/** What was not applied for a reason an operator should know; the version is that of the event. */
static void
note_trouble(const struct evc_receiver *receiver, enum evc_apply_result result, evc_version version)
{
    static struct evc_log_limit limits[EVC_APPLY_RESULT_MAX];
    const char *msg = result == EVC_APPLY_DRIFT      ? "a version too far ahead is refused"
                      : result == EVC_APPLY_LATE     ? "a replicated write came too late"
                      : result == EVC_APPLY_REJECTED ? "nodes will not take a replicated value"
                                                     : "no zone took a replicated write";
    unsigned long suppressed;

    if (evc_log_allowed(&limits[result], &suppressed)) {
        evc_log_warn(msg, "source=%s version=%016llx suppressed=%lu", receiver->source,
                     (unsigned long long)version, suppressed);
    }
}

static void
on_applied(void *ctx, uint64_t tag, enum evc_apply_result result, evc_version newest)
{
    struct evc_receiver *receiver = ctx;

    assert(receiver->in_flight > 0);
    receiver->in_flight--;
    if (receiver->held_up > 0) {
        receiver->held_up--; /* perhaps it was a new one: the next look will tell */
    }
    receiver->in_flight_bytes -= (size_t)(tag >> 32);
    if (result == EVC_APPLY_DRIFT || result == EVC_APPLY_LATE || result == EVC_APPLY_FAILED ||
        result == EVC_APPLY_REJECTED) {
        note_trouble(receiver, result, newest);
    }
    if (!receiver->is_closing && !receiver->is_closed) {
        struct evc_buf *output = evc_stream_output(&receiver->stream);
        size_t before = evc_buf_len(output);

        if (evc_replication_compose_reply(output, (uint32_t)tag, result, newest) != EVC_OK) {
            evc_receiver_close(receiver); /* the relay sends again what it got no answer for */
        } else {
            receiver->service->counters.bytes_written += evc_buf_len(output) - before;
            evc_stream_flush_later(&receiver->stream);
        }
    }
    finish_if_done(receiver);
}

/** The number in a flag's token. */
static bool
token_number(const struct evc_request *request, char letter, uint64_t max, uint64_t *ret)
{
    const struct evc_meta_flag *flag = evc_request_flag(request, letter);

    return flag && evc_decimal_parse_u64(flag->token, ret) && *ret <= max;
}

/** Starts one. EVC_E_FULL: not now. EVC_E_PROTO: refused, the connection is closing. */
static int
take_item(struct evc_receiver *receiver, const struct evc_request *request)
{
    struct evc_replica replica = {
        .key = request->key,
        .value = request->value,
        .client_flags = request->client_flags,
        .ttl_s = request->exptime,
        .is_rejected = request->is_too_large,
    };
    uint64_t opaque = 0;
    uint64_t version = 0;
    int status;

    if (!token_number(request, 'O', UINT32_MAX, &opaque) ||
        !token_number(request, 'E', UINT64_MAX, &version) || version < EVC_VERSION_OURS_MIN ||
        !evc_request_flag(request, 'T') || request->exptime < 0 || request->has_cas ||
        request->mode != 'S') {
        refuse(receiver,
               "a replicated write is ms <key> <len> T<ttl> F<flags> E<version> O<opaque>");
        return EVC_E_PROTO;
    }
    replica.version = version;
    receiver->in_flight++; /* before: the answer may come before evc_apply_start returns */
    receiver->in_flight_bytes += request->value.len;
    status = evc_apply_start(receiver->service->applier, &replica, on_applied, receiver,
                             (uint64_t)request->value.len << 32 | opaque);
    if (status != EVC_OK) {
        receiver->in_flight--;
        receiver->in_flight_bytes -= request->value.len;
    }
    return status;
}

/* --- the greeting --- */

static bool
knows_region(const struct evc_config *config, struct evc_slice name)
{
    for (unsigned i = 0; i < config->regions_count; i++) {
        if (evc_slice_equal(evc_slice_str(config->regions[i].name), name)) {
            return true;
        }
    }
    return false;
}

static int
welcome(struct evc_receiver *receiver, struct evc_slice source, struct evc_slice relay)
{
    struct evc_service *service = receiver->service;
    const struct evc_config *config = service->config;

    assert(source.len < sizeof(receiver->source));
    memcpy(receiver->source, source.ptr, source.len);
    receiver->source[source.len] = '\0';
    if (evc_replication_compose_welcome(
            evc_stream_output(&receiver->stream), evc_slice_str(config->cache),
            evc_slice_str(config->regions[service->region].name)) != EVC_OK) {
        evc_receiver_close(receiver);
        return EVC_E_NOMEM;
    }
    evc_stream_flush_later(&receiver->stream);
    char quoted[EVC_LOG_QUOTE_BYTES];

    evc_log_info("a relay has connected", "source=%s relay=%s", receiver->source,
                 evc_log_quote(relay, quoted));
    return EVC_OK;
}

static int
take_hello(struct evc_receiver *receiver, const struct evc_request *request)
{
    const struct evc_config *config = receiver->service->config;
    const char *own = config->regions[receiver->service->region].name;
    struct evc_slice cache, source, relay;
    unsigned protocol = 0;

    if (evc_replication_hello_parse(request->rest, &protocol, &cache, &source, &relay) != EVC_OK) {
        refuse(receiver, "a greeting is hello %d <cache> <region> <relay>",
               EVC_REPLICATION_PROTOCOL);
    } else if (protocol != EVC_REPLICATION_PROTOCOL) {
        refuse(receiver, "this receiver speaks protocol %d, not %u", EVC_REPLICATION_PROTOCOL,
               protocol);
    } else if (!evc_slice_equal(cache, evc_slice_str(config->cache))) {
        refuse(receiver, "this receiver serves the cache %s", config->cache);
    } else if (!knows_region(config, source)) {
        refuse(receiver, "region %.*s is not in this receiver's configuration",
               (int)(source.len < 64 ? source.len : 64), source.ptr);
    } else if (evc_slice_equal(source, evc_slice_str(own))) {
        refuse(receiver, "this receiver is in region %s itself", own);
    } else {
        return welcome(receiver, source, relay);
    }
    return EVC_E_PROTO;
}

/* --- input --- */

/** The relay measures how far apart the clocks are, so the time is that of the answer. */
static int
tell_time(struct evc_receiver *receiver)
{
    struct evc_buf *output = evc_stream_output(&receiver->stream);

    if (evc_replication_compose_clock(output, evc_clock_unix_us()) != EVC_OK) {
        evc_receiver_close(receiver);
        return EVC_E_PROTO;
    }
    evc_stream_flush_later(&receiver->stream);
    return EVC_OK;
}

static int
take_request(struct evc_receiver *receiver, const struct evc_request *request)
{
    bool is_greeted = receiver->source[0] != '\0';

    if (request->command == EVC_CMD_HELLO && !is_greeted) {
        return take_hello(receiver, request);
    }
    if (request->command == EVC_CMD_MS && is_greeted) {
        return take_item(receiver, request);
    }
    if (request->command == EVC_CMD_MN && is_greeted) {
        return tell_time(receiver);
    }
    refuse(receiver, is_greeted ? "a receiver takes ms only after the greeting"
                                : "a relay greets first: this is a receiver, not a proxy");
    return EVC_E_PROTO;
}

static void
refuse_bad_input(struct evc_receiver *receiver, struct evc_slice error)
{
    size_t len = error.len >= 2 ? error.len - 2 : 0; /* without CRLF */

    refuse(receiver, "not the replication protocol (%.*s)", (int)(len < 128 ? len : 128),
           error.ptr ? error.ptr : "");
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_receiver *receiver = receiver_of(stream);
    size_t used = 0;

    while (used < len && !receiver->is_leaving && !receiver->is_closing && has_room(receiver)) {
        struct evc_request request;
        struct evc_slice error = {.ptr = NULL, .len = 0};
        size_t request_used = 0;
        size_t need = 0;
        int status = evc_request_parse(&receiver->parser, data + used, len - used, &request,
                                       &request_used, &need, &error);

        if (status == EVC_E_AGAIN) {
            used += request_used;
            if (request_used == 0) {
                break;
            }
            continue;
        }
        if (status != EVC_OK && !request.is_too_large) {
            refuse_bad_input(receiver, error);
            break;
        }
        status = take_request(receiver, &request); /* what is too large: its line */
        if (status == EVC_E_FULL || status == EVC_E_NOMEM) {
            if (request.is_too_large) {
                evc_request_parse_again(&receiver->parser);
            }
            pause_input(receiver);
            break;
        }
        used += request_used;
    }
    receiver->service->counters.bytes_read += used;
    if (receiver->is_leaving || receiver->is_closing) {
        return len;
    }
    if (!has_room(receiver)) {
        pause_input(receiver);
    }
    return used;
}

static void
on_drained(struct evc_stream *stream)
{
    evc_receiver_continue(receiver_of(stream));
}

static void
on_eof(struct evc_stream *stream)
{
    evc_receiver_leave(receiver_of(stream));
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_receiver *receiver = receiver_of(stream);

    if (receiver->source[0]) {
        evc_log_info("a relay has disconnected", "source=%s in_flight=%u reason=%s",
                     receiver->source, receiver->in_flight,
                     reason == 0 ? "closed-here" : uv_err_name(reason));
    }
    receiver->service->counters.receivers--;
    receiver->is_closing = true;
    receiver->is_closed = true;
    finish_if_done(receiver);
}

static const struct evc_stream_handler receiver_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_eof = on_eof,
    .on_closed = on_closed,
};

bool
evc_receiver_accept(struct evc_service *service, struct evc_listener *listener)
{
    struct evc_receiver *receiver = evc_pool_borrow(&service->receivers_pool);
    /*
     * A value over this region's bound is for the nodes to refuse. What is larger by far is read
     * and thrown away, and rejected: with the connection closed, the relay would come back with it
     * for ever.
     */
    uint32_t value_max = service->config->value_len_max + EVC_RECEIVER_VALUE_SLACK_BYTES;

    if (!receiver) {
        return false;
    }
    memset(receiver, 0, sizeof(*receiver));
    receiver->service = service;
    receiver->accepted_us = service->loop->now.mono_us;
    receiver->parser.value_len_max = value_max;
    if (evc_stream_accept(&receiver->stream, service->loop, (uv_stream_t *)&listener->tcp,
                          value_max + EVC_REQUEST_LINE_MAX + 2 * EVC_LOOP_READ_BYTES,
                          2 * EVC_RECEIVER_OUTPUT_PAUSE_BYTES, &receiver_handler) != EVC_OK) {
        evc_pool_give_back(&service->receivers_pool, receiver);
        return false;
    }
    evc_list_push_back(&service->receivers, &receiver->link);
    service->counters.receivers++;
    service->counters.receivers_total++;
    return true;
}
