/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h. Numbers inside values are in the machine's own order: the file stays on its machine.
 */
#include "queue/embedded/store.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

enum {
    STORE_KEY_BYTES_MAX = 2 + EVC_GROUP_NAME_LEN_MAX,
    STORE_RECORD_HEAD_BYTES = 3 * 8,
    STORE_GROUP_HEAD_BYTES = 2 * 8,
    STORE_GROW_BYTES = 16 * 1024 * 1024,
    STORE_RESIZES_MAX = 8, /* of other processes, one after the other, while we begin */
};

static const char store_held[] = "held";

/* --- keys --- */

static MDB_val
partition_key(uint32_t partition, uint16_t *space)
{
    *space = htobe16((uint16_t)partition);
    return (MDB_val){.mv_size = sizeof(*space), .mv_data = space};
}

static MDB_val
record_key(uint32_t partition, uint64_t position, char space[10])
{
    uint16_t be_partition = htobe16((uint16_t)partition);
    uint64_t be_position = htobe64(position);

    memcpy(space, &be_partition, sizeof(be_partition));
    memcpy(space + 2, &be_position, sizeof(be_position));
    return (MDB_val){.mv_size = 10, .mv_data = space};
}

static MDB_val
group_key(const char *group, uint32_t partition, char space[STORE_KEY_BYTES_MAX])
{
    uint16_t be_partition = htobe16((uint16_t)partition);
    size_t len = strlen(group);

    assert(len >= 1 && len <= EVC_GROUP_NAME_LEN_MAX);
    memcpy(space, &be_partition, sizeof(be_partition));
    memcpy(space + 2, group, len);
    return (MDB_val){.mv_size = 2 + len, .mv_data = space};
}

/* --- totals --- */

int
evc_store_total_get(const struct evc_store *store, MDB_txn *txn, const char *name, uint64_t *ret)
{
    MDB_val key = {.mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name};
    MDB_val value;
    int rc = mdb_get(txn, store->totals, &key, &value);

    *ret = 0;
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc == 0) {
        if (value.mv_size != sizeof(*ret)) {
            return MDB_CORRUPTED;
        }
        memcpy(ret, value.mv_data, sizeof(*ret));
    }
    return rc;
}

int
evc_store_total_put(const struct evc_store *store, MDB_txn *txn, const char *name, uint64_t value)
{
    MDB_val key = {.mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name};
    MDB_val data = {.mv_size = sizeof(value), .mv_data = &value};

    return mdb_put(txn, store->totals, &key, &data, 0);
}

/** delta may be negative. */
static int
change_held(const struct evc_store *store, MDB_txn *txn, int64_t delta)
{
    uint64_t held;
    int rc = evc_store_total_get(store, txn, store_held, &held);

    return rc ? rc : evc_store_total_put(store, txn, store_held, held + (uint64_t)delta);
}

/* --- partitions and records --- */

int
evc_store_partition_get(const struct evc_store *store, MDB_txn *txn, uint32_t partition,
                        struct evc_store_partition *ret)
{
    uint16_t space;
    MDB_val key = partition_key(partition, &space);
    MDB_val value;
    int rc = mdb_get(txn, store->partitions, &key, &value);

    *ret = (struct evc_store_partition){0};
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc == 0) {
        if (value.mv_size != sizeof(*ret)) {
            return MDB_CORRUPTED;
        }
        memcpy(ret, value.mv_data, sizeof(*ret));
    }
    return rc;
}

static int
partition_put(const struct evc_store *store, MDB_txn *txn, uint32_t partition,
              struct evc_store_partition *state)
{
    uint16_t space;
    MDB_val key = partition_key(partition, &space);
    MDB_val value = {.mv_size = sizeof(*state), .mv_data = state};

    return mdb_put(txn, store->partitions, &key, &value, 0);
}

int
evc_store_record_put(const struct evc_store *store, MDB_txn *txn, const struct evc_queue_item *item,
                     uint64_t now_us)
{
    struct evc_store_partition state;
    char space[10];
    MDB_val key, value = {.mv_size = STORE_RECORD_HEAD_BYTES + item->record.len};
    int rc = evc_store_partition_get(store, txn, item->partition, &state);

    if (rc != 0) {
        return rc;
    }
    uint64_t head[3] = {state.end_events, now_us, item->event_count};

    key = record_key(item->partition, state.end_position, space);
    rc = mdb_put(txn, store->records, &key, &value, MDB_RESERVE);
    if (rc != 0) {
        return rc;
    }
    memcpy(value.mv_data, head, sizeof(head));
    memcpy((char *)value.mv_data + sizeof(head), item->record.ptr, item->record.len);
    state.end_position++;
    state.end_events += item->event_count;
    rc = partition_put(store, txn, item->partition, &state);
    return rc ? rc : change_held(store, txn, (int64_t)item->record.len);
}

int
evc_store_record_get(const struct evc_store *store, MDB_txn *txn, uint32_t partition,
                     uint64_t position, struct evc_store_record *ret)
{
    char space[10];
    uint64_t head[3];
    MDB_val key = record_key(partition, position, space);
    MDB_val value;
    int rc = mdb_get(txn, store->records, &key, &value);

    if (rc != 0) {
        return rc;
    }
    if (value.mv_size < sizeof(head)) {
        return MDB_CORRUPTED;
    }
    memcpy(head, value.mv_data, sizeof(head));
    *ret = (struct evc_store_record){
        .events_before = head[0],
        .appended_us = head[1],
        .event_count = head[2],
        .bytes = {.ptr = (char *)value.mv_data + sizeof(head), .len = value.mv_size - sizeof(head)},
    };
    return 0;
}

int
evc_store_trim(const struct evc_store *store, MDB_txn *txn, uint32_t partition, uint64_t before,
               unsigned max)
{
    struct evc_store_partition state;
    int64_t freed = 0;
    int rc = evc_store_partition_get(store, txn, partition, &state);
    uint64_t first = state.first_position;

    if (before > state.end_position) {
        before = state.end_position; /* nobody waits for anything */
    }
    for (unsigned i = 0; rc == 0 && i < max && first < before; i++) {
        struct evc_store_record record;
        char space[10];
        MDB_val key = record_key(partition, first, space);

        rc = evc_store_record_get(store, txn, partition, first, &record);
        if (rc == 0) {
            freed += (int64_t)record.bytes.len;
            rc = mdb_del(txn, store->records, &key, NULL);
        }
        first++;
    }
    if (rc != 0 || first == state.first_position) {
        return rc;
    }
    state.first_position = first;
    rc = partition_put(store, txn, partition, &state);
    return rc ? rc : change_held(store, txn, -freed);
}

int
evc_store_events_before(const struct evc_store *store, MDB_txn *txn, uint32_t partition,
                        uint64_t position, uint64_t *ret)
{
    struct evc_store_partition state;
    struct evc_store_record record;
    int rc = evc_store_partition_get(store, txn, partition, &state);

    if (rc != 0 || position > state.end_position) {
        return rc ? rc : MDB_NOTFOUND;
    }
    if (position < state.first_position) {
        position = state.first_position;
    }
    if (position == state.end_position) {
        *ret = state.end_events;
        return 0;
    }
    rc = evc_store_record_get(store, txn, partition, position, &record);
    if (rc == 0) {
        *ret = record.events_before;
    }
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

/* --- groups --- */

int
evc_store_group_get(const struct evc_store *store, MDB_txn *txn, const char *group,
                    uint32_t partition, struct evc_store_group *ret)
{
    char space[STORE_KEY_BYTES_MAX];
    uint64_t head[2];
    MDB_val key = group_key(group, partition, space);
    MDB_val value;
    int rc = mdb_get(txn, store->groups, &key, &value);

    *ret = (struct evc_store_group){.blob = EVC_SLICE("")};
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc != 0) {
        return rc;
    }
    if (value.mv_size < sizeof(head)) {
        return MDB_CORRUPTED;
    }
    memcpy(head, value.mv_data, sizeof(head));
    *ret = (struct evc_store_group){
        .position = head[0],
        .events_before = head[1],
        .blob = {.ptr = (char *)value.mv_data + sizeof(head), .len = value.mv_size - sizeof(head)},
    };
    return 0;
}

int
evc_store_group_put(const struct evc_store *store, MDB_txn *txn, const char *group,
                    uint32_t partition, const struct evc_store_group *group_value)
{
    char space[STORE_KEY_BYTES_MAX];
    uint64_t head[2] = {group_value->position, group_value->events_before};
    MDB_val key = group_key(group, partition, space);
    MDB_val value = {.mv_size = STORE_GROUP_HEAD_BYTES + group_value->blob.len};
    int rc = mdb_put(txn, store->groups, &key, &value, MDB_RESERVE);

    if (rc == 0) {
        memcpy(value.mv_data, head, sizeof(head));
        memcpy((char *)value.mv_data + sizeof(head), group_value->blob.ptr, group_value->blob.len);
    }
    return rc;
}

/* --- transactions --- */

/** 0 for bytes: what the process that grew the database has made of it. */
static int
resize(struct evc_store *store, uint64_t bytes)
{
    int rc;

    pthread_rwlock_wrlock(&store->map_lock);
    rc = mdb_env_set_mapsize(store->env, bytes);
    pthread_rwlock_unlock(&store->map_lock);
    return rc;
}

int
evc_store_grow(struct evc_store *store)
{
    MDB_envinfo info;
    int rc = mdb_env_info(store->env, &info);

    return rc ? rc : resize(store, info.me_mapsize + STORE_GROW_BYTES);
}

bool
evc_store_forget_dead_readers(struct evc_store *store)
{
    int dead = 0;

    return mdb_reader_check(store->env, &dead) == 0 && dead > 0;
}

int
evc_store_begin(struct evc_store *store, enum evc_store_access access, MDB_txn **ret)
{
    int rc = MDB_MAP_RESIZED;

    for (unsigned i = 0; i < STORE_RESIZES_MAX && rc == MDB_MAP_RESIZED; i++) {
        pthread_rwlock_rdlock(&store->map_lock);
        rc = mdb_txn_begin(store->env, NULL, access == EVC_STORE_READ ? MDB_RDONLY : 0, ret);
        if (rc == 0) {
            return 0; /* with the lock held */
        }
        pthread_rwlock_unlock(&store->map_lock);
        if (rc == MDB_MAP_RESIZED && resize(store, 0) != 0) {
            break;
        }
    }
    return rc;
}

int
evc_store_commit(struct evc_store *store, MDB_txn *txn)
{
    int rc = mdb_txn_commit(txn);

    pthread_rwlock_unlock(&store->map_lock);
    return rc;
}

void
evc_store_abort(struct evc_store *store, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&store->map_lock);
}

/* --- open and close --- */

static int
open_tables(struct evc_store *store)
{
    static const char *const names[] = {"partitions", "records", "groups", "totals"};
    MDB_dbi *tables[] = {&store->partitions, &store->records, &store->groups, &store->totals};
    MDB_txn *txn;
    int rc = evc_store_begin(store, EVC_STORE_WRITE, &txn);

    if (rc != 0) {
        return rc;
    }
    for (unsigned i = 0; i < 4 && rc == 0; i++) {
        rc = mdb_dbi_open(txn, names[i], MDB_CREATE, tables[i]);
    }
    if (rc != 0) {
        evc_store_abort(store, txn);
        return rc;
    }
    return evc_store_commit(store, txn);
}

int
evc_store_open(struct evc_store *store, const char *path, uint64_t map_bytes,
               enum evc_durability durability, struct evc_error *error)
{
    unsigned flags = MDB_NOTLS | (durability == EVC_DURABILITY_PROCESS ? MDB_NOSYNC : 0);
    int dead;
    int rc = mdb_env_create(&store->env);

    if (rc != 0) {
        store->env = NULL;
        return evc_error_set(error, EVC_E_NOMEM, "queue %s: %s", path, mdb_strerror(rc));
    }
    pthread_rwlock_init(&store->map_lock, NULL);
    rc = mdb_env_set_maxdbs(store->env, 4);
    rc = rc ? rc : mdb_env_set_maxreaders(store->env, EVC_STORE_READERS_MAX);
    rc = rc ? rc : mdb_env_set_mapsize(store->env, map_bytes);
    rc = rc ? rc : mdb_env_open(store->env, path, flags, 0666);
    /* Readers that were killed would keep old pages from being used again. */
    rc = rc ? rc : mdb_reader_check(store->env, &dead);
    rc = rc ? rc : open_tables(store);
    if (rc != 0) {
        evc_store_close(store);
        if (rc == ENOSPC) {
            return evc_error_sys(error, rc, "queue %s: free some room on its disk", path);
        }
        return evc_error_set(
            error, rc == MDB_CORRUPTED || rc == MDB_INVALID ? EVC_E_CORRUPT : EVC_E_SYS,
            "queue %s: %s; see that the directory is writable and holds nothing else, "
            "or move it away to start empty",
            path, mdb_strerror(rc));
    }
    return EVC_OK;
}

void
evc_store_close(struct evc_store *store)
{
    if (store->env) {
        mdb_env_close(store->env);
        pthread_rwlock_destroy(&store->map_lock);
        store->env = NULL;
    }
}
