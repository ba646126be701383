/* SPDX-License-Identifier: Apache-2.0 */
/* See boot.h. The walk reads every byte, and holds the tables against each other. */
#include "queue/embedded/boot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/directory.h"
#include "queue/embedded/store.h"

enum {
    BOOT_ID_BYTES_MAX = 64,
    LMDB_FREE_TABLE = 0, /* as in mdb_stat.c, the only documentation they have */
    LMDB_MAIN_TABLE = 1,
    LMDB_META_PAGES = 2,
};

static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

/** Reads a short file; an absent one is empty. */
static void
read_text(const char *path, char text[BOOT_ID_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, BOOT_ID_BYTES_MAX - 1);

    text[len > 0 ? len : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* --- in the child --- */

/** All records of a partition are there, and their events add up. */
static int
verify_partition(const struct evc_store *store, MDB_txn *txn, uint32_t partition, uint64_t *records,
                 uint64_t *bytes)
{
    struct evc_store_partition state;
    struct evc_store_record record = {0};
    unsigned sum = 0;
    int rc = evc_store_partition_get(store, txn, partition, &state);
    uint64_t position = state.first_position;

    if (rc != 0 || position == state.end_position) {
        return rc;
    }
    for (uint64_t events = 0; position < state.end_position; position++) {
        rc = evc_store_record_get(store, txn, partition, position, &record);
        if (rc != 0 || (position > state.first_position && record.events_before != events)) {
            return MDB_CORRUPTED;
        }
        for (size_t i = 0; i < record.bytes.len; i++) {
            sum += (uint8_t)record.bytes.ptr[i]; /* a page that is not there is found out here */
        }
        events = record.events_before + record.event_count;
        *records += 1;
        *bytes += record.bytes.len;
    }
    *(volatile unsigned *)&sum = sum;
    return record.events_before + record.event_count == state.end_events ? 0 : MDB_CORRUPTED;
}

/** Every group stands somewhere in its partition. */
static int
verify_groups(const struct evc_store *store, MDB_txn *txn)
{
    struct evc_store_partition state;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->groups, &cursor);

    if (rc != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        uint16_t partition;
        uint64_t position;

        if (key.mv_size <= sizeof(partition) || value.mv_size < sizeof(position)) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&partition, key.mv_data, sizeof(partition));
        memcpy(&position, value.mv_data, sizeof(position));
        rc = evc_store_partition_get(store, txn, be16toh(partition), &state);
        if (rc != 0 || position > state.end_position) {
            rc = MDB_CORRUPTED;
            break;
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/** No page is both in use and free: what LMDB gives out next would overwrite what we have. */
static int
verify_pages(const struct evc_store *store, MDB_txn *txn)
{
    const MDB_dbi tables[] = {LMDB_FREE_TABLE, LMDB_MAIN_TABLE, store->partitions,
                              store->records,  store->groups,   store->totals};
    uint64_t pages = LMDB_META_PAGES;
    MDB_envinfo info;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_env_info(store->env, &info);

    for (size_t i = 0; rc == 0 && i < sizeof(tables) / sizeof(tables[0]); i++) {
        MDB_stat stat;

        rc = mdb_stat(txn, tables[i], &stat);
        pages += rc ? 0 : stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    rc = rc ? rc : mdb_cursor_open(txn, LMDB_FREE_TABLE, &cursor);
    if (rc != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t count; /* a list of page numbers begins with their number */

        memcpy(&count, value.mv_data, value.mv_size < sizeof(count) ? 0 : sizeof(count));
        if (value.mv_size < sizeof(count) || count > value.mv_size / sizeof(size_t) - 1) {
            rc = MDB_CORRUPTED;
            break;
        }
        pages += count;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    return pages > info.me_last_pgno + 1 ? MDB_CORRUPTED : 0;
}

static int
verify(const struct evc_store *store, MDB_txn *txn)
{
    uint64_t records = 0, bytes = 0, held;
    MDB_stat stat;
    int rc = verify_pages(store, txn);

    rc = rc ? rc : verify_groups(store, txn);
    for (uint32_t i = 0; rc == 0 && i < EVC_PARTITION_MAX; i++) {
        rc = verify_partition(store, txn, i, &records, &bytes);
    }
    rc = rc ? rc : mdb_stat(txn, store->records, &stat);
    rc = rc ? rc : evc_store_total_get(store, txn, "held", &held);
    if (rc == 0 && (stat.ms_entries != records || held != bytes)) {
        rc = MDB_CORRUPTED;
    }
    return rc;
}

static int
walk(const char *path)
{
    struct evc_store store;
    MDB_txn *txn;
    int rc = evc_store_open(&store, path, 0, EVC_DURABILITY_PROCESS, NULL);

    if (rc != EVC_OK) {
        return rc;
    }
    rc = evc_store_begin(&store, EVC_STORE_READ, &txn);
    if (rc == 0) {
        rc = verify(&store, txn);
        evc_store_abort(&store, txn);
    }
    evc_store_close(&store);
    return rc;
}

/* --- in the parent --- */

/** What the child exits with. */
enum {
    WALK_SOUND,
    WALK_DAMAGED,
    WALK_UNABLE, /* to look */
};

/** Somebody ended the child, or it had no means: that says nothing about the queue. */
static bool
could_not_look(int status)
{
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM ||
               WTERMSIG(status) == SIGINT;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == WALK_UNABLE;
}

/** Whether a child got through the walk; crashing on it is an answer too. */
static int
walk_in_child(const char *path, struct evc_error *error)
{
    int status;
    pid_t child = fork();

    if (child < 0) {
        return evc_error_sys(error, errno, "queue %s: no process to check it", path);
    }
    if (child == 0) {
        int rc;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would hear the answer */
        rc = walk(path);
        _exit(rc == EVC_OK ? WALK_SOUND
              : rc == EVC_E_SYS || rc == EVC_E_NOMEM || rc > 0
                  ? WALK_UNABLE /* a number of the system's, too */
                  : WALK_DAMAGED);
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return evc_error_sys(error, errno, "queue %s: check lost", path);
        }
    }
    if (could_not_look(status)) {
        return evc_error_set(error, EVC_E_SYS,
                             "queue %s could not be checked after the machine was started anew; "
                             "see that this user may read and write it, and that there is memory",
                             path);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != WALK_SOUND) {
        return evc_error_set(error, EVC_E_CORRUPT,
                             "queue %s is damaged, as a power cut can leave it; move it away to "
                             "start empty (events in it are then not replicated)",
                             path);
    }
    return EVC_OK;
}

int
evc_embedded_boot_check(const char *path, struct evc_error *error)
{
    char file[EVC_PATH_BYTES_MAX + 16];
    char now[BOOT_ID_BYTES_MAX], seen[BOOT_ID_BYTES_MAX];
    struct stat data;
    int fd, rc;

    read_text(boot_id_path, now);
    snprintf(file, sizeof(file), "%s/boot", path);
    read_text(file, seen);
    if (now[0] != '\0' && strcmp(now, seen) == 0) {
        return EVC_OK;
    }
    snprintf(file, sizeof(file), "%s/data.mdb", path);
    if (stat(file, &data) == 0 && data.st_size > 0) {
        rc = walk_in_child(path, error);
        if (rc != EVC_OK) {
            return rc;
        }
    }
    snprintf(file, sizeof(file), "%s/boot", path);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return evc_error_sys(error, errno, "%s: cannot be written", file);
    }
    (void)!write(fd, now, strlen(now)); /* not written means checked again */
    close(fd);
    return EVC_OK;
}
