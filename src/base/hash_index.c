/* SPDX-License-Identifier: Apache-2.0 */
/* See hash_index.h. */
#include "base/hash_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 64
};

int
evc_hash_index_init(struct evc_hash_index *index, uint32_t max)
{
    uint32_t count = SLOTS_MIN;

    assert(max > 0 && max <= EVC_HASH_INDEX_MAX);
    while (count < 2 * max) {
        count *= 2;
    }
    index->mask = count - 1;
    index->slots = malloc(count * sizeof(*index->slots));
    if (!index->slots) {
        return EVC_E_NOMEM;
    }
    memset(index->slots, 0xff, count * sizeof(*index->slots)); /* every number is NONE */
    return EVC_OK;
}

void
evc_hash_index_finish(struct evc_hash_index *index)
{
    free(index->slots);
    index->slots = NULL;
}

void
evc_hash_index_add(struct evc_hash_index *index, uint64_t hash, uint32_t number)
{
    uint32_t at = evc_hash_index_home(index, hash);

    assert(number != EVC_HASH_INDEX_NONE);
    while (index->slots[at].number != EVC_HASH_INDEX_NONE) {
        at = (at + 1) & index->mask;
    }
    index->slots[at] = (struct evc_hash_slot){.hash = (uint32_t)(hash >> 32), .number = number};
}

/** How far a slot is behind the home of what it holds. */
static uint32_t
distance_from_home(const struct evc_hash_index *index, uint32_t at)
{
    return (at - (index->slots[at].hash & index->mask)) & index->mask;
}

/** Fills a hole with what stands behind it and may stand there, so that no search ends too early.
 */
static void
close_hole(struct evc_hash_index *index, uint32_t hole)
{
    uint32_t at = hole;

    for (;;) {
        at = (at + 1) & index->mask;
        if (index->slots[at].number == EVC_HASH_INDEX_NONE) {
            break;
        }
        if (distance_from_home(index, at) >= ((at - hole) & index->mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole].number = EVC_HASH_INDEX_NONE;
}

void
evc_hash_index_remove(struct evc_hash_index *index, uint64_t hash, uint32_t number)
{
    uint32_t at = evc_hash_index_home(index, hash);

    while (index->slots[at].number != number) {
        assert(index->slots[at].number != EVC_HASH_INDEX_NONE);
        at = (at + 1) & index->mask;
    }
    close_hole(index, at);
}
