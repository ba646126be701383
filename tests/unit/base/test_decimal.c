/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers: every length there and back, and what is no number. */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/decimal.h"

static void
expect_u64(uint64_t value)
{
    char expected[32];
    char text[EVC_DECIMAL_BYTES_MAX];
    size_t len = evc_decimal_format_u64(text, value);
    uint64_t back = 0;

    assert_int_equal(len, snprintf(expected, sizeof(expected), "%" PRIu64, value));
    assert_memory_equal(text, expected, len);
    assert_true(evc_decimal_parse_u64((struct evc_slice){.ptr = text, .len = len}, &back));
    assert_int_equal(back, value);
}

static void
expect_i64(int64_t value)
{
    char expected[32];
    char text[EVC_DECIMAL_BYTES_MAX];
    size_t len = evc_decimal_format_i64(text, value);
    int64_t back = 0;

    assert_int_equal(len, snprintf(expected, sizeof(expected), "%" PRId64, value));
    assert_memory_equal(text, expected, len);
    assert_true(evc_decimal_parse_i64((struct evc_slice){.ptr = text, .len = len}, &back));
    assert_true(back == value);
}

static void
test_decimal__around_every_power_of_ten__there_and_back(void **state)
{
    (void)state;
    for (uint64_t power = 1;; power *= 10) {
        expect_u64(power - 1);
        expect_u64(power);
        expect_u64(power + 1);
        expect_i64((int64_t)(power / 2));
        expect_i64(-(int64_t)(power / 2));
        if (power > UINT64_MAX / 10) {
            break;
        }
    }
    expect_u64(UINT64_MAX);
    expect_i64(INT64_MAX);
    expect_i64(INT64_MIN);
}

static void
test_decimal__what_is_no_number__refused_and_output_untouched(void **state)
{
    static const char *const bad[] = {"",    " 1", "1 ",  "+1",  "-",
                                      "--1", "1a", "0x1", "1.0", "18446744073709551616"};
    uint64_t u64 = 7;
    int64_t i64 = 7;
    uint32_t u32 = 7;

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(bad); i++) {
        assert_false(evc_decimal_parse_u64(evc_slice_str(bad[i]), &u64));
        assert_false(evc_decimal_parse_i64(evc_slice_str(bad[i]), &i64));
        assert_false(evc_decimal_parse_u32(evc_slice_str(bad[i]), &u32));
    }
    assert_false(evc_decimal_parse_u64(EVC_SLICE("-1"), &u64));
    assert_false(evc_decimal_parse_u32(EVC_SLICE("4294967296"), &u32));
    assert_false(evc_decimal_parse_i64(EVC_SLICE("9223372036854775808"), &i64));
    assert_false(evc_decimal_parse_i64(EVC_SLICE("-9223372036854775809"), &i64));
    assert_int_equal(u64, 7);
    assert_int_equal(i64, 7);
    assert_int_equal(u32, 7);
    assert_true(evc_decimal_parse_u32(EVC_SLICE("4294967295"), &u32));
    assert_true(evc_decimal_parse_u64(EVC_SLICE("000000000000000000000000000012"), &u64));
    assert_int_equal(u64, 12);
}

static void
test_decimal__taken_from_the_front__ends_where_the_digits_end(void **state)
{
    const char text[] = "18446744073709551615x18446744073709551616 0001-";
    const char *end = text + sizeof(text) - 1;
    uint64_t value = 7;

    (void)state;
    assert_ptr_equal(evc_decimal_take_u64(text, end, &value), text + 20);
    assert_true(value == UINT64_MAX);
    assert_ptr_equal(evc_decimal_take_u64(text, text + 3, &value), text + 3);
    assert_true(value == 184);
    assert_null(evc_decimal_take_u64(text + 20, end, &value)); /* no digit */
    assert_null(evc_decimal_take_u64(text + 21, end, &value)); /* too large */
    assert_null(evc_decimal_take_u64(end, end, &value));
    assert_true(value == 184);
    assert_ptr_equal(evc_decimal_take_u64(text + 42, end, &value), text + 46);
    assert_true(value == 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal__around_every_power_of_ten__there_and_back),
        cmocka_unit_test(test_decimal__taken_from_the_front__ends_where_the_digits_end),
        cmocka_unit_test(test_decimal__what_is_no_number__refused_and_output_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
