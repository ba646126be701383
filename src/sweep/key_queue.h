/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that a walk has told and nobody has had time for: first in, first out, of a bounded number
 * of bytes. Because of it a walk need not pause. Pure; one thread.
 */
#ifndef EVC_SWEEP_KEY_QUEUE_H
#define EVC_SWEEP_KEY_QUEUE_H

#include "base/buf.h"
#include "meta/node_op.h"
#include "sweep/key_range.h"

struct evc_key_queue {
    struct evc_buf bytes;
    uint64_t count;
};

struct evc_queued_key {
    struct evc_slice key; /* valid until the queue is changed */
    uint64_t hash;
    uint32_t size; /* whatever the pusher said, like copy */
    uint16_t copy;
};

void evc_key_queue_init(struct evc_key_queue *queue, size_t bytes_max);
void evc_key_queue_finish(struct evc_key_queue *queue);

/** False: there is no room. */
EVC_MUST_USE bool evc_key_queue_push(struct evc_key_queue *queue, const struct evc_queued_key *key);

/** The first one, which stays until evc_key_queue_drop. False: it is empty. */
EVC_MUST_USE bool evc_key_queue_peek(const struct evc_key_queue *queue, struct evc_queued_key *ret);
void evc_key_queue_drop(struct evc_key_queue *queue);

/** Forgets the keys outside of the range. */
void evc_key_queue_keep(struct evc_key_queue *queue, const struct evc_key_range *range);

#endif
