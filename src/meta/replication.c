/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's side and the receiver's side of the replication wire: composing both, reading
 * replies. */
#include "meta/replication.h"

#include <assert.h>

#include "meta/wire.h"

static const struct {
    const char *name;
    char letter;
} results[EVC_APPLY_RESULT_MAX] = {
    [EVC_APPLY_APPLIED] = {"applied", 'a'},   [EVC_APPLY_IDENTICAL] = {"identical", 'i'},
    [EVC_APPLY_BEHIND] = {"behind", 'b'},     [EVC_APPLY_LATE] = {"late", 'l'},
    [EVC_APPLY_FAILED] = {"failed", 'f'},     [EVC_APPLY_DRIFT] = {"drift", 'd'},
    [EVC_APPLY_REJECTED] = {"rejected", 'r'},
};

const char *
evc_apply_result_str(enum evc_apply_result result)
{
    return (unsigned)result < EVC_APPLY_RESULT_MAX ? results[result].name : "invalid";
}

/* A word, then names as tokens, then CRLF. */
static int
compose_names(struct evc_buf *out, struct evc_slice word, const struct evc_slice *names,
              size_t count)
{
    size_t len = word.len + 2;
    char *tail;
    char *end;
    int status;

    for (size_t i = 0; i < count; i++) {
        assert(names[i].len > 0 && memchr(names[i].ptr, ' ', names[i].len) == NULL);
        len += 1 + names[i].len;
    }
    assert(len <= EVC_WIRE_LINE_MAX);
    status = evc_buf_reserve(out, len, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, word);
    for (size_t i = 0; i < count; i++) {
        *end++ = ' ';
        end = evc_wire_put(end, names[i]);
    }
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

static_assert(EVC_REPLICATION_PROTOCOL == 1, "the greetings below spell the number out");

int
evc_replication_compose_hello(struct evc_buf *out, struct evc_slice cache, struct evc_slice region,
                              struct evc_slice relay)
{
    return compose_names(out, EVC_SLICE("hello 1"), (struct evc_slice[]){cache, region, relay}, 3);
}

int
evc_replication_compose_welcome(struct evc_buf *out, struct evc_slice cache,
                                struct evc_slice region)
{
    return compose_names(out, EVC_SLICE("HELLO 1"), (struct evc_slice[]){cache, region}, 2);
}

int
evc_replication_compose_item(struct evc_buf *out, const struct evc_replica *replica,
                             uint32_t opaque)
{
    struct evc_wire_key key;
    char *tail;
    char *end;
    int status;

    assert(replica->value.len <= EVC_VALUE_LEN_MAX);
    status = evc_wire_key_init(&key, replica->key);
    if (status < 0) {
        return status;
    }
    status = evc_buf_reserve(out, EVC_WIRE_LINE_BYTES + replica->value.len, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, EVC_SLICE("ms"));
    end = evc_wire_put_key(end, &key);
    *end++ = ' ';
    end += evc_decimal_format_u64(end, replica->value.len);
    end = evc_wire_put_key_flag(end, &key);
    end = evc_wire_put_i64(end, 'T', replica->ttl_s);
    end = evc_wire_put_u64(end, 'F', replica->client_flags);
    end = evc_wire_put_u64(end, 'E', replica->version);
    end = evc_wire_put_u64(end, 'O', opaque);
    end = evc_wire_put_crlf(end);
    end = evc_wire_put(end, replica->value);
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

int
evc_replication_compose_reply(struct evc_buf *out, uint32_t opaque, enum evc_apply_result result,
                              evc_version newest)
{
    char *tail;
    char *end;
    int status;

    assert(result < EVC_APPLY_RESULT_MAX);
    status = evc_buf_reserve(out, EVC_WIRE_LINE_BYTES, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, EVC_SLICE("HD"));
    end = evc_wire_put_u64(end, 'O', opaque);
    end = evc_wire_put(end, EVC_SLICE(" P"));
    *end++ = results[result].letter;
    end = evc_wire_put_u64(end, 'c', newest);
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

int
evc_replication_compose_clock(struct evc_buf *out, uint64_t unix_us)
{
    char *tail;
    char *end;
    int status = evc_buf_reserve(out, EVC_WIRE_LINE_BYTES, &tail);

    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, EVC_SLICE("MN "));
    end += evc_decimal_format_u64(end, unix_us);
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

/* --- reading --- */

/* The next token, which is this letter and something behind it. */
static bool
take_flag(struct evc_slice *rest, char letter, struct evc_slice *ret_value)
{
    struct evc_slice token;

    if (!evc_wire_token(rest, &token) || token.len < 2 || token.ptr[0] != letter) {
        return false;
    }
    *ret_value = (struct evc_slice){.ptr = token.ptr + 1, .len = token.len - 1};
    return true;
}

static bool
result_of(struct evc_slice letter, enum evc_apply_result *ret_result)
{
    for (unsigned i = 0; i < EVC_APPLY_RESULT_MAX; i++) {
        if (letter.len == 1 && letter.ptr[0] == results[i].letter) {
            *ret_result = (enum evc_apply_result)i;
            return true;
        }
    }
    return false;
}

static int
take_outcome(struct evc_slice rest, struct evc_replication_reply *ret)
{
    struct evc_slice value;
    struct evc_slice more;

    if (!take_flag(&rest, 'O', &value) || !evc_decimal_parse_u32(value, &ret->opaque) ||
        !take_flag(&rest, 'P', &value) || !result_of(value, &ret->result) ||
        !take_flag(&rest, 'c', &value) || !evc_decimal_parse_u64(value, &ret->newest) ||
        evc_wire_token(&rest, &more)) {
        return EVC_E_PROTO;
    }
    return EVC_OK;
}

static int
take_welcome(struct evc_slice rest, struct evc_replication_reply *ret)
{
    struct evc_slice protocol;
    struct evc_slice more;

    if (!evc_wire_token(&rest, &protocol) || !evc_slice_equal(protocol, EVC_SLICE("1")) ||
        !evc_wire_token(&rest, &ret->cache) || !evc_wire_token(&rest, &ret->region) ||
        evc_wire_token(&rest, &more)) {
        return EVC_E_PROTO;
    }
    ret->is_welcome = true;
    return EVC_OK;
}

static int
take_clock(struct evc_slice rest, struct evc_replication_reply *ret)
{
    struct evc_slice token;
    struct evc_slice more;

    if (!evc_wire_token(&rest, &token) || !evc_decimal_parse_u64(token, &ret->unix_us) ||
        evc_wire_token(&rest, &more)) {
        return EVC_E_PROTO;
    }
    ret->is_clock = true;
    return EVC_OK;
}

int
evc_replication_reply_parse(struct evc_slice input, size_t *ret_used,
                            struct evc_replication_reply *ret)
{
    struct evc_slice line;
    struct evc_slice rest;
    struct evc_slice word;
    size_t scanned = 0;
    int status = EVC_E_AGAIN;

    *ret_used = 0;
    if (input.len > 0) {
        status = evc_wire_line(input, &scanned, &line);
    }
    if (status < 0) {
        return status;
    }
    *ret = (struct evc_replication_reply){.text = line};
    rest = line;
    if (!evc_wire_token(&rest, &word)) {
        return EVC_E_PROTO;
    }
    if (evc_slice_equal(word, EVC_SLICE("HD"))) {
        status = take_outcome(rest, ret);
    } else if (evc_slice_equal(word, EVC_SLICE("HELLO"))) {
        status = take_welcome(rest, ret);
    } else if (evc_slice_equal(word, EVC_SLICE("MN"))) {
        status = take_clock(rest, ret);
    } else {
        ret->is_error = evc_slice_equal(word, EVC_SLICE("CLIENT_ERROR")) ||
                        evc_slice_equal(word, EVC_SLICE("SERVER_ERROR")) ||
                        evc_slice_equal(word, EVC_SLICE("ERROR"));
        status = ret->is_error ? EVC_OK : EVC_E_PROTO;
    }
    if (status == EVC_OK) {
        *ret_used = line.len + 2;
    }
    return status;
}

int
evc_replication_hello_parse(struct evc_slice rest, unsigned *ret_protocol,
                            struct evc_slice *ret_cache, struct evc_slice *ret_region,
                            struct evc_slice *ret_relay)
{
    struct evc_slice token;
    uint32_t protocol;

    if (!evc_wire_token(&rest, &token) || !evc_decimal_parse_u32(token, &protocol) ||
        !evc_wire_token(&rest, ret_cache) || !evc_wire_token(&rest, ret_region) ||
        !evc_wire_token(&rest, ret_relay) || evc_wire_token(&rest, &token)) {
        return EVC_E_PROTO;
    }
    *ret_protocol = protocol;
    return EVC_OK;
}
