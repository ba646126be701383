/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and words of the meta protocol's replies, for those that read them (node_op, node_check, replication). */
#ifndef EVC_META_META_LINE_H
#define EVC_META_META_LINE_H

#include "base/slice.h"

/**
 * The line at the front of input, without its CR and LF. scanned: bytes known to hold no LF.
 * *ret_bytes: of the whole line, its end included. false: it has not ended yet.
 */
bool evc_meta_find_line(struct evc_slice input, size_t scanned, struct evc_slice *ret_line,
                        size_t *ret_bytes);

/** Takes the next word (blanks around it) from text; false at its end. */
bool evc_meta_next_word(struct evc_slice *text, struct evc_slice *ret_word);

bool evc_meta_starts_with(struct evc_slice line, struct evc_slice prefix);

/** Whether a line begins with a two-letter code that is its first word. */
bool evc_meta_has_code(struct evc_slice line, const char *code);

#endif
