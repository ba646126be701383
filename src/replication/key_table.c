/* SPDX-License-Identifier: Apache-2.0 */
/* See key_table.h. */
#include "replication/key_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_TABLE_BUCKETS_MIN = 64
};

int
evc_key_table_init(struct evc_key_table *table, uint32_t entries_max)
{
    uint64_t bucket_count = KEY_TABLE_BUCKETS_MIN;

    while (bucket_count < entries_max) {
        bucket_count *= 2;
    }
    table->mask = bucket_count - 1;
    table->buckets = calloc(bucket_count, sizeof(struct evc_key_entry *));
    return table->buckets ? EVC_OK : EVC_E_NOMEM;
}

void
evc_key_table_finish(struct evc_key_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

struct evc_key_entry *
evc_key_table_find(const struct evc_key_table *table, uint64_t hash, struct evc_slice key)
{
    struct evc_key_entry *entry = table->buckets[hash & table->mask];

    while (entry && (entry->hash != hash || !evc_slice_equal(evc_key_entry_key(entry), key))) {
        entry = entry->next;
    }
    return entry;
}

void
evc_key_table_add(struct evc_key_table *table, struct evc_key_entry *entry, uint64_t hash,
                  struct evc_slice key)
{
    struct evc_key_entry **bucket = &table->buckets[hash & table->mask];

    assert(key.len >= 1 && key.len <= EVC_KEY_LEN_MAX);
    entry->hash = hash;
    entry->key_len = (uint8_t)key.len;
    memcpy(entry->key, key.ptr, key.len);
    entry->next = *bucket;
    *bucket = entry;
}

void
evc_key_table_remove(struct evc_key_table *table, struct evc_key_entry *entry)
{
    struct evc_key_entry **at = &table->buckets[entry->hash & table->mask];

    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
}
