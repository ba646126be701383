/* SPDX-License-Identifier: Apache-2.0 */
/* The commands a sequence is made of: internal to generate.c and commands.c. */
#ifndef EVC_DIFF_COMMANDS_H
#define EVC_DIFF_COMMANDS_H

#include "generate.h"

/** Appends formatted text to what both sides are sent. */
void diff_put(struct diff_sequence *sequence, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Whether this batch touches the key whose text begins so; '\0': any key. */
bool diff_is_touched(const struct diff_sequence *sequence, char key);

/** One request that leaves the connection in step, whether it is a good one or not. */
void diff_compose_command(struct diff_sequence *sequence);

/** One request that may not. */
void diff_compose_wild(struct diff_sequence *sequence);

#endif
