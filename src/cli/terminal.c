/* SPDX-License-Identifier: Apache-2.0 */
/* Colours; no cursor movement but what callers write themselves. */
#include "cli/terminal.h"

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

size_t
evc_terminal_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xC0) != 0x80; /* continuation bytes take no column */
    }
    return width;
}
