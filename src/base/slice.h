/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of bytes somebody else owns. Whoever hands one out says until when it may be read; nobody
 * frees through it. Not NUL-terminated.
 */
#ifndef EVC_BASE_SLICE_H
#define EVC_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct evc_slice {
    const char *ptr;
    size_t len;
};

/** The bytes of a string literal, without its NUL. */
#define EVC_SLICE(literal) ((struct evc_slice){.ptr = (literal), .len = sizeof(literal) - 1})

/** The bytes of a C string, without its NUL. */
static inline struct evc_slice
evc_slice_str(const char *str)
{
    return (struct evc_slice){.ptr = str, .len = strlen(str)};
}

static inline bool
evc_slice_equal(struct evc_slice a, struct evc_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
