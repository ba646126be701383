/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See cell.h. Why it holds: each word is stored with release after the turn was made odd and read
 * with acquire before the turn is looked at again, so whoever has seen a word of a publication sees
 * its odd turn, or a later one.
 */
#include "base/cell.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORD = sizeof(uint64_t)
};

static size_t
word_count(size_t bytes)
{
    return (bytes + WORD - 1) / WORD;
}

int
evc_cell_init(struct evc_cell *cell, size_t bytes)
{
    *cell = (struct evc_cell){.bytes = bytes};
    cell->words = calloc(word_count(bytes) + 1, sizeof(*cell->words));
    return cell->words ? EVC_OK : EVC_E_NOMEM;
}

void
evc_cell_finish(struct evc_cell *cell)
{
    free(cell->words);
    cell->words = NULL;
}

void
evc_cell_begin(struct evc_cell *cell)
{
    uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_relaxed);

    assert(turn % 2 == 0);
    atomic_store_explicit(&cell->turn, turn + 1, memory_order_relaxed);
}

void
evc_cell_put(struct evc_cell *cell, size_t offset, const void *data, size_t len)
{
    const char *from = data;

    assert(offset % WORD == 0 && offset + len <= cell->bytes);
    for (size_t at = 0; at < len; at += WORD) {
        uint64_t word = 0;

        memcpy(&word, from + at, len - at < WORD ? len - at : WORD);
        atomic_store_explicit(&cell->words[(offset + at) / WORD], word, memory_order_release);
    }
}

void
evc_cell_end(struct evc_cell *cell)
{
    uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_relaxed);

    assert(turn % 2 == 1);
    atomic_store_explicit(&cell->turn, turn + 1, memory_order_release);
}

static void
copy_words(struct evc_cell *cell, size_t offset, void *ret, size_t len)
{
    char *to = ret;

    for (size_t at = 0; at < len; at += WORD) {
        uint64_t word =
            atomic_load_explicit(&cell->words[(offset + at) / WORD], memory_order_acquire);

        memcpy(to + at, &word, len - at < WORD ? len - at : WORD);
    }
}

void
evc_cell_get(struct evc_cell *cell, size_t offset, void *ret, size_t len)
{
    uint64_t before, after;

    assert(offset % WORD == 0 && offset + len <= cell->bytes);
    /* Ends: the writer publishes some 20 times a second and a copy takes microseconds. */
    do {
        before = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (before % 2 == 1) {
            sched_yield();
            after = before + 1;
            continue;
        }
        copy_words(cell, offset, ret, len);
        after = atomic_load_explicit(&cell->turn, memory_order_relaxed);
    } while (before != after);
}
