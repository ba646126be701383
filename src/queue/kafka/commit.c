/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a consumer sends to the brokers: positions with their books, and now and then the books'
 * copy (copy.h). Commits are sent together once per poll, one request at a time, and answered
 * later; one that fails is sent again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/kafka/consumer.h"

enum {
    COMMIT_FLUSH_MS = 2000, /* for commits before a partition or the group is left */
};

static void
on_committed(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
             void *opaque)
{
    struct evc_kafka_consumer *consumer = opaque;

    (void)client;
    consumer->is_committing = false;
    consumer->is_commit_failing = false;
    for (int i = 0; list && i < list->cnt; i++) {
        struct evc_kafka_part *part = kafka_part_of(consumer, list->elems[i].partition);
        rd_kafka_resp_err_t of_part = err ? err : list->elems[i].err;

        if (!part || !part->is_committing) {
            continue;
        }
        part->is_committing = false;
        if (of_part != RD_KAFKA_RESP_ERR_NO_ERROR) {
            part->is_dirty = true;
            /* While the group rebalances it says so, and takes the same a moment later. */
            consumer->is_commit_failing = of_part != RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
            consumer->commit_due_us =
                evc_clock_mono_us() + (uint64_t)KAFKA_CONSUMER_RETRY_MS * 1000;
            evc_log_debug("commit failed", "group=%s partition=%d why=\"%s\"", consumer->group,
                          (int)list->elems[i].partition, rd_kafka_err2str(of_part));
        }
    }
}

static void
add_committed(struct evc_kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
              int32_t partition)
{
    struct evc_kafka_part *part = &consumer->parts[partition];
    rd_kafka_topic_partition_t *element =
        rd_kafka_topic_partition_list_add(list, kafka_topic_of(consumer), partition);
    struct evc_slice metadata = evc_buf_slice(&part->metadata);

    element->offset = (int64_t)part->committed;
    element->metadata = strndup(metadata.ptr ? metadata.ptr : "", metadata.len);
    element->metadata_size = element->metadata ? metadata.len : 0;
}

void
evc_kafka_commits_send(struct evc_kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list;

    if (consumer->is_committing || evc_clock_mono_us() < consumer->commit_due_us) {
        return;
    }
    list = rd_kafka_topic_partition_list_new(EVC_PARTITION_MAX);
    for (int32_t i = 0; i < EVC_PARTITION_MAX; i++) {
        struct evc_kafka_part *part = &consumer->parts[i];

        if (!part->is_owned || !part->is_dirty) {
            continue;
        }
        add_committed(consumer, list, i);
        part->is_dirty = false;
        part->is_committing = true;
    }
    if (list->cnt > 0) {
        consumer->is_committing = true;
        if (rd_kafka_commit_queue(consumer->client, list, consumer->commits, on_committed,
                                  consumer) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            on_committed(consumer->client, RD_KAFKA_RESP_ERR__FAIL, list, consumer);
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void
evc_kafka_commits_serve(struct evc_kafka_consumer *consumer, int timeout_ms)
{
    (void)rd_kafka_queue_poll_callback(consumer->commits, timeout_ms);
}

static bool
has_commits(const struct evc_kafka_consumer *consumer)
{
    bool has = consumer->is_committing;

    for (unsigned i = 0; i < EVC_PARTITION_MAX && !has; i++) {
        has = consumer->parts[i].is_owned && consumer->parts[i].is_dirty;
    }
    return has;
}

void
evc_kafka_commits_flush(struct evc_kafka_consumer *consumer)
{
    uint64_t until_us = evc_clock_mono_us() + (uint64_t)COMMIT_FLUSH_MS * 1000;

    consumer->commit_due_us = 0;
    consumer->is_commit_failing = false; /* of an earlier one: this one may go through */
    while (has_commits(consumer) && evc_clock_mono_us() < until_us) {
        evc_kafka_commits_send(consumer);
        evc_kafka_commits_serve(consumer, 100);
        if (consumer->is_commit_failing) {
            break;
        }
    }
}

/* --- the books' copy --- */

void
evc_kafka_books_copy(struct evc_kafka_consumer *consumer)
{
    struct evc_kafka_copy *copy = &consumer->copy;
    uint64_t now_us = evc_clock_mono_us();
    rd_kafka_topic_partition_list_t *list;
    bool is_all = now_us >= copy->renew_due_us;

    evc_kafka_copy_serve(copy, 0);
    if (copy->is_writing || now_us < copy->due_us) {
        return;
    }
    list = rd_kafka_topic_partition_list_new(EVC_PARTITION_MAX);
    for (int32_t i = 0; i < EVC_PARTITION_MAX; i++) {
        struct evc_kafka_part *part = &consumer->parts[i];

        if (part->is_owned && evc_buf_slice(&part->metadata).len > 0 &&
            (is_all || !part->is_copied)) {
            add_committed(consumer, list, i);
            part->is_copied = true;
        }
    }
    copy->due_us = now_us + (uint64_t)EVC_KAFKA_COPY_MS * 1000;
    if (list->cnt > 0) {
        if (is_all) {
            copy->renew_due_us = now_us + (uint64_t)EVC_KAFKA_COPY_RENEW_MS * 1000;
        }
        evc_kafka_copy_write(copy, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void
evc_kafka_books_flush(struct evc_kafka_consumer *consumer)
{
    if (has_commits(consumer)) {
        return;
    }
    evc_kafka_copy_serve(&consumer->copy, EVC_KAFKA_COPY_FLUSH_MS);
    consumer->copy.due_us = 0;
    evc_kafka_books_copy(consumer);
    evc_kafka_copy_serve(&consumer->copy, EVC_KAFKA_COPY_FLUSH_MS);
}
