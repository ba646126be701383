/* SPDX-License-Identifier: Apache-2.0 */
/* See node_op.h. Composing is one reserve, some copies and one commit; parsing looks at each byte
 * once. */
#include "meta/node_op.h"

#include <assert.h>
#include <string.h>

#include "base/decimal.h"
#include "meta/meta_line.h"
#include "meta/wire.h"

enum {
    /* "ms " + " " + length + " T" + ttl + " F" + flags + " E" + version + " C" + seen + CRLFs */
    NODE_OP_FRAME_BYTES_MAX = 160,
    NODE_REPLY_LINE_BYTES_MAX = 8192,
};

static const char *const result_names[EVC_NODE_RESULT_MAX] = {
    [EVC_NODE_HIT] = "hit",         [EVC_NODE_MISS] = "miss",
    [EVC_NODE_STORED] = "stored",   [EVC_NODE_NOT_STORED] = "not stored",
    [EVC_NODE_EXISTS] = "exists",   [EVC_NODE_REFUSED] = "refused",
    [EVC_NODE_UNKNOWN] = "unknown", [EVC_NODE_ERROR] = "error",
};

const char *
evc_node_result_str(enum evc_node_result result)
{
    return (size_t)result < EVC_NODE_RESULT_MAX ? result_names[result] : "unknown";
}

/* --- composing --- */

static char *
put(char *at, struct evc_slice bytes)
{
    memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static char *
put_number(char *at, const char *prefix, uint64_t number)
{
    at = put(at, evc_slice_str(prefix));
    return at + evc_decimal_format_u64(at, number);
}

static char *
compose_get(const struct evc_node_op *op, const struct evc_wire_key *key, char *at)
{
    static const struct {
        uint16_t want;
        char text[3];
    } flags[] = {
        {EVC_WANT_VALUE, " v"},      {EVC_WANT_FLAGS, " f"},       {EVC_WANT_CAS, " c"},
        {EVC_WANT_TTL, " t"},        {EVC_WANT_SIZE, " s"},        {EVC_WANT_NO_BUMP, " u"},
        {EVC_WANT_HIT_BEFORE, " h"}, {EVC_WANT_LAST_ACCESS, " l"},
    };

    at = put(at, EVC_SLICE("mg"));
    at = evc_wire_put_key(at, key);
    at = evc_wire_put_key_flag(at, key);
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        /* The size of a value that is sent anyway is known without asking. */
        bool is_implied = flags[i].want == EVC_WANT_SIZE && (op->want & EVC_WANT_VALUE);

        if ((op->want & flags[i].want) && !is_implied) {
            *at++ = flags[i].text[0];
            *at++ = flags[i].text[1];
        }
    }
    return put(at, EVC_SLICE("\r\n"));
}

static char *
compose_write(const struct evc_node_op *op, const struct evc_wire_key *key, char *at)
{
    at = put(at, EVC_SLICE("ms"));
    at = evc_wire_put_key(at, key);
    at = put_number(at, " ", op->value.len);
    at = evc_wire_put_key_flag(at, key);
    if (op->ttl_s != 0) {
        at = put(at, EVC_SLICE(" T"));
        at += evc_decimal_format_i64(at, op->ttl_s);
    }
    if (op->client_flags != 0) {
        at = put_number(at, " F", op->client_flags);
    }
    at = put_number(at, " E", op->version);
    if (op->verb == EVC_NODE_CAS) {
        at = put_number(at, " C", op->seen);
    } else if (op->verb == EVC_NODE_ADD) {
        at = put(at, EVC_SLICE(" ME"));
    }
    at = put(at, EVC_SLICE("\r\n"));
    at = put(at, op->value);
    return put(at, EVC_SLICE("\r\n"));
}

int
evc_node_op_compose(const struct evc_node_op *op, struct evc_buf *out)
{
    bool is_get = op->verb == EVC_NODE_GET;
    size_t value_len = is_get ? 0 : op->value.len;
    struct evc_wire_key key;
    char *start;
    int rc;

    assert(op->key.len >= 1 && op->key.len <= EVC_KEY_LEN_MAX);
    rc = evc_wire_key_init(&key, op->key);
    rc = rc ? rc
            : evc_buf_reserve(out, NODE_OP_FRAME_BYTES_MAX + EVC_KEY_LEN_MAX + value_len, &start);
    if (rc == EVC_OK) {
        char *end = is_get ? compose_get(op, &key, start) : compose_write(op, &key, start);

        evc_buf_commit(out, (size_t)(end - start));
    }
    return rc;
}

/* --- parsing --- */

/** One return flag of a GET. false: its token is no number. */
static bool
read_return_flag(struct evc_slice word, struct evc_node_reply *ret)
{
    struct evc_slice token = {.ptr = word.ptr + 1, .len = word.len - 1};
    uint64_t number = 0;

    switch (word.ptr[0]) {
    case 'f':
        return evc_decimal_parse_u32(token, &ret->client_flags);
    case 'c':
        return evc_decimal_parse_u64(token, &ret->cas);
    case 't':
        return evc_decimal_parse_i64(token, &ret->ttl_s);
    case 's':
        return evc_decimal_parse_u32(token, &ret->size);
    case 'h':
        ret->hit_before = evc_slice_equal(token, EVC_SLICE("1"));
        return token.len == 1;
    case 'l':
        if (!evc_decimal_parse_u64(token, &number)) {
            return false;
        }
        ret->last_access_s = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
        return true;
    default:
        return true; /* W, X, Z and what later releases may add */
    }
}

static bool
read_return_flags(struct evc_slice rest, struct evc_node_reply *ret)
{
    struct evc_slice word;

    while (evc_meta_next_word(&rest, &word)) {
        if (!read_return_flag(word, ret)) {
            return false;
        }
    }
    ret->is_tombstone = ret->size == 0 && ret->client_flags == EVC_TOMBSTONE_FLAGS;
    return true;
}

static bool
is_error_line(struct evc_slice line)
{
    return evc_slice_equal(line, EVC_SLICE("ERROR")) ||
           evc_meta_starts_with(line, EVC_SLICE("CLIENT_ERROR")) ||
           evc_meta_starts_with(line, EVC_SLICE("SERVER_ERROR"));
}

/** What a line without a value means. false: it is no reply. */
static bool
read_plain_line(enum evc_node_verb verb, struct evc_slice line, enum evc_node_result *ret_result,
                struct evc_node_reply *ret_reply)
{
    static const struct {
        char code[3];
        enum evc_node_result get, write;
    } codes[] = {
        {"HD", EVC_NODE_HIT, EVC_NODE_STORED},       {"EN", EVC_NODE_MISS, EVC_NODE_MISS},
        {"NS", EVC_NODE_ERROR, EVC_NODE_NOT_STORED}, {"EX", EVC_NODE_ERROR, EVC_NODE_EXISTS},
        {"NF", EVC_NODE_MISS, EVC_NODE_MISS},
    };

    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (evc_meta_has_code(line, codes[i].code)) {
            *ret_result = verb == EVC_NODE_GET ? codes[i].get : codes[i].write;
            line.ptr += 2;
            line.len -= 2;
            return read_return_flags(line, ret_reply);
        }
    }
    if (!is_error_line(line)) {
        return false;
    }
    *ret_result = EVC_NODE_ERROR;
    ret_reply->error = line;
    return true;
}

/** "VA <size> <flags>": the value follows. */
static bool
read_value_line(struct evc_slice line, struct evc_node_reply *ret)
{
    struct evc_slice rest = {.ptr = line.ptr + 2, .len = line.len - 2};
    struct evc_slice word;

    return evc_meta_next_word(&rest, &word) && evc_decimal_parse_u32(word, &ret->size) &&
           ret->size <= EVC_VALUE_LEN_MAX && read_return_flags(rest, ret);
}

static int
take_value(struct evc_node_parse *state, struct evc_slice input, size_t line_bytes,
           size_t *ret_used, struct evc_node_reply *ret_reply)
{
    size_t end = line_bytes + ret_reply->size + 2;

    if (input.len < end) {
        state->needed = end;
        return EVC_E_AGAIN;
    }
    if (input.ptr[end - 2] != '\r' || input.ptr[end - 1] != '\n') {
        return EVC_E_PROTO;
    }
    ret_reply->value = (struct evc_slice){.ptr = input.ptr + line_bytes, .len = ret_reply->size};
    *ret_used = end;
    *state = (struct evc_node_parse){0};
    return EVC_OK;
}

int
evc_node_reply_parse(struct evc_node_parse *state, enum evc_node_verb verb, struct evc_slice input,
                     size_t *ret_used, enum evc_node_result *ret_result,
                     struct evc_node_reply *ret_reply)
{
    struct evc_slice line;
    size_t line_bytes;

    if (input.len < state->needed) {
        return EVC_E_AGAIN;
    }
    if (!evc_meta_find_line(input, state->scanned, &line, &line_bytes)) {
        state->scanned = input.len;
        return input.len > NODE_REPLY_LINE_BYTES_MAX ? EVC_E_PROTO : EVC_E_AGAIN;
    }
    *ret_reply = (struct evc_node_reply){.ttl_s = -1};
    if (evc_meta_has_code(line, "VA")) {
        if (!read_value_line(line, ret_reply)) {
            return EVC_E_PROTO;
        }
        state->scanned = line_bytes - 1; /* found again at once when the value has come */
        *ret_result = EVC_NODE_HIT;
        return take_value(state, input, line_bytes, ret_used, ret_reply);
    }
    if (!read_plain_line(verb, line, ret_result, ret_reply)) {
        return EVC_E_PROTO;
    }
    *ret_used = line_bytes;
    *state = (struct evc_node_parse){0};
    return EVC_OK;
}
