/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers, eight digits a step on the way out. */
#include "base/decimal.h"

#include <string.h>

enum {
    SAFE_DIGITS = 19,         /* so many can never overflow 64 bits */
    EIGHT_DIGITS = 100000000, /* the least number of more than eight */
    FOUR_DIGITS = 10000,      /* of more than four */
};

static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536"
    "37383940414243444546474849505152535455565758596061626364656667686970717273"
    "7475767778798081828384858687888990919293949596979899";

/** Writes a number below 10^8, all eight digits. The steps do not wait for each other. */
static void
format_eight(char *out, uint32_t value)
{
    uint32_t high = value / FOUR_DIGITS, low = value % FOUR_DIGITS;

    memcpy(out, PAIRS + high / 100 * 2, 2);
    memcpy(out + 2, PAIRS + high % 100 * 2, 2);
    memcpy(out + 4, PAIRS + low / 100 * 2, 2);
    memcpy(out + 6, PAIRS + low % 100 * 2, 2);
}

/** Writes a number below 100, without a leading zero. */
static size_t
format_first(char *out, uint32_t value)
{
    if (value < 10) {
        *out = (char)('0' + value);
        return 1;
    }
    memcpy(out, PAIRS + value * 2, 2);
    return 2;
}

/** Writes a number below 10^8, without leading zeros. */
static size_t
format_small(char *out, uint32_t value)
{
    char digits[8];
    size_t zeros = 0;

    if (value < 100) {
        return format_first(out, value);
    }
    if (value < FOUR_DIGITS) {
        size_t len = format_first(out, value / 100);

        memcpy(out + len, PAIRS + value % 100 * 2, 2);
        return len + 2;
    }
    format_eight(digits, value);
    while (digits[zeros] == '0') {
        zeros++;
    }
    memcpy(out, digits + zeros, sizeof(digits) - zeros);
    return sizeof(digits) - zeros;
}

size_t
evc_decimal_format_u64(char *out, uint64_t value)
{
    size_t len;

    if (value < EIGHT_DIGITS) {
        return format_small(out, (uint32_t)value);
    }
    len = evc_decimal_format_u64(out, value / EIGHT_DIGITS);
    format_eight(out + len, (uint32_t)(value % EIGHT_DIGITS));
    return len + 8;
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

static bool
is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

const char *
evc_decimal_take_u64(const char *at, const char *end, uint64_t *ret_value)
{
    const char *safe_end = end - at > SAFE_DIGITS ? at + SAFE_DIGITS : end;
    const char *start = at;
    uint64_t value = 0;

    for (; at < safe_end && is_digit(*at); at++) {
        value = value * 10 + (unsigned)(*at - '0');
    }
    for (; at < end && is_digit(*at); at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit) {
            return NULL;
        }
        value = value * 10 + digit;
    }
    if (at == start) {
        return NULL;
    }
    *ret_value = value;
    return at;
}

bool
evc_decimal_parse_u64(struct evc_slice text, uint64_t *ret_value)
{
    uint64_t value;

    if (text.len == 0 ||
        evc_decimal_take_u64(text.ptr, text.ptr + text.len, &value) != text.ptr + text.len) {
        return false;
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
