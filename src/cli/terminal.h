/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How text for people looks: colour only on a terminal, and never with NO_COLOR set or TERM=dumb;
 * numbers with separators, durations with a fitting unit. For the verbs that print for people.
 */
#ifndef EVC_CLI_TERMINAL_H
#define EVC_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

enum {
    EVC_TERMINAL_TEXT_BYTES = 32
};

/** "1,234,567". text: EVC_TERMINAL_TEXT_BYTES, returned. */
const char *evc_terminal_count(int64_t count, char *text);

/** "850 us", "1.25 ms", "12.5 s". text: EVC_TERMINAL_TEXT_BYTES, returned. */
const char *evc_terminal_duration(uint64_t us, char *text);

/** Columns a UTF-8 text takes (one per character: names are ASCII, arrows and dashes are narrow).
 */
size_t evc_terminal_width(const char *text);

#endif
