/* SPDX-License-Identifier: Apache-2.0 */
/* See group.h. */
#include "relay/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

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
take_up(struct evc_group *group, uint32_t partition, struct evc_error *error)
{
    struct evc_slice blob;
    uint64_t position;
    int rc = evc_queue_consumer_committed(group->consumer, partition, &position, &blob);

    if (rc == EVC_OK) {
        rc = evc_consume_add(&group->consume, partition, position, blob);
    }
    if (rc != EVC_OK) {
        return evc_error_set(error, rc,
                             "the committed position of group %s, partition %u cannot be read (%s)",
                             group->name, partition, evc_status_str(rc));
    }
    return EVC_OK;
}

int
evc_group_open(struct evc_group *group, const struct evc_group_options *options,
               struct evc_error *error)
{
    int rc;

    *group = (struct evc_group){
        .loop = options->loop,
        .name = options->name,
        .may_have_more = true,
    };
    evc_consume_init(&group->consume, options->ship, options->repair);
    evc_buf_init(&group->blob, EVC_QUEUE_BLOB_BYTES_MAX);
    group->partitions = calloc(options->partition_count, sizeof(*group->partitions));
    if (!group->partitions) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    memcpy(group->partitions, options->partitions,
           options->partition_count * sizeof(*group->partitions));
    rc = evc_queue_consumer_open(options->queue, options->name, options->partitions,
                                 options->partition_count, &group->consumer, error);
    while (rc == EVC_OK && group->partition_count < options->partition_count) {
        rc = take_up(group, group->partitions[group->partition_count], error);
        group->partition_count += rc == EVC_OK;
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
note_slot_conflict(struct evc_group *group, uint64_t conflicts_before)
{
    static struct evc_log_limit limit;
    unsigned long suppressed;

    if (group->consume.slot_conflicts_total > conflicts_before &&
        evc_log_allowed(&limit, &suppressed)) {
        evc_log_error("two live producers on one worker slot: versions may collide",
                      "slot=%u suppressed=%lu", (unsigned)group->consume.slot_conflict_last,
                      suppressed);
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
        uint64_t conflicts = group->consume.slot_conflicts_total;
        struct evc_queue_record record;
        int rc;

        if (!evc_consume_has_room(&group->consume)) {
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
        rc = evc_consume_record(&group->consume, record.partition, record.position, record.bytes);
        if (rc != EVC_OK) {
            log_trouble(group, "record passed over", rc);
        }
        note_slot_conflict(group, conflicts);
    }
    return group->may_have_more;
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
    evc_buf_clear(&group->blob);
    rc = evc_books_save(books, &group->blob);
    if (rc == EVC_OK) {
        rc = evc_queue_consumer_commit(group->consumer, partition, position,
                                       evc_buf_slice(&group->blob));
    }
    if (rc != EVC_OK) {
        group->commit_fails = true;
        log_trouble(group, "position cannot be committed", rc);
    }
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
    free(group->partitions);
}
