/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partitions a consumer has, and the client it has them by.
 *
 * A partition changes hands only after what is done has been committed (on_revoked), or, when the
 * group has given this member up, without: then the next one takes it up where the last commit was,
 * and sees the rest again.
 *
 * Thread: the consumer's; librdkafka's callbacks are run from within poll.
 */
#include "base/clock.h"
#include "base/log.h"
#include "queue/kafka/consumer.h"

enum {
    MEMBER_COMMITTED_MS = 5000,
    MEMBER_DESTROYS_SAFELY = 0x02030000, /* version 2.3 */
};

const char *const evc_kafka_consumer_defaults[] = {
    "enable.auto.commit",
    "false",
    "enable.auto.offset.store",
    "false",
    "auto.offset.reset",
    "error",
    "partition.assignment.strategy",
    "cooperative-sticky",
    "session.timeout.ms",
    "10000", /* what a killed relay's partitions wait for */
    "heartbeat.interval.ms",
    "2000",
    "topic.metadata.refresh.interval.ms",
    "5000",
    "socket.nagle.disable",
    "true",
    "allow.auto.create.topics",
    "false",
    "queued.max.messages.kbytes",
    "32768", /* before 2.2 a full queue is looked at again after a second: it must last so long */
    "fetch.queue.backoff.ms",
    "20", /* since 2.2, where it is that second if not set */
    "reconnect.backoff.ms",
    "50",
    "reconnect.backoff.max.ms",
    "1000",
    NULL,
};

/* --- partitions come and go --- */

/** The queue has this partition: who only reads may be the first of its process to see that. */
static void
note_partition(struct evc_kafka *kafka, int32_t partition)
{
    unsigned known = atomic_load(&kafka->partition_count);

    while (
        (unsigned)partition >= known &&
        !atomic_compare_exchange_weak(&kafka->partition_count, &known, (unsigned)partition + 1)) {
    }
}

bool
evc_kafka_member_take_up(struct evc_kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_committed(consumer->client, list, MEMBER_COMMITTED_MS);

    for (int i = 0; i < list->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        err = list->elems[i].err;
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && consumer->member &&
        !evc_kafka_copy_read(&consumer->copy, list)) {
        err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        evc_log_debug("committed positions cannot be read", "group=%s why=\"%s\"", consumer->group,
                      rd_kafka_err2str(err));
        return false;
    }
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *element = &list->elems[i];
        uint64_t position = element->offset >= 0 ? (uint64_t)element->offset : 0;
        struct evc_kafka_part *part = &consumer->parts[element->partition % EVC_PARTITION_MAX];

        if (element->partition >= EVC_PARTITION_MAX) {
            continue; /* nobody writes there */
        }
        note_partition(consumer->kafka, element->partition);
        if (evc_kafka_part_take_up(part, position, element->metadata, element->metadata_size) !=
            EVC_OK) {
            evc_log_error("the books beside a committed position cannot be read, they begin anew",
                          "group=%s partition=%d", consumer->group, (int)element->partition);
            if (evc_kafka_part_take_up(part, position, NULL, 0) != EVC_OK) {
                return false;
            }
        }
        if (element->offset < 0) {
            element->offset = RD_KAFKA_OFFSET_BEGINNING;
        } else if (evc_kafka_place(consumer->client, kafka_topic_of(consumer), element->partition,
                                   part->done_us, &position)) {
            evc_kafka_part_place(part, position);
            element->offset = (int64_t)position; /* else an error will say that it is not there */
        }
    }
    return true;
}

static void
tell_assigned(struct evc_kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        struct evc_kafka_part *part = kafka_part_of(consumer, list->elems[i].partition);

        if (part) {
            consumer->member->on_assigned(consumer->member, (uint32_t)list->elems[i].partition,
                                          part->committed, evc_buf_slice(&part->blob));
        }
    }
}

static void
drop_held(struct evc_kafka_consumer *consumer)
{
    if (consumer->held) {
        rd_kafka_message_destroy(consumer->held);
        consumer->held = NULL;
    }
}

static void
leave_part(struct evc_kafka_consumer *consumer, int32_t partition)
{
    struct evc_kafka_part *part = kafka_part_of(consumer, partition);

    if (part) {
        evc_kafka_part_drop(part);
        if (consumer->held && consumer->held->partition == partition) {
            drop_held(consumer);
        }
    }
}

static void
revoke_all(struct evc_kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *list,
           bool is_lost)
{
    for (int i = 0; i < list->cnt; i++) {
        if (kafka_part_of(consumer, list->elems[i].partition)) {
            consumer->member->on_revoked(consumer->member, (uint32_t)list->elems[i].partition);
        }
    }
    if (!is_lost) {
        evc_kafka_commits_flush(consumer);
        evc_kafka_books_flush(consumer);
    }
    for (int i = 0; i < list->cnt; i++) {
        leave_part(consumer, list->elems[i].partition);
    }
}

static void
on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
             void *opaque)
{
    struct evc_kafka_consumer *consumer = opaque;
    rd_kafka_error_t *error = NULL;

    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        consumer->has_been_dealt = true;
        if (evc_kafka_member_take_up(consumer, list)) {
            error = rd_kafka_incremental_assign(client, list);
            tell_assigned(consumer, list);
            if (consumer->is_paused) { /* the others still are: all are resumed together */
                (void)rd_kafka_pause_partitions(client, list); /* fails for what is not there */
            }
        } else {
            consumer->is_broken = true; /* the group is joined anew in a while */
            error = rd_kafka_incremental_assign(client, list);
        }
    } else if (err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        revoke_all(consumer, list, rd_kafka_assignment_lost(client) != 0);
        error = rd_kafka_incremental_unassign(client, list);
    }
    if (error) {
        evc_log_warn("rebalance", "group=%s why=\"%s\"", consumer->group,
                     rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        consumer->is_broken = true;
    }
}

/* --- the client --- */

/** librdkafka before 2.3 aborts the process when a member is destroyed that has joined its group
 * and was not dealt anything yet (its issue 4312). */
static bool
may_destroy(const struct evc_kafka_consumer *consumer)
{
    return !consumer->member || consumer->has_been_dealt ||
           rd_kafka_version() >= MEMBER_DESTROYS_SAFELY;
}

void
evc_kafka_member_drop(struct evc_kafka_consumer *consumer)
{
    for (size_t i = 0; i < consumer->handed_count; i++) {
        rd_kafka_message_destroy(consumer->handed[i]);
    }
    consumer->handed_count = 0;
    drop_held(consumer);
    if (!consumer->client) {
        return;
    }
    if (!consumer->member) {
        evc_kafka_commits_flush(consumer);
    }
    if (consumer->member) {
        (void)rd_kafka_consumer_close(consumer->client); /* revokes what it has, see on_rebalance */
    }
    for (int32_t i = 0; i < EVC_PARTITION_MAX; i++) {
        if (consumer->parts[i].is_owned && consumer->member) {
            consumer->member->on_revoked(consumer->member, (uint32_t)i);
        }
        evc_kafka_part_drop(&consumer->parts[i]);
    }
    drop_held(consumer);
    rd_kafka_queue_io_event_enable(consumer->events, -1, NULL, 0);
    rd_kafka_queue_destroy(consumer->events);
    rd_kafka_queue_destroy(consumer->commits);
    evc_kafka_copy_close(&consumer->copy);
    if (may_destroy(consumer)) {
        rd_kafka_destroy(consumer->client);
    } /* else it is left as it is: it has left its group and wakes nobody */
    consumer->client = NULL;
    consumer->has_been_dealt = false;
    consumer->is_committing = false;
    consumer->is_paused = false;
    consumer->is_broken = false;
}

int
evc_kafka_member_make(struct evc_kafka_consumer *consumer, struct evc_error *error)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf =
        evc_kafka_conf(&consumer->kafka->settings, evc_kafka_consumer_defaults, error);
    char why[256];
    int rc;

    if (!conf) {
        return EVC_E_CONFIG;
    }
    if (rd_kafka_conf_set(conf, "group.id", consumer->group, why, sizeof(why)) !=
        RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(conf);
        return evc_error_set(error, EVC_E_CONFIG, "group %s: %s", consumer->group, why);
    }
    rd_kafka_conf_set_opaque(conf, consumer);
    if (consumer->member) {
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    }
    rc = evc_kafka_client(RD_KAFKA_CONSUMER, conf, &consumer->client, error);
    if (rc != EVC_OK) {
        return rc;
    }
    (void)rd_kafka_poll_set_consumer(consumer->client); /* fails only for producers */
    consumer->events = rd_kafka_queue_get_consumer(consumer->client);
    consumer->commits = rd_kafka_queue_new(consumer->client);
    evc_kafka_copy_open(&consumer->copy, consumer->client, consumer->group);
    rd_kafka_queue_io_event_enable(consumer->events, consumer->wake_fd, &one, sizeof(one));
    return EVC_OK;
}

int
evc_kafka_member_subscribe(struct evc_kafka_consumer *consumer, struct evc_error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t err;

    rd_kafka_topic_partition_list_add(list, kafka_topic_of(consumer), RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(consumer->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return evc_error_set(error, EVC_E_SYS, "group %s: %s", consumer->group,
                             rd_kafka_err2str(err));
    }
    return EVC_OK;
}

void
evc_kafka_member_mend(struct evc_kafka_consumer *consumer)
{
    uint64_t now_us = evc_clock_mono_us();

    if (now_us < consumer->make_due_us) {
        return;
    }
    consumer->make_due_us = now_us + (uint64_t)KAFKA_CONSUMER_RETRY_MS * 1000;
    evc_kafka_member_drop(consumer);
    consumer->is_broken = false;
    if (evc_kafka_member_make(consumer, NULL) != EVC_OK ||
        evc_kafka_member_subscribe(consumer, NULL) != EVC_OK) {
        consumer->is_broken = true;
    }
}
