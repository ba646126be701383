/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composing replies to clients. Each reserves the most its line can take (a key in base64, the
 * opaque and a number per flag) and the value, then writes.
 */
#include "meta/reply.h"

#include <assert.h>
#include <stdio.h>

#include "meta/wire.h"

enum {
    /* A flag is a blank, a letter and at most 20 digits; k and O are counted on their own. */
    REPLY_LINE_BYTES = 64 + EVC_REQUEST_META_FLAGS_MAX * (2 + EVC_DECIMAL_BYTES_MAX) +
                       (EVC_KEY_LEN_MAX + 2) / 3 * 4 + EVC_REQUEST_OPAQUE_MAX,
};

static const struct evc_slice code_texts[EVC_META_CODE_MAX] = {
    [EVC_META_HD] = {"HD", 2}, [EVC_META_NS] = {"NS", 2}, [EVC_META_EX] = {"EX", 2},
    [EVC_META_NF] = {"NF", 2}, [EVC_META_EN] = {"EN", 2},
};

int
evc_reply_compose_value(struct evc_buf *out, struct evc_slice key,
                        const struct evc_node_reply *reply, bool with_cas)
{
    char *tail;
    char *end;
    int status;

    assert(key.len <= EVC_KEY_LEN_MAX);
    status = evc_buf_reserve(out, REPLY_LINE_BYTES + reply->value.len, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, EVC_SLICE("VALUE "));
    end = evc_wire_put(end, key);
    *end++ = ' ';
    end += evc_decimal_format_u64(end, reply->client_flags);
    *end++ = ' ';
    end += evc_decimal_format_u64(end, reply->value.len);
    if (with_cas) {
        *end++ = ' ';
        end += evc_decimal_format_u64(end, reply->cas);
    }
    end = evc_wire_put_crlf(end);
    end = evc_wire_put(end, reply->value);
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

static struct evc_slice
copy_to(char *space, size_t room, struct evc_slice bytes)
{
    assert(bytes.len <= room);
    evc_wire_put(space, bytes);
    return (struct evc_slice){.ptr = space, .len = bytes.len};
}

void
evc_meta_reply_init(struct evc_meta_reply *meta, const struct evc_request *request,
                    char opaque_space[EVC_REQUEST_OPAQUE_MAX],
                    char key_space[EVC_META_KEY_TEXT_MAX])
{
    meta->key = copy_to(key_space, EVC_META_KEY_TEXT_MAX, request->key);
    meta->opaque = copy_to(opaque_space, EVC_REQUEST_OPAQUE_MAX, request->opaque);
    meta->is_base64 = request->is_base64;
    meta->is_quiet = request->quiet;
    meta->has_value = false;
    meta->letter_count = 0;
    meta->mark_count = 0;
    for (unsigned i = 0; i < request->flag_count; i++) {
        char letter = request->flags[i].letter;
        if (letter == 'v') {
            meta->has_value = true;
        } else if (memchr("kOcfhlst", letter, sizeof("kOcfhlst") - 1) != NULL) {
            meta->letters[meta->letter_count++] = letter;
        }
    }
}

void
evc_meta_reply_keep(struct evc_meta_reply *meta, struct evc_slice letters)
{
    uint8_t kept = 0;

    for (uint8_t i = 0; i < meta->letter_count; i++) {
        if (memchr(letters.ptr, meta->letters[i], letters.len)) {
            meta->letters[kept++] = meta->letters[i];
        }
    }
    meta->letter_count = kept;
}

static char *
put_key(char *out, const struct evc_meta_reply *meta)
{
    *out++ = ' ';
    *out++ = 'k';
    if (!meta->is_base64) {
        return evc_wire_put(out, meta->key);
    }
    out += evc_base64_encode(meta->key, out);
    return evc_wire_put(out, EVC_SLICE(" b"));
}

/* The flags every reply may show. */
static char *
put_common_flag(char *out, const struct evc_meta_reply *meta, char letter)
{
    if (letter == 'k') {
        return put_key(out, meta);
    }
    if (letter == 'O') {
        *out++ = ' ';
        *out++ = 'O';
        return evc_wire_put(out, meta->opaque);
    }
    return out;
}

int
evc_meta_reply_compose(struct evc_buf *out, const struct evc_meta_reply *meta,
                       enum evc_meta_code code)
{
    char *tail;
    char *end;
    int status;

    assert(code < EVC_META_CODE_MAX);
    if (meta->is_quiet && (code == EVC_META_HD || code == EVC_META_EN)) {
        return EVC_OK;
    }
    status = evc_buf_reserve(out, REPLY_LINE_BYTES, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, code_texts[code]);
    for (unsigned i = 0; i < meta->letter_count; i++) {
        end = put_common_flag(end, meta, meta->letters[i]);
    }
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

int
evc_meta_reply_compose_write(struct evc_buf *out, const struct evc_meta_reply *meta,
                             enum evc_meta_code code, evc_version version, uint32_t value_len)
{
    char *tail;
    char *end;
    int status;

    assert(code < EVC_META_CODE_MAX);
    if (meta->is_quiet && code == EVC_META_HD) {
        return EVC_OK;
    }
    status = evc_buf_reserve(out, REPLY_LINE_BYTES, &tail);
    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, code_texts[code]);
    for (unsigned i = 0; i < meta->letter_count; i++) {
        char letter = meta->letters[i];
        if (letter == 'c') {
            end = evc_wire_put_u64(end, 'c', code == EVC_META_HD ? version : 0);
        } else if (letter == 's') {
            end = evc_wire_put_u64(end, 's', value_len);
        } else {
            end = put_common_flag(end, meta, letter);
        }
    }
    end = evc_wire_put_crlf(end);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

static char *
put_item_flag(char *out, const struct evc_meta_reply *meta, char letter,
              const struct evc_node_reply *reply)
{
    switch (letter) {
    case 'c':
        return evc_wire_put_u64(out, 'c', reply->cas);
    case 'f':
        return evc_wire_put_u64(out, 'f', reply->client_flags);
    case 'h':
        return evc_wire_put_u64(out, 'h', reply->hit_before ? 1 : 0);
    case 'l':
        return evc_wire_put_u64(out, 'l', reply->last_access_s);
    case 's':
        return evc_wire_put_u64(out, 's', reply->size);
    case 't':
        return evc_wire_put_i64(out, 't', reply->ttl_s);
    default:
        return put_common_flag(out, meta, letter);
    }
}

int
evc_meta_reply_compose_debug(struct evc_buf *out, const struct evc_meta_reply *meta,
                             const struct evc_node_reply *reply)
{
    char *tail;
    int status = evc_buf_reserve(out, REPLY_LINE_BYTES, &tail);
    char *end;

    if (status < 0) {
        return status;
    }
    end = evc_wire_put(tail, EVC_SLICE("ME "));
    if (meta->is_base64) {
        end += evc_base64_encode(meta->key, end);
    } else {
        end = evc_wire_put(end, meta->key);
    }
    end +=
        snprintf(end, REPLY_LINE_BYTES / 2, " exp=%lld la=%u cas=%llu fetch=%s cls=0 size=%u\r\n",
                 (long long)reply->ttl_s, reply->last_access_s, (unsigned long long)reply->cas,
                 reply->hit_before ? "yes" : "no", reply->size);
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}

int
evc_meta_reply_compose_get(struct evc_buf *out, const struct evc_meta_reply *meta,
                           const struct evc_node_reply *reply)
{
    char *tail;
    char *end;
    int status =
        evc_buf_reserve(out, REPLY_LINE_BYTES + (meta->has_value ? reply->value.len : 0), &tail);

    if (status < 0) {
        return status;
    }
    if (meta->has_value) {
        end = evc_wire_put(tail, EVC_SLICE("VA "));
        end += evc_decimal_format_u64(end, reply->value.len);
    } else {
        end = evc_wire_put(tail, EVC_SLICE("HD"));
    }
    for (unsigned i = 0; i < meta->letter_count; i++) {
        end = put_item_flag(end, meta, meta->letters[i], reply);
    }
    for (unsigned i = 0; i < meta->mark_count; i++) {
        *end++ = ' ';
        *end++ = meta->marks[i];
    }
    end = evc_wire_put_crlf(end);
    if (meta->has_value) {
        end = evc_wire_put(end, reply->value);
        end = evc_wire_put_crlf(end);
    }
    evc_buf_commit(out, (size_t)(end - tail));
    return EVC_OK;
}
