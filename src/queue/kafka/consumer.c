/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer group's half of the queue on Kafka: records and positions. See part.h for how the
 * books travel, member.c for which partitions it has, commit.c for what leaves for the brokers.
 *
 * Accounting stays exact because nothing is skipped silently: offsets are never chosen by the
 * client library (auto.offset.reset=error). A position that is not there any more (deleted records,
 * an unclean election) is moved to where records are (place.c); the numbers show what is missing.
 *
 * With no room for records nothing is taken, and what the client library has fetched waits there. A
 * second without room is no moment of many: then the partitions are paused, so that the group can
 * be served all the same. Not before, because a pause throws away what was fetched, and the fetch
 * after it may wait a second for librdkafka's thread.
 *
 * Thread: the consumer's; librdkafka's callbacks are run from within poll.
 */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/kafka/consumer.h"

enum {
    CONSUMER_ERRORS_MAX = 32,      /* events that are no records, in one poll */
    CONSUMER_ASK_MS = 200,         /* for one answer about a log's end */
    CONSUMER_ASK_AGAIN_MS = 10000, /* after none came */
    CONSUMER_PAUSE_MS = 1000,      /* without room, before the partitions are paused */
};

static struct evc_kafka_consumer *
consumer_of(struct evc_queue_consumer *consumer)
{
    return (struct evc_kafka_consumer *)consumer;
}

/** A list of the partitions this consumer has. The caller's. */
static rd_kafka_topic_partition_list_t *
own_list(const struct evc_kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(EVC_PARTITION_MAX);

    for (int32_t i = 0; i < EVC_PARTITION_MAX; i++) {
        if (consumer->parts[i].is_owned) {
            rd_kafka_topic_partition_list_add(list, kafka_topic_of(consumer), i);
        }
    }
    return list;
}

/* --- polling --- */

/** Puts a partition where records are. The seek is answered by records, or by the same error. Where
 * that is behind what was handed out (the log was cut), the group is joined anew: what is open here
 * has positions of a log that is no more. */
static void
start_part(struct evc_kafka_consumer *consumer, int32_t partition, struct evc_kafka_part *part)
{
    rd_kafka_topic_t *topic;
    uint64_t to = part->next;

    if (!evc_kafka_place(consumer->client, kafka_topic_of(consumer), partition,
                         part->last_appended_us, &to)) {
        return; /* tried again */
    }
    if (to < part->next && consumer->member) {
        consumer->is_broken = true;
        return;
    }
    topic = rd_kafka_topic_new(consumer->client, kafka_topic_of(consumer), NULL);
    if (topic && rd_kafka_seek(topic, partition, (int64_t)to, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        part->wants_start = false;
        part->next = to;
    }
    if (topic) {
        rd_kafka_topic_destroy(topic);
    }
}

static void
start_parts(struct evc_kafka_consumer *consumer)
{
    uint64_t now_us = evc_clock_mono_us();

    if (now_us < consumer->start_due_us) {
        return;
    }
    for (int32_t i = 0; i < EVC_PARTITION_MAX; i++) {
        if (consumer->parts[i].is_owned && consumer->parts[i].wants_start) {
            consumer->start_due_us = now_us + (uint64_t)KAFKA_CONSUMER_RETRY_MS * 1000;
            start_part(consumer, i, &consumer->parts[i]);
        }
    }
}

static void
note_error(struct evc_kafka_consumer *consumer, const rd_kafka_message_t *message)
{
    struct evc_kafka_part *part = kafka_part_of(consumer, message->partition);

    if ((message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
         message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) &&
        part) {
        part->wants_start = true;
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__FATAL) {
        consumer->is_broken = true;
    }
    evc_log_debug("consumer", "group=%s partition=%d why=\"%s\"", consumer->group,
                  (int)message->partition, rd_kafka_message_errstr(message));
}

static uint64_t
events_of(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    uint32_t events;
    size_t len;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, EVC_KAFKA_EVENTS_HEADER, &value, &len) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        len != sizeof(events)) {
        return 0; /* not ours; whoever reads it will say so */
    }
    memcpy(&events, value, sizeof(events));
    return le32toh(events);
}

static uint64_t
appended_us(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(message, &type);

    return ms > 0 ? (uint64_t)ms * 1000 : 0;
}

/** The next record the client library has, or NULL. Serves the group. */
static rd_kafka_message_t *
fetched_message(struct evc_kafka_consumer *consumer)
{
    for (unsigned errors = 0; errors < CONSUMER_ERRORS_MAX; errors++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, 0);

        if (!message || (message->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                         kafka_part_of(consumer, message->partition))) {
            return message;
        }
        note_error(consumer, message);
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

/** The next record, or NULL. */
static rd_kafka_message_t *
next_message(struct evc_kafka_consumer *consumer)
{
    rd_kafka_message_t *message = consumer->held;

    consumer->held = NULL;
    return message ? message : fetched_message(consumer);
}

static void
pause_or_resume(struct evc_kafka_consumer *consumer, bool is_paused)
{
    rd_kafka_topic_partition_list_t *list;

    if (consumer->is_paused == is_paused) {
        return;
    }
    list = own_list(consumer);
    if (list->cnt > 0) {
        (void)(is_paused ? rd_kafka_pause_partitions(consumer->client, list)
                         : rd_kafka_resume_partitions(consumer->client, list));
        consumer->is_paused = is_paused;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/** While there is no room. */
static void
serve_group(struct evc_kafka_consumer *consumer)
{
    uint64_t now_us = evc_clock_mono_us();
    rd_kafka_message_t *message;

    if (consumer->full_since_us == 0) {
        consumer->full_since_us = now_us;
    }
    if (now_us - consumer->full_since_us < (uint64_t)CONSUMER_PAUSE_MS * 1000) {
        return;
    }
    pause_or_resume(consumer, true);
    message = fetched_message(consumer); /* none: they are paused */
    if (message && consumer->held) {
        rd_kafka_message_destroy(message);
        consumer->is_broken = true; /* joined anew, the group gives it again */
    } else if (message) {
        consumer->held = message;
    }
}

static void
hand_out(struct evc_kafka_consumer *consumer, rd_kafka_message_t *message,
         struct evc_queue_record *ret)
{
    consumer->handed[consumer->handed_count++] = message;
    *ret = (struct evc_queue_record){
        .partition = (uint32_t)message->partition,
        .position = (uint64_t)message->offset,
        .bytes = {.ptr = message->payload, .len = message->len},
    };
}

/** Takes records until max, or none is there. A rebalance on the way takes back what it revoked. */
static size_t
take_records(struct evc_kafka_consumer *consumer, struct evc_queue_record *ret, size_t max)
{
    size_t count = 0;

    while (count < max && count < KAFKA_CONSUMER_RECORDS_MAX) {
        rd_kafka_message_t *message = next_message(consumer);
        struct evc_kafka_part *part;

        if (!message) {
            break;
        }
        part = kafka_part_of(consumer, message->partition);
        assert(part);
        if (!evc_kafka_part_hand_out(part, (uint64_t)message->offset, events_of(message),
                                     appended_us(message))) {
            consumer->held = message;
            break;
        }
        hand_out(consumer, message, &ret[count++]);
    }
    for (size_t i = 0; i < count;) {
        if (kafka_part_of(consumer, (int32_t)ret[i].partition)) {
            i++;
        } else {
            ret[i] = ret[--count];
        }
    }
    return count;
}

static int
consumer_poll(struct evc_queue_consumer *base, struct evc_queue_record *ret, size_t max)
{
    struct evc_kafka_consumer *consumer = consumer_of(base);

    for (size_t i = 0; i < consumer->handed_count; i++) {
        rd_kafka_message_destroy(consumer->handed[i]);
    }
    consumer->handed_count = 0;
    if (consumer->is_broken) {
        evc_kafka_member_mend(consumer);
    }
    if (!consumer->client || consumer->is_broken) {
        return EVC_E_SYS;
    }
    evc_kafka_commits_serve(consumer, 0);
    evc_kafka_commits_send(consumer);
    if (consumer->member) {
        evc_kafka_books_copy(consumer);
    }
    start_parts(consumer);
    if (max == 0) {
        serve_group(consumer);
        return 0;
    }
    consumer->full_since_us = 0;
    pause_or_resume(consumer, false);
    return (int)take_records(consumer, ret, max);
}

/* --- positions --- */

static int
consumer_committed(struct evc_queue_consumer *base, uint32_t partition, uint64_t *ret_position,
                   struct evc_slice *ret_blob)
{
    struct evc_kafka_part *part = kafka_part_of(consumer_of(base), (int32_t)partition);

    assert(part);
    *ret_position = part->committed;
    *ret_blob = evc_buf_slice(&part->blob);
    return EVC_OK;
}

static int
consumer_commit(struct evc_queue_consumer *base, uint32_t partition, uint64_t position,
                struct evc_slice blob)
{
    struct evc_kafka_consumer *consumer = consumer_of(base);
    struct evc_kafka_part *part = kafka_part_of(consumer, (int32_t)partition);
    int rc;

    assert(part);
    rc = evc_kafka_part_commit(part, position, blob);
    return rc == EVC_OK && consumer->is_commit_failing ? EVC_E_SYS : rc;
}

/** Where the log ends. After a silence nobody is asked for a while: this is a loop's thread. */
static rd_kafka_resp_err_t
ask_end(struct evc_kafka_consumer *consumer, uint32_t partition, int64_t *ret)
{
    uint64_t now_us = evc_clock_mono_us();
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__TIMED_OUT;

    if (now_us >= consumer->ask_due_us) {
        err = evc_kafka_log_edge(consumer->client, kafka_topic_of(consumer), (int32_t)partition,
                                 RD_KAFKA_OFFSET_END, CONSUMER_ASK_MS, ret);
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR && now_us >= consumer->ask_due_us) {
        consumer->ask_due_us = evc_clock_mono_us() + (uint64_t)CONSUMER_ASK_AGAIN_MS * 1000;
    }
    return err;
}

/** From what the last fetch has told; asked for while paused, when nothing is fetched. */
static int
consumer_backlog(struct evc_queue_consumer *base, uint32_t partition, struct evc_queue_backlog *ret)
{
    struct evc_kafka_consumer *consumer = consumer_of(base);
    struct evc_kafka_part *part = kafka_part_of(consumer, (int32_t)partition);
    int64_t low = RD_KAFKA_OFFSET_INVALID, high = RD_KAFKA_OFFSET_INVALID;
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__STATE;

    assert(part);
    if (!consumer->is_paused) {
        err = rd_kafka_get_watermark_offsets(consumer->client, kafka_topic_of(consumer),
                                             (int32_t)partition, &low, &high);
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0) {
        err = ask_end(consumer, partition, &high);
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        high = (int64_t)part->next; /* nobody answers: what is known */
    }
    evc_kafka_part_backlog(part, low > 0 ? (uint64_t)low : 0, high > 0 ? (uint64_t)high : 0, ret);
    return EVC_OK;
}

static int
consumer_wake_fd(struct evc_queue_consumer *base)
{
    return consumer_of(base)->wake_fd;
}

static void
consumer_wake_clear(struct evc_queue_consumer *base)
{
    uint64_t count;

    (void)!read(consumer_of(base)->wake_fd, &count, sizeof(count)); /* only empties it */
}

/* --- life --- */

static void
consumer_close(struct evc_queue_consumer *base)
{
    struct evc_kafka_consumer *consumer = consumer_of(base);

    evc_kafka_member_drop(consumer);
    if (consumer->wake_fd >= 0) {
        close(consumer->wake_fd);
    }
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
consumer_create(struct evc_queue *queue, const char *group, struct evc_queue_member *member,
                struct evc_kafka_consumer **ret, struct evc_error *error)
{
    struct evc_kafka_consumer *consumer = calloc(1, sizeof(*consumer));
    int rc;

    if (!consumer) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    consumer->consumer.ops = &consumer_ops;
    consumer->kafka = (struct evc_kafka *)queue;
    consumer->member = member;
    consumer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(consumer->group, sizeof(consumer->group), "%s%s",
             consumer->kafka->settings.options.group_prefix, group);
    rc = consumer->wake_fd < 0 ? evc_error_set(error, EVC_E_SYS, "no eventfd")
                               : evc_kafka_member_make(consumer, error);
    if (rc != EVC_OK) {
        consumer_close(&consumer->consumer);
        return rc;
    }
    *ret = consumer;
    return EVC_OK;
}

int
evc_kafka_consumer_open(struct evc_queue *queue, const char *group, const uint32_t *partitions,
                        size_t partition_count, struct evc_queue_consumer **ret,
                        struct evc_error *error)
{
    struct evc_kafka_consumer *consumer = NULL;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t err;
    int rc = consumer_create(queue, group, NULL, &consumer, error);

    if (rc != EVC_OK) {
        return rc;
    }
    list = rd_kafka_topic_partition_list_new((int)partition_count);
    for (size_t i = 0; i < partition_count; i++) {
        rd_kafka_topic_partition_list_add(list, kafka_topic_of(consumer), (int32_t)partitions[i]);
    }
    if (!evc_kafka_member_take_up(consumer, list)) {
        rc = evc_error_set(error, EVC_E_SYS, "group %s: its committed positions cannot be read",
                           consumer->group);
    } else if ((err = rd_kafka_assign(consumer->client, list)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc =
            evc_error_set(error, EVC_E_SYS, "group %s: %s", consumer->group, rd_kafka_err2str(err));
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (rc != EVC_OK) {
        consumer_close(&consumer->consumer);
        return rc;
    }
    *ret = &consumer->consumer;
    return EVC_OK;
}

int
evc_kafka_consumer_join(struct evc_queue *queue, const char *group, struct evc_queue_member *member,
                        struct evc_queue_consumer **ret, struct evc_error *error)
{
    struct evc_kafka_consumer *consumer = NULL;
    int rc = consumer_create(queue, group, member, &consumer, error);

    if (rc != EVC_OK) {
        return rc;
    }
    rc = evc_kafka_member_subscribe(consumer, error);
    if (rc != EVC_OK) {
        consumer_close(&consumer->consumer);
        return rc;
    }
    *ret = &consumer->consumer;
    return EVC_OK;
}
