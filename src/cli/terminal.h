/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How text for people looks: colour only on a terminal, and never with NO_COLOR set or TERM=dumb.
 * For the verbs that print for people.
 */
#ifndef EVC_CLI_TERMINAL_H
#define EVC_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum evc_style {
    EVC_STYLE_PLAIN,
    EVC_STYLE_BOLD,
    EVC_STYLE_DIM,
    EVC_STYLE_GOOD,
    EVC_STYLE_WARN,
    EVC_STYLE_BAD,
};

/** Whether a stream is a terminal that understands control sequences. */
bool evc_terminal_is_one(FILE *out);

/** The sequence that begins a style on this stream, or "" where colour is not wanted. */
const char *evc_terminal_style(FILE *out, enum evc_style style);

/** Columns a UTF-8 text takes (one per character: names are ASCII, arrows and dashes are narrow).
 */
size_t evc_terminal_width(const char *text);

#endif
