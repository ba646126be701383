/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP response reader: every case whole and one byte at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/response.h"

static const struct {
    const char *name;
    const char *text;
    int status; /* of the parser */
    unsigned code;
    const char *body;
} case_table[] = {
    {"plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0, 200, "{}"},
    {"case and blanks of a header", "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 3 \r\n\r\nabc", 0, 200,
     "abc"},
    {"no reason", "HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 0, 503, ""},
    {"1.0", "HTTP/1.0 404 Not Found\r\nX: y\r\nContent-Length: 1\r\n\r\nx", 0, 404, "x"},
    {"more than the body", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", 0, 200, "a"},
    {"body missing", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", EVC_E_AGAIN, 0, NULL},
    {"nothing", "", EVC_E_AGAIN, 0, NULL},
    {"head unfinished", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", EVC_E_AGAIN, 0, NULL},
    {"another protocol", "SSH-2.0-x\r\n", EVC_E_PROTO, 0, NULL},
    {"memcached", "ERROR\r\n", EVC_E_PROTO, 0, NULL},
    {"no length", "HTTP/1.1 200 OK\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
     EVC_E_PROTO, 0, NULL},
    {"empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"length with rubbish", "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\na", EVC_E_PROTO, 0, NULL},
    {"length over the bound", "HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n", EVC_E_LIMIT, 0,
     NULL},
    {"length that overflows", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
     EVC_E_LIMIT, 0, NULL},
    {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", EVC_E_PROTO, 0,
     NULL},
    {"status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"status of four digits", "HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"status out of range", "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", EVC_E_PROTO, 0, NULL},
    {"status line cut", "HTTP/1.1\r\nContent-Length: 0\r\n\r\n", EVC_E_PROTO, 0, NULL},
};

enum {
    CASE_COUNT = sizeof(case_table) / sizeof(case_table[0])
};

/** Parses a copy that ends exactly where the input does, so that a sanitizer sees every overrun. */
static int
parse_exact(const char *text, size_t len, struct evc_http_response *ret, char **ret_copy)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    *ret_copy = copy;
    return evc_http_response_parse((struct evc_slice){.ptr = copy, .len = len}, ret);
}

static void
check_result(size_t i, int status, const struct evc_http_response *response)
{
    if (status != case_table[i].status) {
        fail_msg("%s: status %d, expected %d", case_table[i].name, status, case_table[i].status);
    }
    if (status == 0) {
        assert_int_equal(response->status, case_table[i].code);
        assert_true(evc_slice_equal(response->body, evc_slice_str(case_table[i].body)));
    }
}

static void
test_http_response__whole__as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct evc_http_response response;
        char *copy;
        size_t len = strlen(case_table[i].text);
        check_result(i, parse_exact(case_table[i].text, len, &response, &copy), &response);
        free(copy);
    }
}

static void
test_http_response__byte_by_byte__as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct evc_http_response response = {0};
        size_t len = strlen(case_table[i].text);
        int status = EVC_E_AGAIN;
        for (size_t n = 0; n <= len && status == EVC_E_AGAIN; n++) {
            char *copy;
            status = parse_exact(case_table[i].text, n, &response, &copy);
            if (status == 0) {
                assert_int_equal(response.status, case_table[i].code);
                assert_true(evc_slice_equal(response.body, evc_slice_str(case_table[i].body)));
            }
            free(copy);
        }
        if (status != case_table[i].status) {
            fail_msg("%s: status %d, expected %d", case_table[i].name, status,
                     case_table[i].status);
        }
    }
}

static void
test_http_response__head_without_end__limit(void **state)
{
    size_t len = EVC_HTTP_HEAD_BYTES_MAX;
    char *text = malloc(len);
    struct evc_http_response response;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text, "HTTP/1.1 200 OK\r\n", 17);
    assert_int_equal(
        evc_http_response_parse((struct evc_slice){.ptr = text, .len = len - 1}, &response),
        EVC_E_AGAIN);
    assert_int_equal(
        evc_http_response_parse((struct evc_slice){.ptr = text, .len = len}, &response),
        EVC_E_LIMIT);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_response__whole__as_expected),
        cmocka_unit_test(test_http_response__byte_by_byte__as_expected),
        cmocka_unit_test(test_http_response__head_without_end__limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
