/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of a key for tables, partitions and nodes: XXH3, 64 bits, seed 0. It is part of the
 * queue's contract (partition = hash % partitions) and of the ring's, so it never changes.
 */
#ifndef EVC_BASE_HASH_H
#define EVC_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

uint64_t evc_hash_key(struct evc_slice key);

/** Any bytes, for checksums: XXH3, 64 bits; seed 0 gives what evc_hash_key gives. */
uint64_t evc_hash_bytes(struct evc_slice bytes, uint64_t seed);

/** 128 bits: where a collision would give one key's state to another. High half first. */
void evc_hash_key_128(struct evc_slice key, uint64_t ret[2]);

#endif
