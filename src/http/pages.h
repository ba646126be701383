/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dashboard's files, built into the program: web/ of the source tree and the chart library of
 * the package libjs-chart.js, as web/meson.build lists them.
 */
#ifndef EVC_HTTP_PAGES_H
#define EVC_HTTP_PAGES_H

#include <stddef.h>

/** One file as it is served. */
struct evc_page {
    const char *path; /* "/" and below */
    const char *type; /* Content-Type */
    const unsigned char *bytes;
    size_t len;
};

extern const struct evc_page evc_pages[];
extern const size_t evc_pages_count;

#endif
