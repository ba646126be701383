/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in the application's threads: checked here, so that nothing that cannot be carried out
 * reaches the background thread, then handed over; blocking ones wait on their own stack.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "library/library.h"
#include "meta/node_op.h"
#include "replication/decision.h"

/* --- checking --- */

static int
refuse(evcache_reply *reply, int status, const char *text)
{
    if (reply) {
        evc_reply_fail(reply, status, "%s", text);
    }
    return status;
}

static int
check_key(evcache_bytes key, evcache_reply *reply)
{
    if (key.len == 0 || !key.ptr) {
        return refuse(reply, EVCACHE_E_INVALID, "there is no key");
    }
    if (key.len > EVCACHE_KEY_LEN_MAX) {
        return refuse(reply, EVCACHE_E_INVALID, "the key is longer than 250 bytes");
    }
    if (!evc_node_key_fits((struct evc_slice){.ptr = key.ptr, .len = key.len})) {
        return refuse(reply, EVCACHE_E_INVALID,
                      "a key with blanks, line ends or NULs is longer than 186 bytes");
    }
    return EVCACHE_OK;
}

static bool
has_value(enum evcache_op op)
{
    return op == EVCACHE_SET || op == EVCACHE_ADD || op == EVCACHE_REPLACE || op == EVCACHE_CAS ||
           op == EVCACHE_APPEND || op == EVCACHE_PREPEND;
}

static bool
has_reserved(const evcache_request *request)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < sizeof(request->reserved) / sizeof(request->reserved[0]); i++) {
        bits |= request->reserved[i];
    }
    return bits != 0;
}

static int
check_value(const evcache *cache, const evcache_request *request, evcache_reply *reply)
{
    if (request->value.len > 0 && !request->value.ptr) {
        return refuse(reply, EVCACHE_E_INVALID, "the value has a length but no bytes");
    }
    if (request->value.len > cache->config->value_len_max) {
        return refuse(reply, EVCACHE_E_TOO_LARGE, "the value is longer than values.max");
    }
    if (request->value.len == 0 && request->flags == EVC_TOMBSTONE_FLAGS) {
        return refuse(reply, EVCACHE_E_INVALID,
                      "these flags with an empty value are reserved (docs/protocol.md)");
    }
    return EVCACHE_OK;
}

int
evc_library_check(const evcache *cache, enum evcache_op op, const evcache_request *request,
                  evcache_reply *reply)
{
    int status = check_key(request->key, reply);

    if (status != EVCACHE_OK) {
        return status;
    }
    if ((int)op < EVCACHE_GET || op > EVCACHE_PREPEND || (int)request->ack < 0 ||
        request->ack > EVCACHE_ACK_ALL || has_reserved(request)) {
        return refuse(reply, EVCACHE_E_INVALID,
                      "unknown operation or policy, or reserved fields that are not zero");
    }
    if (op == EVCACHE_CAS && request->version == 0) {
        return refuse(reply, EVCACHE_E_INVALID, "cas without the version that a get has returned");
    }
    if ((op == EVCACHE_SET || op == EVCACHE_ADD) && request->version != 0) {
        return refuse(reply, EVCACHE_E_INVALID, "set and add take no version; cas does");
    }
    return has_value(op) ? check_value(cache, request, reply) : EVCACHE_OK;
}

/* --- waiting --- */

static void
waiter_init(struct evc_waiter *waiter, size_t calls)
{
    int rc = sem_init(&waiter->answered, 0, 0);

    assert(rc == 0); /* fails only for a value out of range */
    (void)rc;
    atomic_init(&waiter->open, calls);
}

static void
waiter_wait(struct evc_waiter *waiter)
{
    while (sem_wait(&waiter->answered) != 0) {
        assert(errno == EINTR);
    }
    (void)sem_destroy(&waiter->answered);
}

void
evc_waiter_count(struct evc_waiter *waiter)
{
    if (atomic_fetch_sub(&waiter->open, 1) == 1) {
        (void)sem_post(&waiter->answered); /* fails only when it overflows */
    }
}

/** Answers a call that never left the thread. */
static void
answer_here(evcache_reply *reply, int status)
{
    reply->status = status;
    evc_reply_explain(reply);
}

/** Checks and submits; where that fails, the reply is answered and counted already. */
static void
begin(evcache *cache, evcache_reply *reply, struct evc_waiter *waiter)
{
    int status = evc_library_check(cache, reply->op, &reply->request, reply);

    reply->waiter = waiter;
    if (status == EVCACHE_OK) {
        status = evc_library_submit(cache, reply);
    }
    if (status != EVCACHE_OK) {
        answer_here(reply, status);
        evc_waiter_count(waiter);
    }
}

static int
call(evcache *cache, enum evcache_op op, const evcache_request *request, evcache_reply **ret)
{
    struct evc_waiter waiter;
    evcache_reply own;
    evcache_reply *reply = ret ? malloc(sizeof(*reply)) : &own;
    int status;

    if (ret) {
        *ret = reply;
    }
    if (!reply) {
        return EVCACHE_E_NO_MEMORY;
    }
    evc_reply_init(reply, op, request);
    waiter_init(&waiter, 1);
    begin(cache, reply, &waiter);
    waiter_wait(&waiter);
    status = reply->status;
    if (!ret) {
        free(own.value);
    }
    return status;
}

int
evcache_get_many(evcache *cache, const evcache_request *requests, size_t count, evcache_reply **ret)
{
    struct evc_waiter waiter;
    int found = 0;

    if (count == 0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        ret[i] = malloc(sizeof(*ret[i]));
        if (!ret[i]) {
            while (i-- > 0) {
                free(ret[i]);
                ret[i] = NULL;
            }
            return EVCACHE_E_NO_MEMORY;
        }
        evc_reply_init(ret[i], EVCACHE_GET, &requests[i]);
    }
    waiter_init(&waiter, count);
    for (size_t i = 0; i < count; i++) {
        begin(cache, ret[i], &waiter);
    }
    waiter_wait(&waiter);
    for (size_t i = 0; i < count; i++) {
        found += ret[i]->status == EVCACHE_OK;
    }
    return found;
}

/* --- the functions by name --- */

int
evcache_get(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return ret ? call(cache, EVCACHE_GET, request, ret) : EVCACHE_E_INVALID;
}

int
evcache_set(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_SET, request, ret);
}

int
evcache_add(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_ADD, request, ret);
}

int
evcache_replace(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_REPLACE, request, ret);
}

int
evcache_cas(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_CAS, request, ret);
}

int
evcache_delete(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_DELETE, request, ret);
}

int
evcache_touch(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_TOUCH, request, ret);
}

int
evcache_incr(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_INCR, request, ret);
}

int
evcache_decr(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_DECR, request, ret);
}

int
evcache_append(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_APPEND, request, ret);
}

int
evcache_prepend(evcache *cache, const evcache_request *request, evcache_reply **ret)
{
    return call(cache, EVCACHE_PREPEND, request, ret);
}
