/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded queue's tables in LMDB, and what may be done to them inside a transaction. No files
 * but the database; embedded.c and consumer.c use it, from as many threads as they like.
 *
 *   partitions  u16 partition → first position, end position, cumulative events at the end
 *   records     u16 partition, u64 position (big-endian, so that they are in order)
 *               → cumulative events before it, when it was appended, its events, its bytes
 *   groups      u16 partition, name → position, cumulative events before it, blob
 *   totals      "format", "partitions", "held" (bytes of records)
 *
 * All functions return 0, MDB_NOTFOUND where said, or an LMDB error.
 *
 * The map (the address space the database may take) is the same for all processes only as long as
 * their configurations agree. Another process may have a larger one and use it: then ours is
 * enlarged, which no transaction of this process may see. So every transaction holds map_lock
 * shared, and a change of the map holds it alone.
 */
#ifndef EVC_QUEUE_EMBEDDED_STORE_H
#define EVC_QUEUE_EMBEDDED_STORE_H

#include <lmdb.h>
#include <pthread.h>
#include <stdint.h>

#include "base/error.h"
#include "queue/queue.h"

enum {
    EVC_STORE_READERS_MAX = 1024,
    /* The file of locks and readers, LMDB's head of it included. One that is there stays as long as
     * it is: others may have it open. */
    EVC_STORE_LOCK_BYTES = EVC_STORE_READERS_MAX * 64 + 4096,
};

struct evc_store {
    MDB_env *env;
    MDB_dbi partitions, records, groups, totals;
    pthread_rwlock_t map_lock;
};

struct evc_store_partition {
    uint64_t first_position; /* of the oldest record kept */
    uint64_t end_position;   /* the next record's */
    uint64_t end_events;     /* events of all records ever */
};

struct evc_store_record {
    uint64_t events_before;
    uint64_t appended_us;
    uint64_t event_count;
    struct evc_slice bytes; /* view, until the transaction ends */
};

struct evc_store_group {
    uint64_t position;
    uint64_t events_before;
    struct evc_slice blob; /* view, until the transaction ends */
};

/** Opens or creates. map_bytes: address space for the database, 0: what it takes already. 0 or a
 * status, with *error. */
EVC_MUST_USE int evc_store_open(struct evc_store *store, const char *path, uint64_t map_bytes,
                                enum evc_durability durability, struct evc_error *error);
void evc_store_close(struct evc_store *store); /* safe after a failed open */

enum evc_store_access {
    EVC_STORE_READ,
    EVC_STORE_WRITE
};

/** Begins a transaction, ended by one of the next two. A writer waits for other processes' writers.
 */
EVC_MUST_USE int evc_store_begin(struct evc_store *store, enum evc_store_access access,
                                 MDB_txn **ret);
EVC_MUST_USE int evc_store_commit(struct evc_store *store, MDB_txn *txn);
void evc_store_abort(struct evc_store *store, MDB_txn *txn);

/**
 * A process that was killed while it read keeps every page freed since from being used again: then
 * the map is full though little is held. Whether there was one, which is forgotten now.
 */
bool evc_store_forget_dead_readers(struct evc_store *store);

/** Enlarges the map a little; for what must get through when it is full. No transaction of the
 * caller's. */
EVC_MUST_USE int evc_store_grow(struct evc_store *store);

/** A partition nobody has written to is all zero. */
EVC_MUST_USE int evc_store_partition_get(const struct evc_store *store, MDB_txn *txn,
                                         uint32_t partition, struct evc_store_partition *ret);

/** Appends one record and moves the partition's end. */
EVC_MUST_USE int evc_store_record_put(const struct evc_store *store, MDB_txn *txn,
                                      const struct evc_queue_item *item, uint64_t now_us);

/** MDB_NOTFOUND: no such position (not yet, or not any more). */
EVC_MUST_USE int evc_store_record_get(const struct evc_store *store, MDB_txn *txn,
                                      uint32_t partition, uint64_t position,
                                      struct evc_store_record *ret);

/**
 * How many events lie before a position; before the oldest record kept when the position is older
 * still. MDB_NOTFOUND: the position is behind the end.
 */
EVC_MUST_USE int evc_store_events_before(const struct evc_store *store, MDB_txn *txn,
                                         uint32_t partition, uint64_t position, uint64_t *ret);

/** A group that has never committed is at 0, with an empty blob. */
EVC_MUST_USE int evc_store_group_get(const struct evc_store *store, MDB_txn *txn, const char *group,
                                     uint32_t partition, struct evc_store_group *ret);
EVC_MUST_USE int evc_store_group_put(const struct evc_store *store, MDB_txn *txn, const char *group,
                                     uint32_t partition, const struct evc_store_group *value);

/** Deletes up to max records of a partition that lie before `before`. */
EVC_MUST_USE int evc_store_trim(const struct evc_store *store, MDB_txn *txn, uint32_t partition,
                                uint64_t before, unsigned max);

/** A number under a name in totals; 0 when it was never put. */
EVC_MUST_USE int evc_store_total_get(const struct evc_store *store, MDB_txn *txn, const char *name,
                                     uint64_t *ret);
EVC_MUST_USE int evc_store_total_put(const struct evc_store *store, MDB_txn *txn, const char *name,
                                     uint64_t value);

#endif
