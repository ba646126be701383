/* SPDX-License-Identifier: Apache-2.0 */
/* See printable.h. */
#include "base/printable.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    ESCAPE_BYTES = 4, /* \xNN */
};

/** Of how many bytes the control character is that text begins with; 0: it is none. */
static size_t
control_len(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (bytes[0] == 0xc2 && bytes[1] >= 0x80 && bytes[1] <= 0x9f) {
        return 2;
    }
    return bytes[0] != '\0' && (bytes[0] < ' ' || bytes[0] == 0x7f);
}

const char *
evc_printable_find_control(const char *text)
{
    while (*text != '\0' && control_len(text) == 0) {
        text++;
    }
    return *text != '\0' ? text : NULL;
}

void
evc_printable_make(char *text, size_t size)
{
    char *end = text + size - 1;
    char *at = text;

    assert(size > 0);
    while ((at = (char *)evc_printable_find_control(at)) != NULL) {
        for (size_t len = control_len(at); len > 0; len--) {
            char escape[ESCAPE_BYTES + 1];
            size_t rest;

            if (end - at < ESCAPE_BYTES) {
                *at = '\0';
                return;
            }
            snprintf(escape, sizeof(escape), "\\x%02x", (unsigned char)*at);
            rest = strnlen(at + 1, (size_t)(end - at) - ESCAPE_BYTES);
            memmove(at + ESCAPE_BYTES, at + 1, rest);
            at[ESCAPE_BYTES + rest] = '\0';
            memcpy(at, escape, ESCAPE_BYTES);
            at += ESCAPE_BYTES;
        }
    }
}
