/* SPDX-License-Identifier: Apache-2.0 */
/* See decision.h. The order of the checks is memcached's (do_add_delta and do_store_item there). */
#include "replication/decision.h"

#include <assert.h>

#include "base/decimal.h"
#include "meta/expiry.h"
#include "meta/request.h"

bool
evc_decision_is_needed(const struct evc_write_request *request)
{
    return request->kind != EVC_WRITE_SET &&
           (request->kind != EVC_WRITE_DELETE || request->unique != 0);
}

static bool
is_arithmetic(enum evc_write_kind kind)
{
    return kind == EVC_WRITE_INCR || kind == EVC_WRITE_DECR;
}

static bool
is_concatenation(enum evc_write_kind kind)
{
    return kind == EVC_WRITE_APPEND || kind == EVC_WRITE_PREPEND;
}

uint16_t
evc_decision_want(const struct evc_write_request *request)
{
    /* Looking is nobody's hit: mg h and l of a client must not tell of it. */
    unsigned want = EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_CAS | EVC_WANT_NO_BUMP;

    if (request->kind == EVC_WRITE_TOUCH) {
        want |= EVC_WANT_VALUE;
    } else if (is_arithmetic(request->kind) || is_concatenation(request->kind)) {
        want |= EVC_WANT_VALUE | EVC_WANT_TTL;
    }
    return (uint16_t)want;
}

/** Nothing to read is there. */
static enum evc_write_result
result_of_missing(enum evc_write_kind kind)
{
    switch (kind) {
    case EVC_WRITE_REPLACE:
    case EVC_WRITE_APPEND:
    case EVC_WRITE_PREPEND:
        return EVC_WRITE_NOT_STORED;
    case EVC_WRITE_SET:
    case EVC_WRITE_ADD:
    case EVC_WRITE_CAS:
    case EVC_WRITE_DELETE:
    case EVC_WRITE_TOUCH:
    case EVC_WRITE_INCR:
    case EVC_WRITE_DECR:
    case EVC_WRITE_KIND_MAX:
        break;
    }
    return EVC_WRITE_NOT_FOUND;
}

static int
refuse(struct evc_decision *ret, enum evc_write_result result)
{
    ret->goes_ahead = false;
    ret->result = result;
    return EVC_OK;
}

/** The number as it is stored: padded with blanks where it got shorter, as memcached does. */
static int
store_number(struct evc_buf *space, uint64_t number, size_t old_len, struct evc_decision *ret)
{
    size_t room = old_len > EVC_DECIMAL_BYTES_MAX ? old_len : EVC_DECIMAL_BYTES_MAX;
    char *text;
    int rc = evc_buf_reserve(space, room, &text);
    size_t len;

    if (rc != EVC_OK) {
        return rc;
    }
    len = evc_decimal_format_u64(text, number);
    for (; len < old_len; len++) {
        text[len] = ' ';
    }
    evc_buf_commit(space, len);
    ret->number = number;
    ret->value = evc_buf_slice(space);
    return EVC_OK;
}

/** INCR and DECR of an item that is there: wraps upwards, stops at 0 downwards. */
static int
count(const struct evc_write_request *request, const struct evc_node_reply *item,
      struct evc_buf *space, struct evc_decision *ret)
{
    uint64_t number;

    if (!evc_request_number_u64(item->value, &number)) {
        return refuse(ret, EVC_WRITE_NON_NUMERIC);
    }
    if (request->kind == EVC_WRITE_INCR) {
        number += request->delta;
    } else {
        number -= request->delta < number ? request->delta : number;
    }
    return store_number(space, number, item->value.len, ret);
}

static int
concatenate(const struct evc_write_request *request, const struct evc_node_reply *item,
            size_t value_len_max, struct evc_buf *space, struct evc_decision *ret)
{
    bool is_append = request->kind == EVC_WRITE_APPEND;
    struct evc_slice first = is_append ? item->value : request->value;
    struct evc_slice second = is_append ? request->value : item->value;
    int rc;

    if (first.len + second.len > value_len_max) {
        return refuse(ret, EVC_WRITE_NOT_STORED); /* what is there stays, as in memcached */
    }
    rc = evc_buf_append(space, first);
    if (rc == EVC_OK) {
        rc = evc_buf_append(space, second);
    }
    ret->value = evc_buf_slice(space);
    return rc;
}

/** There is no item, or only a tombstone. */
static int
decide_missing(const struct evc_write_request *request, struct evc_buf *space,
               struct evc_decision *ret)
{
    bool vivifies =
        request->vivifies && (is_arithmetic(request->kind) || is_concatenation(request->kind));

    if (request->kind != EVC_WRITE_ADD && !vivifies) {
        return refuse(ret, result_of_missing(request->kind));
    }
    ret->is_created = vivifies;
    if (vivifies) {
        ret->exptime = request->vivify_exptime;
    }
    if (is_arithmetic(request->kind)) {
        ret->client_flags = 0;
        return store_number(space, request->initial, 0, ret);
    }
    return EVC_OK;
}

/** What a live item becomes, for the kinds that build on it. */
static int
decide_live(const struct evc_write_request *request, const struct evc_node_reply *item,
            uint64_t unix_us, size_t value_len_max, struct evc_buf *space, struct evc_decision *ret)
{
    bool is_number = is_arithmetic(request->kind);

    if (request->kind == EVC_WRITE_ADD) {
        return refuse(ret, EVC_WRITE_NOT_STORED);
    }
    if (is_number && item->value.len == 0) {
        return refuse(ret, EVC_WRITE_NON_NUMERIC);
    }
    if (request->unique != 0 && item->cas != request->unique) {
        return refuse(ret, EVC_WRITE_EXISTS);
    }
    if (is_number || is_concatenation(request->kind)) {
        ret->client_flags = item->client_flags;
        if (!request->has_exptime) {
            ret->exptime = evc_expiry_from_remaining(item->ttl_s, unix_us);
        }
        return is_number ? count(request, item, space, ret)
                         : concatenate(request, item, value_len_max, space, ret);
    }
    if (request->kind == EVC_WRITE_TOUCH) {
        int rc = evc_buf_append(space, item->value);

        ret->client_flags = item->client_flags;
        ret->value = evc_buf_slice(space);
        return rc;
    }
    return EVC_OK; /* REPLACE, CAS, DELETE: as the request says */
}

int
evc_decide(const struct evc_write_request *request, const struct evc_node_reply *item,
           uint64_t unix_us, size_t value_len_max, struct evc_buf *space, struct evc_decision *ret)
{
    int rc;

    assert(evc_decision_is_needed(request));
    evc_buf_clear(space);
    *ret = (struct evc_decision){
        .goes_ahead = true,
        .client_flags = request->client_flags,
        .exptime = request->exptime,
        .value = request->value,
    };
    rc = item ? decide_live(request, item, unix_us, value_len_max, space, ret)
              : decide_missing(request, space, ret);
    ret->is_tombstone =
        request->kind == EVC_WRITE_DELETE || evc_expiry_is_over(ret->exptime, unix_us);
    return rc;
}
