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

const char *
evc_prefix_text(struct evc_slice prefix, char text[EVC_PREFIX_TEXT_BYTES])
{
    bool is_text = is_utf8(prefix);
    size_t used = 0;

    for (size_t i = 0; i < prefix.len; i++) {
        unsigned char c = (unsigned char)prefix.ptr[i];

        if (c == '\\') {
            text[used++] = '\\';
            text[used++] = '\\';
        } else if ((c > ' ' && c < 0x7F) || (c >= 0x80 && is_text)) {
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
