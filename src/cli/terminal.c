/* SPDX-License-Identifier: Apache-2.0 */
/* Colours and numbers for people; no cursor movement but what callers write themselves. */
#include "cli/terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool
evc_terminal_is_one(FILE *out)
{
    const char *term = getenv("TERM");

    return isatty(fileno(out)) && (term == NULL || strcmp(term, "dumb") != 0);
}

const char *
evc_terminal_style(FILE *out, enum evc_style style)
{
    static const char *const sequences[] = {
        [EVC_STYLE_PLAIN] = "\033[0m", [EVC_STYLE_BOLD] = "\033[1m",  [EVC_STYLE_DIM] = "\033[2m",
        [EVC_STYLE_GOOD] = "\033[32m", [EVC_STYLE_WARN] = "\033[33m", [EVC_STYLE_BAD] = "\033[31m",
    };
    const char *no_color = getenv("NO_COLOR");

    if ((no_color != NULL && no_color[0] != '\0') || !evc_terminal_is_one(out)) {
        return "";
    }
    return sequences[style];
}

const char *
evc_terminal_count(int64_t count, char *text)
{
    char digits[EVC_TERMINAL_TEXT_BYTES];
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
evc_terminal_duration(uint64_t us, char *text)
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
    snprintf(text, EVC_TERMINAL_TEXT_BYTES, "%.*f %s", decimals, value, unit);
    return text;
}

size_t
evc_terminal_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xC0) != 0x80; /* continuation bytes take no column */
    }
    return width;
}
