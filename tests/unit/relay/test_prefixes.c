/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixes as a relay tells them: text whatever the key's bytes, rates and shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "relay/prefixes.h"

static void
test_prefix_text__table(void **state)
{
    static const struct {
        const char *prefix, *text;
    } cases[] = {
        {"user:", "user:"},
        {"", ""},
        {"<b>\"&'", "<b>\"&'"},
        {"gr\xc3\xb6ss:", "gr\xc3\xb6ss:"},
        {"gr\xc3\xb6\xff:", "gr\\xc3\\xb6\\xff:"},
        {"a\\xff:", "a\\\\xff:"},
        {"a b\n\x7f:", "a\\x20b\\x0a\\x7f:"},
        {"\xe2\x80\xae:ltr\xe2\x80\xa2:", "\\xe2\\x80\\xae:ltr\xe2\x80\xa2:"},
    };
    char text[EVC_PREFIX_TEXT_BYTES], longest[EVC_PREFIX_BYTES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(evc_prefix_text(evc_slice_str(cases[i].prefix), text), cases[i].text);
    }
    memset(longest, '\xff', EVC_PREFIX_BYTES_MAX);
    longest[EVC_PREFIX_BYTES_MAX] = '\0';
    assert_int_equal(strlen(evc_prefix_text(evc_slice_str(longest), text)),
                     EVC_PREFIX_TEXT_BYTES - 1);
}

static void
test_prefixes_json__many__the_top_with_shares(void **state)
{
    struct evc_prefix_top top;

    (void)state;
    evc_prefix_top_init(&top, 0);
    for (unsigned i = 0; i < 400000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%c%s:1", 'a' + (int)(i % 25), i % 2 ? "" : "\xff");
        evc_prefix_top_event(&top, evc_slice_str(i % 4 == 0 ? "half\xff:1" : key), 0);
    }
    json_t *json = evc_prefixes_json(&top, 10000000);
    assert_non_null(json);
    assert_float_equal(json_number_value(json_object_get(json, "rate")), 40000, 1000);
    const json_t *told = json_object_get(json, "top");
    assert_int_equal(json_array_size(told), EVC_PREFIXES_TOLD_MAX);
    const json_t *first = json_array_get(told, 0);
    assert_string_equal(json_string_value(json_object_get(first, "prefix")), "half\\xff:");
    assert_float_equal(json_number_value(json_object_get(first, "share")), 0.25, 0.02);
    assert_float_equal(json_number_value(json_object_get(first, "rate")), 10000, 800);
    json_decref(json);
}

static void
test_prefixes_json__nothing_shipped__is_empty(void **state)
{
    struct evc_prefix_top top;

    (void)state;
    evc_prefix_top_init(&top, 0);
    json_t *json = evc_prefixes_json(&top, 10000000);
    assert_int_equal(json_array_size(json_object_get(json, "top")), 0);
    assert_float_equal(json_number_value(json_object_get(json, "rate")), 0, 0);
    json_decref(json);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix_text__table),
        cmocka_unit_test(test_prefixes_json__many__the_top_with_shares),
        cmocka_unit_test(test_prefixes_json__nothing_shipped__is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
