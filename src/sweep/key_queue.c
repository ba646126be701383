/* SPDX-License-Identifier: Apache-2.0 */
/* See key_queue.h. A key is a head of fixed size and its bytes. */
#include "sweep/key_queue.h"

#include <assert.h>

struct head {
    uint64_t hash;
    uint32_t size;
    uint16_t copy;
    uint16_t key_len;
};

void
evc_key_queue_init(struct evc_key_queue *queue, size_t bytes_max)
{
    evc_buf_init(&queue->bytes, bytes_max);
    queue->count = 0;
}

void
evc_key_queue_finish(struct evc_key_queue *queue)
{
    evc_buf_finish(&queue->bytes);
    queue->count = 0;
}

bool
evc_key_queue_push(struct evc_key_queue *queue, const struct evc_queued_key *key)
{
    const struct head head = {
        .hash = key->hash, .size = key->size, .copy = key->copy, .key_len = (uint16_t)key->key.len};
    char *tail;

    assert(key->key.len >= 1 && key->key.len <= EVC_KEY_LEN_MAX);
    if (evc_buf_reserve(&queue->bytes, sizeof(head) + key->key.len, &tail) != EVC_OK) {
        return false;
    }
    memcpy(tail, &head, sizeof(head));
    memcpy(tail + sizeof(head), key->key.ptr, key->key.len);
    evc_buf_commit(&queue->bytes, sizeof(head) + key->key.len);
    queue->count++;
    return true;
}

static struct head
head_at(struct evc_slice bytes)
{
    struct head head;

    assert(bytes.len > sizeof(head));
    memcpy(&head, bytes.ptr, sizeof(head));
    assert(bytes.len >= sizeof(head) + head.key_len);
    return head;
}

bool
evc_key_queue_peek(const struct evc_key_queue *queue, struct evc_queued_key *ret)
{
    struct evc_slice bytes = evc_buf_slice(&queue->bytes);
    struct head head;

    if (bytes.len == 0) {
        return false;
    }
    head = head_at(bytes);
    *ret = (struct evc_queued_key){
        .key = {.ptr = bytes.ptr + sizeof(head), .len = head.key_len},
        .hash = head.hash,
        .size = head.size,
        .copy = head.copy,
    };
    return true;
}

void
evc_key_queue_drop(struct evc_key_queue *queue)
{
    struct head head = head_at(evc_buf_slice(&queue->bytes));

    evc_buf_consume(&queue->bytes, sizeof(head) + head.key_len);
    queue->count--;
}

void
evc_key_queue_keep(struct evc_key_queue *queue, const struct evc_key_range *range)
{
    struct evc_slice rest = evc_buf_slice(&queue->bytes);
    char *to;

    if (rest.len == 0) {
        return;
    }
    to = queue->bytes.data + queue->bytes.read;
    while (rest.len > 0) {
        struct head head = head_at(rest);
        size_t len = sizeof(head) + head.key_len;

        if (evc_key_range_has(range, head.hash)) {
            memmove(to, rest.ptr, len);
            to += len;
        } else {
            queue->count--;
        }
        rest.ptr += len;
        rest.len -= len;
    }
    queue->bytes.write = (size_t)(to - queue->bytes.data);
}
