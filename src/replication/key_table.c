/* SPDX-License-Identifier: Apache-2.0 */
/* See key_table.h. */
#include "replication/key_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int
evc_key_table_init(struct evc_key_table *table, uint32_t entries_max)
{
    *table = (struct evc_key_table){.entries_max = entries_max, .free_count = entries_max};
    table->entries = calloc(entries_max, sizeof(struct evc_key_entry *));
    table->free_numbers = malloc(entries_max * sizeof(*table->free_numbers));
    if (!table->entries || !table->free_numbers) {
        return EVC_E_NOMEM;
    }
    for (uint32_t i = 0; i < entries_max; i++) {
        table->free_numbers[i] = entries_max - 1 - i;
    }
    return evc_hash_index_init(&table->index, entries_max);
}

void
evc_key_table_finish(struct evc_key_table *table)
{
    evc_hash_index_finish(&table->index);
    free(table->entries);
    free(table->free_numbers);
    table->entries = NULL;
    table->free_numbers = NULL;
}

struct evc_key_entry *
evc_key_table_find(const struct evc_key_table *table, uint64_t hash, struct evc_slice key)
{
    uint32_t cursor, number;

    evc_hash_index_each(&table->index, hash, cursor, number)
    {
        struct evc_key_entry *entry = table->entries[number];

        if (entry->hash == hash && evc_slice_equal(evc_key_entry_key(entry), key)) {
            return entry;
        }
    }
    return NULL;
}

struct evc_key_entry *
evc_key_table_at(const struct evc_key_table *table, uint32_t number)
{
    return number < table->entries_max ? table->entries[number] : NULL;
}

void
evc_key_table_add(struct evc_key_table *table, struct evc_key_entry *entry, uint64_t hash,
                  struct evc_slice key)
{
    assert(key.len >= 1 && key.len <= EVC_KEY_LEN_MAX);
    assert(table->free_count > 0);
    entry->hash = hash;
    entry->number = table->free_numbers[--table->free_count];
    entry->key_len = (uint8_t)key.len;
    memcpy(entry->key, key.ptr, key.len);
    table->entries[entry->number] = entry;
    evc_hash_index_add(&table->index, hash, entry->number);
}

void
evc_key_table_remove(struct evc_key_table *table, struct evc_key_entry *entry)
{
    evc_hash_index_remove(&table->index, entry->hash, entry->number);
    table->entries[entry->number] = NULL;
    table->free_numbers[table->free_count++] = entry->number;
}
