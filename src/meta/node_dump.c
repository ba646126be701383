/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See node_dump.h. Item lines end in a bare newline and are `name=value` tokens of which key comes
 * first, URI-encoded; which others there are differs between versions of memcached.
 */
#include "meta/node_dump.h"

#include "base/decimal.h"
#include "meta/wire.h"

int
evc_node_dump_compose(struct evc_buf *out)
{
    return evc_buf_append(out, EVC_SLICE("lru_crawler metadump hash\r\n"));
}

static int
hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    if (byte >= 'A' && byte <= 'F') {
        return byte - 'A' + 10;
    }
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/** URI-decodes into out (EVC_KEY_LEN_MAX bytes). The length, 0 when it is no key. */
static size_t
decode_key(struct evc_slice text, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (len == EVC_KEY_LEN_MAX) {
            return 0;
        }
        if (text.ptr[i] != '%') {
            out[len++] = text.ptr[i];
            continue;
        }
        if (i + 2 >= text.len || hex_digit(text.ptr[i + 1]) < 0 || hex_digit(text.ptr[i + 2]) < 0) {
            return 0;
        }
        out[len++] = (char)(hex_digit(text.ptr[i + 1]) << 4 | hex_digit(text.ptr[i + 2]));
        i += 2;
    }
    return len;
}

static bool
has_name(struct evc_slice token, struct evc_slice name, struct evc_slice *ret_value)
{
    if (token.len < name.len || memcmp(token.ptr, name.ptr, name.len) != 0) {
        return false;
    }
    *ret_value = (struct evc_slice){.ptr = token.ptr + name.len, .len = token.len - name.len};
    return true;
}

/** An item's line. False when it is none. */
static bool
take_item(struct evc_node_dump *state, struct evc_slice line, struct evc_node_dump_line *ret)
{
    struct evc_slice rest = line;
    struct evc_slice token, value;
    uint64_t size = 0, flags = 0, expiry_s;
    bool has_cas = false;

    ret->kind = EVC_NODE_DUMP_ITEM;
    ret->expiry_s = -1;
    if (!evc_wire_token(&rest, &token) || !has_name(token, EVC_SLICE("key="), &value)) {
        return false;
    }
    ret->key = (struct evc_slice){.ptr = state->key, .len = decode_key(value, state->key)};
    while (evc_wire_token(&rest, &token)) {
        if (has_name(token, EVC_SLICE("cas="), &value)) {
            has_cas = evc_decimal_parse_u64(value, &ret->cas);
        } else if (has_name(token, EVC_SLICE("exp="), &value)) {
            ret->expiry_s = evc_decimal_parse_u64(value, &expiry_s) && expiry_s <= UINT32_MAX
                                ? (int64_t)expiry_s
                                : -1;
        } else if (has_name(token, EVC_SLICE("size="), &value)) {
            (void)evc_decimal_parse_u64(value, &size); /* what is none stays 0 */
        } else if (has_name(token, EVC_SLICE("flags="), &value)) {
            (void)evc_decimal_parse_u64(value, &flags);
        }
    }
    ret->size = size <= UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    ret->client_flags = (uint32_t)flags;
    return ret->key.len > 0 && has_cas;
}

static bool
begins_with(struct evc_slice line, struct evc_slice word)
{
    return line.len >= word.len && memcmp(line.ptr, word.ptr, word.len) == 0;
}

int
evc_node_dump_parse(struct evc_node_dump *state, struct evc_slice input, size_t *ret_used,
                    struct evc_node_dump_line *ret)
{
    const char *newline = NULL;
    struct evc_slice line = {.ptr = input.ptr};

    *ret_used = 0;
    if (input.len > state->scanned) {
        newline = memchr(input.ptr + state->scanned, '\n', input.len - state->scanned);
    }
    if (!newline) {
        state->scanned = input.len;
        return input.len > EVC_WIRE_LINE_MAX ? EVC_E_PROTO : EVC_E_AGAIN;
    }
    state->scanned = 0;
    *ret_used = (size_t)(newline - input.ptr) + 1;
    line.len = *ret_used - 1;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    *ret = (struct evc_node_dump_line){.line = line};
    if (evc_slice_equal(line, EVC_SLICE("END"))) {
        ret->kind = EVC_NODE_DUMP_END;
    } else if (begins_with(line, EVC_SLICE("BUSY")) ||
               begins_with(line, EVC_SLICE("ERROR locked try again"))) {
        ret->kind = EVC_NODE_DUMP_BUSY;
    } else if (begins_with(line, EVC_SLICE("ERROR")) ||
               begins_with(line, EVC_SLICE("CLIENT_ERROR")) ||
               begins_with(line, EVC_SLICE("SERVER_ERROR"))) {
        ret->kind = EVC_NODE_DUMP_REFUSED;
    } else if (!take_item(state, line, ret)) {
        return EVC_E_PROTO;
    }
    return EVC_OK;
}
