/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for people: counts with separators, durations with a fitting unit. */
#ifndef EVC_BASE_FIGURE_H
#define EVC_BASE_FIGURE_H

#include <stdint.h>

enum {
    EVC_FIGURE_BYTES = 32
};

/** "1,234,567". text: EVC_FIGURE_BYTES, returned. */
const char *evc_figure_count(int64_t count, char *text);

/** "850 us", "1.25 ms", "12.5 s". text: EVC_FIGURE_BYTES, returned. */
const char *evc_figure_duration(uint64_t us, char *text);

#endif
