/* SPDX-License-Identifier: Apache-2.0 */
/* See meta_line.h. */
#include "meta/meta_line.h"

bool
evc_meta_find_line(struct evc_slice input, size_t scanned, struct evc_slice *ret_line,
                   size_t *ret_bytes)
{
    const char *end =
        scanned < input.len ? memchr(input.ptr + scanned, '\n', input.len - scanned) : NULL;

    if (!end) {
        return false;
    }
    *ret_line = (struct evc_slice){.ptr = input.ptr, .len = (size_t)(end - input.ptr)};
    *ret_bytes = ret_line->len + 1;
    if (ret_line->len > 0 && end[-1] == '\r') {
        ret_line->len--;
    }
    return true;
}

bool
evc_meta_next_word(struct evc_slice *text, struct evc_slice *ret_word)
{
    const char *at = text->ptr;
    const char *end = text->ptr + text->len;
    const char *start;

    while (at < end && *at == ' ') {
        at++;
    }
    start = at;
    while (at < end && *at != ' ') {
        at++;
    }
    *ret_word = (struct evc_slice){.ptr = start, .len = (size_t)(at - start)};
    *text = (struct evc_slice){.ptr = at, .len = (size_t)(end - at)};
    return ret_word->len > 0;
}

bool
evc_meta_starts_with(struct evc_slice line, struct evc_slice prefix)
{
    return line.len >= prefix.len && memcmp(line.ptr, prefix.ptr, prefix.len) == 0;
}

bool
evc_meta_has_code(struct evc_slice line, const char *code)
{
    return line.len >= 2 && line.ptr[0] == code[0] && line.ptr[1] == code[1] &&
           (line.len == 2 || line.ptr[2] == ' ');
}
