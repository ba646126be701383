/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers, two digits a step on the way out. */
#include "base/decimal.h"

#include <string.h>

enum {
    SAFE_DIGITS = 19, /* so many can never overflow 64 bits */
};

static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536"
    "37383940414243444546474849505152535455565758596061626364656667686970717273"
    "7475767778798081828384858687888990919293949596979899";

size_t
evc_decimal_format_u64(char *out, uint64_t value)
{
    char digits[EVC_DECIMAL_BYTES_MAX];
    size_t at = sizeof(digits);

    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, PAIRS + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, PAIRS + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t
evc_decimal_format_i64(char *out, int64_t value)
{
    if (value >= 0) {
        return evc_decimal_format_u64(out, (uint64_t)value);
    }
    *out = '-';
    return 1 + evc_decimal_format_u64(out + 1, 0 - (uint64_t)value);
}

bool
evc_decimal_parse_u64(struct evc_slice text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;

    if (text.len == 0) {
        return false;
    }
    for (; i < text.len && i < SAFE_DIGITS; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

bool
evc_decimal_parse_u32(struct evc_slice text, uint32_t *ret_value)
{
    uint64_t value;

    if (!evc_decimal_parse_u64(text, &value) || value > UINT32_MAX) {
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

bool
evc_decimal_parse_i64(struct evc_slice text, int64_t *ret_value)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;

    if (is_negative) {
        text.ptr++;
        text.len--;
    }
    if (!evc_decimal_parse_u64(text, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + (is_negative ? 1 : 0)) {
        return false;
    }
    *ret_value = (int64_t)(is_negative ? 0 - magnitude : magnitude);
    return true;
}
