/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal numbers on the wire: the one way to write and read them. No locale, no NUL, no
 * allocation. Parsing is strict: digits only (and one leading minus where it says so), no blanks,
 * no plus sign, nothing after the number, no overflow.
 */
#ifndef EVC_BASE_DECIMAL_H
#define EVC_BASE_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    EVC_DECIMAL_BYTES_MAX = 20
}; /* UINT64_MAX, and INT64_MIN with its sign */

/** Writes value at out (room for EVC_DECIMAL_BYTES_MAX); returns the bytes written. */
size_t evc_decimal_format_u64(char *out, uint64_t value);
size_t evc_decimal_format_i64(char *out, int64_t value);

/** Reads digits up to the first byte that is none, or end, and returns where that is; NULL, with
 * *ret_value untouched, when there is no digit or the number is larger than 64 bits. */
const char *evc_decimal_take_u64(const char *at, const char *end, uint64_t *ret_value);

/** Whether text is a number in the range of the type; *ret_value is written only then. */
bool evc_decimal_parse_u64(struct evc_slice text, uint64_t *ret_value);
bool evc_decimal_parse_u32(struct evc_slice text, uint32_t *ret_value);
bool evc_decimal_parse_i64(struct evc_slice text, int64_t *ret_value); /* a minus is allowed */

#endif
