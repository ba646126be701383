/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded byte buffer. Bytes lie in one piece from read to write; room at the tail is made by
 * moving them to the front when that is cheap for what it frees, else by doubling the memory.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUF_BYTES_FIRST = 4096
}; /* the first allocation, unless the limit is smaller */

static void
buf_check(const struct evc_buf *buf)
{
    assert(buf->read <= buf->write);
    assert(buf->write <= buf->capacity);
    assert(buf->capacity <= buf->limit);
}

void
evc_buf_init(struct evc_buf *buf, size_t limit)
{
    assert(limit > 0 && limit <= SIZE_MAX / 2);
    *buf = (struct evc_buf){.limit = limit};
}

void
evc_buf_finish(struct evc_buf *buf)
{
    free(buf->data);
    *buf = (struct evc_buf){.limit = buf->limit};
}

static void
buf_compact(struct evc_buf *buf)
{
    size_t used = evc_buf_len(buf);

    memmove(buf->data, buf->data + buf->read, used);
    buf->read = 0;
    buf->write = used;
}

/* Moves the content to the front of a larger memory that holds at least `needed` bytes. */
static int
buf_grow(struct evc_buf *buf, size_t needed)
{
    size_t used = evc_buf_len(buf);
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_BYTES_FIRST;
    char *data;

    while (capacity < needed) {
        capacity *= 2;
    }
    if (capacity > buf->limit) {
        capacity = buf->limit;
    }
    data = malloc(capacity);
    if (data == NULL) {
        return EVC_E_NOMEM;
    }
    if (used > 0) {
        memcpy(data, buf->data + buf->read, used);
    }
    free(buf->data);
    buf->data = data;
    buf->read = 0;
    buf->write = used;
    buf->capacity = capacity;
    return EVC_OK;
}

int
evc_buf_reserve(struct evc_buf *buf, size_t len, char **ret_tail)
{
    size_t used = evc_buf_len(buf);

    buf_check(buf);
    if (buf->capacity - buf->write < len || buf->data == NULL) {
        if (len > buf->limit - used) {
            return EVC_E_LIMIT;
        }
        /* Moving is worth it when it frees at least as much as it copies: amortised, a byte is
         * then moved at most once for every byte consumed. */
        bool can_move = buf->data != NULL && buf->capacity - used >= len;
        bool can_grow = buf->capacity < buf->limit;
        if (can_move && (buf->read >= used || !can_grow)) {
            buf_compact(buf);
        } else {
            size_t needed = used + len > buf->capacity ? used + len : buf->capacity + 1;
            int status = buf_grow(buf, needed);
            if (status < 0) {
                return status;
            }
        }
    }
    assert(buf->capacity - buf->write >= len);
    *ret_tail = buf->data + buf->write;
    return EVC_OK;
}

void
evc_buf_commit(struct evc_buf *buf, size_t len)
{
    assert(len <= buf->capacity - buf->write);
    buf->write += len;
}

int
evc_buf_append(struct evc_buf *buf, struct evc_slice bytes)
{
    char *tail;
    int status;

    if (bytes.len == 0) {
        return EVC_OK;
    }
    status = evc_buf_reserve(buf, bytes.len, &tail);
    if (status < 0) {
        return status;
    }
    memcpy(tail, bytes.ptr, bytes.len);
    evc_buf_commit(buf, bytes.len);
    return EVC_OK;
}

void
evc_buf_consume(struct evc_buf *buf, size_t len)
{
    assert(len <= evc_buf_len(buf));
    buf->read += len;
    if (buf->read == buf->write) {
        buf->read = 0;
        buf->write = 0;
    }
}

void
evc_buf_truncate(struct evc_buf *buf, size_t len)
{
    assert(len <= evc_buf_len(buf));
    buf->write = buf->read + len;
}

void
evc_buf_clear(struct evc_buf *buf)
{
    buf->read = 0;
    buf->write = 0;
}

void
evc_buf_shrink(struct evc_buf *buf, size_t keep)
{
    buf_check(buf);
    if (evc_buf_len(buf) == 0 && buf->capacity > keep) {
        evc_buf_finish(buf);
    }
}
