/* SPDX-License-Identifier: Apache-2.0 */
/* The prefixes of the keys a relay ships, as its /status.json tells them. Owner: one thread. */
#ifndef EVC_RELAY_PREFIXES_H
#define EVC_RELAY_PREFIXES_H

#include <jansson.h>

#include "replication/prefix_top.h"

enum {
    EVC_PREFIXES_TOLD_MAX = 20,
    EVC_PREFIX_TEXT_BYTES = 4 * EVC_PREFIX_BYTES_MAX + 1, /* with NUL */
};

/**
 * A prefix as text that is always UTF-8 without blanks and ASCII's control characters, and another
 * for every prefix: a backslash is \\, a blank or control character \x20; if the whole is not
 * UTF-8, so is every byte beyond ASCII.
 */
const char *evc_prefix_text(struct evc_slice prefix, char text[EVC_PREFIX_TEXT_BYTES]);

/** rate (events a second) and byte_rate (of values sent) of all; top: the same with share (of all
 * events, 0 to 1) for EVC_PREFIXES_TOLD_MAX prefixes, the most events first. NULL without memory.
 */
json_t *evc_prefixes_json(struct evc_prefix_top *top, uint64_t now_us);

#endif
