/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hashes, on the xxHash library. Changing them would change what partition a key is in, and
 * what is taken for damage.
 */
#include "base/hash.h"

#include <xxhash.h>

uint64_t
evc_hash_key(struct evc_slice key)
{
    return XXH3_64bits(key.ptr, key.len);
}

uint64_t
evc_hash_bytes(struct evc_slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}

void
evc_hash_key_128(struct evc_slice key, uint64_t ret[2])
{
    XXH128_hash_t hash = XXH3_128bits(key.ptr, key.len);

    ret[0] = hash.high64;
    ret[1] = hash.low64;
}
