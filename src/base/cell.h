/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of plain data (no pointers into itself) that one thread publishes and any other reads,
 * without a lock: the writer never waits, a reader that meets a publication copies again (a
 * sequence lock). Readers are rare: status, metrics.
 */
#ifndef EVC_BASE_CELL_H
#define EVC_BASE_CELL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct evc_cell {
    atomic_uint_fast64_t turn; /* odd while a publication is under way */
    atomic_uint_fast64_t *words;
    size_t bytes;
};

/** All zero. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_cell_init(struct evc_cell *cell, size_t bytes);
void evc_cell_finish(struct evc_cell *cell); /* accepts one that is all zero */

/** Publishes len bytes at offset (a multiple of 8) in one step with all between begin and end. The
 * owner's thread. */
void evc_cell_begin(struct evc_cell *cell);
void evc_cell_put(struct evc_cell *cell, size_t offset, const void *data, size_t len);
void evc_cell_end(struct evc_cell *cell);

/** Copies len bytes at offset (a multiple of 8), all of one publication. Any thread. */
void evc_cell_get(struct evc_cell *cell, size_t offset, void *ret, size_t len);

#endif
