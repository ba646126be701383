/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small pieces that the parsers and composers of this folder share: tokens, lines that end in
 * CRLF, and writing into room that was reserved before. Not for other folders.
 */
#ifndef EVC_META_WIRE_H
#define EVC_META_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/decimal.h"
#include "base/slice.h"
#include "base/status.h"
#include "meta/base64.h"
#include "meta/node_op.h"

enum {
    EVC_WIRE_LINE_MAX = 2048, /* longest line taken from a node or another relay */
    /* Room that any line of an operation or item fits in: key, and every flag with its number. */
    EVC_WIRE_LINE_BYTES = 512,
};

#define EVC_WIRE_EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/** The first blank, or end; eight bytes in one step while there are as many. */
static inline const char *
evc_wire_skip_token(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t bytes, blanks;

        memcpy(&bytes, at, sizeof(bytes));
        bytes = le64toh(bytes) ^ EVC_WIRE_EACH_BYTE(' ');
        blanks = (bytes - EVC_WIRE_EACH_BYTE(1)) & ~bytes & EVC_WIRE_EACH_BYTE(0x80);
        if (blanks != 0) {
            return at + __builtin_ctzll(blanks) / 8; /* the lowest bit is a blank's for certain */
        }
    }
    while (at < end && *at != ' ') {
        at++;
    }
    return at;
}

/** Takes the next token, up to a blank, from *rest. False at the end. */
static inline bool
evc_wire_token(struct evc_slice *rest, struct evc_slice *ret_token)
{
    const char *at = rest->ptr;
    const char *end = rest->ptr + rest->len;
    const char *start;

    while (at < end && *at == ' ') {
        at++;
    }
    start = at;
    at = evc_wire_skip_token(at, end);
    *ret_token = (struct evc_slice){.ptr = start, .len = (size_t)(at - start)};
    *rest = (struct evc_slice){.ptr = at, .len = (size_t)(end - at)};
    return ret_token->len > 0;
}

/**
 * The line at the front of input, without its CRLF. 0; EVC_E_AGAIN when it is not whole, with
 * *scanned moved on; EVC_E_PROTO when it is longer than EVC_WIRE_LINE_MAX or ends in a bare
 * newline.
 */
EVC_MUST_USE int evc_wire_line(struct evc_slice input, size_t *scanned, struct evc_slice *ret_line);

static inline char *
evc_wire_put(char *out, struct evc_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(out, bytes.ptr, bytes.len);
    }
    return out + bytes.len;
}

/** A blank, a flag's letter and its number. */
static inline char *
evc_wire_put_u64(char *out, char letter, uint64_t value)
{
    *out++ = ' ';
    *out++ = letter;
    return out + evc_decimal_format_u64(out, value);
}

static inline char *
evc_wire_put_i64(char *out, char letter, int64_t value)
{
    *out++ = ' ';
    *out++ = letter;
    return out + evc_decimal_format_i64(out, value);
}

static inline char *
evc_wire_put_crlf(char *out)
{
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

/**
 * How a key is written in a meta command. Keys with blanks, newlines, carriage returns or NULs
 * (clients may give them in base64) would end the token or the line, so they go in base64 with the
 * flag b; all others go as they are, other control characters included, as with memcached.
 */
struct evc_wire_key {
    struct evc_slice key;
    bool is_base64;
};

/** 0, or EVC_E_INVALID: a key that must go in base64 and is too long for that. */
EVC_MUST_USE int evc_wire_key_init(struct evc_wire_key *wire, struct evc_slice key);

/** A blank and the key; the flag b is for evc_wire_put_key_flag. At most EVC_KEY_LEN_MAX + 1 bytes.
 */
static inline char *
evc_wire_put_key(char *out, const struct evc_wire_key *wire)
{
    *out++ = ' ';
    if (wire->is_base64) {
        return out + evc_base64_encode(wire->key, out);
    }
    return evc_wire_put(out, wire->key);
}

static inline char *
evc_wire_put_key_flag(char *out, const struct evc_wire_key *wire)
{
    return wire->is_base64 ? evc_wire_put(out, EVC_SLICE(" b")) : out;
}

#endif
