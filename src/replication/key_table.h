/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects found by their key, or by a small number that is theirs while they are in: a table of
 * fixed size. An object embeds an entry, which holds the key itself. Nothing is allocated after
 * creation; objects belong to whoever added them.
 */
#ifndef EVC_REPLICATION_KEY_TABLE_H
#define EVC_REPLICATION_KEY_TABLE_H

#include <stdint.h>

#include "base/hash_index.h"
#include "base/slice.h"
#include "base/status.h"
#include "meta/node_op.h"

struct evc_key_entry {
    uint64_t hash;
    uint32_t number; /* below the table's entries_max; the next one to be added may get it again */
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
};

struct evc_key_table {
    struct evc_hash_index index;
    struct evc_key_entry **entries; /* by number; NULL where there is none */
    uint32_t *free_numbers;
    uint32_t free_count;
    uint32_t entries_max;
};

/** entries_max: more are never in it. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_key_table_init(struct evc_key_table *table, uint32_t entries_max);
void evc_key_table_finish(struct evc_key_table *table); /* safe after a failed init */

/** The entry of a key (hash: evc_hash_key(key)), or NULL. */
struct evc_key_entry *evc_key_table_find(const struct evc_key_table *table, uint64_t hash,
                                         struct evc_slice key);

/** The entry that has a number now, or NULL. */
struct evc_key_entry *evc_key_table_at(const struct evc_key_table *table, uint32_t number);

/** Fills entry with the key and adds it; the key must not be in the table, which has room. */
void evc_key_table_add(struct evc_key_table *table, struct evc_key_entry *entry, uint64_t hash,
                       struct evc_slice key);

/** Takes out an entry that is in the table. */
void evc_key_table_remove(struct evc_key_table *table, struct evc_key_entry *entry);

static inline struct evc_slice
evc_key_entry_key(const struct evc_key_entry *entry)
{
    return (struct evc_slice){.ptr = entry->key, .len = entry->key_len};
}

#endif
