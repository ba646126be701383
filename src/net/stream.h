/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection: bytes in, bytes out, nothing of any protocol. Output is gathered in a buffer
 * and leaves in one uv_try_write at the end of the loop's turn; what the kernel does not take then
 * waits aside while more is gathered. Input is read into the loop's shared buffer and copied to the
 * stream's own only where the user left some of it; a large rest is read on in place.
 *
 * States: CONNECTING → OPEN → CLOSING → (on_closed, CLOSED, memory is the user's again). Owner: one
 * loop. Every function may be called from every callback. A zeroed stream is CLOSED.
 */
#ifndef EVC_NET_STREAM_H
#define EVC_NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/loop.h"

enum {
    EVC_STREAM_PIECE_BYTES = 256 * 1024, /* handed to the kernel's queue at once */
    EVC_STREAM_LINGER_MS = 1000,         /* for a peer that takes nothing, when closing */
    EVC_STREAM_KEEPALIVE_S = 60,
    EVC_STREAM_USER_TIMEOUT_MS = 10000, /* client side: sent and never acknowledged by its host */
};

enum evc_stream_state {
    EVC_STREAM_CLOSED,
    EVC_STREAM_CONNECTING,
    EVC_STREAM_OPEN,
    EVC_STREAM_CLOSING,
    EVC_STREAM_STATE_MAX,
};

struct evc_stream;

struct evc_stream_handler {
    /**
     * Connected (client side only). status: 0, or negative uv error: then on_closed follows. Not
     * called when the user closes first. May be NULL.
     */
    void (*on_connected)(struct evc_stream *stream, int status);
    /**
     * There is input. data is mutable and valid during the call; return how many bytes were used.
     * The rest is kept and given again, in front of what comes next.
     */
    size_t (*on_data)(struct evc_stream *stream, char *data, size_t len);
    /**
     * All gathered output has been taken by the kernel: at the end of a turn, or later if the peer
     * was slow. May be NULL.
     */
    void (*on_drained)(struct evc_stream *stream);
    /**
     * The peer will send nothing more, but may still read: answer what is open, then close. Input
     * that was kept will never be complete. NULL: the stream is closed with UV_EOF.
     */
    void (*on_eof)(struct evc_stream *stream);
    /** The last call. reason: 0 closed by us, UV_EOF by the peer, else a negative uv error. */
    void (*on_closed)(struct evc_stream *stream, int reason);
};

struct evc_stream {
    uv_tcp_t tcp;
    struct evc_loop *loop;
    const struct evc_stream_handler *handler;
    enum evc_stream_state state;
    struct evc_buf input;   /* what on_data left */
    struct evc_buf output;  /* gathered this turn */
    struct evc_buf sending; /* handed to the kernel's queue, waiting for the peer */
    struct evc_list dirty_link;
    struct evc_list resumed_link;
    struct evc_list holding_link;
    struct evc_list linger_link;
    uv_write_t write;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    int close_reason;
    bool is_client;
    bool is_paused;
    bool is_writing;
    bool is_memory_used; /* a buffer was in use since the last sweep */
    bool has_eof;        /* the peer's half is closed */
    bool has_failed_connecting;
    bool close_after_flush;
    bool is_shut;          /* our half is closed */
    uint64_t linger_us;    /* until when a closing peer may take nothing */
    size_t linger_waiting; /* what it had not taken then */
    uint64_t bytes_in;     /* read */
    uint64_t bytes_out;    /* taken by the kernel */
    uint64_t bytes_handed; /* that left `output`: what was gathered behind them was never sent */
};

/**
 * Connects to host:port (numeric address; names are resolved by the topology). input_max,
 * output_max: bytes, bounds of the input buffer, and of what is gathered; as much again may wait
 * for the peer (see evc_stream_output_waiting). on_connected comes later, always; so do failures.
 * The stream must be CLOSED. 0, or EVC_E_SYS when not even a handle could be made: no callback.
 */
EVC_MUST_USE int evc_stream_connect(struct evc_stream *stream, struct evc_loop *loop,
                                    const struct sockaddr *address, size_t input_max,
                                    size_t output_max, const struct evc_stream_handler *handler);

/**
 * Takes an accepted connection from a listener. 0: OPEN, or CLOSING already when the connection
 * could not be taken (on_closed comes, as always). EVC_E_SYS as above.
 */
EVC_MUST_USE int evc_stream_accept(struct evc_stream *stream, struct evc_loop *loop,
                                   uv_stream_t *server, size_t input_max, size_t output_max,
                                   const struct evc_stream_handler *handler);

/**
 * The output buffer to compose into; call evc_stream_flush_later after appending. Valid during the
 * current callback only. What is appended while CONNECTING leaves when connected, while CLOSING
 * never.
 */
struct evc_buf *evc_stream_output(struct evc_stream *stream);
void evc_stream_flush_later(struct evc_stream *stream);

/** Bytes gathered and not yet taken by the kernel. */
size_t evc_stream_output_waiting(const struct evc_stream *stream);

/** Stops and starts reading (back-pressure). Resume gives kept input again at the next turn. */
void evc_stream_pause(struct evc_stream *stream);
void evc_stream_resume(struct evc_stream *stream);

/** Starts closing; on_closed comes later, exactly once. Harmless when closing or closed. */
void evc_stream_close(struct evc_stream *stream, int reason);

/**
 * The same with reason 0, after what was gathered has left and the peer has closed its half too,
 * so that it reads our last words; or the peer takes nothing for EVC_STREAM_LINGER_MS. No input is
 * given any more.
 */
void evc_stream_close_after_flush(struct evc_stream *stream);

#endif
