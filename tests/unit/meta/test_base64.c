/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as memcached does it. */
#include "unit.h"

#include "meta/base64.h"

static void
test_base64__every_length__there_and_back_in_place(void **state)
{
    char bytes[256];
    char text[400];

    (void)state;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)(i * 7);
    }
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        struct evc_slice plain = {.ptr = bytes, .len = len};
        size_t text_len = evc_base64_encode(plain, text);
        assert_int_equal(text_len, evc_base64_encoded_len(len));
        assert_int_equal(evc_base64_decode((struct evc_slice){.ptr = text, .len = text_len}, text),
                         len);
        assert_memory_equal(text, bytes, len);
    }
}

static void
test_base64__known_texts__as_memcached(void **state)
{
    static const struct {
        const char *text;
        const char *bytes; /* "" : refused */
    } rows[] = {{"YQ==", "a"},     {"YWI=", "ab"},    {"YWJj", "abc"}, {"!YQ==", "a"},
                {"YQ==YQ==", "a"}, {"Y Q = = ", "a"}, {"", ""},        {"YQ", ""},
                {"Y===", ""},      {"====", ""},      {"YWJjY", ""},   {"!!!!", ""}};
    char out[32];

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        size_t len = evc_base64_decode(evc_slice_str(rows[i].text), out);
        assert_int_equal(len, strlen(rows[i].bytes));
        assert_memory_equal(out, rows[i].bytes, len);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64__every_length__there_and_back_in_place),
        cmocka_unit_test(test_base64__known_texts__as_memcached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
