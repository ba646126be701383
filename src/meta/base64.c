/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 for keys. Reading is as lenient as memcached's own, so that both accept the same keys. */
#include "meta/base64.h"

#include <stdint.h>

enum {
    BASE64_NONE = 0x80
};

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
evc_base64_encode(struct evc_slice bytes, char *out)
{
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    char *start = out;
    size_t at = 0;

    for (; bytes.len - at >= 3; at += 3) {
        uint32_t block = (uint32_t)in[at] << 16 | (uint32_t)in[at + 1] << 8 | in[at + 2];
        *out++ = ALPHABET[block >> 18];
        *out++ = ALPHABET[block >> 12 & 63];
        *out++ = ALPHABET[block >> 6 & 63];
        *out++ = ALPHABET[block & 63];
    }
    if (bytes.len > at) {
        bool has_two = bytes.len - at == 2;
        uint32_t block = (uint32_t)in[at] << 16 | (has_two ? (uint32_t)in[at + 1] << 8 : 0);
        *out++ = ALPHABET[block >> 18];
        *out++ = ALPHABET[block >> 12 & 63];
        *out++ = has_two ? ALPHABET[block >> 6 & 63] : '=';
        *out++ = '=';
    }
    return (size_t)(out - start);
}

static unsigned
base64_value(char byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return (unsigned)(byte - 'A');
    }
    if (byte >= 'a' && byte <= 'z') {
        return (unsigned)(byte - 'a') + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return (unsigned)(byte - '0') + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : byte == '=' ? 0 : BASE64_NONE;
}

size_t
evc_base64_decode(struct evc_slice text, char *out)
{
    size_t symbols = 0;
    size_t len = 0;
    unsigned count = 0;
    unsigned padding = 0;
    uint32_t block = 0;

    for (size_t i = 0; i < text.len; i++) {
        symbols += base64_value(text.ptr[i]) != BASE64_NONE;
    }
    if (symbols == 0 || symbols % 4 != 0) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned value = base64_value(text.ptr[i]);
        if (value == BASE64_NONE) {
            continue;
        }
        padding += text.ptr[i] == '=';
        block = block << 6 | value;
        if (++count < 4) {
            continue;
        }
        if (padding > 2) {
            return 0;
        }
        out[len] = (char)(block >> 16 & 0xff);
        out[len + 1] = (char)(block >> 8 & 0xff);
        out[len + 2] = (char)(block & 0xff);
        len += 3 - padding;
        if (padding > 0) {
            break;
        }
        count = 0;
        block = 0;
    }
    return len;
}
