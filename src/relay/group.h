/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One consumer group of a relay at work: polls its partitions of the queue while there is room,
 * hands the records to replication/consume.h, and commits what the books say is done. Where groups
 * are shared at run time (Kafka) partitions come and go: one that goes is committed first, and what
 * of it is still on its way ends without an outcome. Owner: one loop.
 */
#ifndef EVC_RELAY_GROUP_H
#define EVC_RELAY_GROUP_H

#include "net/loop.h"
#include "queue/queue.h"
#include "replication/consume.h"

enum {
    EVC_GROUP_RECORDS_PER_TURN = 32, /* polled in one go, so that answers are not kept waiting */
    EVC_GROUP_COMMIT_MS = 100,
    EVC_GROUP_POLL_MS = 100,  /* looks for records also without being woken */
    EVC_GROUP_FULL_MS = 1000, /* without room for so long: said, and told by evc_group_is_full */
};

struct evc_group {
    struct evc_consume consume;
    struct evc_queue_consumer *consumer;
    struct evc_loop *loop;
    const char *name; /* of the destination; the region's own for repair */
    struct evc_queue_member member;
    uint32_t partitions[EVC_PARTITION_MAX]; /* those it has now */
    unsigned partition_count;
    struct evc_buf blob;
    size_t blob_bytes_max;
    uv_poll_t wake;
    bool is_polling; /* wake is open */
    bool may_have_more;
    bool commit_fails;  /* one of the round now under way has */
    bool commit_failed; /* one of the last round has: all are tried again, moved or not */
    uint64_t commit_due_us, poll_due_us, serve_due_us;
    uint64_t full_us;  /* since when there is no room for a record; 0: there is */
    bool is_full_told; /* in the log */
    uint64_t errors_total;
};

struct evc_group_options {
    struct evc_loop *loop;
    struct evc_queue *queue;
    const char *name;
    const uint32_t *partitions; /* where groups are not shared at run time; copied */
    unsigned partition_count;
    struct evc_ship *ship; /* one of the two */
    struct evc_repair *repair;
};

/** Opens the group's partitions and takes up where they were left. EVC_E_BUSY names the holder. */
EVC_MUST_USE int evc_group_open(struct evc_group *group, const struct evc_group_options *options,
                                struct evc_error *error);

/** Takes records while there are any and there is room, a bounded number. Once per turn. true: more
 * wait. */
bool evc_group_poll(struct evc_group *group);

/** Whether no record could be taken for a while: too much of what was taken has not ended. */
bool evc_group_is_full(const struct evc_group *group);

/**
 * How far the destination is behind in a partition that the group has: what the queue says, and
 * oldest_us no later than the failing event that has waited longest. 0, EVC_E_SYS or EVC_E_CORRUPT.
 * evc_group_note_failing comes before it, once for all partitions.
 */
void evc_group_note_failing(struct evc_group *group);
EVC_MUST_USE int evc_group_backlog(const struct evc_group *group, uint32_t partition,
                                   struct evc_queue_backlog *ret);

/** Commits what is due (all that is done, with is_final). Every tick. */
void evc_group_commit(struct evc_group *group, bool is_final);

/** Stops being woken; the memory of the handle may go when the loop has closed it. */
void evc_group_stop(struct evc_group *group);

/** Closes the consumer and frees; the loop has ended. Accepts one that never opened. */
void evc_group_finish(struct evc_group *group);

#endif
