/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of an application: the request on its way to the background thread, and the answer on
 * its way back. It is the application's when it is answered, and nobody's but the background
 * thread's from evc_library_submit until then.
 *
 * What a write needs to be answered is allocated before it starts, so that no write is carried out
 * that cannot be told of; only the value of a get is allocated when it comes.
 */
#ifndef EVC_LIBRARY_REPLY_H
#define EVC_LIBRARY_REPLY_H

#include <assert.h>
#include <evcache/evcache.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/list.h"
#include "meta/node_op.h"

enum {
    EVC_REPLY_ERROR_BYTES = 192,
};

static_assert((int)EVCACHE_KEY_LEN_MAX == (int)EVC_KEY_LEN_MAX &&
                  (int)EVCACHE_ZONES_MAX == (int)EVC_ZONE_MAX,
              "the public header repeats the tree's limits");

/** Threads that wait for calls have one of these on their stack. */
struct evc_waiter {
    sem_t answered;
    atomic_size_t open; /* calls; the last one answered posts */
};

struct evcache_reply {
    struct evc_list link; /* submitted, then arrived */
    /* the request; key and value are views of the caller's bytes, or of those behind the struct */
    enum evcache_op op;
    evcache_request request;
    /* who waits for the answer: one of the two */
    struct evc_waiter *waiter;
    evcache_inbox *inbox;
    evcache_done_fn done;
    void *ctx;
    /* the answer */
    int status;
    uint32_t flags;
    uint64_t version, number;
    char *value; /* its own memory, or NULL */
    size_t value_len;
    uint8_t zone_count;
    uint8_t zones[EVC_ZONE_MAX]; /* enum evcache_zone_status */
    char error[EVC_REPLY_ERROR_BYTES];
};

/** A reply to a request, not yet answered, in memory of the caller's. */
void evc_reply_init(evcache_reply *reply, enum evcache_op op, const evcache_request *request);

/** The same in memory of its own, with copies of the request's bytes; NULL without memory. */
evcache_reply *evc_reply_create_copy(enum evcache_op op, const evcache_request *request);

/** Sets status, and error where it says something. */
void evc_reply_fail(evcache_reply *reply, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Fills in the error of a reply that ended below 0 without one. */
void evc_reply_explain(evcache_reply *reply);

#endif
