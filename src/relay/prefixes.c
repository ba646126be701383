/* SPDX-License-Identifier: Apache-2.0 */
/* See prefixes.h. Whether bytes are UTF-8 is jansson's to say. */
#include "relay/prefixes.h"

#include <stdbool.h>
#include <stdio.h>

static bool
is_utf8(struct evc_slice bytes)
{
    json_t *string = json_stringn(bytes.ptr, bytes.len);

    json_decref(string);
    return string != NULL;
}

/** What turns the direction of text around it: a key must not pose as another's beginning. The
 * bytes of U+061C, U+200E, U+200F, U+202A to 202E and U+2066 to 2069. */
static bool
is_direction_mark(struct evc_slice rest)
{
    const unsigned char *at = (const unsigned char *)rest.ptr;

    if (rest.len >= 2 && at[0] == 0xD8 && at[1] == 0x9C) {
        return true;
    }
    return rest.len >= 3 && at[0] == 0xE2 &&
           ((at[1] == 0x80 &&
             (at[2] == 0x8E || at[2] == 0x8F || (at[2] >= 0xAA && at[2] <= 0xAE))) ||
            (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9));
}

const char *
evc_prefix_text(struct evc_slice prefix, char text[EVC_PREFIX_TEXT_BYTES])
{
    bool is_text = is_utf8(prefix);
    size_t used = 0;
    size_t mark_end = 0;

    for (size_t i = 0; i < prefix.len; i++) {
        unsigned char c = (unsigned char)prefix.ptr[i];

        if (is_direction_mark((struct evc_slice){.ptr = prefix.ptr + i, .len = prefix.len - i})) {
            mark_end = i + (c == 0xD8 ? 2 : 3);
        }
        if (c == '\\') {
            text[used++] = '\\';
            text[used++] = '\\';
        } else if ((c > ' ' && c < 0x7F) || (c >= 0x80 && is_text && i >= mark_end)) {
            text[used++] = (char)c;
        } else {
            used += (size_t)snprintf(text + used, EVC_PREFIX_TEXT_BYTES - used, "\\x%02x", c);
        }
    }
    text[used] = '\0';
    return text;
}

json_t *
evc_prefixes_json(struct evc_prefix_top *top, uint64_t now_us)
{
    json_t *array = json_array();
    struct evc_prefix_rates rates;

    evc_prefix_top_rates(top, now_us, &rates);
    for (unsigned i = 0; array && i < rates.count && i < EVC_PREFIXES_TOLD_MAX; i++) {
        const struct evc_prefix_rate *rate = &rates.top[i];
        char text[EVC_PREFIX_TEXT_BYTES];

        json_t *told = json_pack(
            "{s:s, s:f, s:f, s:f}", "prefix", evc_prefix_text(rate->prefix, text), "rate",
            rate->events, "byte_rate", rate->bytes, "share", rate->events / rates.all.events);
        if (json_array_append_new(array, told) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return json_pack("{s:f, s:f, s:o}", "rate", rates.all.events, "byte_rate", rates.all.bytes,
                     "top", array);
}
