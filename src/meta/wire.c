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

/** Whether one of eight bytes is a blank, a control character or DEL. */
static bool
is_any_of_eight_unprintable(const char *at)
{
    uint64_t bytes, del;

    memcpy(&bytes, at, sizeof(bytes));
    del = bytes ^ EVC_WIRE_EACH_BYTE(0x7F);
    return ((((bytes - EVC_WIRE_EACH_BYTE(' ' + 1)) & ~bytes) |
             ((del - EVC_WIRE_EACH_BYTE(1)) & ~del)) &
            EVC_WIRE_EACH_BYTE(0x80)) != 0;
}

static bool
has_unprintable(struct evc_slice key)
{
    if (key.len < 8) {
        for (size_t i = 0; i < key.len; i++) {
            if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 0x7F) {
                return true;
            }
        }
        return false;
    }
    for (size_t i = 0; i + 8 < key.len; i += 8) {
        if (is_any_of_eight_unprintable(key.ptr + i)) {
            return true;
        }
    }
    return is_any_of_eight_unprintable(key.ptr + key.len - 8);
}

int
evc_wire_key_init(struct evc_wire_key *wire, struct evc_slice key)
{
    *wire = (struct evc_wire_key){.key = key, .is_base64 = has_unprintable(key)};
    return wire->is_base64 && evc_base64_encoded_len(key.len) > EVC_KEY_LEN_MAX ? EVC_E_INVALID
                                                                                : EVC_OK;
}
