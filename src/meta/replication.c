/* SPDX-License-Identifier: Apache-2.0 */
/* See replication.h for the wire. */
#include "meta/replication.h"

#include <assert.h>
#include <string.h>

#include "base/decimal.h"
#include "meta/meta_line.h"

enum {
    REPLICATION_ITEM_FRAME_BYTES = 192,
    REPLICATION_REPLY_BYTES_MAX = 64,
    REPLICATION_LINE_BYTES_MAX = 4096,
    REPLICATION_NAME_BYTES_MAX = 255,
};

static const char result_letters[EVC_APPLY_RESULT_MAX] = {
    [EVC_APPLY_APPLIED] = 'a', [EVC_APPLY_IDENTICAL] = 'i', [EVC_APPLY_BEHIND] = 'b',
    [EVC_APPLY_LATE] = 'l',    [EVC_APPLY_FAILED] = 'f',    [EVC_APPLY_DRIFT] = 'd',
};

static const char *const result_names[EVC_APPLY_RESULT_MAX] = {
    [EVC_APPLY_APPLIED] = "applied", [EVC_APPLY_IDENTICAL] = "identical",
    [EVC_APPLY_BEHIND] = "behind",   [EVC_APPLY_LATE] = "late",
    [EVC_APPLY_FAILED] = "failed",   [EVC_APPLY_DRIFT] = "drift",
};

const char *
evc_apply_result_str(enum evc_apply_result result)
{
    return (size_t)result < EVC_APPLY_RESULT_MAX ? result_names[result] : "unknown";
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

/** "<prefix><protocol> word word…\r\n", whole or not at all. */
static int
compose_greeting(struct evc_buf *out, const char *prefix, const struct evc_slice *words,
                 unsigned count)
{
    size_t bytes = REPLICATION_REPLY_BYTES_MAX;
    char *start, *at;
    int rc;

    for (unsigned i = 0; i < count; i++) {
        assert(words[i].len >= 1 && words[i].len <= REPLICATION_NAME_BYTES_MAX);
        bytes += words[i].len + 1;
    }
    rc = evc_buf_reserve(out, bytes, &start);
    if (rc != EVC_OK) {
        return rc;
    }
    at = put_number(start, prefix, EVC_REPLICATION_PROTOCOL);
    for (unsigned i = 0; i < count; i++) {
        *at++ = ' ';
        at = put(at, words[i]);
    }
    at = put(at, EVC_SLICE("\r\n"));
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

int
evc_replication_compose_hello(struct evc_buf *out, struct evc_slice cache, struct evc_slice region,
                              struct evc_slice relay)
{
    const struct evc_slice words[] = {cache, region, relay};

    return compose_greeting(out, "hello ", words, 3);
}

int
evc_replication_compose_welcome(struct evc_buf *out, struct evc_slice cache,
                                struct evc_slice region)
{
    const struct evc_slice words[] = {cache, region};

    return compose_greeting(out, "HELLO ", words, 2);
}

int
evc_replication_compose_item(struct evc_buf *out, const struct evc_replica *replica,
                             uint32_t opaque)
{
    char *start, *at;
    int rc = evc_buf_reserve(
        out, REPLICATION_ITEM_FRAME_BYTES + replica->key.len + replica->value.len, &start);

    assert(replica->key.len >= 1 && replica->key.len <= EVC_KEY_LEN_MAX);
    if (rc != EVC_OK) {
        return rc;
    }
    at = put(start, EVC_SLICE("ms "));
    at = put(at, replica->key);
    at = put_number(at, " ", replica->value.len);
    at = put(at, EVC_SLICE(" T"));
    at += evc_decimal_format_i64(at, replica->ttl_s);
    at = put_number(at, " F", replica->client_flags);
    at = put_number(at, " E", replica->version);
    at = put_number(at, " O", opaque);
    at = put(at, EVC_SLICE("\r\n"));
    at = put(at, replica->value);
    at = put(at, EVC_SLICE("\r\n"));
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

int
evc_replication_compose_reply(struct evc_buf *out, uint32_t opaque, enum evc_apply_result result,
                              evc_version newest)
{
    char *start, *at;
    int rc = evc_buf_reserve(out, REPLICATION_REPLY_BYTES_MAX, &start);

    assert((unsigned)result < EVC_APPLY_RESULT_MAX);
    if (rc != EVC_OK) {
        return rc;
    }
    at = put_number(start, "HD O", opaque);
    at = put(at, EVC_SLICE(" P"));
    *at++ = result_letters[result];
    at = put_number(at, " c", newest);
    at = put(at, EVC_SLICE("\r\n"));
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

/* --- parsing --- */

static bool
read_result(struct evc_slice token, enum evc_apply_result *ret)
{
    const char *found =
        token.len == 1 ? memchr(result_letters, token.ptr[0], sizeof(result_letters)) : NULL;

    if (found) {
        *ret = (enum evc_apply_result)(found - result_letters);
    }
    return found != NULL;
}

/** " O<opaque> P<outcome> c<newest>", in any order; others are passed over. */
static bool
read_answer(struct evc_slice rest, struct evc_replication_reply *ret)
{
    bool has_opaque = false, has_result = false;
    struct evc_slice word;

    while (evc_meta_next_word(&rest, &word)) {
        struct evc_slice token = {.ptr = word.ptr + 1, .len = word.len - 1};

        if (word.ptr[0] == 'O') {
            has_opaque = evc_decimal_parse_u32(token, &ret->opaque);
        } else if (word.ptr[0] == 'P') {
            has_result = read_result(token, &ret->result);
        } else if (word.ptr[0] == 'c' && !evc_decimal_parse_u64(token, &ret->newest)) {
            return false;
        }
    }
    return has_opaque && has_result;
}

static bool
read_greeting(struct evc_slice rest, unsigned *ret_protocol, struct evc_slice *words,
              unsigned count)
{
    struct evc_slice word;
    uint32_t protocol;

    if (!evc_meta_next_word(&rest, &word) || !evc_decimal_parse_u32(word, &protocol)) {
        return false;
    }
    *ret_protocol = protocol;
    for (unsigned i = 0; i < count; i++) {
        if (!evc_meta_next_word(&rest, &words[i]) || words[i].len > REPLICATION_NAME_BYTES_MAX) {
            return false;
        }
    }
    return !evc_meta_next_word(&rest, &word);
}

static bool
read_line(struct evc_slice line, struct evc_replication_reply *ret)
{
    struct evc_slice welcome = EVC_SLICE("HELLO ");

    if (evc_meta_has_code(line, "HD")) {
        return read_answer((struct evc_slice){.ptr = line.ptr + 2, .len = line.len - 2}, ret);
    }
    if (evc_meta_starts_with(line, welcome)) {
        struct evc_slice rest = {.ptr = line.ptr + welcome.len, .len = line.len - welcome.len};
        struct evc_slice words[2];
        unsigned protocol;

        if (!read_greeting(rest, &protocol, words, 2) || protocol != EVC_REPLICATION_PROTOCOL) {
            return false;
        }
        ret->is_welcome = true;
        ret->cache = words[0];
        ret->region = words[1];
        return true;
    }
    ret->is_error = evc_slice_equal(line, EVC_SLICE("ERROR")) ||
                    evc_meta_starts_with(line, EVC_SLICE("CLIENT_ERROR")) ||
                    evc_meta_starts_with(line, EVC_SLICE("SERVER_ERROR"));
    ret->text = line;
    return ret->is_error;
}

int
evc_replication_reply_parse(struct evc_slice input, size_t *ret_used,
                            struct evc_replication_reply *ret)
{
    struct evc_slice line;

    if (!evc_meta_find_line(input, 0, &line, ret_used)) {
        return input.len > REPLICATION_LINE_BYTES_MAX ? EVC_E_PROTO : EVC_E_AGAIN;
    }
    *ret = (struct evc_replication_reply){0};
    return read_line(line, ret) ? EVC_OK : EVC_E_PROTO;
}

int
evc_replication_hello_parse(struct evc_slice rest, unsigned *ret_protocol,
                            struct evc_slice *ret_cache, struct evc_slice *ret_region,
                            struct evc_slice *ret_relay)
{
    struct evc_slice words[3];

    if (!read_greeting(rest, ret_protocol, words, 3)) {
        return EVC_E_PROTO;
    }
    *ret_cache = words[0];
    *ret_region = words[1];
    *ret_relay = words[2];
    return EVC_OK;
}
