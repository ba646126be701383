/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. */
#include "meta/wire.h"

#include <string.h>

int
evc_wire_line(struct evc_slice input, size_t *scanned, struct evc_slice *ret_line)
{
    const char *end =
        *scanned < input.len ? memchr(input.ptr + *scanned, '\n', input.len - *scanned) : NULL;

    if (!end) {
        *scanned = input.len;
        return input.len > EVC_WIRE_LINE_MAX ? EVC_E_PROTO : EVC_E_AGAIN;
    }
    if (end == input.ptr || end[-1] != '\r' || end - input.ptr > EVC_WIRE_LINE_MAX) {
        return EVC_E_PROTO;
    }
    *ret_line = (struct evc_slice){.ptr = input.ptr, .len = (size_t)(end - input.ptr) - 1};
    return EVC_OK;
}

/* --- keys --- */

/** Whether one of eight bytes is a blank or a control character below it. */
static bool
has_low_of_eight(const char *at)
{
    uint64_t bytes;

    memcpy(&bytes, at, sizeof(bytes));
    return ((bytes - EVC_WIRE_EACH_BYTE(' ' + 1)) & ~bytes & EVC_WIRE_EACH_BYTE(0x80)) != 0;
}

/** Whether a byte would end the token, or the line, or could be taken for a part of its end. */
static bool
ends_token(struct evc_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        char byte = key.ptr[i];

        if (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\0') {
            return true;
        }
    }
    return false;
}

/** Most keys have nothing below a letter, and are known by eight bytes in one step. */
static bool
needs_base64(struct evc_slice key)
{
    if (key.len < 8) {
        return ends_token(key);
    }
    for (size_t i = 0; i + 8 < key.len; i += 8) {
        if (has_low_of_eight(key.ptr + i)) {
            return ends_token(key);
        }
    }
    return has_low_of_eight(key.ptr + key.len - 8) && ends_token(key);
}

int
evc_wire_key_init(struct evc_wire_key *wire, struct evc_slice key)
{
    *wire = (struct evc_wire_key){.key = key, .is_base64 = needs_base64(key)};
    return wire->is_base64 && evc_base64_encoded_len(key.len) > EVC_KEY_LEN_MAX ? EVC_E_INVALID
                                                                                : EVC_OK;
}
