/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded queue: one LMDB environment in a directory that processes of one machine share, a
 * `bell` file whose writes wake consumers of other processes (inotify), and
 * `locks/<group>-<partition>` files that keep a (group, partition) to one process.
 *
 * Durability. PROCESS: LMDB hands pages to the kernel and does not ask it to sync (MDB_NOSYNC).
 * Nothing appended or committed is lost by the death of any process. A power cut or a kernel crash
 * can lose what the kernel had not written, some 30 s as a rule, and since the kernel orders
 * nothing it can leave pages of different ages: the whole queue may have to be given up. It is
 * checked once after every boot (boot.h) and refused with EVC_E_CORRUPT if it does not hold; a
 * record whose bytes were lost fails its own checksum. Then the directory is to be moved away:
 * events in it are not replicated, values in the nodes are untouched. MDB_NOMETASYNC would keep the
 * structure, for one sync per append where POWER pays two. POWER: every append and commit is on the
 * disk when it returns.
 *
 * Private to this folder: others see queue.h.
 */
#ifndef EVC_QUEUE_EMBEDDED_EMBEDDED_H
#define EVC_QUEUE_EMBEDDED_EMBEDDED_H

#include "base/directory.h"
#include "queue/embedded/store.h"

struct evc_embedded {
    struct evc_queue queue; /* first */
    struct evc_store store;
    char path[EVC_PATH_BYTES_MAX];
    unsigned partition_count;
    uint64_t bytes_max;
    char (*groups)[EVC_GROUP_NAME_LEN_MAX + 1];
    size_t group_count;
    int bell_fd;
};

/** The consumer half (consumer.c); see struct evc_queue_ops. */
EVC_MUST_USE int evc_embedded_consumer_open(struct evc_queue *queue, const char *group,
                                            const uint32_t *partitions, size_t partition_count,
                                            struct evc_queue_consumer **ret,
                                            struct evc_error *error);

/** Trims a partition behind the position all groups have passed; at most max records. LMDB's
 * status. */
EVC_MUST_USE int evc_embedded_trim(struct evc_embedded *embedded, MDB_txn *txn, uint32_t partition,
                                   unsigned max);

/** What an LMDB status means outside: EVC_E_FULL, EVC_E_CORRUPT or EVC_E_SYS; fills *error (may be
 * NULL). */
int evc_embedded_status(const struct evc_embedded *embedded, int lmdb_status,
                        struct evc_error *error);

#endif
