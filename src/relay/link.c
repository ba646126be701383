/* SPDX-License-Identifier: Apache-2.0 */
/* See link.h. */
#include "relay/link.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "topology/topology.h"

enum {
    LINK_INPUT_BYTES_MAX = 64 * 1024,
    LINK_OUTPUT_BYTES_MAX = EVC_LINK_OUTPUT_PAUSE_BYTES + EVC_VALUE_LEN_MAX + 4096,
};

static const char *const state_names[EVC_LINK_STATE_MAX] = {
    [EVC_LINK_DOWN] = "down",
    [EVC_LINK_CONNECTING] = "connecting",
    [EVC_LINK_GREETING] = "greeting",
    [EVC_LINK_UP] = "up",
};

/** Which states may follow which; a bit per state. */
static const unsigned allowed[EVC_LINK_STATE_MAX] = {
    [EVC_LINK_DOWN] = 1U << EVC_LINK_CONNECTING,
    [EVC_LINK_CONNECTING] = 1U << EVC_LINK_GREETING | 1U << EVC_LINK_DOWN,
    [EVC_LINK_GREETING] = 1U << EVC_LINK_UP | 1U << EVC_LINK_DOWN,
    [EVC_LINK_UP] = 1U << EVC_LINK_DOWN,
};

const char *
evc_link_state_str(enum evc_link_state state)
{
    return (size_t)state < EVC_LINK_STATE_MAX ? state_names[state] : "unknown";
}

static void
set_state(struct evc_link *link, enum evc_link_state state)
{
    assert(allowed[link->state] & (1U << state));
    link->state = state;
}

static const struct evc_config_region *
destination_of(const struct evc_link *link)
{
    return &link->config->regions[link->destination];
}

static const char *
receiver_text(const struct evc_link *link)
{
    const struct evc_config_region *region = destination_of(link);

    return region->receivers[link->receiver % region->receivers_count].text;
}

/** Not UP any more, or not yet: another receiver, after a while. */
static void
fall(struct evc_link *link, const char *why)
{
    bool was_up = link->state == EVC_LINK_UP;

    if (strcmp(link->why, why) != 0 || was_up) {
        snprintf(link->why, sizeof(link->why), "%s", why);
        char quoted[EVC_LOG_QUOTE_BYTES];

        evc_log_warn("link is down", "destination=%s receiver=%s why=%s",
                     destination_of(link)->name, receiver_text(link),
                     evc_log_quote(evc_slice_str(why), quoted));
    }
    set_state(link, EVC_LINK_DOWN);
    link->receiver = (link->receiver + 1) % destination_of(link)->receivers_count;
    link->on_their_way = 0;
    link->is_full = false;
    link->due_us = link->loop->now.mono_us + (uint64_t)evc_backoff_next_ms(&link->backoff) * 1000;
    if (was_up) {
        evc_ship_on_link_lost(link->ship);
    }
}

/* --- the wire --- */

static void
on_welcome(struct evc_link *link, const struct evc_replication_reply *reply)
{
    const struct evc_config_region *region = destination_of(link);
    char why[EVC_ERROR_TEXT_BYTES], quoted[EVC_LOG_QUOTE_BYTES];

    if (!evc_slice_equal(reply->cache, evc_slice_str(link->config->cache)) ||
        !evc_slice_equal(reply->region, evc_slice_str(region->name))) {
        snprintf(why, sizeof(why),
                 "%s serves cache %.*s in region %.*s, not %s in %s: the processes read different "
                 "configuration files",
                 receiver_text(link), (int)reply->cache.len, reply->cache.ptr,
                 (int)reply->region.len, reply->region.ptr, link->config->cache, region->name);
        snprintf(link->why, sizeof(link->why), "%s", why);
        evc_log_error("receiver is not the one meant", "why=%s",
                      evc_log_quote(evc_slice_str(why), quoted));
        evc_stream_close(&link->stream, 0);
        return;
    }
    set_state(link, EVC_LINK_UP);
    link->why[0] = '\0';
    link->connects_total++;
    link->clock_asked_us = 0;
    evc_skew_reset(&link->skew); /* another receiver may be another machine */
    evc_backoff_reset(&link->backoff);
    evc_log_info("link is up", "destination=%s receiver=%s", region->name, receiver_text(link));
    evc_ship_on_link_ready(link->ship);
}

/** Asks for the receiver's time; not while output waits, which would count as the way there. */
static void
ask_clock(struct evc_link *link)
{
    uint64_t now_us = link->loop->now.mono_us;

    if (now_us < link->clock_due_us || link->clock_asked_us != 0 ||
        evc_stream_output_waiting(&link->stream) > 0) {
        return;
    }
    link->clock_due_us = now_us + (uint64_t)EVC_LINK_CLOCK_MS * 1000;
    if (evc_buf_append(evc_stream_output(&link->stream), EVC_SLICE("mn\r\n")) == EVC_OK) {
        link->clock_asked_us = evc_clock_unix_us();
        evc_stream_flush_later(&link->stream);
    }
}

static bool
on_clock(struct evc_link *link, uint64_t theirs_us)
{
    if (link->clock_asked_us == 0) {
        return false;
    }
    evc_skew_add(&link->skew, link->clock_asked_us, theirs_us, evc_clock_unix_us());
    link->clock_asked_us = 0;
    return true;
}

/** One line of the receiver. false: the connection is of no use any more. */
static bool
on_reply(struct evc_link *link, const struct evc_replication_reply *reply)
{
    if (reply->is_error) {
        snprintf(link->why, sizeof(link->why), "%s answered: %.*s", receiver_text(link),
                 (int)reply->text.len, reply->text.ptr);
        char quoted[EVC_LOG_QUOTE_BYTES];

        evc_log_warn("receiver refuses", "destination=%s why=%s", destination_of(link)->name,
                     evc_log_quote(evc_slice_str(link->why), quoted));
        return false;
    }
    if (reply->is_welcome) {
        if (link->state != EVC_LINK_GREETING) {
            return false;
        }
        on_welcome(link, reply);
        return true;
    }
    if (link->state != EVC_LINK_UP) {
        return false;
    }
    link->heard_us = link->loop->now.mono_us;
    if (reply->is_clock) {
        return on_clock(link, reply->unix_us);
    }
    if (link->on_their_way > 0) {
        link->on_their_way--;
    }
    evc_ship_on_reply(link->ship, reply->opaque, reply->result, reply->newest);
    return true;
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_link *link = EVC_CONTAINER_OF(stream, struct evc_link, stream);
    size_t used = 0;

    while (used < len && stream->state == EVC_STREAM_OPEN) {
        struct evc_replication_reply reply;
        struct evc_slice input = {.ptr = data + used, .len = len - used};
        size_t line = 0;
        int rc = evc_replication_reply_parse(input, &line, &reply);

        if (rc == EVC_E_AGAIN) {
            break;
        }
        if (rc != EVC_OK || !on_reply(link, &reply)) {
            evc_stream_close(stream, UV_EPROTO);
            return len;
        }
        used += line;
    }
    return used;
}

static bool
send_item(struct evc_ship_link *ship_link, const struct evc_replica *replica, uint32_t opaque)
{
    struct evc_link *link = EVC_CONTAINER_OF(ship_link, struct evc_link, ship_link);

    if (link->state != EVC_LINK_UP || link->stream.state != EVC_STREAM_OPEN ||
        evc_stream_output_waiting(&link->stream) > EVC_LINK_OUTPUT_PAUSE_BYTES) {
        link->is_full = true;
        return false;
    }
    if (evc_replication_compose_item(evc_stream_output(&link->stream), replica, opaque) != EVC_OK) {
        link->is_full = true;
        return false;
    }
    if (link->on_their_way++ == 0) {
        link->heard_us = link->loop->now.mono_us;
    }
    evc_stream_flush_later(&link->stream);
    return true;
}

static void
on_drained(struct evc_stream *stream)
{
    struct evc_link *link = EVC_CONTAINER_OF(stream, struct evc_link, stream);

    if (link->state == EVC_LINK_UP && link->is_full) {
        link->is_full = false;
        evc_ship_on_link_ready(link->ship);
    }
}

/* --- the connection --- */

static void
on_connected(struct evc_stream *stream, int status)
{
    struct evc_link *link = EVC_CONTAINER_OF(stream, struct evc_link, stream);

    if (status != 0) {
        return; /* on_closed follows */
    }
    set_state(link, EVC_LINK_GREETING);
    link->due_us = link->loop->now.mono_us + (uint64_t)EVC_LINK_GREETING_MS * 1000;
    if (evc_replication_compose_hello(evc_stream_output(stream), evc_slice_str(link->config->cache),
                                      evc_slice_str(link->config->regions[link->source].name),
                                      evc_slice_str(link->relay_id)) != EVC_OK) {
        evc_stream_close(stream, UV_ENOBUFS);
        return;
    }
    evc_stream_flush_later(stream);
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_link *link = EVC_CONTAINER_OF(stream, struct evc_link, stream);
    char why[EVC_ERROR_TEXT_BYTES];

    if (link->is_closing) {
        link->state = EVC_LINK_DOWN;
        return;
    }
    if (reason == 0 || reason == UV_EPROTO) {
        snprintf(why, sizeof(why), "%s",
                 link->why[0] ? link->why : "what it answered makes no sense");
    } else {
        snprintf(why, sizeof(why), "%s: %s", receiver_text(link),
                 reason == UV_EOF ? "closed by the receiver" : uv_strerror(reason));
    }
    fall(link, why);
}

static const struct evc_stream_handler stream_handler = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void
connect_now(struct evc_link *link)
{
    const struct evc_config_region *region = destination_of(link);
    struct sockaddr_storage address;
    struct evc_error error;

    set_state(link, EVC_LINK_CONNECTING);
    link->due_us = link->loop->now.mono_us + (uint64_t)link->config->connect_timeout_ms * 1000;
    if (evc_address_resolve(&region->receivers[link->receiver], &address, &error) != EVC_OK) {
        fall(link, error.text);
    } else if (evc_stream_connect(&link->stream, link->loop, (struct sockaddr *)&address,
                                  LINK_INPUT_BYTES_MAX, LINK_OUTPUT_BYTES_MAX,
                                  &stream_handler) != EVC_OK) {
        fall(link, "no socket could be made");
    }
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct evc_link *link = EVC_CONTAINER_OF(hook, struct evc_link, tick);
    uint64_t now_us = link->loop->now.mono_us;

    if (link->is_closing) {
        return;
    }
    switch (link->state) {
    case EVC_LINK_DOWN:
        if (link->stream.state == EVC_STREAM_CLOSED && now_us >= link->due_us) {
            connect_now(link);
        }
        break;
    case EVC_LINK_CONNECTING:
    case EVC_LINK_GREETING:
        if (now_us >= link->due_us) {
            evc_stream_close(&link->stream, UV_ETIMEDOUT);
        }
        break;
    case EVC_LINK_UP:
        if (link->on_their_way > 0 &&
            now_us > link->heard_us + (uint64_t)EVC_LINK_SILENCE_MS * 1000) {
            evc_stream_close(&link->stream, UV_ETIMEDOUT);
        } else if (link->is_full && evc_stream_output_waiting(&link->stream) == 0) {
            on_drained(&link->stream);
        } else {
            ask_clock(link);
        }
        break;
    case EVC_LINK_STATE_MAX:
        break;
    }
}

void
evc_link_init(struct evc_link *link, const struct evc_link_options *options)
{
    *link = (struct evc_link){
        .ship_link = {.send = send_item},
        .loop = options->loop,
        .config = options->config,
        .source = options->source,
        .destination = options->destination,
        .relay_id = options->relay_id,
        .tick = {.call = on_tick},
    };
    evc_backoff_init(&link->backoff, EVC_LINK_BACKOFF_MIN_MS, EVC_LINK_BACKOFF_MAX_MS,
                     ((uint64_t)options->source << 32) + options->destination);
    evc_loop_add_tick(options->loop, &link->tick);
}

void
evc_link_close(struct evc_link *link)
{
    if (link->is_closing) {
        return;
    }
    link->is_closing = true;
    evc_loop_remove_hook(&link->tick);
    if (link->stream.state != EVC_STREAM_CLOSED) {
        evc_stream_close(&link->stream, 0);
    }
}
