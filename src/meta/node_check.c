/* SPDX-License-Identifier: Apache-2.0 */
/* See node_check.h. */
#include "meta/node_check.h"

#include "base/decimal.h"
#include "meta/meta_line.h"

enum {
    NODE_CHECK_LINE_BYTES_MAX = 8192
};

int
evc_node_check_compose(struct evc_buf *out)
{
    return evc_buf_append(out, EVC_SLICE("version\r\nstats settings\r\n"));
}

/** The number at the front of text, and the dot behind it if there is one. */
static bool
take_number(struct evc_slice *text, unsigned *ret)
{
    struct evc_slice digits = {.ptr = text->ptr, .len = 0};
    uint32_t number;

    while (digits.len < text->len && text->ptr[digits.len] >= '0' && text->ptr[digits.len] <= '9') {
        digits.len++;
    }
    if (!evc_decimal_parse_u32(digits, &number)) {
        return false;
    }
    *ret = number;
    text->ptr += digits.len;
    text->len -= digits.len;
    if (text->len > 0 && text->ptr[0] == '.') {
        text->ptr++;
        text->len--;
    }
    return true;
}

/** "VERSION 1.6.38", and what distributions put behind it. */
static bool
read_version(struct evc_node_check *check, struct evc_slice line)
{
    struct evc_slice prefix = EVC_SLICE("VERSION ");

    if (!evc_meta_starts_with(line, prefix)) {
        return false;
    }
    line.ptr += prefix.len;
    line.len -= prefix.len;
    check->has_version = take_number(&line, &check->major) && take_number(&line, &check->minor) &&
                         take_number(&line, &check->patch);
    return check->has_version;
}

/** 0: the settings are complete. */
static int
read_line(struct evc_node_check *check, struct evc_slice line)
{
    if (!check->has_version) {
        return read_version(check, line) ? EVC_E_AGAIN : EVC_E_PROTO;
    }
    if (evc_slice_equal(line, EVC_SLICE("END"))) {
        return EVC_OK;
    }
    if (evc_slice_equal(line, EVC_SLICE("STAT cas_enabled yes"))) {
        check->cas_enabled = true;
    }
    return evc_meta_starts_with(line, EVC_SLICE("STAT ")) ? EVC_E_AGAIN : EVC_E_PROTO;
}

int
evc_node_check_parse(struct evc_node_check *check, struct evc_slice input, size_t *ret_used)
{
    int rc = EVC_E_AGAIN;

    *ret_used = 0;
    while (rc == EVC_E_AGAIN) {
        struct evc_slice rest = {.ptr = input.ptr + *ret_used, .len = input.len - *ret_used};
        struct evc_slice line;
        size_t bytes;

        if (!evc_meta_find_line(rest, check->scanned, &line, &bytes)) {
            check->scanned = rest.len;
            return rest.len > NODE_CHECK_LINE_BYTES_MAX ? EVC_E_PROTO : EVC_E_AGAIN;
        }
        check->scanned = 0;
        *ret_used += bytes;
        rc = read_line(check, line);
    }
    return rc;
}
