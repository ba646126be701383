/* SPDX-License-Identifier: Apache-2.0 */
/* See reply.h: making replies, and what an application may ask of one. */
#include "library/reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- making --- */

void
evc_reply_init(evcache_reply *reply, enum evcache_op op, const evcache_request *request)
{
    *reply = (evcache_reply){.op = op, .request = *request};
    evc_list_init(&reply->link);
}

static void
copy_bytes(char *to, evcache_bytes *bytes)
{
    if (bytes->len > 0) {
        memcpy(to, bytes->ptr, bytes->len);
    }
    bytes->ptr = to;
}

evcache_reply *
evc_reply_create_copy(enum evcache_op op, const evcache_request *request)
{
    char *bytes = malloc(sizeof(evcache_reply) + request->key.len + request->value.len);
    evcache_reply *reply = (evcache_reply *)bytes;

    if (bytes) {
        evc_reply_init(reply, op, request);
        copy_bytes(bytes + sizeof(*reply), &reply->request.key);
        copy_bytes(bytes + sizeof(*reply) + request->key.len, &reply->request.value);
    }
    return reply;
}

void
evc_reply_fail(evcache_reply *reply, int status, const char *format, ...)
{
    va_list args;

    assert(status < 0);
    reply->status = status;
    va_start(args, format);
    (void)vsnprintf(reply->error, sizeof(reply->error), format, args);
    va_end(args);
}

void
evc_reply_explain(evcache_reply *reply)
{
    if (reply->status < 0 && reply->error[0] == '\0') {
        (void)snprintf(reply->error, sizeof(reply->error), "%s", evcache_status_str(reply->status));
    }
}

/* --- reading --- */

void
evcache_reply_free(evcache_reply *reply)
{
    if (reply) {
        free(reply->value);
        free(reply);
    }
}

int
evcache_reply_status(const evcache_reply *reply)
{
    return reply->status;
}

evcache_bytes
evcache_reply_value(const evcache_reply *reply)
{
    return (evcache_bytes){.ptr = reply->value ? reply->value : "", .len = reply->value_len};
}

uint32_t
evcache_reply_flags(const evcache_reply *reply)
{
    return reply->flags;
}

uint64_t
evcache_reply_version(const evcache_reply *reply)
{
    return reply->version;
}

uint64_t
evcache_reply_number(const evcache_reply *reply)
{
    return reply->number;
}

const char *
evcache_reply_error(const evcache_reply *reply)
{
    return reply->error;
}

unsigned
evcache_reply_zone_count(const evcache_reply *reply)
{
    return reply->zone_count;
}

int
evcache_reply_zone_status(const evcache_reply *reply, unsigned zone)
{
    return zone < reply->zone_count ? reply->zones[zone] : EVCACHE_ZONE_NOT_ASKED;
}

const char *
evcache_status_str(int status)
{
    switch ((enum evcache_status)status) {
    case EVCACHE_OK:
        return "ok";
    case EVCACHE_NOT_FOUND:
        return "not found";
    case EVCACHE_NOT_STORED:
        return "not stored";
    case EVCACHE_EXISTS:
        return "another version is there";
    case EVCACHE_NOT_A_NUMBER:
        return "not a number";
    case EVCACHE_E_INVALID:
        return "invalid argument";
    case EVCACHE_E_TOO_LARGE:
        return "value too large";
    case EVCACHE_E_CONFIG:
        return "configuration is wrong";
    case EVCACHE_E_SYSTEM:
        return "system call failed";
    case EVCACHE_E_NO_MEMORY:
        return "out of memory";
    case EVCACHE_E_BUSY:
        return "busy";
    case EVCACHE_E_CLOSED:
        return "closed";
    case EVCACHE_E_TIMEOUT:
        return "no answer in time";
    case EVCACHE_E_UNAVAILABLE:
        return "no zone could be asked";
    case EVCACHE_E_PARTIAL:
        return "not enough zones acknowledged";
    case EVCACHE_E_REJECTED:
        return "rejected by the nodes";
    }
    return "unknown status";
}

const char *
evcache_version(void)
{
    return EVC_VERSION;
}
