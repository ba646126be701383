/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replication queue of one region, seen through a few functions so that its backends (embedded
 * LMDB, Kafka) are exchangeable. A queue has partitions; a partition is an ordered list of records
 * (record.h); a consumer group (one per destination) has a position per partition, and beside it a
 * blob the consumer keeps there (its books), committed in one step with the position.
 *
 * Invariants: records of a partition are polled in the order they were appended; an appended record
 * is polled by every group at least once; a committed position and its blob are never seen apart; a
 * record is dropped only when every group has committed past it (embedded) or retention says so
 * (Kafka).
 *
 * Threads: one producer handle and one consumer handle each belong to one thread. Several processes
 * use one queue at once.
 */
#ifndef EVC_QUEUE_QUEUE_H
#define EVC_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "base/status.h"

enum {
    EVC_PARTITION_MAX = 256,
    EVC_GROUP_NAME_LEN_MAX = 63,
    EVC_QUEUE_BLOB_BYTES_MAX = 256 * 1024,
};

/** How safe an append is when it returns. */
enum evc_durability {
    /** Survives the death of any process, not of the machine: the kernel writes it out when it
     * likes. */
    EVC_DURABILITY_PROCESS,
    /** On the disk before append returns: survives a power cut. */
    EVC_DURABILITY_POWER,
};

struct evc_queue_options {
    const char *path;         /* embedded: a directory, created if absent */
    unsigned partition_count; /* 1 to EVC_PARTITION_MAX */
    uint64_t bytes_max;       /* embedded: records kept beyond this are refused (EVC_E_FULL) */
    enum evc_durability durability;
    const char *const *groups; /* every group of the region; records wait for all of them */
    size_t group_count;
};

/** One record to append. */
struct evc_queue_item {
    uint32_t partition;
    uint32_t event_count;
    struct evc_slice record;
    int status; /* set by append: what became of this one */
};

/** One record polled; the bytes are valid until the next poll or close of that consumer. */
struct evc_queue_record {
    uint32_t partition;
    uint64_t position; /* of this record; committing position + 1 means: done with it */
    struct evc_slice bytes;
};

/** What a partition holds for a group. */
struct evc_queue_backlog {
    uint64_t records;
    uint64_t events;    /* exactly those of the records not yet committed past, less those unread */
    uint64_t oldest_us; /* Unix microseconds when the oldest of them was appended; 0 when none. Of
                           unread ones alone: at the earliest */
    uint64_t records_unread; /* of records, those whose events nobody has counted yet. The embedded
                                queue counts all of them */
};

struct evc_queue;
struct evc_queue_consumer;

/**
 * Who takes part in a group that shares its partitions out while it runs. Called from within poll
 * and close, on the consumer's thread.
 */
struct evc_queue_member {
    /** A partition is this consumer's now, to be taken up at position with blob (a view). */
    void (*on_assigned)(struct evc_queue_member *member, uint32_t partition, uint64_t position,
                        struct evc_slice blob);
    /** It goes to another: what is committed during the call is handed over, nothing after it. */
    void (*on_revoked)(struct evc_queue_member *member, uint32_t partition);
};

struct evc_queue_ops {
    /* What a blob should not exceed; 0: EVC_QUEUE_BLOB_BYTES_MAX, which it cannot. */
    size_t blob_bytes_max;
    void (*close)(struct evc_queue *queue);
    /**
     * Appends items, of a partition in the order given. 0: all are in. Otherwise the first failure,
     * *error (may be NULL) says why, and every item's status says of itself: 0: it is in.
     * EVC_E_FULL: the bound is hit, it is not in. EVC_E_SYS: it may be in or not; to be appended
     * again with the same numbers. The embedded queue takes all or none and leaves no doubt.
     */
    int (*append)(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
                  struct evc_error *error);
    /** Bytes of records now held, and appended in all since creation. */
    int (*usage)(struct evc_queue *queue, uint64_t *ret_bytes, uint64_t *ret_bytes_max);
    /** How many partitions there are now: as known to the last append. Any thread. */
    unsigned (*partitions)(struct evc_queue *queue);

    /**
     * Opens a group for some partitions. Only one consumer at a time may hold a (group, partition):
     * EVC_E_BUSY, with *error naming the holder's process id, when another process does.
     */
    int (*consumer_open)(struct evc_queue *queue, const char *group, const uint32_t *partitions,
                         size_t partition_count, struct evc_queue_consumer **ret,
                         struct evc_error *error);

    /**
     * Joins a group whose members share all partitions among themselves, also those added later;
     * member outlives the consumer. NULL where groups are not shared at run time (embedded).
     */
    int (*consumer_join)(struct evc_queue *queue, const char *group,
                         struct evc_queue_member *member, struct evc_queue_consumer **ret,
                         struct evc_error *error);
};

struct evc_queue_consumer_ops {
    void (*close)(struct evc_queue_consumer *consumer);
    /** Up to max records, fairly over partitions; with max 0 only serves the group: for a consumer
     * that has no room now. Count (0: nothing now), or EVC_E_SYS, EVC_E_CORRUPT. */
    int (*poll)(struct evc_queue_consumer *consumer, struct evc_queue_record *ret, size_t max);
    /** The committed position and blob of a partition; blob is a view until the next call. */
    int (*committed)(struct evc_queue_consumer *consumer, uint32_t partition,
                     uint64_t *ret_position, struct evc_slice *ret_blob);
    /** Commits "everything before position is done" together with blob. Kafka: on its way when this
     * returns; a close waits for it, a kill may lose it, and EVC_E_SYS says that an earlier one has
     * failed, which is tried again. */
    int (*commit)(struct evc_queue_consumer *consumer, uint32_t partition, uint64_t position,
                  struct evc_slice blob);
    int (*backlog)(struct evc_queue_consumer *consumer, uint32_t partition,
                   struct evc_queue_backlog *ret);
    /** Becomes readable when there may be something new to poll; evc_queue_consumer_wake_clear
     * re-arms. */
    int (*wake_fd)(struct evc_queue_consumer *consumer);
    void (*wake_clear)(struct evc_queue_consumer *consumer);
};

struct evc_queue {
    const struct evc_queue_ops *ops;
};

struct evc_queue_consumer {
    const struct evc_queue_consumer_ops *ops;
};

/** The partition of a key: evc_hash_key(key) % partition_count. */
uint32_t evc_queue_partition(struct evc_slice key, unsigned partition_count);

/* Thin callers of the tables above; see there. */
void evc_queue_close(struct evc_queue *queue); /* accepts NULL */
EVC_MUST_USE int evc_queue_append(struct evc_queue *queue, struct evc_queue_item *items,
                                  size_t count, struct evc_error *error);
EVC_MUST_USE int evc_queue_usage(struct evc_queue *queue, uint64_t *ret_bytes,
                                 uint64_t *ret_bytes_max);
unsigned evc_queue_partitions(struct evc_queue *queue);
size_t evc_queue_blob_bytes_max(const struct evc_queue *queue);
bool evc_queue_has_shared_groups(const struct evc_queue *queue);
EVC_MUST_USE int evc_queue_consumer_join(struct evc_queue *queue, const char *group,
                                         struct evc_queue_member *member,
                                         struct evc_queue_consumer **ret, struct evc_error *error);
EVC_MUST_USE int evc_queue_consumer_open(struct evc_queue *queue, const char *group,
                                         const uint32_t *partitions, size_t partition_count,
                                         struct evc_queue_consumer **ret, struct evc_error *error);
void evc_queue_consumer_close(struct evc_queue_consumer *consumer); /* accepts NULL */
EVC_MUST_USE int evc_queue_consumer_poll(struct evc_queue_consumer *consumer,
                                         struct evc_queue_record *ret, size_t max);
EVC_MUST_USE int evc_queue_consumer_committed(struct evc_queue_consumer *consumer,
                                              uint32_t partition, uint64_t *ret_position,
                                              struct evc_slice *ret_blob);
EVC_MUST_USE int evc_queue_consumer_commit(struct evc_queue_consumer *consumer, uint32_t partition,
                                           uint64_t position, struct evc_slice blob);
EVC_MUST_USE int evc_queue_consumer_backlog(struct evc_queue_consumer *consumer, uint32_t partition,
                                            struct evc_queue_backlog *ret);
int evc_queue_consumer_wake_fd(struct evc_queue_consumer *consumer);
void evc_queue_consumer_wake_clear(struct evc_queue_consumer *consumer);

/** Opens the embedded queue (src/queue/embedded). 0, or a status with *error filled. */
EVC_MUST_USE int evc_queue_embedded_open(const struct evc_queue_options *options,
                                         struct evc_queue **ret, struct evc_error *error);

#endif
