/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer group's half of the embedded queue; see embedded.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/buf.h"
#include "queue/embedded/embedded.h"
#include "queue/record.h"

enum {
    CONSUMER_POLL_BYTES_MAX = 16 * EVC_RECORD_BYTES_MAX, /* of records copied out by one poll */
    CONSUMER_TRIM_PER_COMMIT = 256,
    CONSUMER_PID_TEXT_BYTES = 16,
};

struct consumer_partition {
    uint32_t partition;
    uint64_t next; /* the position to poll next */
    int lock_fd;
};

struct embedded_consumer {
    struct evc_queue_consumer consumer; /* first */
    struct evc_embedded *embedded;
    char group[EVC_GROUP_NAME_LEN_MAX + 1];
    struct consumer_partition *partitions;
    size_t partition_count;
    size_t turn;            /* the partition a poll begins with */
    struct evc_buf records; /* what the last poll handed out */
    struct evc_buf blob;    /* what the last committed handed out */
    int inotify_fd;
};

static struct embedded_consumer *
consumer_of(struct evc_queue_consumer *consumer)
{
    return (struct embedded_consumer *)consumer;
}

/* --- polling --- */

/** Passes over what is no longer kept. MDB_NOTFOUND: at the end. */
static int
skip_removed(struct embedded_consumer *consumer, MDB_txn *txn, struct consumer_partition *partition)
{
    struct evc_store_partition state;
    int rc = evc_store_partition_get(&consumer->embedded->store, txn, partition->partition, &state);

    if (rc == 0 && partition->next < state.first_position) {
        partition->next = state.first_position;
    }
    return rc == 0 && partition->next >= state.end_position ? MDB_NOTFOUND : rc;
}

static int
find_record(struct embedded_consumer *consumer, MDB_txn *txn, struct consumer_partition *partition,
            struct evc_store_record *ret)
{
    const struct evc_store *store = &consumer->embedded->store;
    int rc = evc_store_record_get(store, txn, partition->partition, partition->next, ret);

    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    rc = skip_removed(consumer, txn, partition);
    if (rc == 0) {
        rc = evc_store_record_get(store, txn, partition->partition, partition->next, ret);
        rc = rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc; /* all from first to end are there */
    }
    return rc;
}

/** Copies a partition's next record out. MDB_NOTFOUND: none, or no room for it in this poll. */
static int
take_record(struct embedded_consumer *consumer, MDB_txn *txn, struct consumer_partition *partition,
            struct evc_queue_record *ret)
{
    struct evc_store_record record;
    int rc = find_record(consumer, txn, partition, &record);

    if (rc == 0 && record.bytes.len > EVC_RECORD_BYTES_MAX) {
        rc = MDB_CORRUPTED;
    }
    if (rc != 0) {
        return rc;
    }
    if (evc_buf_len(&consumer->records) + record.bytes.len > CONSUMER_POLL_BYTES_MAX ||
        evc_buf_append(&consumer->records, record.bytes) != EVC_OK) {
        return MDB_NOTFOUND;
    }
    *ret = (struct evc_queue_record){
        .partition = partition->partition,
        .position = partition->next++,
        .bytes = {.ptr = consumer->records.data + consumer->records.write - record.bytes.len,
                  .len = record.bytes.len},
    };
    return 0;
}

/** One record from each partition in turn until max, or none has any. Count, or an LMDB error in
 * *ret_rc. */
static size_t
take_records(struct embedded_consumer *consumer, MDB_txn *txn, struct evc_queue_record *ret,
             size_t max, int *ret_rc)
{
    size_t count = 0;
    size_t idle = 0; /* partitions in a row that had none */

    *ret_rc = 0;
    while (count < max && idle < consumer->partition_count) {
        struct consumer_partition *partition = &consumer->partitions[consumer->turn];
        int rc = take_record(consumer, txn, partition, &ret[count]);

        consumer->turn = (consumer->turn + 1) % consumer->partition_count;
        if (rc == 0) {
            count++;
            idle = 0;
        } else if (rc == MDB_NOTFOUND) {
            idle++;
        } else {
            *ret_rc = rc;
            break;
        }
    }
    return count;
}

static int
consumer_poll(struct evc_queue_consumer *base, struct evc_queue_record *ret, size_t max)
{
    struct embedded_consumer *consumer = consumer_of(base);
    MDB_txn *txn;
    size_t count;
    int rc;

    evc_buf_clear(&consumer->records);
    rc = evc_store_begin(&consumer->embedded->store, EVC_STORE_READ, &txn);
    if (rc != 0) {
        return evc_embedded_status(consumer->embedded, rc, NULL);
    }
    count = take_records(consumer, txn, ret, max, &rc);
    evc_store_abort(&consumer->embedded->store, txn);
    return count > 0 ? (int)count : evc_embedded_status(consumer->embedded, rc, NULL);
}

/* --- positions --- */

static int
read_group(struct embedded_consumer *consumer, uint32_t partition, uint64_t *ret_position)
{
    struct evc_store_group group;
    MDB_txn *txn;
    int rc = evc_store_begin(&consumer->embedded->store, EVC_STORE_READ, &txn);

    if (rc != 0) {
        return evc_embedded_status(consumer->embedded, rc, NULL);
    }
    rc = evc_store_group_get(&consumer->embedded->store, txn, consumer->group, partition, &group);
    evc_buf_clear(&consumer->blob);
    if (rc == 0 && evc_buf_append(&consumer->blob, group.blob) != EVC_OK) {
        rc = ENOMEM;
    }
    evc_store_abort(&consumer->embedded->store, txn);
    if (rc == 0) {
        *ret_position = group.position;
    }
    return evc_embedded_status(consumer->embedded, rc, NULL);
}

static int
consumer_committed(struct evc_queue_consumer *base, uint32_t partition, uint64_t *ret_position,
                   struct evc_slice *ret_blob)
{
    struct embedded_consumer *consumer = consumer_of(base);
    int rc = read_group(consumer, partition, ret_position);

    *ret_blob = evc_buf_slice(&consumer->blob);
    return rc;
}

static int
commit_in(struct embedded_consumer *consumer, MDB_txn *txn, uint32_t partition, uint64_t position,
          struct evc_slice blob)
{
    struct evc_embedded *embedded = consumer->embedded;
    struct evc_store_group group = {.position = position, .blob = blob};
    int rc =
        evc_store_events_before(&embedded->store, txn, partition, position, &group.events_before);

    rc = rc ? rc : evc_store_group_put(&embedded->store, txn, consumer->group, partition, &group);
    return rc ? rc : evc_embedded_trim(embedded, txn, partition, CONSUMER_TRIM_PER_COMMIT);
}

/** An LMDB status. */
static int
try_commit(struct embedded_consumer *consumer, uint32_t partition, uint64_t position,
           struct evc_slice blob)
{
    struct evc_store *store = &consumer->embedded->store;
    MDB_txn *txn;
    int rc = evc_store_begin(store, EVC_STORE_WRITE, &txn);

    if (rc != 0) {
        return rc;
    }
    rc = commit_in(consumer, txn, partition, position, blob);
    if (rc != 0) {
        evc_store_abort(store, txn);
        return rc;
    }
    return evc_store_commit(store, txn);
}

static int
consumer_commit(struct evc_queue_consumer *base, uint32_t partition, uint64_t position,
                struct evc_slice blob)
{
    struct embedded_consumer *consumer = consumer_of(base);
    int rc;

    if (blob.len > EVC_QUEUE_BLOB_BYTES_MAX) {
        return EVC_E_LIMIT;
    }
    rc = try_commit(consumer, partition, position, blob);
    /* A full queue must be able to drain: even deleting takes a page or two. */
    if (rc == MDB_MAP_FULL && evc_store_forget_dead_readers(&consumer->embedded->store)) {
        rc = try_commit(consumer, partition, position, blob);
    }
    if (rc == MDB_MAP_FULL && evc_store_grow(&consumer->embedded->store) == 0) {
        rc = try_commit(consumer, partition, position, blob);
    }
    return rc == MDB_NOTFOUND ? EVC_E_INVALID : evc_embedded_status(consumer->embedded, rc, NULL);
}

static int
backlog_in(struct embedded_consumer *consumer, MDB_txn *txn, uint32_t partition,
           struct evc_queue_backlog *ret)
{
    const struct evc_store *store = &consumer->embedded->store;
    struct evc_store_partition state;
    struct evc_store_group group;
    struct evc_store_record oldest;
    uint64_t from;
    int rc = evc_store_partition_get(store, txn, partition, &state);

    rc = rc ? rc : evc_store_group_get(store, txn, consumer->group, partition, &group);
    if (rc != 0) {
        return rc;
    }
    /* A group that is new here does not get what was removed before it came. */
    from = group.position > state.first_position ? group.position : state.first_position;
    *ret = (struct evc_queue_backlog){.records = state.end_position - from};
    if (ret->records == 0) {
        return 0;
    }
    rc = evc_store_record_get(store, txn, partition, from, &oldest);
    if (rc == 0) {
        ret->events = state.end_events - oldest.events_before;
        ret->oldest_us = oldest.appended_us;
    }
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

static int
consumer_backlog(struct evc_queue_consumer *base, uint32_t partition, struct evc_queue_backlog *ret)
{
    struct embedded_consumer *consumer = consumer_of(base);
    MDB_txn *txn;
    int rc = evc_store_begin(&consumer->embedded->store, EVC_STORE_READ, &txn);

    if (rc == 0) {
        rc = backlog_in(consumer, txn, partition, ret);
        evc_store_abort(&consumer->embedded->store, txn);
    }
    return evc_embedded_status(consumer->embedded, rc, NULL);
}

/* --- waking --- */

static int
consumer_wake_fd(struct evc_queue_consumer *base)
{
    return consumer_of(base)->inotify_fd;
}

static void
consumer_wake_clear(struct evc_queue_consumer *base)
{
    char events[4096];

    while (read(consumer_of(base)->inotify_fd, events, sizeof(events)) > 0) {
    }
}

/* --- open and close --- */

static void
consumer_close(struct evc_queue_consumer *base)
{
    struct embedded_consumer *consumer = consumer_of(base);

    for (size_t i = 0; i < consumer->partition_count; i++) {
        if (consumer->partitions[i].lock_fd >= 0) {
            close(consumer->partitions[i].lock_fd); /* and so the lock goes */
        }
    }
    if (consumer->inotify_fd >= 0) {
        close(consumer->inotify_fd);
    }
    evc_buf_finish(&consumer->records);
    evc_buf_finish(&consumer->blob);
    free(consumer->partitions);
    free(consumer);
}

static const struct evc_queue_consumer_ops consumer_ops = {
    .close = consumer_close,
    .poll = consumer_poll,
    .committed = consumer_committed,
    .commit = consumer_commit,
    .backlog = consumer_backlog,
    .wake_fd = consumer_wake_fd,
    .wake_clear = consumer_wake_clear,
};

static int
lock_partition(struct embedded_consumer *consumer, struct consumer_partition *partition,
               struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX + EVC_GROUP_NAME_LEN_MAX + 32];
    char pid[CONSUMER_PID_TEXT_BYTES] = "";
    int len;

    snprintf(path, sizeof(path), "%s/locks/%s-%u", consumer->embedded->path, consumer->group,
             partition->partition);
    partition->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (partition->lock_fd < 0) {
        return evc_error_sys(error, errno, "%s: cannot be opened", path);
    }
    if (flock(partition->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (pread(partition->lock_fd, pid, sizeof(pid) - 1, 0) < 0) {
            pid[0] = '\0';
        }
        return evc_error_set(
            error, EVC_E_BUSY,
            "partition %u of group %s is read by process %s; is this relay running "
            "already?",
            partition->partition, consumer->group, pid[0] == '\0' ? "(unknown)" : pid);
    }
    len = snprintf(pid, sizeof(pid), "%d", (int)getpid());
    /* Only for the message above. On a full disk it fails, and draining must be possible then. */
    if (ftruncate(partition->lock_fd, 0) == 0) {
        (void)!pwrite(partition->lock_fd, pid, (size_t)len, 0);
    }
    return EVC_OK;
}

static int
take_partitions(struct embedded_consumer *consumer, const uint32_t *partitions,
                struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX + 16];
    int rc;

    snprintf(path, sizeof(path), "%s/locks", consumer->embedded->path);
    rc = evc_directory_make(path, error);
    for (size_t i = 0; rc == EVC_OK && i < consumer->partition_count; i++) {
        consumer->partitions[i].partition = partitions[i];
        rc = lock_partition(consumer, &consumer->partitions[i], error);
        rc = rc ? rc : read_group(consumer, partitions[i], &consumer->partitions[i].next);
    }
    return rc;
}

static int
watch_bell(struct embedded_consumer *consumer, struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX + 16];

    snprintf(path, sizeof(path), "%s/bell", consumer->embedded->path);
    consumer->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (consumer->inotify_fd < 0 || inotify_add_watch(consumer->inotify_fd, path, IN_MODIFY) < 0) {
        return evc_error_sys(
            error, errno, "%s: cannot be watched (see sysctl fs.inotify.max_user_instances)", path);
    }
    return EVC_OK;
}

static struct embedded_consumer *
consumer_create(struct evc_embedded *embedded, const char *group, size_t partition_count)
{
    struct embedded_consumer *consumer = calloc(1, sizeof(*consumer));
    char *tail;

    if (!consumer) {
        return NULL;
    }
    consumer->consumer.ops = &consumer_ops;
    consumer->embedded = embedded;
    consumer->inotify_fd = -1;
    snprintf(consumer->group, sizeof(consumer->group), "%s", group);
    evc_buf_init(&consumer->records, CONSUMER_POLL_BYTES_MAX);
    evc_buf_init(&consumer->blob, EVC_QUEUE_BLOB_BYTES_MAX);
    consumer->partitions = calloc(partition_count + 1, sizeof(*consumer->partitions));
    /* All of it now: records handed out by one poll must not move when the next is copied. */
    if (!consumer->partitions ||
        evc_buf_reserve(&consumer->records, CONSUMER_POLL_BYTES_MAX, &tail) != EVC_OK) {
        consumer_close(&consumer->consumer);
        return NULL;
    }
    consumer->partition_count = partition_count;
    for (size_t i = 0; i < partition_count; i++) {
        consumer->partitions[i].lock_fd = -1;
    }
    return consumer;
}

int
evc_embedded_consumer_open(struct evc_queue *queue, const char *group, const uint32_t *partitions,
                           size_t partition_count, struct evc_queue_consumer **ret,
                           struct evc_error *error)
{
    struct embedded_consumer *consumer;
    int rc;

    assert(strlen(group) <= EVC_GROUP_NAME_LEN_MAX);
    consumer = consumer_create((struct evc_embedded *)queue, group, partition_count);
    if (!consumer) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    rc = watch_bell(consumer, error);
    rc = rc ? rc : take_partitions(consumer, partitions, error);
    if (rc != EVC_OK) {
        consumer_close(&consumer->consumer);
        return rc;
    }
    *ret = &consumer->consumer;
    return EVC_OK;
}
