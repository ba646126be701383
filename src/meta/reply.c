/* SPDX-License-Identifier: Apache-2.0 */
/* See reply.h. */
#include "meta/reply.h"

#include <assert.h>
#include <string.h>

#include "base/decimal.h"

enum {
    /* A code and all flags with numbers of 20 digits, besides key, opaque and value. */
    REPLY_FRAME_BYTES_MAX = 16 + EVC_REQUEST_META_FLAGS_MAX * 24,
};

static const char code_names[EVC_META_CODE_MAX][3] = {"HD", "NS", "EX", "NF", "EN"};

void
evc_meta_reply_init(struct evc_meta_reply *meta, const struct evc_request *request,
                    char opaque_space[EVC_REQUEST_OPAQUE_MAX],
                    char key_space[EVC_META_KEY_TEXT_MAX])
{
    assert(request->raw_key.len <= EVC_META_KEY_TEXT_MAX);
    assert(request->opaque.len <= EVC_REQUEST_OPAQUE_MAX);
    *meta = (struct evc_meta_reply){
        .command = request->command,
        .is_quiet = request->quiet,
        .flag_count = request->flag_count,
        .key = {.ptr = key_space, .len = request->raw_key.len},
        .opaque = {.ptr = opaque_space, .len = request->opaque.len},
    };
    for (unsigned i = 0; i < request->flag_count; i++) {
        meta->flags[i] = request->flags[i].letter;
    }
    if (request->raw_key.len > 0) {
        memcpy(key_space, request->raw_key.ptr, request->raw_key.len);
    }
    if (request->opaque.len > 0) {
        memcpy(opaque_space, request->opaque.ptr, request->opaque.len);
    }
}

static char *
put(char *at, struct evc_slice bytes)
{
    memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static char *
put_number(char *at, char letter, uint64_t number)
{
    *at++ = ' ';
    *at++ = letter;
    return at + evc_decimal_format_u64(at, number);
}

int
evc_reply_compose_value(struct evc_buf *out, struct evc_slice key,
                        const struct evc_node_reply *reply, bool with_cas)
{
    char *start, *at;
    int rc = evc_buf_reserve(out, REPLY_FRAME_BYTES_MAX + key.len + reply->value.len, &start);

    if (rc != EVC_OK) {
        return rc;
    }
    at = put(start, EVC_SLICE("VALUE "));
    at = put(at, key);
    *at++ = ' ';
    at += evc_decimal_format_u64(at, reply->client_flags);
    *at++ = ' ';
    at += evc_decimal_format_u64(at, reply->value.len);
    if (with_cas) {
        *at++ = ' ';
        at += evc_decimal_format_u64(at, reply->cas);
    }
    at = put(at, EVC_SLICE("\r\n"));
    at = put(at, reply->value);
    at = put(at, EVC_SLICE("\r\n"));
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

/** The flags every meta reply echoes; at unchanged when the letter is none of them. */
static char *
put_echo(char *at, const struct evc_meta_reply *meta, char letter)
{
    switch (letter) {
    case 'O':
        at = put(at, EVC_SLICE(" O"));
        return put(at, meta->opaque);
    case 'k':
        at = put(at, EVC_SLICE(" k"));
        return put(at, meta->key);
    case 'b':
        return put(at, EVC_SLICE(" b"));
    default:
        return at;
    }
}

static char *
put_item_flag(char *at, const struct evc_node_reply *reply, char letter)
{
    switch (letter) {
    case 'f':
        return put_number(at, 'f', reply->client_flags);
    case 'c':
        return put_number(at, 'c', reply->cas);
    case 's':
        return put_number(at, 's', reply->size);
    case 'h':
        return put_number(at, 'h', reply->hit_before);
    case 'l':
        return put_number(at, 'l', reply->last_access_s);
    case 't':
        at = put(at, EVC_SLICE(" t"));
        return at + evc_decimal_format_i64(at, reply->ttl_s);
    default:
        return at;
    }
}

static int
reserve(struct evc_buf *out, const struct evc_meta_reply *meta, size_t value_len, char **ret)
{
    return evc_buf_reserve(
        out, REPLY_FRAME_BYTES_MAX + meta->key.len + meta->opaque.len + value_len, ret);
}

int
evc_meta_reply_compose_get(struct evc_buf *out, const struct evc_meta_reply *meta,
                           const struct evc_node_reply *reply)
{
    bool has_value = memchr(meta->flags, 'v', meta->flag_count) != NULL;
    char *start, *at;
    int rc = reserve(out, meta, reply->value.len, &start);

    if (rc != EVC_OK) {
        return rc;
    }
    if (has_value) {
        at = put(start, EVC_SLICE("VA "));
        at += evc_decimal_format_u64(at, reply->value.len);
    } else {
        at = put(start, EVC_SLICE("HD"));
    }
    for (unsigned i = 0; i < meta->flag_count; i++) {
        at = put_item_flag(at, reply, meta->flags[i]);
        at = put_echo(at, meta, meta->flags[i]);
    }
    at = put(at, EVC_SLICE("\r\n"));
    if (has_value) {
        at = put(at, reply->value);
        at = put(at, EVC_SLICE("\r\n"));
    }
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

/** What a quiet request does not want to hear: the answer it expects. */
static bool
is_suppressed(const struct evc_meta_reply *meta, enum evc_meta_code code)
{
    if (!meta->is_quiet) {
        return false;
    }
    if (meta->command == EVC_CMD_MG) {
        return code == EVC_META_EN;
    }
    return code == EVC_META_HD || (meta->command == EVC_CMD_MD && code == EVC_META_NF);
}

int
evc_meta_reply_compose_write(struct evc_buf *out, const struct evc_meta_reply *meta,
                             enum evc_meta_code code, evc_version version, uint32_t value_len)
{
    char *start, *at;
    int rc;

    if (is_suppressed(meta, code)) {
        return EVC_OK;
    }
    rc = reserve(out, meta, 0, &start);
    if (rc != EVC_OK) {
        return rc;
    }
    at = put(start, evc_slice_str(code_names[code]));
    for (unsigned i = 0; i < meta->flag_count; i++) {
        char letter = meta->flags[i];

        if (code == EVC_META_HD && meta->command == EVC_CMD_MS && letter == 'c') {
            at = put_number(at, 'c', version);
        } else if (code == EVC_META_HD && meta->command == EVC_CMD_MS && letter == 's') {
            at = put_number(at, 's', value_len);
        } else {
            at = put_echo(at, meta, letter);
        }
    }
    at = put(at, EVC_SLICE("\r\n"));
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

int
evc_meta_reply_compose(struct evc_buf *out, const struct evc_meta_reply *meta,
                       enum evc_meta_code code)
{
    return evc_meta_reply_compose_write(out, meta, code, 0, 0);
}
