/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the key space, by the keys' hashes: how a run over more keys than its memory holds does
 * them in passes. It begins with all of them; whenever there is no more room, half of what is left
 * of this pass is put off (evc_key_range_halve), and the next pass begins where this one ends.
 * Pure.
 */
#ifndef EVC_SWEEP_KEY_RANGE_H
#define EVC_SWEEP_KEY_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/** Hashes from first to last. */
struct evc_key_range {
    uint64_t first, last;
    unsigned pass; /* 1: the first */
};

static inline void
evc_key_range_init(struct evc_key_range *range)
{
    *range = (struct evc_key_range){.first = 0, .last = UINT64_MAX, .pass = 1};
}

static inline bool
evc_key_range_has(const struct evc_key_range *range, uint64_t hash)
{
    return hash >= range->first && hash <= range->last;
}

/** Puts the upper half off. False: it is one hash. */
static inline bool
evc_key_range_halve(struct evc_key_range *range)
{
    if (range->first == range->last) {
        return false;
    }
    range->last = range->first + (range->last - range->first) / 2;
    return true;
}

/** The next pass, of the same width or to the end. False: this was the last. */
static inline bool
evc_key_range_next(struct evc_key_range *range)
{
    uint64_t width_less_one = range->last - range->first;

    if (range->last == UINT64_MAX) {
        return false;
    }
    range->first = range->last + 1;
    range->last =
        range->first <= UINT64_MAX - width_less_one ? range->first + width_less_one : UINT64_MAX;
    range->pass++;
    return true;
}

/** How many passes there are in all, if no more is put off. */
static inline unsigned
evc_key_range_passes(const struct evc_key_range *range)
{
    uint64_t width = range->last - range->first + 1; /* 0: all hashes */

    return range->pass + (width == 0 || range->last == UINT64_MAX
                              ? 0
                              : (unsigned)((UINT64_MAX - range->last - 1) / width) + 1);
}

#endif
