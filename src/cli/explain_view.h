/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key for people: its copies, its versions, its last events, and by name what is not as it
 * should be; on standard output, coloured where that is a terminal.
 */
#ifndef EVC_CLI_EXPLAIN_VIEW_H
#define EVC_CLI_EXPLAIN_VIEW_H

#include "survey/explain.h"

enum {
    EVC_EXPLAIN_NAME_BYTES = 2 * EVC_CONFIG_NAME_LEN_MAX + 2
};

/** Whether a key has neither blanks nor control characters. */
bool evc_explain_is_printable(struct evc_slice key);

/** "virginia/virginia-a". Returns name. */
const char *evc_explain_copy_name(const struct evc_explain *explain,
                                  const struct evc_explain_copy *copy,
                                  char name[EVC_EXPLAIN_NAME_BYTES]);

void evc_explain_print(const struct evc_explain *explain);

#endif
