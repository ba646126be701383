/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in the background thread: takes what was submitted, asks the nodes by the same code as a
 * proxy, and answers.
 *
 * A call's deadline only ends the wait for it. What was sent goes on for as long as the
 * configuration says, so that an impatient caller neither makes a node look silent to everybody
 * else nor leaves a zone behind that would have had the write a moment later.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "library/library.h"
#include "meta/expiry.h"

/** A call that the nodes have; it outlives its answer where that came by its deadline. */
struct library_call {
    void *pool_link; /* the pool's while the object is free */
    evcache *cache;
    evcache_reply *reply; /* NULL once answered */
    struct evc_list due;  /* cache->deadlines */
    uint64_t deadline_us;
    uint8_t zones[EVC_ZONE_MAX]; /* as evc_read or evc_write tells them */
};

/* --- answering --- */

static void
deliver(evcache *cache, evcache_reply *reply)
{
    evc_reply_explain(reply);
    atomic_fetch_sub(&cache->calls_open, 1);
    if (reply->inbox) {
        evc_inbox_post(reply->inbox, reply);
    } else {
        evc_waiter_count(reply->waiter);
    }
}

/** The reply of a call that is to be answered now. */
static evcache_reply *
take_reply(struct library_call *call)
{
    evcache_reply *reply = call->reply;

    call->reply = NULL;
    evc_list_remove(&call->due);
    reply->zone_count = (uint8_t)call->cache->topology->zone_count;
    return reply;
}

static void
give_back(struct library_call *call)
{
    assert(!call->reply);
    evc_pool_give_back(&call->cache->calls, call);
}

/* --- reads --- */

static void
fill_read_zones(const struct library_call *call, evcache_reply *reply)
{
    static const uint8_t names[EVC_READ_ZONE_MAX] = {
        [EVC_NODE_HIT] = EVCACHE_ZONE_OK,
        [EVC_NODE_MISS] = EVCACHE_ZONE_MISSED,
        [EVC_NODE_REFUSED] = EVCACHE_ZONE_UNREACHABLE,
        [EVC_NODE_UNKNOWN] = EVCACHE_ZONE_SILENT,
        [EVC_NODE_ERROR] = EVCACHE_ZONE_REJECTED,
        [EVC_READ_ZONE_NOT_ASKED] = EVCACHE_ZONE_NOT_ASKED,
        [EVC_READ_ZONE_WAITING] = EVCACHE_ZONE_WAITING,
    };

    for (unsigned zone = 0; zone < reply->zone_count; zone++) {
        reply->zones[zone] = names[call->zones[zone]];
    }
}

static bool
has_zone(const evcache_reply *reply, enum evcache_zone_status status)
{
    return memchr(reply->zones, (int)status, reply->zone_count) != NULL;
}

static int
fill_value(evcache_reply *reply, const struct evc_node_reply *found)
{
    if (found->value.len > 0) {
        reply->value = malloc(found->value.len);
        if (!reply->value) {
            return EVCACHE_E_NO_MEMORY;
        }
        memcpy(reply->value, found->value.ptr, found->value.len);
    }
    reply->value_len = found->value.len;
    reply->flags = found->client_flags;
    reply->version = found->cas;
    return EVCACHE_OK;
}

static void
fill_read(evcache_reply *reply, const struct evc_read_answer *answer)
{
    const struct evc_node_reply *found = &answer->reply;

    if (answer->result == EVC_NODE_HIT) {
        reply->status = fill_value(reply, found);
    } else if (answer->result == EVC_NODE_MISS) {
        reply->status = EVCACHE_NOT_FOUND;
    } else if (answer->result == EVC_NODE_ERROR) {
        evc_reply_fail(reply, EVCACHE_E_REJECTED, "%.*s", (int)found->error.len, found->error.ptr);
    } else {
        reply->status =
            has_zone(reply, EVCACHE_ZONE_SILENT) ? EVCACHE_E_TIMEOUT : EVCACHE_E_UNAVAILABLE;
    }
}

static void
on_read(void *ctx, const struct evc_read_answer *answer)
{
    struct library_call *call = ctx;

    if (call->reply) {
        evcache_reply *reply = take_reply(call);

        fill_read_zones(call, reply);
        fill_read(reply, answer);
        deliver(call->cache, reply);
    }
    give_back(call);
}

/** Too many are on their way already: answered as if it had never begun. */
static void
refuse(struct library_call *call)
{
    evcache_reply *reply = take_reply(call);

    reply->status = EVCACHE_E_BUSY;
    deliver(call->cache, reply);
    give_back(call);
}

static void
start_read(struct library_call *call)
{
    const evcache_bytes *key = &call->reply->request.key;

    if (evc_read_start_told(
            &call->cache->reader, (struct evc_slice){.ptr = key->ptr, .len = key->len},
            EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS, call->zones, on_read, call) != EVC_OK) {
        refuse(call);
    }
}

/* --- writes --- */

static void
fill_write_zones(const struct library_call *call, evcache_reply *reply)
{
    static const uint8_t names[EVC_WRITE_ZONE_MAX] = {
        [EVC_WRITE_ZONE_NOT_ASKED] = EVCACHE_ZONE_NOT_ASKED,
        [EVC_WRITE_ZONE_WAITING] = EVCACHE_ZONE_WAITING,
        [EVC_WRITE_ZONE_STORED] = EVCACHE_ZONE_OK,
        [EVC_WRITE_ZONE_REFUSED] = EVCACHE_ZONE_UNREACHABLE,
        [EVC_WRITE_ZONE_UNKNOWN] = EVCACHE_ZONE_SILENT,
        [EVC_WRITE_ZONE_REJECTED] = EVCACHE_ZONE_REJECTED,
    };

    for (unsigned zone = 0; zone < reply->zone_count; zone++) {
        reply->zones[zone] = names[call->zones[zone]];
    }
}

/** Fewer zones than asked for, and what that leaves. */
static void
fill_failure(evcache_reply *reply, unsigned zones_stored)
{
    if (zones_stored > 0 || has_zone(reply, EVCACHE_ZONE_WAITING)) {
        evc_reply_fail(reply, EVCACHE_E_PARTIAL,
                       "not enough zones can acknowledge the write: %u of %u have, the others say "
                       "why",
                       zones_stored, reply->zone_count);
    } else if (has_zone(reply, EVCACHE_ZONE_SILENT)) {
        reply->status = EVCACHE_E_TIMEOUT;
    } else if (has_zone(reply, EVCACHE_ZONE_UNREACHABLE)) {
        reply->status = EVCACHE_E_UNAVAILABLE;
    } else {
        reply->status = EVCACHE_E_BUSY; /* others changed the item between every look and write */
    }
}

static void
fill_write(evcache_reply *reply, const struct evc_write_answer *answer)
{
    static const int names[EVC_WRITE_RESULT_MAX] = {
        [EVC_WRITE_STORED] = EVCACHE_OK,     [EVC_WRITE_NOT_STORED] = EVCACHE_NOT_STORED,
        [EVC_WRITE_EXISTS] = EVCACHE_EXISTS, [EVC_WRITE_NOT_FOUND] = EVCACHE_NOT_FOUND,
        [EVC_WRITE_DELETED] = EVCACHE_OK,    [EVC_WRITE_TOUCHED] = EVCACHE_OK,
        [EVC_WRITE_COUNTED] = EVCACHE_OK,    [EVC_WRITE_NON_NUMERIC] = EVCACHE_NOT_A_NUMBER,
    };

    switch (answer->result) {
    case EVC_WRITE_FAILED:
        fill_failure(reply, answer->zones_stored);
        break;
    case EVC_WRITE_REJECTED:
        evc_reply_fail(reply, EVCACHE_E_REJECTED, "%.*s", (int)answer->error.len,
                       answer->error.ptr);
        break;
    case EVC_WRITE_STORED:
    case EVC_WRITE_NOT_STORED:
    case EVC_WRITE_EXISTS:
    case EVC_WRITE_NOT_FOUND:
    case EVC_WRITE_DELETED:
    case EVC_WRITE_TOUCHED:
    case EVC_WRITE_COUNTED:
    case EVC_WRITE_NON_NUMERIC:
        reply->status = names[answer->result];
        break;
    case EVC_WRITE_RESULT_MAX:
        assert(false); /* no result */
        break;
    }
    reply->version = answer->version;
    reply->number = answer->result == EVC_WRITE_COUNTED ? answer->number : 0;
}

static void
on_written(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct library_call *call = ctx;

    (void)tag;
    if (call->reply) {
        evcache_reply *reply = take_reply(call);

        fill_write_zones(call, reply);
        fill_write(reply, answer);
        deliver(call->cache, reply);
    }
    give_back(call);
}

static unsigned
zones_needed(const evcache *cache, enum evcache_ack ack)
{
    unsigned zone_count = evc_node_port_readable(evc_engine_port(cache->engine));

    switch (ack) {
    case EVCACHE_ACK_ONE:
        return evc_ack_zones(EVC_ACK_ONE, zone_count);
    case EVCACHE_ACK_QUORUM:
        return evc_ack_zones(EVC_ACK_QUORUM, zone_count);
    case EVCACHE_ACK_ALL_BUT_ONE:
        return evc_ack_zones(EVC_ACK_ALL_BUT_ONE, zone_count);
    case EVCACHE_ACK_ALL:
        return evc_ack_zones(EVC_ACK_ALL, zone_count);
    case EVCACHE_ACK_CONFIGURED:
        break;
    }
    return 0;
}

static void
start_write(struct library_call *call)
{
    static const enum evc_write_kind kinds[] = {
        [EVCACHE_SET] = EVC_WRITE_SET,         [EVCACHE_ADD] = EVC_WRITE_ADD,
        [EVCACHE_REPLACE] = EVC_WRITE_REPLACE, [EVCACHE_CAS] = EVC_WRITE_CAS,
        [EVCACHE_DELETE] = EVC_WRITE_DELETE,   [EVCACHE_TOUCH] = EVC_WRITE_TOUCH,
        [EVCACHE_INCR] = EVC_WRITE_INCR,       [EVCACHE_DECR] = EVC_WRITE_DECR,
        [EVCACHE_APPEND] = EVC_WRITE_APPEND,   [EVCACHE_PREPEND] = EVC_WRITE_PREPEND,
    };
    evcache *cache = call->cache;
    const evcache_request *request = &call->reply->request;
    uint64_t unix_us = cache->loop.now.unix_us;
    const struct evc_write_request write = {
        .kind = kinds[call->reply->op],
        .key = {.ptr = request->key.ptr, .len = request->key.len},
        .value = {.ptr = request->value.len > 0 ? request->value.ptr : "",
                  .len = request->value.len},
        .client_flags = request->flags,
        .exptime = request->ttl_s > 0 ? evc_expiry_from_remaining(request->ttl_s, unix_us) : 0,
        .unique = request->version,
        .want_existed = call->reply->op == EVCACHE_DELETE,
        .delta = request->delta,
        .zones_needed = zones_needed(cache, request->ack),
        .zones = call->zones,
    };

    if (evc_write_start(&cache->writer, &write, on_written, call, 0) != EVC_OK) {
        refuse(call);
    }
}

/* --- deadlines --- */

static void
on_deadline(struct library_call *call)
{
    evcache_reply *reply = take_reply(call);

    if (reply->op == EVCACHE_GET) {
        fill_read_zones(call, reply);
    } else {
        fill_write_zones(call, reply);
    }
    reply->status = EVCACHE_E_TIMEOUT;
    deliver(call->cache, reply);
}

void
evc_library_end_overdue(evcache *cache)
{
    uint64_t now_us = cache->loop.now.mono_us;
    struct evc_list due;
    struct evc_list *link;

    evc_wheel_take_due(&cache->deadlines, now_us, &due);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        struct library_call *call = EVC_CONTAINER_OF(link, struct library_call, due);

        if (call->deadline_us <= now_us) {
            on_deadline(call);
        } else {
            evc_wheel_add(&cache->deadlines, &call->due, call->deadline_us);
        }
    }
}

/* --- taking what is submitted --- */

static void
serve(evcache *cache, evcache_reply *reply)
{
    struct library_call *call = evc_pool_borrow(&cache->calls);

    if (!call) {
        reply->status = EVCACHE_E_NO_MEMORY;
        deliver(cache, reply);
        return;
    }
    call->cache = cache;
    call->reply = reply;
    evc_list_init(&call->due);
    if (reply->request.timeout_ms > 0) {
        call->deadline_us = cache->loop.now.mono_us + (uint64_t)reply->request.timeout_ms * 1000;
        evc_wheel_add(&cache->deadlines, &call->due, call->deadline_us);
    }
    if (reply->op == EVCACHE_GET) {
        start_read(call);
    } else {
        start_write(call);
    }
}

void
evc_library_take_submitted(evcache *cache)
{
    struct evc_list due;
    struct evc_list *link;

    pthread_mutex_lock(&cache->lock);
    evc_list_move(&cache->submitted, &due);
    pthread_mutex_unlock(&cache->lock);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        serve(cache, EVC_CONTAINER_OF(link, evcache_reply, link));
    }
}

void
evc_library_init_calls(evcache *cache)
{
    evc_pool_init(&cache->calls, sizeof(struct library_call), 2 * (size_t)EVCACHE_CALLS_MAX);
}

int
evc_library_submit(evcache *cache, evcache_reply *reply)
{
    bool was_empty;

    if (atomic_load(&cache->want_stop)) {
        return EVCACHE_E_CLOSED;
    }
    if (atomic_fetch_add(&cache->calls_open, 1) >= EVCACHE_CALLS_MAX) {
        atomic_fetch_sub(&cache->calls_open, 1);
        return EVCACHE_E_BUSY;
    }
    pthread_mutex_lock(&cache->lock);
    was_empty = evc_list_is_empty(&cache->submitted);
    evc_list_push_back(&cache->submitted, &reply->link);
    pthread_mutex_unlock(&cache->lock);
    if (was_empty) {
        evc_loop_ring(&cache->loop);
    }
    return EVCACHE_OK;
}
