/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of others (a file, a command line, a library) on somebody's terminal: it must not move the
 * cursor, change colours or begin a line. For keys and names that are compared or read by programs
 * there are escapes of their own, which can be undone (base/log.h, relay/prefixes.h).
 */
#ifndef EVC_BASE_PRINTABLE_H
#define EVC_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

/** Where the first control character stands: ASCII's, or one of U+0080 to U+009f in UTF-8. NULL:
 * there is none. */
const char *evc_printable_find_control(const char *text);

/** Replaces every byte of a control character by \xNN, in place; what does not fit into size bytes
 * any more is cut. */
void evc_printable_make(char *text, size_t size);

#endif
