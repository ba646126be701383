/* SPDX-License-Identifier: Apache-2.0 */
/* See group.h. */
#include "relay/group.h"

#include "base/list.h"
#include "base/log.h"
#include <assert.h>

static void
on_wake(uv_poll_t *handle, int status, int events)
{
    struct evc_group *group = handle->data;

    (void)events;
    if (status == 0) {
        evc_queue_consumer_wake_clear(group->consumer);
    }
    group->may_have_more = true;
}

static int
start_waking(struct evc_group *group, struct evc_error *error)
{
    int fd = evc_queue_consumer_wake_fd(group->consumer);

    if (uv_poll_init(&group->loop->uv, &group->wake, fd) != 0) {
        return evc_error_set(error, EVC_E_SYS, "the queue's bell cannot be watched");
    }
    group->is_polling = true;
    group->wake.data = group;
    if (uv_poll_start(&group->wake, UV_READABLE, on_wake) != 0) {
        return evc_error_set(error, EVC_E_SYS, "the queue's bell cannot be watched");
    }
    return EVC_OK;
}

static int
take_up(struct evc_group *group, uint32_t partition, uint64_t position, struct evc_slice blob,
        struct evc_error *error)
{
    int rc = evc_consume_add(&group->consume, partition, position, blob);

    if (rc != EVC_OK) {
        return evc_error_set(error, rc, "the books of group %s, partition %u cannot be read (%s)",
                             group->name, partition, evc_status_str(rc));
    }
    group->partitions[group->partition_count++] = partition;
    return EVC_OK;
}

/** Partitions for as long as the process lives, as the configuration deals them out. */
static int
open_fixed(struct evc_group *group, const struct evc_group_options *options,
           struct evc_error *error)
{
    int rc = evc_queue_consumer_open(options->queue, options->name, options->partitions,
                                     options->partition_count, &group->consumer, error);

    for (unsigned i = 0; rc == EVC_OK && i < options->partition_count; i++) {
        uint32_t partition = options->partitions[i];
        struct evc_slice blob;
        uint64_t position;

        rc = evc_queue_consumer_committed(group->consumer, partition, &position, &blob);
        if (rc != EVC_OK) {
            return evc_error_set(
                error, rc, "the committed position of group %s, partition %u cannot be read (%s)",
                group->name, partition, evc_status_str(rc));
        }
        rc = take_up(group, partition, position, blob, error);
    }
    return rc;
}

static void commit_partition(struct evc_group *group, uint32_t partition);

static void
on_assigned(struct evc_queue_member *member, uint32_t partition, uint64_t position,
            struct evc_slice blob)
{
    struct evc_group *group = EVC_CONTAINER_OF(member, struct evc_group, member);
    struct evc_error error;

    if (take_up(group, partition, position, blob, &error) != EVC_OK) {
        /* Its numbers begin anew, which shows; its events are shipped all the same. */
        evc_log_error("books are given up", "why=\"%s\"", error.text);
        group->errors_total++;
        if (take_up(group, partition, position, (struct evc_slice){0}, &error) != EVC_OK) {
            return; /* out of memory: the records are passed over, and counted */
        }
    }
    if (group->consume.repair) {
        evc_repair_forget(group->consume.repair, partition);
    }
    evc_log_info("partition taken up", "group=%s partition=%u position=%llu partitions=%u",
                 group->name, partition, (unsigned long long)position, group->partition_count);
    group->may_have_more = true;
}

static void
on_revoked(struct evc_queue_member *member, uint32_t partition)
{
    struct evc_group *group = EVC_CONTAINER_OF(member, struct evc_group, member);
    unsigned i = 0;

    while (i < group->partition_count && group->partitions[i] != partition) {
        i++;
    }
    if (i == group->partition_count) {
        return;
    }
    commit_partition(group, partition);
    group->partitions[i] = group->partitions[--group->partition_count];
    evc_consume_remove(&group->consume, partition);
    evc_log_info("partition given up", "group=%s partition=%u partitions=%u", group->name,
                 partition, group->partition_count);
}

int
evc_group_open(struct evc_group *group, const struct evc_group_options *options,
               struct evc_error *error)
{
    int rc;

    *group = (struct evc_group){
        .loop = options->loop,
        .name = options->name,
        .blob_bytes_max = evc_queue_blob_bytes_max(options->queue),
        .member = {.on_assigned = on_assigned, .on_revoked = on_revoked},
        .may_have_more = true,
    };
    evc_consume_init(&group->consume, options->ship, options->repair);
    evc_buf_init(&group->blob, EVC_QUEUE_BLOB_BYTES_MAX);
    if (evc_queue_has_shared_groups(options->queue)) {
        rc = evc_queue_consumer_join(options->queue, options->name, &group->member,
                                     &group->consumer, error);
    } else {
        rc = open_fixed(group, options, error);
    }
    return rc == EVC_OK ? start_waking(group, error) : rc;
}

static void
log_trouble(struct evc_group *group, const char *msg, int status)
{
    static struct evc_log_limit limit;
    unsigned long suppressed;

    group->errors_total++;
    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_error(msg, "group=%s status=%s suppressed=%lu", group->name, evc_status_str(status),
                      suppressed);
    }
}

static void
note_slot_conflict(const struct evc_group *group)
{
    static struct evc_log_limit limit;
    unsigned long suppressed;

    if (group->consume.last_opened.is_slot_conflict && evc_log_allowed(&limit, &suppressed)) {
        evc_log_error("two live producers on one worker slot: versions may collide",
                      "slot=%u suppressed=%lu", (unsigned)group->consume.last.slot, suppressed);
    }
}

/** Numbers that never came, and numbers that came again. */
static void
note_numbers(const struct evc_group *group, uint32_t partition)
{
    static struct evc_log_limit lost_limit, duplicate_limit;
    const struct evc_record_header *header = &group->consume.last;
    const struct evc_books_opened *opened = &group->consume.last_opened;
    unsigned long suppressed;

    if (opened->lost > 0 && evc_log_allowed(&lost_limit, &suppressed)) {
        evc_log_error("events are lost: their numbers are missing before a batch",
                      "group=%s batch=%u/%u/%llu lost=%llu suppressed=%lu", group->name, partition,
                      (unsigned)header->slot, (unsigned long long)header->first_seq,
                      (unsigned long long)opened->lost, suppressed);
    }
    if (opened->duplicate > 0 && evc_log_allowed(&duplicate_limit, &suppressed)) {
        evc_log_info("events came twice: a producer was not told that they had come",
                     "group=%s batch=%u/%u/%llu duplicate=%llu suppressed=%lu", group->name,
                     partition, (unsigned)header->slot, (unsigned long long)header->first_seq,
                     (unsigned long long)opened->duplicate, suppressed);
    }
}

static void
note_batch(const struct evc_group *group, const struct evc_queue_record *record)
{
    const struct evc_record_header *header = &group->consume.last;

    evc_log_debug("batch taken", "group=%s batch=%u/%u/%llu events=%u position=%llu", group->name,
                  record->partition, (unsigned)header->slot, (unsigned long long)header->first_seq,
                  header->count, (unsigned long long)record->position);
    note_numbers(group, record->partition);
    note_slot_conflict(group);
}

bool
evc_group_is_full(const struct evc_group *group)
{
    return group->full_us != 0 &&
           group->loop->now.mono_us - group->full_us >= (uint64_t)EVC_GROUP_FULL_MS * 1000;
}

void
evc_group_note_failing(struct evc_group *group)
{
    for (unsigned i = 0; i < group->partition_count; i++) {
        evc_books_forget_failing(group->consume.books[group->partitions[i]]);
    }
    if (group->consume.ship) {
        evc_ship_note_failing(group->consume.ship);
    } else {
        evc_repair_note_failing(group->consume.repair);
    }
}

int
evc_group_backlog(const struct evc_group *group, uint32_t partition, struct evc_queue_backlog *ret)
{
    uint64_t failing_us = evc_books_failing_since_us(group->consume.books[partition]);
    int rc = evc_queue_consumer_backlog(group->consumer, partition, ret);

    if (failing_us != 0 && (ret->oldest_us == 0 || failing_us < ret->oldest_us)) {
        ret->oldest_us = failing_us;
    }
    return rc;
}

/** Said when it begins and when it is over, not in between. */
static void
note_room(struct evc_group *group, bool has_room)
{
    if (has_room) {
        if (group->is_full_told) {
            evc_log_info("events are taken again", "group=%s", group->name);
        }
        group->full_us = 0;
        group->is_full_told = false;
    } else if (group->full_us == 0) {
        group->full_us = group->loop->now.mono_us;
    } else if (!group->is_full_told && evc_group_is_full(group)) {
        group->is_full_told = true;
        evc_log_warn("no more events are taken until some on their way have ended", "group=%s",
                     group->name);
    }
}

/** The group is told that this member lives, partitions may go, commits leave. Not at every turn:
 * what ends brings many. */
static void
serve_without_room(struct evc_group *group)
{
    uint64_t now_us = group->loop->now.mono_us;

    if (now_us >= group->serve_due_us) {
        struct evc_queue_record none;

        group->serve_due_us = now_us + (uint64_t)EVC_GROUP_POLL_MS * 1000;
        if (evc_queue_consumer_poll(group->consumer, &none, 0) < 0) {
            log_trouble(group, "queue cannot be served", EVC_E_SYS);
        }
    }
}

bool
evc_group_poll(struct evc_group *group)
{
    uint64_t now_us = group->loop->now.mono_us;

    if (now_us >= group->poll_due_us) {
        group->poll_due_us = now_us + (uint64_t)EVC_GROUP_POLL_MS * 1000;
        group->may_have_more = true;
    }
    for (unsigned i = 0; group->may_have_more && i < EVC_GROUP_RECORDS_PER_TURN; i++) {
        struct evc_queue_record record;
        int rc;

        bool has_room = evc_consume_has_room(&group->consume);

        note_room(group, has_room);
        if (!has_room) {
            serve_without_room(group);
            return false; /* what ends makes room and brings a turn with it */
        }
        rc = evc_queue_consumer_poll(group->consumer, &record, 1);
        if (rc <= 0) {
            group->may_have_more = false;
            if (rc < 0) {
                log_trouble(group, "queue cannot be polled", rc);
            }
            break;
        }
        if (!group->consume.books[record.partition]) {
            group->errors_total++; /* its books could not be had, which was logged */
            continue;
        }
        rc = evc_consume_record(&group->consume, record.partition, record.position, record.bytes);
        if (rc != EVC_OK) {
            log_trouble(group, "record passed over", rc);
        } else {
            note_batch(group, &record);
        }
    }
    return group->may_have_more;
}

/** Of every journal there ever was the books keep the numbers, and the queue takes only so many. */
static void
watch_producers(const struct evc_group *group, struct evc_books *books, uint32_t partition)
{
    static struct evc_log_limit limit;
    size_t bytes_max = group->blob_bytes_max;
    unsigned forgotten = evc_books_forget_producers(books, bytes_max);
    unsigned long suppressed;

    if (evc_books_blob_bytes(books) > bytes_max / 4 * 3 && evc_log_allowed(&limit, &suppressed)) {
        evc_log_warn("the books have many producers: journals that are thrown away stay in them",
                     "group=%s partition=%u producers=%u bytes=%zu bytes_max=%zu forgotten=%u "
                     "suppressed=%lu",
                     group->name, partition, evc_books_producers(books),
                     evc_books_blob_bytes(books), bytes_max, forgotten, suppressed);
    }
}

static void
commit_partition(struct evc_group *group, uint32_t partition)
{
    struct evc_books *books = group->consume.books[partition];
    bool has_moved;
    uint64_t position = evc_books_position(books, &has_moved);
    int rc;

    if (!has_moved && !group->commit_failed) {
        return;
    }
    watch_producers(group, books, partition);
    evc_buf_clear(&group->blob);
    rc = evc_books_save(books, &group->blob);
    if (rc == EVC_OK) {
        rc = evc_queue_consumer_commit(group->consumer, partition, position,
                                       evc_buf_slice(&group->blob));
    }
    if (rc != EVC_OK) {
        group->commit_fails = true;
        log_trouble(group, "position cannot be committed", rc);
        return;
    }
    evc_log_debug("batches settled", "group=%s partition=%u before_position=%llu", group->name,
                  partition, (unsigned long long)position);
}

void
evc_group_commit(struct evc_group *group, bool is_final)
{
    uint64_t now_us;

    if (!group->consumer) {
        return; /* never opened: the start failed before it */
    }
    now_us = group->loop->now.mono_us;
    if (!is_final && now_us < group->commit_due_us) {
        return;
    }
    group->commit_due_us = now_us + (uint64_t)EVC_GROUP_COMMIT_MS * 1000;
    group->commit_fails = false;
    for (unsigned i = 0; i < group->partition_count; i++) {
        commit_partition(group, group->partitions[i]);
    }
    group->commit_failed = group->commit_fails;
}

void
evc_group_stop(struct evc_group *group)
{
    if (group->is_polling) {
        group->is_polling = false;
        uv_close((uv_handle_t *)&group->wake, NULL);
    }
}

void
evc_group_finish(struct evc_group *group)
{
    assert(!group->is_polling);
    evc_queue_consumer_close(group->consumer);
    evc_consume_finish(&group->consume);
    evc_buf_finish(&group->blob);
}
