/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See stream.h. Output: `output` is gathered and tried once per turn; what is left of it changes
 * places with `sending`, which then leaves piece by piece through uv_write while `output` gathers
 * on. Input: a short rest is put in front of the next read in the loop's shared buffer; a long one
 * stays where it is and the next read goes right behind it, so a large value is copied once.
 */
#include "net/stream.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "net/turn.h"

enum {
    SHARED_REST_BYTES_MAX = 64 * 1024, /* a longer rest of input is not moved in front of a read */
    MEMORY_SWEEP_US = 1000000,
};

static struct evc_stream *
stream_of(const void *handle)
{
    return EVC_CONTAINER_OF(handle, struct evc_stream, tcp);
}

/* --- memory --- */

/** A buffer was used: it stays until a sweep has not seen it in use. */
static void
note_memory(struct evc_stream *stream, const struct evc_buf *buf)
{
    struct evc_loop *loop = stream->loop;

    if (buf->capacity == 0) {
        return;
    }
    stream->is_memory_used = true;
    if (evc_list_is_empty(&stream->holding_link)) {
        evc_list_push_back(&loop->holding, &stream->holding_link);
        if (evc_list_is_empty(&loop->stream_tick.link)) {
            evc_loop_add_tick(loop, &loop->stream_tick);
        }
    }
}

static bool
holds_memory(const struct evc_stream *stream)
{
    return stream->input.capacity > 0 || stream->output.capacity > 0 ||
           stream->sending.capacity > 0;
}

static void
sweep_memory(struct evc_loop *loop)
{
    struct evc_list *next;

    for (struct evc_list *link = loop->holding.next; link != &loop->holding; link = next) {
        struct evc_stream *stream = EVC_CONTAINER_OF(link, struct evc_stream, holding_link);

        next = link->next;
        if (!stream->is_memory_used) {
            evc_buf_shrink(&stream->input, 0);
            evc_buf_shrink(&stream->output, 0);
            evc_buf_shrink(&stream->sending, 0);
        }
        stream->is_memory_used = false;
        if (!holds_memory(stream)) {
            evc_list_remove(link);
        }
    }
}

/* --- the end --- */

static void
leave_lists(struct evc_stream *stream)
{
    evc_list_remove(&stream->dirty_link);
    evc_list_remove(&stream->resumed_link);
    evc_list_remove(&stream->holding_link);
    evc_list_remove(&stream->linger_link);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct evc_stream *stream = stream_of(handle);

    evc_loop_enter(stream->loop);
    assert(stream->state == EVC_STREAM_CLOSING);
    if (stream->has_failed_connecting && stream->handler->on_connected != NULL) {
        stream->handler->on_connected(stream, stream->close_reason);
    }
    evc_buf_finish(&stream->input);
    evc_buf_finish(&stream->output);
    evc_buf_finish(&stream->sending);
    leave_lists(stream);
    stream->state = EVC_STREAM_CLOSED;
    stream->handler->on_closed(stream, stream->close_reason);
}

void
evc_stream_close(struct evc_stream *stream, int reason)
{
    if (stream->state == EVC_STREAM_CLOSED || stream->state == EVC_STREAM_CLOSING) {
        return;
    }
    stream->state = EVC_STREAM_CLOSING;
    stream->close_reason = reason;
    leave_lists(stream);
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
}

static void
fail(struct evc_stream *stream, int reason)
{
    evc_stream_close(stream, stream->close_after_flush ? 0 : reason);
}

/* --- input --- */

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct evc_stream *stream = stream_of(handle);
    size_t kept = evc_buf_len(&stream->input);
    size_t room = stream->input.limit - kept;
    char *tail = NULL;

    (void)suggested;
    if (room > EVC_LOOP_READ_BYTES) {
        room = EVC_LOOP_READ_BYTES;
    }
    if (room > 0 && kept <= SHARED_REST_BYTES_MAX) {
        if (room > EVC_LOOP_READ_BYTES - kept) {
            room = EVC_LOOP_READ_BYTES - kept;
        }
        memcpy(stream->loop->read_bytes, evc_buf_slice(&stream->input).ptr, kept);
        tail = stream->loop->read_bytes + kept;
    } else if (room > 0 && evc_buf_reserve(&stream->input, room, &tail) != EVC_OK) {
        room = 0; /* comes back to on_read as UV_ENOBUFS */
    }
    *ret = uv_buf_init(tail, (unsigned)room);
}

static void
give_kept(struct evc_stream *stream)
{
    size_t len = evc_buf_len(&stream->input);
    size_t used;

    note_memory(stream, &stream->input);
    used = stream->handler->on_data(stream, stream->input.data + stream->input.read, len);
    assert(used <= len);
    if (stream->state == EVC_STREAM_OPEN) {
        evc_buf_consume(&stream->input, used);
    }
}

/** data: what was kept, copied to the shared buffer, and len - kept new bytes. */
static void
give_shared(struct evc_stream *stream, char *data, size_t kept, size_t len)
{
    size_t used = stream->handler->on_data(stream, data, len);
    int status;

    assert(used <= len);
    if (stream->state != EVC_STREAM_OPEN) {
        return;
    }
    if (used < kept) {
        evc_buf_consume(&stream->input, used);
        used = kept;
    } else {
        evc_buf_clear(&stream->input);
    }
    status =
        evc_buf_append(&stream->input, (struct evc_slice){.ptr = data + used, .len = len - used});
    note_memory(stream, &stream->input);
    if (status != EVC_OK) {
        fail(stream, status == EVC_E_LIMIT ? UV_ENOBUFS : UV_ENOMEM);
    }
}

static void
on_eof(struct evc_stream *stream)
{
    stream->has_eof = true;
    if (stream->close_after_flush) {
        if (stream->is_shut) {
            evc_stream_close(stream, 0);
        } else {
            uv_read_stop((uv_stream_t *)&stream->tcp);
        }
    } else if (stream->handler->on_eof != NULL) {
        uv_read_stop((uv_stream_t *)&stream->tcp);
        stream->handler->on_eof(stream);
    } else {
        evc_stream_close(stream, UV_EOF);
    }
}

static void
on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    struct evc_stream *stream = stream_of(handle);
    size_t kept = evc_buf_len(&stream->input);

    evc_loop_enter(stream->loop);
    if (count == UV_EOF) {
        on_eof(stream);
    } else if (count < 0) {
        fail(stream, (int)count);
    } else if (count > 0 && stream->close_after_flush) {
        stream->bytes_in += (uint64_t)count; /* read so that the peer gets no reset */
    } else if (count > 0) {
        stream->bytes_in += (uint64_t)count;
        if (buf->base == stream->loop->read_bytes + kept) {
            give_shared(stream, stream->loop->read_bytes, kept, kept + (size_t)count);
        } else {
            evc_buf_commit(&stream->input, (size_t)count);
            give_kept(stream);
        }
    }
}

static void
start_reading(struct evc_stream *stream)
{
    int status = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);

    if (status != 0 && status != UV_EALREADY) {
        fail(stream, status);
    }
}

void
evc_stream_pause(struct evc_stream *stream)
{
    stream->is_paused = true;
    evc_list_remove(&stream->resumed_link);
    if (stream->state == EVC_STREAM_OPEN && !stream->close_after_flush) {
        uv_read_stop((uv_stream_t *)&stream->tcp);
    }
}

void
evc_stream_resume(struct evc_stream *stream)
{
    if (!stream->is_paused) {
        return;
    }
    stream->is_paused = false;
    if (stream->state == EVC_STREAM_OPEN && !stream->close_after_flush) {
        if (!stream->has_eof) {
            start_reading(stream);
        }
        /* Whether anything is kept is known only when on_data has returned. */
        evc_list_push_back(&stream->loop->resumed, &stream->resumed_link);
        evc_loop_keep_awake(stream->loop);
    }
}

void
evc_streams_give_kept(struct evc_loop *loop)
{
    struct evc_list due;
    struct evc_list *link;

    evc_list_move(&loop->resumed, &due); /* who is resumed meanwhile waits for the next turn */
    while ((link = evc_list_pop_front(&due)) != NULL) {
        struct evc_stream *stream = EVC_CONTAINER_OF(link, struct evc_stream, resumed_link);

        if (evc_buf_len(&stream->input) > 0) {
            give_kept(stream);
        }
    }
}

/* --- output --- */

struct evc_buf *
evc_stream_output(struct evc_stream *stream)
{
    return &stream->output;
}

size_t
evc_stream_output_waiting(const struct evc_stream *stream)
{
    return evc_buf_len(&stream->output) + evc_buf_len(&stream->sending);
}

void
evc_stream_flush_later(struct evc_stream *stream)
{
    if (stream->state == EVC_STREAM_OPEN && !stream->is_writing && !stream->is_shut &&
        evc_list_is_empty(&stream->dirty_link)) {
        evc_list_push_back(&stream->loop->dirty, &stream->dirty_link);
    }
}

static void
on_shut(uv_shutdown_t *shutdown, int status)
{
    struct evc_stream *stream = EVC_CONTAINER_OF(shutdown, struct evc_stream, shutdown);

    evc_loop_enter(stream->loop);
    if (status < 0 || stream->has_eof) {
        evc_stream_close(stream, 0);
    }
}

/** All has left: our half closes, and the stream when the peer's half does. */
static void
shut(struct evc_stream *stream)
{
    stream->is_shut = true;
    if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shut) != 0) {
        evc_stream_close(stream, 0);
    }
}

static void on_written(uv_write_t *write, int status);

static void
send_piece(struct evc_stream *stream)
{
    struct evc_slice rest = evc_buf_slice(&stream->sending);
    size_t len = rest.len < EVC_STREAM_PIECE_BYTES ? rest.len : EVC_STREAM_PIECE_BYTES;
    uv_buf_t piece = uv_buf_init((char *)rest.ptr, (unsigned)len);
    int status = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &piece, 1, on_written);

    if (status == 0) {
        stream->is_writing = true;
    } else {
        fail(stream, status);
    }
}

/** Nothing is left. True when the user was told. */
static bool
drained(struct evc_stream *stream)
{
    note_memory(stream, &stream->output);
    note_memory(stream, &stream->sending);
    if (stream->close_after_flush) {
        shut(stream);
    } else if (stream->handler->on_drained != NULL) {
        stream->handler->on_drained(stream);
        return true;
    }
    return false;
}

static void
on_written(uv_write_t *write, int status)
{
    struct evc_stream *stream = EVC_CONTAINER_OF(write, struct evc_stream, write);
    size_t rest = evc_buf_len(&stream->sending);
    size_t len = rest < EVC_STREAM_PIECE_BYTES ? rest : EVC_STREAM_PIECE_BYTES;

    evc_loop_enter(stream->loop);
    stream->is_writing = false;
    if (stream->state != EVC_STREAM_OPEN) {
        return;
    }
    if (status < 0) {
        fail(stream, status);
        return;
    }
    stream->bytes_out += len;
    evc_buf_consume(&stream->sending, len);
    if (evc_buf_len(&stream->sending) > 0) {
        send_piece(stream);
    } else if (evc_buf_len(&stream->output) > 0) {
        evc_stream_flush_later(stream);
    } else {
        (void)drained(stream); /* the turn's end comes anyway */
    }
}

/** One write. True when the user was told that all has left. */
static bool
flush(struct evc_stream *stream)
{
    struct evc_slice gathered = evc_buf_slice(&stream->output);
    uv_buf_t bytes = uv_buf_init((char *)gathered.ptr, (unsigned)gathered.len);
    struct evc_buf swapped;
    int written = 0;

    assert(gathered.len <= INT32_MAX && evc_buf_len(&stream->sending) == 0);
    if (gathered.len > 0) {
        written = uv_try_write((uv_stream_t *)&stream->tcp, &bytes, 1);
    }
    if (written < 0 && written != UV_EAGAIN) {
        fail(stream, written);
        return false;
    }
    stream->bytes_handed += gathered.len;
    if (written > 0) {
        stream->bytes_out += (uint64_t)written;
        evc_buf_consume(&stream->output, (size_t)written);
    }
    if (evc_buf_len(&stream->output) == 0) {
        return drained(stream);
    }
    swapped = stream->sending;
    stream->sending = stream->output;
    stream->output = swapped;
    send_piece(stream);
    return false;
}

bool
evc_streams_flush(struct evc_loop *loop)
{
    struct evc_list due;
    struct evc_list *link;
    bool has_called = false;

    evc_list_move(&loop->dirty, &due);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        has_called |= flush(EVC_CONTAINER_OF(link, struct evc_stream, dirty_link));
    }
    return has_called;
}

/* --- closing with last words --- */

void
evc_stream_close_after_flush(struct evc_stream *stream)
{
    struct evc_loop *loop = stream->loop;

    if (stream->close_after_flush) {
        return;
    }
    if (stream->state != EVC_STREAM_OPEN) {
        evc_stream_close(stream, 0);
        return;
    }
    stream->close_after_flush = true;
    evc_list_remove(&stream->resumed_link);
    stream->linger_us = loop->now.mono_us + (uint64_t)EVC_STREAM_LINGER_MS * 1000;
    stream->linger_waiting = evc_stream_output_waiting(stream);
    evc_list_push_back(&loop->lingering, &stream->linger_link);
    if (evc_list_is_empty(&loop->stream_tick.link)) {
        evc_loop_add_tick(loop, &loop->stream_tick);
    }
    if (!stream->has_eof) {
        start_reading(stream); /* to see the peer's end, also when paused */
    }
    evc_stream_flush_later(stream); /* also with nothing gathered: then it shuts */
}

static void
linger(struct evc_stream *stream, uint64_t now_us)
{
    size_t waiting = evc_stream_output_waiting(stream);

    if (waiting < stream->linger_waiting) {
        stream->linger_waiting = waiting;
        stream->linger_us = now_us + (uint64_t)EVC_STREAM_LINGER_MS * 1000;
    } else if (now_us >= stream->linger_us) {
        evc_stream_close(stream, 0);
    }
}

void
evc_streams_on_tick(struct evc_loop_hook *hook)
{
    struct evc_loop *loop = EVC_CONTAINER_OF(hook, struct evc_loop, stream_tick);
    struct evc_list *next;

    for (struct evc_list *link = loop->lingering.next; link != &loop->lingering; link = next) {
        next = link->next;
        linger(EVC_CONTAINER_OF(link, struct evc_stream, linger_link), loop->now.mono_us);
    }
    if (loop->now.mono_us - loop->memory_sweep_us >= MEMORY_SWEEP_US) {
        loop->memory_sweep_us = loop->now.mono_us;
        sweep_memory(loop);
    }
    if (evc_list_is_empty(&loop->lingering) && evc_list_is_empty(&loop->holding)) {
        evc_loop_remove_hook(hook);
    }
}

/* --- the beginning --- */

static int
init(struct evc_stream *stream, struct evc_loop *loop, size_t input_max, size_t output_max,
     const struct evc_stream_handler *handler)
{
    assert(stream->state == EVC_STREAM_CLOSED);
    assert(handler->on_data != NULL && handler->on_closed != NULL);
    assert(output_max <= INT32_MAX); /* what one write can be told to send */
    *stream = (struct evc_stream){.loop = loop, .handler = handler};
    evc_list_init(&stream->dirty_link);
    evc_list_init(&stream->resumed_link);
    evc_list_init(&stream->holding_link);
    evc_list_init(&stream->linger_link);
    evc_buf_init(&stream->input, input_max);
    evc_buf_init(&stream->output, output_max);
    evc_buf_init(&stream->sending, output_max);
    return uv_tcp_init(&loop->uv, &stream->tcp) == 0 ? EVC_OK : EVC_E_SYS;
}

static void
opened(struct evc_stream *stream)
{
    unsigned timeout_ms = EVC_STREAM_USER_TIMEOUT_MS;
    uv_os_fd_t fd;

    stream->state = EVC_STREAM_OPEN;
    /* A connection without these still works: a failure is none of the stream. */
    (void)uv_tcp_nodelay(&stream->tcp, 1);
    (void)uv_tcp_keepalive(&stream->tcp, 1, EVC_STREAM_KEEPALIVE_S);
    if (stream->is_client && uv_fileno((uv_handle_t *)&stream->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    }
    if (!stream->is_paused) {
        start_reading(stream);
    }
    if (evc_buf_len(&stream->output) > 0) {
        evc_stream_flush_later(stream);
    }
}

static void
on_connected(uv_connect_t *connect, int status)
{
    struct evc_stream *stream = EVC_CONTAINER_OF(connect, struct evc_stream, connect);

    evc_loop_enter(stream->loop);
    if (stream->state != EVC_STREAM_CONNECTING) {
        return;
    }
    if (status < 0) {
        stream->has_failed_connecting = true;
        evc_stream_close(stream, status);
        return;
    }
    opened(stream);
    if (stream->state == EVC_STREAM_OPEN && stream->handler->on_connected != NULL) {
        stream->handler->on_connected(stream, 0);
    }
}

int
evc_stream_connect(struct evc_stream *stream, struct evc_loop *loop, const struct sockaddr *address,
                   size_t input_max, size_t output_max, const struct evc_stream_handler *handler)
{
    int status = init(stream, loop, input_max, output_max, handler);

    if (status != EVC_OK) {
        return status;
    }
    stream->state = EVC_STREAM_CONNECTING;
    stream->is_client = true;
    status = uv_tcp_connect(&stream->connect, &stream->tcp, address, on_connected);
    if (status < 0) {
        stream->has_failed_connecting = true;
        evc_stream_close(stream, status);
    }
    return EVC_OK;
}

int
evc_stream_accept(struct evc_stream *stream, struct evc_loop *loop, uv_stream_t *server,
                  size_t input_max, size_t output_max, const struct evc_stream_handler *handler)
{
    int status = init(stream, loop, input_max, output_max, handler);

    if (status != EVC_OK) {
        return status;
    }
    stream->state = EVC_STREAM_OPEN;
    status = uv_accept(server, (uv_stream_t *)&stream->tcp);
    if (status == 0) {
        opened(stream);
    } else {
        evc_stream_close(stream, status);
    }
    return EVC_OK;
}
