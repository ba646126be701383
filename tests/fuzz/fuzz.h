/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fuzz target is: one function in fuzz_<decoder>.c, given any bytes. It asserts inside what
 * must hold for all of them: nothing read or written out of bounds, no more consumed than given,
 * the same outcome whole and byte by byte, and what was composed reads back. The same file is built
 * with libFuzzer (clang) and with the driver of fuzz_main.c (any compiler).
 */
#ifndef EVC_TESTS_FUZZ_FUZZ_H
#define EVC_TESTS_FUZZ_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

enum {
    FUZZ_INPUT_BYTES_MAX = 8192, /* longer inputs show nothing new: targets may cut them */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** A running hash of outcomes (FNV-1a), to compare two ways of feeding the same bytes. */
static inline uint64_t
fuzz_mix(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static inline uint64_t
fuzz_mix_u64(uint64_t hash, uint64_t value)
{
    return fuzz_mix(hash, &value, sizeof(value));
}

static inline uint64_t
fuzz_mix_slice(uint64_t hash, struct evc_slice slice)
{
    return fuzz_mix(fuzz_mix_u64(hash, slice.len), slice.ptr, slice.len);
}

/** Memory of exactly len bytes, so that a sanitizer sees every read beyond them. */
static inline char *
fuzz_exact_copy(const void *bytes, size_t len)
{
    char *copy = calloc(len > 0 ? len : 1, 1);

    assert(copy != NULL);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

#endif
