/* SPDX-License-Identifier: Apache-2.0 */
/* The questions a node answers before it is used; see node_check.h. */
#include "meta/node_check.h"

#include "meta/wire.h"

int
evc_node_check_compose(struct evc_buf *out)
{
    return evc_buf_append(out, EVC_SLICE("version\r\nstats settings\r\n"));
}

/* The digits at the front of *text and the dot behind them. What a packager appends is left: a
 * version of "1.6.38-beta" is 1, 6, 38. */
static unsigned
take_number(struct evc_slice *text)
{
    size_t digits = 0;
    uint32_t value = 0;

    while (digits < text->len && text->ptr[digits] >= '0' && text->ptr[digits] <= '9') {
        digits++;
    }
    if (!evc_decimal_parse_u32((struct evc_slice){.ptr = text->ptr, .len = digits}, &value)) {
        value = 0;
    }
    if (digits < text->len && text->ptr[digits] == '.') {
        digits++;
    }
    text->ptr += digits;
    text->len -= digits;
    return value;
}

static int
take_version(struct evc_node_check *check, struct evc_slice rest)
{
    struct evc_slice text;

    if (check->has_version || !evc_wire_token(&rest, &text)) {
        return EVC_E_PROTO;
    }
    check->major = take_number(&text);
    check->minor = take_number(&text);
    check->patch = take_number(&text);
    check->has_version = true;
    return EVC_E_AGAIN;
}

static int
take_line(struct evc_node_check *check, struct evc_slice line)
{
    struct evc_slice rest = line;
    struct evc_slice word;

    if (!evc_wire_token(&rest, &word) || ++check->lines > EVC_NODE_CHECK_LINES_MAX) {
        return EVC_E_PROTO;
    }
    if (evc_slice_equal(word, EVC_SLICE("VERSION"))) {
        return take_version(check, rest);
    }
    if (!check->has_version) {
        return EVC_E_PROTO;
    }
    if (evc_slice_equal(line, EVC_SLICE("END"))) {
        return EVC_OK;
    }
    if (evc_slice_equal(line, EVC_SLICE("STAT cas_enabled yes"))) {
        check->cas_enabled = true;
    }
    return evc_slice_equal(word, EVC_SLICE("STAT")) ? EVC_E_AGAIN : EVC_E_PROTO;
}

int
evc_node_check_parse(struct evc_node_check *check, struct evc_slice input, size_t *ret_used)
{
    int status = EVC_E_AGAIN;

    *ret_used = 0;
    while (status == EVC_E_AGAIN && *ret_used < input.len) {
        struct evc_slice unread = {.ptr = input.ptr + *ret_used, .len = input.len - *ret_used};
        struct evc_slice line;

        status = evc_wire_line(unread, &check->scanned, &line);
        if (status < 0) {
            return status;
        }
        check->scanned = 0;
        *ret_used += line.len + 2;
        status = take_line(check, line);
    }
    return status;
}
