/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection: bytes in, bytes out, nothing of any protocol. Output is gathered in a buffer and
 * leaves in one uv_try_write at the end of the loop's turn. Input is read into the loop's shared
 * buffer and copied to the stream's own only where the user left some of it.
 *
 * States: CONNECTING → OPEN → CLOSING → (on_closed, memory is the user's again). Owner: one loop.
 */
#ifndef EVC_NET_STREAM_H
#define EVC_NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/loop.h"

enum evc_stream_state {
    EVC_STREAM_CLOSED,
    EVC_STREAM_CONNECTING,
    EVC_STREAM_OPEN,
    EVC_STREAM_CLOSING,
    EVC_STREAM_STATE_MAX,
};

struct evc_stream;

struct evc_stream_handler {
    /** Connected (client side only). status: 0, or negative uv error: then on_closed follows. */
    void (*on_connected)(struct evc_stream *stream, int status);
    /**
     * There is input. data is mutable and valid during the call; return how many bytes were used.
     * The rest is kept and given again, in front of what comes next.
     */
    size_t (*on_data)(struct evc_stream *stream, char *data, size_t len);
    /** The output that waited for the peer has left (after evc_stream_output_waiting was > 0). May be NULL. */
    void (*on_drained)(struct evc_stream *stream);
    /** The last call. reason: 0 closed by us, UV_EOF by the peer, else a negative uv error. */
    void (*on_closed)(struct evc_stream *stream, int reason);
};

struct evc_stream {
    uv_tcp_t tcp;
    struct evc_loop *loop;
    const struct evc_stream_handler *handler;
    enum evc_stream_state state;
    struct evc_buf input;       /* what on_data left */
    struct evc_buf output;      /* gathered this turn */
    struct evc_buf sending;     /* handed to the kernel's queue, waiting for the peer */
    struct evc_list dirty_link;
    uv_write_t write;
    uv_connect_t connect;
    int close_reason;
    bool is_paused;
    bool is_writing;
    bool close_after_flush;
    uint64_t bytes_in, bytes_out;
};

/**
 * Connects to host:port (numeric address; names are resolved by the topology). input_max, output_max:
 * bytes, bounds of the two buffers. on_connected comes later, always.
 */
EVC_MUST_USE int evc_stream_connect(struct evc_stream *stream, struct evc_loop *loop,
                                    const struct sockaddr *address, size_t input_max,
                                    size_t output_max, const struct evc_stream_handler *handler);

/** Takes an accepted connection from a listener. */
EVC_MUST_USE int evc_stream_accept(struct evc_stream *stream, struct evc_loop *loop,
                                   uv_stream_t *server, size_t input_max, size_t output_max,
                                   const struct evc_stream_handler *handler);

/**
 * The output buffer to compose into; call evc_stream_flush_later after appending. Valid during the
 * current callback only.
 */
struct evc_buf *evc_stream_output(struct evc_stream *stream);
void evc_stream_flush_later(struct evc_stream *stream);

/** Bytes gathered and not yet taken by the kernel. */
size_t evc_stream_output_waiting(const struct evc_stream *stream);

/** Stops and starts reading (back-pressure). Resume gives kept input again at the next turn. */
void evc_stream_pause(struct evc_stream *stream);
void evc_stream_resume(struct evc_stream *stream);

/** Starts closing; on_closed comes later, exactly once. Harmless when already closing. */
void evc_stream_close(struct evc_stream *stream, int reason);

/** The same, after what was gathered has left (or the peer stops taking it for a second). */
void evc_stream_close_after_flush(struct evc_stream *stream);

#endif
