/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which copies hold which version of which key: what walks over all nodes tell, by the hash of the
 * key, in bounded memory. It finds suspects, keys whose copies may not be alike; what is really so,
 * looking at each of them says (sweep/look.h). Pure; one thread.
 *
 *     hash of the key ─▶ newest version │ copies that hold it │ copies that hold something older
 *
 * Which copies must hold a key depends on its policy. With `copy` all that count; with `invalidate`
 * and `none`, a region that holds nothing of it is as it should be. With `none` regions are
 * strangers: the caller gives a key another hash in each region (evc_copy_table_hash).
 *
 * Two keys of one hash show as a suspect, so a collision hides nothing.
 *
 * Where more keys are told than memory holds, the table keeps a part of the key space
 * (evc_copy_table_keep) and the rest comes with another walk.
 */
#ifndef EVC_SWEEP_COPY_TABLE_H
#define EVC_SWEEP_COPY_TABLE_H

#include "base/hash_index.h"
#include "base/slice.h"
#include "base/version.h"
#include "sweep/key_range.h"
#include "topology/config.h"

enum {
    EVC_COPY_TABLE_COPIES_MAX = 128,
    EVC_COPY_TABLE_BYTES_MIN = 64 * 1024,
    EVC_COPY_TABLE_EXPIRY_SLACK_S = 5, /* as in survey/explain.h */
};

/** Which zones there are. */
struct evc_copy_layout {
    unsigned copy_count;
    uint8_t region[EVC_COPY_TABLE_COPIES_MAX];
    bool is_counted[EVC_COPY_TABLE_COPIES_MAX]; /* not those that are being filled */
};

/** What a walk tells of an item. */
struct evc_copy_item {
    evc_version version; /* 0: foreign */
    uint32_t size;       /* 0: not known */
    uint32_t expiry_s;   /* Unix seconds; 0: never, or not to be compared */
    uint32_t flags;      /* 0: there are none, which makes it smaller, or they are not known */
};

struct evc_copy_entry {
    uint64_t hash;
    evc_version newest;
    uint32_t size, expiry_s, flags;
    uint8_t policy;    /* enum evc_policy */
    bool is_different; /* two copies of the newest version differ in size, expiry or flags */
    bool is_taken;     /* the caller's mark */
    uint64_t sets[];   /* copies that hold the newest, then those that hold something older */
};

struct evc_copy_table {
    struct evc_copy_layout layout;
    unsigned words; /* of a set of copies */
    size_t entry_bytes;
    char *entries;
    uint32_t count, entries_max;
    struct evc_hash_index index; /* grows with count */
    uint32_t index_max;
};

/** bytes_max: for entries and index together. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_copy_table_init(struct evc_copy_table *table,
                                     const struct evc_copy_layout *layout, size_t bytes_max);
void evc_copy_table_finish(struct evc_copy_table *table); /* safe after a failed init */
void evc_copy_table_clear(struct evc_copy_table *table);

/** The hash a key has in the table. */
uint64_t evc_copy_table_hash(struct evc_slice key, enum evc_policy policy, unsigned region);

/** A copy holds an item. EVC_E_FULL: it is not in, and there is no room; EVC_E_NOMEM. */
EVC_MUST_USE int evc_copy_table_add(struct evc_copy_table *table, uint64_t hash,
                                    enum evc_policy policy, unsigned copy,
                                    const struct evc_copy_item *item);

/** Forgets the keys outside of the range. */
void evc_copy_table_keep(struct evc_copy_table *table, const struct evc_key_range *range);

struct evc_copy_entry *evc_copy_table_find(const struct evc_copy_table *table, uint64_t hash);

/** number: 0 to table->count - 1. */
struct evc_copy_entry *evc_copy_table_at(const struct evc_copy_table *table, uint32_t number);

static inline bool
evc_copy_entry_is_newest(const struct evc_copy_entry *entry, unsigned copy)
{
    return (entry->sets[copy / 64] >> copy % 64 & 1) != 0;
}

bool evc_copy_table_is_older(const struct evc_copy_table *table, const struct evc_copy_entry *entry,
                             unsigned copy);

/** Whether any copy of a region holds something. */
bool evc_copy_table_has_region(const struct evc_copy_table *table,
                               const struct evc_copy_entry *entry, unsigned region);

/** Whether the copies may not be what they should be: one is older, missing, different, foreign. */
bool evc_copy_table_is_suspect(const struct evc_copy_table *table,
                               const struct evc_copy_entry *entry);

/** The first copy that holds anything: the one to learn the key from. */
unsigned evc_copy_table_holder(const struct evc_copy_table *table,
                               const struct evc_copy_entry *entry);

#endif
