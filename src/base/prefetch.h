/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory brought into the cache before it is needed. Where thousands of requests are on their way
 * an object is cold whenever its turn comes, and waiting for it costs more than what is done to it.
 */
#ifndef EVC_BASE_PREFETCH_H
#define EVC_BASE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    EVC_CACHE_LINE_BYTES = 64
};

/** Memory that will be read and written soon. Any address will do, also one that is there no more.
 */
static inline void
evc_prefetch(const void *memory, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += EVC_CACHE_LINE_BYTES) {
        __builtin_prefetch((const void *)((uintptr_t)memory + at), 1);
    }
}

#endif
