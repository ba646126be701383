/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. */
#include "cli/progress.h"

#include <stdio.h>

#include "base/figure.h"
#include "cli/terminal.h"

void
evc_progress_show(const char *what, uint64_t done, uint64_t expected, uint64_t elapsed_us)
{
    char done_text[EVC_FIGURE_BYTES], expected_text[EVC_FIGURE_BYTES];
    char rate_text[EVC_FIGURE_BYTES], left_text[EVC_FIGURE_BYTES];
    double rate = elapsed_us > 0 ? (double)done * 1e6 / (double)elapsed_us : 0;

    if (!evc_terminal_is_one(stderr)) {
        return;
    }
    fprintf(stderr, "\r%s%s%s  %s", evc_terminal_style(stderr, EVC_STYLE_BOLD), what,
            evc_terminal_style(stderr, EVC_STYLE_PLAIN),
            evc_figure_count((int64_t)done, done_text));
    if (expected >= done && expected > 0) {
        fprintf(stderr, " of %s", evc_figure_count((int64_t)expected, expected_text));
    }
    fprintf(stderr, " items  %s/s", evc_figure_count((int64_t)rate, rate_text));
    if (expected > done && rate >= 1) {
        fprintf(stderr, "  %s left",
                evc_figure_duration((uint64_t)((double)(expected - done) / rate * 1e6), left_text));
    }
    fputs("\x1b[K", stderr);
    fflush(stderr);
}

void
evc_progress_clear(void)
{
    if (evc_terminal_is_one(stderr)) {
        fputs("\r\x1b[K", stderr);
        fflush(stderr);
    }
}
