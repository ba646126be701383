/* SPDX-License-Identifier: Apache-2.0 */
/* See client.h. */
#include "bench/client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "bench/bench.h"

enum {
    LINE_BYTES = 64 + EVC_LOAD_KEY_BYTES, /* a request without its value */
    LINE_BYTES_MAX = 512,                 /* of a reply: longer ones are not memcached's */
};

static struct evc_bench_client *
client_of(struct evc_stream *stream)
{
    return EVC_CONTAINER_OF(stream, struct evc_bench_client, stream);
}

static int
phase_of(const struct evc_bench_client *client)
{
    return atomic_load_explicit(client->thread->phase, memory_order_relaxed);
}

static void
keep_error(struct evc_bench_client *client, const char *text, size_t len)
{
    struct evc_bench_figures *figures = &client->thread->figures;

    if (figures->error[0] == '\0') {
        snprintf(figures->error, sizeof(figures->error), "%.*s", (int)len, text);
    }
}

/* --- requests --- */

static size_t
put_text(char *out, const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len);
    return len;
}

static bool
put_request(struct evc_bench_client *client, uint64_t key, bool is_get, uint64_t due_us)
{
    struct evc_bench_thread *thread = client->thread;
    const struct evc_bench_options *options = thread->options;
    struct evc_buf *output = evc_stream_output(&client->stream);
    uint32_t value_len = is_get ? 0 : evc_load_next_value_len(&thread->chooser);
    char *tail;
    size_t len;

    if (evc_buf_reserve(output, LINE_BYTES + value_len + 2, &tail) != EVC_OK) {
        return false;
    }
    len = put_text(tail, is_get ? "get " : "set ");
    evc_load_put_key(&options->load, key, tail + len);
    len += EVC_LOAD_KEY_BYTES;
    if (!is_get) {
        len += put_text(tail + len, " 0 ");
        len += evc_decimal_format_i64(tail + len, options->exptime);
        tail[len++] = ' ';
        len += evc_decimal_format_u64(tail + len, value_len);
        len += put_text(tail + len, "\r\n");
        memcpy(tail + len, thread->value_bytes, value_len);
        len += value_len;
    }
    len += put_text(tail + len, "\r\n");
    evc_buf_commit(output, len);
    thread->figures.bytes_out += len;
    client->requests[client->tail++ % EVC_BENCH_OUTSTANDING_MAX] =
        (struct evc_bench_request){.due_us = due_us, .is_get = is_get};
    return true;
}

static bool
has_room(const struct evc_bench_client *client)
{
    return client->tail - client->head < EVC_BENCH_OUTSTANDING_MAX;
}

static void
send_chosen(struct evc_bench_client *client, uint64_t due_us)
{
    struct evc_load_chooser *chooser = &client->thread->chooser;
    uint64_t key = evc_load_next_key(chooser);

    (void)put_request(client, key, evc_load_next_is_get(chooser), due_us);
}

/** Closed loop: the next batch, when the last is answered. */
static void
send_batch(struct evc_bench_client *client)
{
    uint64_t now_us = client->stream.loop->now.mono_us;
    bool is_filling = client->fill_next < client->fill_end;
    unsigned depth = is_filling ? EVC_BENCH_OUTSTANDING_MAX / 4 : client->thread->options->depth;

    for (unsigned i = 0; i < depth; i++) {
        if (!is_filling) {
            send_chosen(client, now_us);
        } else if (client->fill_next < client->fill_end) {
            (void)put_request(client, client->fill_next++, false, now_us);
        }
    }
    evc_stream_flush_later(&client->stream);
}

static double
interval_us(const struct evc_bench_client *client)
{
    const struct evc_bench_options *options = client->thread->options;

    return 1e6 * options->connections / options->rate;
}

void
evc_bench_client_send_due(struct evc_bench_client *client, uint64_t now_us)
{
    double interval = interval_us(client);
    bool has_sent = false;

    while (client->is_up && client->next_due_us <= now_us && has_room(client)) {
        send_chosen(client, client->next_due_us);
        client->next_due_us += (uint64_t)interval > 0 ? (uint64_t)interval : 1;
        has_sent = true;
    }
    if (has_sent) {
        evc_stream_flush_later(&client->stream);
    }
}

void
evc_bench_client_start(struct evc_bench_client *client, uint64_t now_us)
{
    if (!client->is_up) {
        return;
    }
    if (client->fill_next < client->fill_end || client->thread->options->rate == 0) {
        send_batch(client);
    } else {
        unsigned index = (unsigned)(client - client->thread->clients);

        /* Clients begin spread over one interval, or they would send in step for ever. */
        client->next_due_us =
            now_us + (uint64_t)(interval_us(client) * index / client->thread->client_count);
    }
}

/* --- replies --- */

static void
answered(struct evc_bench_client *client)
{
    struct evc_bench_thread *thread = client->thread;
    struct evc_bench_request *request =
        &client->requests[client->head++ % EVC_BENCH_OUTSTANDING_MAX];
    uint64_t now_us = client->stream.loop->now.mono_us;

    thread->published_count++;
    if (phase_of(client) == EVC_BENCH_MEASURING) {
        uint64_t took_us = now_us > request->due_us ? now_us - request->due_us : 0;

        evc_histogram_record(request->is_get ? &thread->figures.get_us : &thread->figures.set_us,
                             took_us);
    }
}

static bool
is_word(const char *line, size_t len, const char *word)
{
    size_t word_len = strlen(word);

    return len >= word_len && memcmp(line, word, word_len) == 0;
}

/** The bytes of a VALUE line's value, behind its last blank. */
static uint64_t
value_len_of(const char *line, size_t len)
{
    uint64_t value_len = 0;
    size_t start = len;

    while (start > 0 && line[start - 1] != ' ') {
        start--;
    }
    (void)evc_decimal_parse_u64((struct evc_slice){.ptr = line + start, .len = len - start},
                                &value_len);
    return value_len;
}

static void
take_line(struct evc_bench_client *client, const char *line, size_t len)
{
    struct evc_bench_figures *figures = &client->thread->figures;
    bool is_get = client->requests[client->head % EVC_BENCH_OUTSTANDING_MAX].is_get;

    if (is_get && is_word(line, len, "VALUE ")) {
        client->has_value = true;
        client->skip = value_len_of(line, len) + 2;
        return;
    }
    if (is_get && is_word(line, len, "END")) {
        figures->hits += client->has_value;
        figures->misses += !client->has_value;
    } else if (!is_get && is_word(line, len, "STORED")) {
        figures->stored++;
    } else {
        figures->errors++;
        keep_error(client, line, len);
    }
    client->has_value = false;
    answered(client);
}

/** Takes whole lines and skips values. Returns the bytes used. */
static size_t
take_replies(struct evc_bench_client *client, const char *data, size_t len)
{
    size_t used = 0;

    while (used < len) {
        const char *newline;
        size_t line_len;

        if (client->skip > 0) {
            size_t skipped = client->skip < len - used ? (size_t)client->skip : len - used;

            client->skip -= skipped;
            used += skipped;
            continue;
        }
        newline = memchr(data + used, '\n', len - used);
        if (!newline) {
            break;
        }
        line_len = (size_t)(newline - (data + used));
        if (client->head != client->tail) { /* else nobody asked: counted when it disconnects */
            take_line(client, data + used, line_len > 0 ? line_len - 1 : 0);
        }
        used += line_len + 1;
    }
    return used;
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_bench_client *client = client_of(stream);
    size_t used = take_replies(client, data, len);

    client->thread->figures.bytes_in += used;
    if (len - used > LINE_BYTES_MAX) {
        keep_error(client, "a reply line without end", 24);
        evc_stream_close(stream, UV_EPROTO);
        return len;
    }
    if (client->head != client->tail) {
        return used;
    }
    if (phase_of(client) == EVC_BENCH_FILLING) {
        if (client->fill_next < client->fill_end) {
            send_batch(client);
        } else {
            atomic_fetch_add(&client->thread->filled, 1);
        }
    } else if (client->thread->options->rate == 0 && phase_of(client) != EVC_BENCH_DONE) {
        send_batch(client);
    }
    return used;
}

static void
on_connected(struct evc_stream *stream, int status)
{
    struct evc_bench_client *client = client_of(stream);

    if (status == 0) {
        client->is_up = true;
        atomic_fetch_add(&client->thread->up, 1);
    }
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_bench_client *client = client_of(stream);

    client->is_up = false;
    if (phase_of(client) != EVC_BENCH_DONE) {
        const char *why =
            reason == UV_EOF ? "the server closed the connection" : uv_strerror(reason);

        keep_error(client, why, strlen(why));
        client->thread->figures.disconnects++;
        client->thread->figures.errors += client->tail - client->head;
        client->head = client->tail;
        atomic_fetch_add(&client->thread->lost, 1);
    }
}

static const struct evc_stream_handler handler = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_closed = on_closed,
};

int
evc_bench_client_open(struct evc_bench_client *client, struct evc_bench_thread *thread,
                      const struct sockaddr *address)
{
    client->thread = thread;
    return evc_stream_connect(&client->stream, &thread->loop, address, EVC_BENCH_INPUT_BYTES_MAX,
                              EVC_BENCH_OUTPUT_BYTES_MAX, &handler);
}
