/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head is searched again with every call: responses are few and heads are short, so no state is
 * worth its trouble.
 */
#include "http/response.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/** `HTTP/1.x NNN reason`. */
static bool
parse_status_line(struct evc_slice line, unsigned *ret_status)
{
    static const char prefix[] = "HTTP/1.";
    size_t at = sizeof(prefix) - 1;

    if (line.len < at + 5 || memcmp(line.ptr, prefix, at) != 0 || !is_digit(line.ptr[at]) ||
        line.ptr[at + 1] != ' ') {
        return false;
    }
    const char *digits = line.ptr + at + 2;
    if (!is_digit(digits[0]) || !is_digit(digits[1]) || !is_digit(digits[2]) ||
        (line.len > at + 5 && digits[3] != ' ')) {
        return false;
    }
    *ret_status = (unsigned)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
    return *ret_status >= 100 && *ret_status <= 599;
}

/** The value of a header line with this name (case does not matter), without blanks around it. */
static bool
header_value(struct evc_slice line, const char *name, struct evc_slice *ret)
{
    size_t len = strlen(name);

    if (line.len <= len || strncasecmp(line.ptr, name, len) != 0 || line.ptr[len] != ':') {
        return false;
    }
    const char *start = line.ptr + len + 1;
    const char *end = line.ptr + line.len;
    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *ret = (struct evc_slice){.ptr = start, .len = (size_t)(end - start)};
    return true;
}

/** Decimal digits only. 0, EVC_E_PROTO, or EVC_E_LIMIT above EVC_HTTP_BODY_BYTES_MAX. */
static int
parse_length(struct evc_slice text, size_t *ret)
{
    size_t value = 0;

    if (text.len == 0) {
        return EVC_E_PROTO;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) {
            return EVC_E_PROTO;
        }
        value = value * 10 + (size_t)(text.ptr[i] - '0');
        if (value > EVC_HTTP_BODY_BYTES_MAX) {
            return EVC_E_LIMIT;
        }
    }
    *ret = value;
    return 0;
}

/** Splits the next line off *head, without its CRLF; head ends with one. */
static struct evc_slice
take_line(struct evc_slice *head)
{
    const char *end = memmem(head->ptr, head->len, "\r\n", 2);

    assert(end != NULL);
    struct evc_slice line = {.ptr = head->ptr, .len = (size_t)(end - head->ptr)};
    head->ptr += line.len + 2;
    head->len -= line.len + 2;
    return line;
}

/** head: all lines with their CRLF, without the empty one. */
static int
parse_head(struct evc_slice head, unsigned *ret_status, size_t *ret_length)
{
    bool has_length = false;

    if (!parse_status_line(take_line(&head), ret_status)) {
        return EVC_E_PROTO;
    }
    while (head.len > 0) {
        struct evc_slice value, line = take_line(&head);
        if (header_value(line, "transfer-encoding", &value)) {
            return EVC_E_PROTO;
        }
        if (header_value(line, "content-length", &value)) {
            int status = has_length ? EVC_E_PROTO : parse_length(value, ret_length);
            if (status != 0) {
                return status;
            }
            has_length = true;
        }
    }
    return has_length ? 0 : EVC_E_PROTO;
}

int
evc_http_response_parse(struct evc_slice input, struct evc_http_response *ret)
{
    static const char start[] = "HTTP/1.";
    size_t start_len = input.len < sizeof(start) - 1 ? input.len : sizeof(start) - 1;
    struct evc_slice search = input;

    if (start_len > 0 && memcmp(input.ptr, start, start_len) != 0) {
        return EVC_E_PROTO;
    }
    if (search.len > EVC_HTTP_HEAD_BYTES_MAX) {
        search.len = EVC_HTTP_HEAD_BYTES_MAX;
    }
    const char *end = search.len == 0 ? NULL : memmem(search.ptr, search.len, "\r\n\r\n", 4);
    if (end == NULL) {
        return input.len >= EVC_HTTP_HEAD_BYTES_MAX ? EVC_E_LIMIT : EVC_E_AGAIN;
    }
    struct evc_slice head = {.ptr = input.ptr, .len = (size_t)(end - input.ptr) + 2};
    struct evc_http_response response = {0};
    size_t length = 0;
    int status = parse_head(head, &response.status, &length);
    if (status != 0) {
        return status;
    }
    if (input.len - (head.len + 2) < length) {
        return EVC_E_AGAIN;
    }
    response.body = (struct evc_slice){.ptr = input.ptr + head.len + 2, .len = length};
    *ret = response;
    return 0;
}
