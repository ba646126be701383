/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations and replies of nodes on the wire. Composing reserves once and writes; parsing looks at
 * every byte of a line once, however it arrives, and at no byte of a value.
 */
#include "meta/node_op.h"

#include <assert.h>

#include "meta/wire.h"

const char *
evc_node_result_str(enum evc_node_result result)
{
    static const char *const names[EVC_NODE_RESULT_MAX] = {
        [EVC_NODE_HIT] = "hit",         [EVC_NODE_MISS] = "miss",
        [EVC_NODE_STORED] = "stored",   [EVC_NODE_NOT_STORED] = "not_stored",
        [EVC_NODE_EXISTS] = "exists",   [EVC_NODE_REFUSED] = "refused",
        [EVC_NODE_UNKNOWN] = "unknown", [EVC_NODE_ERROR] = "error",
    };

    return (unsigned)result < EVC_NODE_RESULT_MAX ? names[result] : "invalid";
}

static char *
put_get(char *out, const struct evc_node_op *op, const struct evc_wire_key *key)
{
    static const struct {
        uint16_t want;
        char letter;
    } flags[] = {
        {EVC_WANT_VALUE, 'v'},   {EVC_WANT_FLAGS, 'f'},       {EVC_WANT_CAS, 'c'},
        {EVC_WANT_TTL, 't'},     {EVC_WANT_SIZE, 's'},        {EVC_WANT_HIT_BEFORE, 'h'},
        {EVC_WANT_NO_BUMP, 'u'}, {EVC_WANT_LAST_ACCESS, 'l'},
    };
    unsigned want = op->want;

    /* A VA line says the size; without the value a tombstone shows only by flags and size. */
    if (want & EVC_WANT_VALUE) {
        want &= ~(unsigned)EVC_WANT_SIZE;
    } else if (want & EVC_WANT_FLAGS) {
        want |= EVC_WANT_SIZE;
    }
    out = evc_wire_put(out, EVC_SLICE("mg"));
    out = evc_wire_put_key(out, key);
    out = evc_wire_put_key_flag(out, key);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (want & flags[i].want) {
            *out++ = ' ';
            *out++ = flags[i].letter;
        }
    }
    return evc_wire_put_crlf(out);
}

static char *
put_write(char *out, const struct evc_node_op *op, const struct evc_wire_key *key)
{
    out = evc_wire_put(out, EVC_SLICE("ms"));
    out = evc_wire_put_key(out, key);
    *out++ = ' ';
    out += evc_decimal_format_u64(out, op->value.len);
    out = evc_wire_put_key_flag(out, key);
    out = evc_wire_put_i64(out, 'T', op->ttl_s);
    out = evc_wire_put_u64(out, 'F', op->client_flags);
    out = evc_wire_put_u64(out, 'E', op->version);
    if (op->verb == EVC_NODE_ADD) {
        out = evc_wire_put(out, EVC_SLICE(" ME"));
    } else if (op->verb == EVC_NODE_CAS) {
        out = evc_wire_put_u64(out, 'C', op->seen);
    }
    out = evc_wire_put_crlf(out);
    out = evc_wire_put(out, op->value);
    return evc_wire_put_crlf(out);
}

bool
evc_node_key_fits(struct evc_slice key)
{
    struct evc_wire_key wire;

    return evc_wire_key_init(&wire, key) == EVC_OK;
}

int
evc_node_op_compose(const struct evc_node_op *op, struct evc_buf *out)
{
    struct evc_wire_key key;
    size_t value_len = op->verb == EVC_NODE_GET ? 0 : op->value.len;
    char *tail;
    char *end;
    int status;

    assert(op->verb < EVC_NODE_VERB_MAX);
    assert(value_len <= EVC_VALUE_LEN_MAX);
    status = evc_wire_key_init(&key, op->key);
    if (status < 0) {
        return status;
    }
    status = evc_buf_reserve(out, EVC_WIRE_LINE_BYTES + value_len, &tail);
    if (status < 0) {
        return status;
    }
    end = op->verb == EVC_NODE_GET ? put_get(tail, op, &key) : put_write(tail, op, &key);
    assert((size_t)(end - tail) <= EVC_WIRE_LINE_BYTES + value_len);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

/* --- replies --- */

/* One flag of a reply. What we never ask for (W, X, Z, k, O…) may be there and means nothing. */
static bool
take_flag(struct evc_slice token, struct evc_node_reply *reply)
{
    struct evc_slice number = {.ptr = token.ptr + 1, .len = token.len - 1};

    switch (token.ptr[0]) {
    case 'c':
        return evc_decimal_parse_u64(number, &reply->cas);
    case 'f':
        return evc_decimal_parse_u32(number, &reply->client_flags);
    case 't':
        return evc_decimal_parse_i64(number, &reply->ttl_s) && reply->ttl_s >= -1;
    case 's':
        return evc_decimal_parse_u32(number, &reply->size);
    case 'l':
        return evc_decimal_parse_u32(number, &reply->last_access_s);
    case 'h':
        reply->hit_before = number.len == 1 && number.ptr[0] == '1';
        return number.len == 1;
    default:
        return true;
    }
}

static int
take_flags(struct evc_slice rest, struct evc_node_reply *reply)
{
    struct evc_slice token;

    while (evc_wire_token(&rest, &token)) {
        if (!take_flag(token, reply)) {
            return EVC_E_PROTO;
        }
    }
    return EVC_OK;
}

#define CODE(a, b) ((unsigned)(unsigned char)(a) << 8 | (unsigned char)(b))

/* What a code of two letters means to this verb. VA is not among them. */
static int
take_code(enum evc_node_verb verb, struct evc_slice code, enum evc_node_result *ret_result)
{
    switch (CODE(code.ptr[0], code.ptr[1])) {
    case CODE('H', 'D'):
        *ret_result = verb == EVC_NODE_GET ? EVC_NODE_HIT : EVC_NODE_STORED;
        return EVC_OK;
    case CODE('M', 'N'): /* the answer to a bare mn: it says the node is there */
        *ret_result = EVC_NODE_HIT;
        return EVC_OK;
    case CODE('E', 'N'):
    case CODE('N', 'F'):
        *ret_result = EVC_NODE_MISS;
        return EVC_OK;
    case CODE('N', 'S'):
        *ret_result = EVC_NODE_NOT_STORED;
        return EVC_OK;
    case CODE('E', 'X'):
        *ret_result = EVC_NODE_EXISTS;
        return EVC_OK;
    default:
        return EVC_E_PROTO;
    }
}

static bool
is_error(struct evc_slice word)
{
    return evc_slice_equal(word, EVC_SLICE("ERROR")) ||
           evc_slice_equal(word, EVC_SLICE("CLIENT_ERROR")) ||
           evc_slice_equal(word, EVC_SLICE("SERVER_ERROR"));
}

/* A whole line. *ret_has_value: a value of reply->size bytes and CRLF follow it. */
static int
take_line(enum evc_node_verb verb, struct evc_slice line, enum evc_node_result *ret_result,
          struct evc_node_reply *reply, bool *ret_has_value)
{
    struct evc_slice rest = line;
    struct evc_slice word;
    int status;

    *reply = (struct evc_node_reply){.ttl_s = -1};
    *ret_has_value = false;
    if (!evc_wire_token(&rest, &word)) {
        return EVC_E_PROTO;
    }
    if (is_error(word)) {
        *ret_result = EVC_NODE_ERROR;
        reply->error = line;
        return EVC_OK;
    }
    if (word.len != 2) {
        return EVC_E_PROTO;
    }
    if (CODE(word.ptr[0], word.ptr[1]) == CODE('V', 'A')) {
        struct evc_slice size;
        uint32_t value_len;
        if (verb != EVC_NODE_GET || !evc_wire_token(&rest, &size) ||
            !evc_decimal_parse_u32(size, &value_len) || value_len > EVC_VALUE_LEN_MAX) {
            return EVC_E_PROTO;
        }
        *ret_result = EVC_NODE_HIT;
        *ret_has_value = true;
        status = take_flags(rest, reply);
        reply->size = value_len; /* whatever a flag said */
        return status;
    }
    status = take_code(verb, word, ret_result);
    return status < 0 ? status : take_flags(rest, reply);
}

int
evc_node_reply_parse(struct evc_node_parse *state, enum evc_node_verb verb, struct evc_slice input,
                     size_t *ret_used, enum evc_node_result *ret_result,
                     struct evc_node_reply *ret_reply)
{
    struct evc_slice line;
    bool has_value;
    size_t used;
    int status;

    *ret_used = 0;
    if (input.len == 0 || input.len < state->needed) {
        return EVC_E_AGAIN;
    }
    status = evc_wire_line(input, &state->scanned, &line);
    if (status < 0) {
        return status;
    }
    status = take_line(verb, line, ret_result, ret_reply, &has_value);
    if (status < 0) {
        return status;
    }
    used = line.len + 2;
    if (has_value) {
        size_t size = ret_reply->size;
        state->needed = used + size + 2;
        if (input.len < state->needed) {
            return EVC_E_AGAIN;
        }
        if (memcmp(input.ptr + used + size, "\r\n", 2) != 0) {
            return EVC_E_PROTO;
        }
        ret_reply->value = (struct evc_slice){.ptr = input.ptr + used, .len = size};
        used = state->needed;
    }
    ret_reply->is_tombstone = *ret_result == EVC_NODE_HIT && ret_reply->size == 0 &&
                              ret_reply->client_flags == EVC_TOMBSTONE_FLAGS;
    *state = (struct evc_node_parse){.scanned = 0};
    *ret_used = used;
    return EVC_OK;
}
