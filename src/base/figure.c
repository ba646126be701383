/* SPDX-License-Identifier: Apache-2.0 */
/* See figure.h. */
#include "base/figure.h"

#include <inttypes.h>
#include <stdio.h>

const char *
evc_figure_count(int64_t count, char *text)
{
    char digits[EVC_FIGURE_BYTES];
    uint64_t magnitude = count < 0 ? UINT64_C(0) - (uint64_t)count : (uint64_t)count;
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, magnitude);
    char *at = text;

    if (count < 0) {
        *at++ = '-';
    }
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *at++ = ',';
        }
        *at++ = digits[i];
    }
    *at = '\0';
    return text;
}

const char *
evc_figure_duration(uint64_t us, char *text)
{
    double value = (double)us;
    const char *unit = "us";

    if (us >= 1000000) {
        value /= 1e6;
        unit = "s";
    } else if (us >= 1000) {
        value /= 1e3;
        unit = "ms";
    }
    int decimals = us < 1000 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    snprintf(text, EVC_FIGURE_BYTES, "%.*f %s", decimals, value, unit);
    return text;
}
