/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer group's half of the queue on Kafka; see part.h for how the books travel.
 *
 * Accounting stays exact because nothing is skipped silently:
 *   - offsets are never chosen by the client library (auto.offset.reset=error). A position that is
 *     not there any more (deleted records, an unclean election) is moved to where records are
 *     (place.c); the numbers show what is missing.
 *   - a partition changes hands only after what is done has been committed (on_revoked), or, when
 *     the group has given this member up, without: then the next one takes it up where the last
 *     commit was, and sees the rest again.
 *
 * With no room for records nothing is taken, and what the client library has fetched waits there. A
 * second without room is no moment of many: then the partitions are paused, so that the group can
 * be served all the same. Not before, because a pause throws away what was fetched, and the fetch
 * after it may wait a second for librdkafka's thread. What leaves for the brokers is in commit.c.
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
    CONSUMER_ERRORS_MAX = 32, /* events that are no records, in one poll */
    CONSUMER_COMMITTED_MS = 5000,
    CONSUMER_ASK_MS = 200,                 /* for one answer about a log's end */
    CONSUMER_ASK_AGAIN_MS = 10000,         /* after none came */
    CONSUMER_PAUSE_MS = 1000,              /* without room, before the partitions are paused */
    CONSUMER_DESTROYS_SAFELY = 0x02030000, /* version 2.3 */
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

/** Takes up what the group's commits say. false: that cannot be read now. */
static bool
take_up_all(struct evc_kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_committed(consumer->client, list, CONSUMER_COMMITTED_MS);

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
        if (take_up_all(consumer, list)) {
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
           rd_kafka_version() >= CONSUMER_DESTROYS_SAFELY;
}

static void
client_drop(struct evc_kafka_consumer *consumer)
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

static int
client_make(struct evc_kafka_consumer *consumer, struct evc_error *error)
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

static int
subscribe(struct evc_kafka_consumer *consumer, struct evc_error *error)
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

/** Broken clients are made anew; the group gives back what it gave. */
static void
mend(struct evc_kafka_consumer *consumer)
{
    uint64_t now_us = evc_clock_mono_us();

    if (now_us < consumer->make_due_us) {
        return;
    }
    consumer->make_due_us = now_us + (uint64_t)KAFKA_CONSUMER_RETRY_MS * 1000;
    client_drop(consumer);
    consumer->is_broken = false;
    if (client_make(consumer, NULL) != EVC_OK || subscribe(consumer, NULL) != EVC_OK) {
        consumer->is_broken = true;
    }
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
        mend(consumer);
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

    client_drop(consumer);
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
                               : client_make(consumer, error);
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
    struct evc_kafka_consumer *consumer;
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
    if (!take_up_all(consumer, list)) {
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
    struct evc_kafka_consumer *consumer;
    int rc = consumer_create(queue, group, member, &consumer, error);

    if (rc != EVC_OK) {
        return rc;
    }
    rc = subscribe(consumer, error);
    if (rc != EVC_OK) {
        consumer_close(&consumer->consumer);
        return rc;
    }
    *ret = &consumer->consumer;
    return EVC_OK;
}
