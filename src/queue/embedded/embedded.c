/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, appending and trimming; see embedded.h. */
#include "queue/embedded/embedded.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/embedded/boot.h"
#include "queue/record.h"

enum {
    EMBEDDED_MAP_SPARE_BYTES = 64 * 1024 * 1024,
    EMBEDDED_MAP_TIMES =
        4, /* a record of one event on a page half full takes some three times itself */
    EMBEDDED_TRIM_WHEN_FULL = 4096,    /* records of each partition */
    EMBEDDED_FIRST_BYTES = 128 * 1024, /* of the data file: more than an empty queue has */
    STAT_BLOCK_BYTES = 512,
};

int
evc_embedded_status(const struct evc_embedded *embedded, int lmdb_status, struct evc_error *error)
{
    switch (lmdb_status) {
    case 0:
        return EVC_OK;
    case MDB_MAP_FULL:
        return evc_error_set(error, EVC_E_FULL, "queue %s is full; raise queue.size",
                             embedded->path);
    case MDB_PANIC:
        return evc_error_set(error, EVC_E_SYS,
                             "queue %s: its disk failed a write; restart this process when that is "
                             "mended",
                             embedded->path);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return evc_error_set(error, EVC_E_CORRUPT,
                             "queue %s is damaged; move it away to start empty", embedded->path);
    case ENOSPC:
        return evc_error_sys(error, ENOSPC, "queue %s: free some room on its disk", embedded->path);
    default:
        return evc_error_set(error, EVC_E_SYS, "queue %s: %s", embedded->path,
                             mdb_strerror(lmdb_status));
    }
}

/** The position behind which no group needs a partition any more. */
static int
passed_by_all(struct evc_embedded *embedded, MDB_txn *txn, uint32_t partition, uint64_t *ret)
{
    *ret = UINT64_MAX;
    for (size_t i = 0; i < embedded->group_count; i++) {
        struct evc_store_group group;
        int rc = evc_store_group_get(&embedded->store, txn, embedded->groups[i], partition, &group);

        if (rc != 0) {
            return rc;
        }
        if (group.position < *ret) {
            *ret = group.position;
        }
    }
    return 0;
}

int
evc_embedded_trim(struct evc_embedded *embedded, MDB_txn *txn, uint32_t partition, unsigned max)
{
    uint64_t before;
    int rc = passed_by_all(embedded, txn, partition, &before);

    return rc ? rc : evc_store_trim(&embedded->store, txn, partition, before, max);
}

/** Whether len more bytes fit under the bound, after trimming what may go. */
static int
make_room(struct evc_embedded *embedded, MDB_txn *txn, uint64_t len, bool *ret_fits)
{
    uint64_t held;
    int rc = evc_store_total_get(&embedded->store, txn, "held", &held);

    for (uint32_t p = 0;
         rc == 0 && held + len > embedded->bytes_max && p < embedded->partition_count; p++) {
        rc = evc_embedded_trim(embedded, txn, p, EMBEDDED_TRIM_WHEN_FULL);
        rc = rc ? rc : evc_store_total_get(&embedded->store, txn, "held", &held);
    }
    *ret_fits = held + len <= embedded->bytes_max;
    return rc;
}

static int
put_items(struct evc_embedded *embedded, MDB_txn *txn, const struct evc_queue_item *items,
          size_t count, bool *ret_fits)
{
    uint64_t now_us = evc_clock_unix_us();
    uint64_t len = 0;
    int rc;

    for (size_t i = 0; i < count; i++) {
        assert(items[i].partition < embedded->partition_count);
        assert(items[i].record.len <= EVC_RECORD_BYTES_MAX);
        len += items[i].record.len;
    }
    rc = make_room(embedded, txn, len, ret_fits);
    for (size_t i = 0; rc == 0 && *ret_fits && i < count; i++) {
        rc = evc_store_record_put(&embedded->store, txn, &items[i], now_us);
    }
    return rc;
}

static int
try_append(struct evc_embedded *embedded, const struct evc_queue_item *items, size_t count,
           bool *ret_fits)
{
    MDB_txn *txn;
    int rc = evc_store_begin(&embedded->store, EVC_STORE_WRITE, &txn);

    *ret_fits = false;
    if (rc != 0) {
        return rc;
    }
    rc = put_items(embedded, txn, items, count, ret_fits);
    if (rc != 0) {
        evc_store_abort(&embedded->store, txn);
        return rc;
    }
    /* Also when nothing was put: trimming may have been done. */
    return evc_store_commit(&embedded->store, txn);
}

static int
append_all(struct evc_embedded *embedded, const struct evc_queue_item *items, size_t count,
           struct evc_error *error)
{
    bool fits;
    int rc = try_append(embedded, items, count, &fits);

    if (rc == MDB_MAP_FULL && evc_store_forget_dead_readers(&embedded->store)) {
        rc = try_append(embedded, items, count, &fits);
    }
    if (rc != 0) {
        return evc_embedded_status(embedded, rc, error);
    }
    if (!fits) {
        return evc_error_set(error, EVC_E_FULL,
                             "queue %s holds its %llu bytes; a destination is behind, or raise "
                             "queue.size",
                             embedded->path, (unsigned long long)embedded->bytes_max);
    }
    /* Without the bell consumers find out a little later by themselves. */
    (void)!pwrite(embedded->bell_fd, "!", 1, 0);
    return EVC_OK;
}

static int
embedded_append(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
                struct evc_error *error)
{
    int rc = append_all((struct evc_embedded *)queue, items, count, error);

    for (size_t i = 0; i < count; i++) {
        items[i].status = rc;
    }
    return rc;
}

static unsigned
embedded_partitions(struct evc_queue *queue)
{
    return ((struct evc_embedded *)queue)->partition_count;
}

static int
embedded_usage(struct evc_queue *queue, uint64_t *ret_bytes, uint64_t *ret_bytes_max)
{
    struct evc_embedded *embedded = (struct evc_embedded *)queue;
    MDB_txn *txn;
    int rc = evc_store_begin(&embedded->store, EVC_STORE_READ, &txn);

    if (rc == 0) {
        rc = evc_store_total_get(&embedded->store, txn, "held", ret_bytes);
        evc_store_abort(&embedded->store, txn);
    }
    *ret_bytes_max = embedded->bytes_max;
    return evc_embedded_status(embedded, rc, NULL);
}

/* --- open and close --- */

static void
embedded_close(struct evc_queue *queue)
{
    struct evc_embedded *embedded = (struct evc_embedded *)queue;

    evc_store_close(&embedded->store);
    if (embedded->bell_fd >= 0) {
        close(embedded->bell_fd);
    }
    free(embedded->groups);
    free(embedded);
}

static const struct evc_queue_ops embedded_ops = {
    .close = embedded_close,
    .append = embedded_append,
    .usage = embedded_usage,
    .partitions = embedded_partitions,
    .consumer_open = evc_embedded_consumer_open,
};

/** Partitions may grow from one start to the next, never shrink. */
static int
settle_partitions(struct evc_embedded *embedded, struct evc_error *error)
{
    uint64_t stored;
    MDB_txn *txn;
    int rc = evc_store_begin(&embedded->store, EVC_STORE_WRITE, &txn);

    if (rc != 0) {
        return evc_embedded_status(embedded, rc, error);
    }
    rc = evc_store_total_get(&embedded->store, txn, "partitions", &stored);
    if (rc == 0 && stored > embedded->partition_count) {
        evc_store_abort(&embedded->store, txn);
        return evc_error_set(
            error, EVC_E_CONFIG,
            "queue %s has %llu partitions, the configuration says %u; partitions can "
            "be added but not taken away",
            embedded->path, (unsigned long long)stored, embedded->partition_count);
    }
    rc = rc ? rc
            : evc_store_total_put(&embedded->store, txn, "partitions", embedded->partition_count);
    if (rc != 0) {
        evc_store_abort(&embedded->store, txn);
        return evc_embedded_status(embedded, rc, error);
    }
    return evc_embedded_status(embedded, evc_store_commit(&embedded->store, txn), error);
}

static int
copy_groups(struct evc_embedded *embedded, const struct evc_queue_options *options,
            struct evc_error *error)
{
    embedded->groups = calloc(options->group_count + 1, sizeof(*embedded->groups));
    if (!embedded->groups) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    embedded->group_count = options->group_count;
    for (size_t i = 0; i < options->group_count; i++) {
        assert(strlen(options->groups[i]) <= EVC_GROUP_NAME_LEN_MAX);
        snprintf(embedded->groups[i], sizeof(embedded->groups[i]), "%s", options->groups[i]);
    }
    return EVC_OK;
}

/** size: what the file has now, 0 if it is not there. */
static int
take_room(const char *path, int mode, off_t bytes, off_t size, struct evc_error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int rc = EVC_OK;

    if (fd < 0) {
        return evc_error_sys(error, errno, "%s: cannot be opened", path);
    }
    if (fallocate(fd, mode, 0, bytes) != 0 && errno != EOPNOTSUPP) {
        rc = evc_error_sys(error, errno, "%s: no room for %lld bytes; free some on its disk", path,
                           (long long)bytes);
        if (size == 0) {
            (void)!ftruncate(fd, 0); /* gives back what there was */
        }
    }
    close(fd);
    return rc;
}

/**
 * Takes room for LMDB's files before LMDB opens them. Its table of readers it makes a file with
 * holes, and writes to it in memory: on a full disk a signal. What it writes to the data file is an
 * error then, but one with half a beginning would not open again; so that room is taken beside an
 * empty file. A table that has its room is not even opened: closing it would end the locks this
 * process may have on it.
 */
static int
take_room_for_all(const char *directory, struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX + 16];
    struct stat file;
    int rc = EVC_OK;

    snprintf(path, sizeof(path), "%s/lock.mdb", directory);
    if (stat(path, &file) != 0 || file.st_size == 0) {
        rc = take_room(path, 0, EVC_STORE_LOCK_BYTES, 0, error);
    } else if (file.st_blocks * STAT_BLOCK_BYTES < file.st_size) {
        rc = take_room(path, 0, file.st_size, file.st_size, error);
    }
    snprintf(path, sizeof(path), "%s/data.mdb", directory);
    if (rc == EVC_OK && (stat(path, &file) != 0 || file.st_size == 0)) {
        rc = take_room(path, FALLOC_FL_KEEP_SIZE, EMBEDDED_FIRST_BYTES, 0, error);
    }
    return rc;
}

static int
open_bell(struct evc_embedded *embedded, struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX + 16];

    snprintf(path, sizeof(path), "%s/bell", embedded->path);
    embedded->bell_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (embedded->bell_fd < 0) {
        return evc_error_sys(error, errno, "%s: cannot be opened", path);
    }
    return EVC_OK;
}

int
evc_queue_embedded_open(const struct evc_queue_options *options, struct evc_queue **ret,
                        struct evc_error *error)
{
    struct evc_embedded *embedded = calloc(1, sizeof(*embedded));
    int rc;

    assert(options->partition_count >= 1 && options->partition_count <= EVC_PARTITION_MAX);
    if (!embedded) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    embedded->queue.ops = &embedded_ops;
    embedded->bell_fd = -1;
    embedded->partition_count = options->partition_count;
    embedded->bytes_max = options->bytes_max;
    rc = evc_directory_make(options->path, error);
    if (rc == EVC_OK) {
        snprintf(embedded->path, sizeof(embedded->path), "%s", options->path);
        rc = copy_groups(embedded, options, error);
    }
    rc = rc ? rc : take_room_for_all(options->path, error);
    rc = rc ? rc : evc_embedded_boot_check(options->path, error);
    rc = rc ? rc : open_bell(embedded, error);
    /* Room in the address space, not on the disk: the bound is on bytes held. */
    rc = rc ? rc
            : evc_store_open(&embedded->store, options->path,
                             options->bytes_max * EMBEDDED_MAP_TIMES + EMBEDDED_MAP_SPARE_BYTES,
                             options->durability, error);
    rc = rc ? rc : settle_partitions(embedded, error);
    if (rc != EVC_OK) {
        embedded_close(&embedded->queue);
        return rc;
    }
    *ret = &embedded->queue;
    return EVC_OK;
}
