/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See copy_table.h. Entries lie in one array that is taken at once and touched as it fills; the
 * index doubles, anew each time from the entries, so that never two of them are held.
 */
#include "sweep/copy_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
    INDEX_FIRST = 1024,
    INDEX_BYTES_PER_NUMBER = 2 * sizeof(struct evc_hash_slot),
    BITS = 64,
};

/* --- memory --- */

/** As many entries as memory holds with their index, whose size is a power of two. */
static uint32_t
entries_for(size_t bytes_max, size_t entry_bytes)
{
    uint32_t best = 0;

    for (uint64_t max = INDEX_FIRST; max <= EVC_HASH_INDEX_MAX / 2; max *= 2) {
        uint64_t index_bytes = max * INDEX_BYTES_PER_NUMBER;
        uint64_t fit = index_bytes < bytes_max ? (bytes_max - index_bytes) / entry_bytes : 0;

        fit = fit < max ? fit : max;
        best = fit > best ? (uint32_t)fit : best;
    }
    return best;
}

int
evc_copy_table_init(struct evc_copy_table *table, const struct evc_copy_layout *layout,
                    size_t bytes_max)
{
    assert(layout->copy_count >= 1 && layout->copy_count <= EVC_COPY_TABLE_COPIES_MAX);
    assert(bytes_max >= EVC_COPY_TABLE_BYTES_MIN);
    *table = (struct evc_copy_table){.layout = *layout};
    table->words = (layout->copy_count + BITS - 1) / BITS;
    table->entry_bytes = sizeof(struct evc_copy_entry) + 2 * table->words * sizeof(uint64_t);
    table->entries_max = entries_for(bytes_max, table->entry_bytes);
    table->index_max = INDEX_FIRST;
    table->entries = malloc(table->entries_max * table->entry_bytes);
    if (!table->entries || evc_hash_index_init(&table->index, table->index_max) != EVC_OK) {
        evc_copy_table_finish(table);
        return EVC_E_NOMEM;
    }
    return EVC_OK;
}

void
evc_copy_table_finish(struct evc_copy_table *table)
{
    evc_hash_index_finish(&table->index);
    free(table->entries);
    table->entries = NULL;
    table->count = 0;
}

struct evc_copy_entry *
evc_copy_table_at(const struct evc_copy_table *table, uint32_t number)
{
    assert(number <= table->count);
    return (struct evc_copy_entry *)(table->entries + number * table->entry_bytes);
}

/** Indexes all entries anew. False without memory: then there is no index. */
static bool
index_anew(struct evc_copy_table *table, uint32_t index_max)
{
    evc_hash_index_finish(&table->index);
    if (evc_hash_index_init(&table->index, index_max) != EVC_OK) {
        return false;
    }
    table->index_max = index_max;
    for (uint32_t i = 0; i < table->count; i++) {
        evc_hash_index_add(&table->index, evc_copy_table_at(table, i)->hash, i);
    }
    return true;
}

void
evc_copy_table_clear(struct evc_copy_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        evc_hash_index_remove(&table->index, evc_copy_table_at(table, i)->hash, i);
    }
    table->count = 0;
}

/* --- entries --- */

uint64_t
evc_copy_table_hash(struct evc_slice key, enum evc_policy policy, unsigned region)
{
    return policy == EVC_POLICY_NONE ? evc_hash_bytes(key, region + 1) : evc_hash_key(key);
}

struct evc_copy_entry *
evc_copy_table_find(const struct evc_copy_table *table, uint64_t hash)
{
    uint32_t cursor, number;

    evc_hash_index_each(&table->index, hash, cursor, number)
    {
        if (evc_copy_table_at(table, number)->hash == hash) {
            return evc_copy_table_at(table, number);
        }
    }
    return NULL;
}

static struct evc_copy_entry *
add_entry(struct evc_copy_table *table, uint64_t hash, enum evc_policy policy)
{
    struct evc_copy_entry *entry = evc_copy_table_at(table, table->count);

    memset(entry, 0, table->entry_bytes);
    entry->hash = hash;
    entry->policy = (uint8_t)policy;
    evc_hash_index_add(&table->index, hash, table->count++);
    return entry;
}

static void
set_bit(uint64_t *set, unsigned copy)
{
    set[copy / BITS] |= UINT64_C(1) << copy % BITS;
}

static void
clear_bit(uint64_t *set, unsigned copy)
{
    set[copy / BITS] &= ~(UINT64_C(1) << copy % BITS);
}

static bool
is_empty(const struct evc_copy_table *table, const struct evc_copy_entry *entry)
{
    for (unsigned i = 0; i < table->words; i++) {
        if (entry->sets[i] != 0) {
            return false;
        }
    }
    return true;
}

/** The newest there is so far: who held the one before holds something older now. */
static void
take_newer(const struct evc_copy_table *table, struct evc_copy_entry *entry,
           const struct evc_copy_item *item)
{
    for (unsigned i = 0; i < table->words; i++) {
        entry->sets[table->words + i] |= entry->sets[i];
        entry->sets[i] = 0;
    }
    entry->newest = item->version;
    entry->size = item->size;
    entry->expiry_s = item->expiry_s;
    entry->flags = item->flags;
    entry->is_different = false;
}

static bool
is_other(const struct evc_copy_entry *entry, const struct evc_copy_item *item)
{
    uint32_t apart_s = entry->expiry_s > item->expiry_s ? entry->expiry_s - item->expiry_s
                                                        : item->expiry_s - entry->expiry_s;

    return entry->size != item->size || apart_s > EVC_COPY_TABLE_EXPIRY_SLACK_S ||
           (entry->flags != item->flags && entry->flags != 0 && item->flags != 0);
}

int
evc_copy_table_add(struct evc_copy_table *table, uint64_t hash, enum evc_policy policy,
                   unsigned copy, const struct evc_copy_item *item)
{
    struct evc_copy_entry *entry = evc_copy_table_find(table, hash);

    assert(copy < table->layout.copy_count);
    if (!entry) {
        if (table->count == table->entries_max) {
            return EVC_E_FULL;
        }
        if (table->count == table->index_max && !index_anew(table, 2 * table->index_max)) {
            return index_anew(table, table->index_max) ? EVC_E_FULL : EVC_E_NOMEM;
        }
        entry = add_entry(table, hash, policy);
    }
    if (item->version > entry->newest || is_empty(table, entry)) {
        take_newer(table, entry, item);
    }
    if (item->version < entry->newest) {
        clear_bit(entry->sets, copy); /* it has told a newer one before: two keys of one hash */
        set_bit(entry->sets + table->words, copy);
    } else {
        entry->is_different |= is_other(entry, item);
        set_bit(entry->sets, copy);
        clear_bit(entry->sets + table->words, copy);
    }
    return EVC_OK;
}

void
evc_copy_table_keep(struct evc_copy_table *table, const struct evc_key_range *range)
{
    uint32_t kept = 0, count = table->count;

    evc_copy_table_clear(table);
    table->count = count; /* they can be looked at until all are moved */
    for (uint32_t i = 0; i < count; i++) {
        const struct evc_copy_entry *entry = evc_copy_table_at(table, i);

        if (evc_key_range_has(range, entry->hash)) {
            memmove(evc_copy_table_at(table, kept++), entry, table->entry_bytes);
        }
    }
    table->count = kept;
    for (uint32_t i = 0; i < kept; i++) {
        evc_hash_index_add(&table->index, evc_copy_table_at(table, i)->hash, i);
    }
}

/* --- what they say --- */

bool
evc_copy_table_is_older(const struct evc_copy_table *table, const struct evc_copy_entry *entry,
                        unsigned copy)
{
    return (entry->sets[table->words + copy / BITS] >> copy % BITS & 1) != 0;
}

bool
evc_copy_table_has_region(const struct evc_copy_table *table, const struct evc_copy_entry *entry,
                          unsigned region)
{
    for (unsigned i = 0; i < table->layout.copy_count; i++) {
        if (table->layout.region[i] == region &&
            (evc_copy_entry_is_newest(entry, i) || evc_copy_table_is_older(table, entry, i))) {
            return true;
        }
    }
    return false;
}

bool
evc_copy_table_is_suspect(const struct evc_copy_table *table, const struct evc_copy_entry *entry)
{
    if (entry->newest == 0 || entry->is_different) {
        return true;
    }
    for (unsigned i = 0; i < table->layout.copy_count; i++) {
        if (!table->layout.is_counted[i] || evc_copy_entry_is_newest(entry, i)) {
            continue;
        }
        if (entry->policy == EVC_POLICY_COPY || evc_copy_table_is_older(table, entry, i) ||
            evc_copy_table_has_region(table, entry, table->layout.region[i])) {
            return true;
        }
    }
    return false;
}

unsigned
evc_copy_table_holder(const struct evc_copy_table *table, const struct evc_copy_entry *entry)
{
    unsigned copy = 0;

    while (!evc_copy_entry_is_newest(entry, copy) && !evc_copy_table_is_older(table, entry, copy)) {
        copy++;
        assert(copy < table->layout.copy_count);
    }
    return copy;
}
