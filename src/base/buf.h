/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bounded byte buffer: bytes are appended at the end and consumed from the front. Used for what
 * is read from and written to connections, and for composing records. Grows by doubling up to its
 * bound, gives its memory back when told to.
 *
 * Invariant: read <= write <= capacity <= limit. Pointers into it are valid until the next call
 * that appends, reserves, consumes or compacts.
 */
#ifndef EVC_BASE_BUF_H
#define EVC_BASE_BUF_H

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct evc_buf {
    char *data;
    size_t read;
    size_t write;
    size_t capacity;
    size_t limit; /* immutable after init: the most bytes it may ever hold */
};

/** An empty buffer without memory. limit: bytes. */
void evc_buf_init(struct evc_buf *buf, size_t limit);

/** Frees the memory; the buffer is empty and usable again. */
void evc_buf_finish(struct evc_buf *buf);

static inline size_t
evc_buf_len(const struct evc_buf *buf)
{
    return buf->write - buf->read;
}

/** What is in it, until the next changing call. */
static inline struct evc_slice
evc_buf_slice(const struct evc_buf *buf)
{
    return (struct evc_slice){.ptr = buf->data == NULL ? "" : buf->data + buf->read,
                              .len = buf->write - buf->read};
}

/**
 * Makes room for len more bytes and returns where they go, in *ret_tail; evc_buf_commit says how
 * many were written. 0, EVC_E_LIMIT or EVC_E_NOMEM.
 */
EVC_MUST_USE int evc_buf_reserve(struct evc_buf *buf, size_t len, char **ret_tail);

/** Counts len bytes written at the tail that evc_buf_reserve returned. */
void evc_buf_commit(struct evc_buf *buf, size_t len);

/** Appends bytes whole or not at all. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_buf_append(struct evc_buf *buf, struct evc_slice bytes);

/** Drops len bytes from the front (len <= evc_buf_len). */
void evc_buf_consume(struct evc_buf *buf, size_t len);

/** Drops what is behind the first len bytes (len <= evc_buf_len). */
void evc_buf_truncate(struct evc_buf *buf, size_t len);

/** Drops everything, keeps the memory. */
void evc_buf_clear(struct evc_buf *buf);

/** Gives memory above keep bytes back when the buffer is empty. */
void evc_buf_shrink(struct evc_buf *buf, size_t keep);

#endif
