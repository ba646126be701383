/* SPDX-License-Identifier: Apache-2.0 */
/* Ending this program when something is missing that it needs: it tests others, not itself. */
#ifndef EVC_DIFF_CHECK_H
#define EVC_DIFF_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/** Says what is missing and ends the program, unless it holds. */
static inline void
diff_check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "differential: %s\n", what);
        exit(2);
    }
}

#endif
