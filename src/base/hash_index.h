/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are found by their hash: small numbers under 64-bit hashes, which need not differ.
 * What a number stands for, and whether it is the one that was looked for, is the caller's to know.
 *
 * Open addressing with linear probing, 8 bytes a slot, at most half full, nothing left behind by
 * what was removed: to look, add or remove costs about one line of cache, and nothing of the
 * objects is touched unless 32 bits of their hash agree. The high half of the hash is used, because
 * the low one chooses partitions. Fixed size: nothing is allocated after init.
 *
 *     evc_hash_index_each(index, hash, cursor, number) {
 *         if (is_it(number)) { ... }
 *     }
 */
#ifndef EVC_BASE_HASH_INDEX_H
#define EVC_BASE_HASH_INDEX_H

#include <stdint.h>

#include "base/prefetch.h"
#include "base/status.h"

enum {
    EVC_HASH_INDEX_NONE = UINT32_MAX, /* no number */
    EVC_HASH_INDEX_MAX = 1 << 30,
};

struct evc_hash_slot {
    uint32_t hash;
    uint32_t number; /* EVC_HASH_INDEX_NONE: free */
};

struct evc_hash_index {
    struct evc_hash_slot *slots;
    uint32_t mask;
};

/** For at most max numbers (1 to EVC_HASH_INDEX_MAX). 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_hash_index_init(struct evc_hash_index *index, uint32_t max);
void evc_hash_index_finish(struct evc_hash_index *index); /* safe after a failed init */

/** number is not in it under this hash, and there is room. */
void evc_hash_index_add(struct evc_hash_index *index, uint64_t hash, uint32_t number);

/** number is in it under this hash. Cursors are void afterwards. */
void evc_hash_index_remove(struct evc_hash_index *index, uint64_t hash, uint32_t number);

static inline uint32_t
evc_hash_index_home(const struct evc_hash_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & index->mask;
}

/** The number under hash at or behind *cursor, which then stands behind it; or NONE. */
static inline uint32_t
evc_hash_index_next(const struct evc_hash_index *index, uint64_t hash, uint32_t *cursor)
{
    const struct evc_hash_slot *slot;

    do {
        slot = &index->slots[*cursor];
        *cursor = (*cursor + 1) & index->mask;
    } while (slot->number != EVC_HASH_INDEX_NONE && slot->hash != (uint32_t)(hash >> 32));
    return slot->number;
}

/** Each number under hash, in no order; cursor and number are uint32_t variables. */
#define evc_hash_index_each(index, wanted, cursor, number)                                         \
    for ((cursor) = evc_hash_index_home((index), (wanted));                                        \
         ((number) = evc_hash_index_next((index), (wanted), &(cursor))) != EVC_HASH_INDEX_NONE;)

/** What will be looked for soon. */
static inline void
evc_hash_index_prefetch(const struct evc_hash_index *index, uint64_t hash)
{
    evc_prefetch(&index->slots[evc_hash_index_home(index, hash)], 1);
}

#endif
