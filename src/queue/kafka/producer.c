/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer's half of the queue on Kafka. An append hands all its records to librdkafka and
 * waits for their delivery reports, for at most PRODUCER_WAIT_MS: the caller is the feeder's
 * thread, nobody waits for it. librdkafka is idempotent, so within its life a record is in once and
 * in order however often a request is repeated.
 *
 * What has no report in time is in doubt, and a producer with something in doubt, or with a fatal
 * error, is thrown away: nothing of it can arrive behind our back while it is being appended again,
 * but what is on the network already. Such a late copy has the same numbers and is counted
 * duplicate.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/kafka/client.h"
#include "queue/kafka/part.h"

enum {
    PRODUCER_WAIT_MS = 3000, /* for the reports of one append */
    PRODUCER_POLL_MS = 50,
};

const char *const evc_kafka_producer_defaults[] = {
    "enable.idempotence",
    "true",
    "linger.ms",
    "0", /* a record is a batch already */
    "socket.nagle.disable",
    "true",
    "allow.auto.create.topics",
    "false",
    "topic.metadata.refresh.interval.ms",
    "5000",
    "reconnect.backoff.ms",
    "50",
    "reconnect.backoff.max.ms",
    "1000",
    "queue.buffering.max.messages",
    "10000", /* an append has EVC_PARTITION_MAX at most */
    NULL,
};

static int
status_of(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? EVC_OK : EVC_E_SYS;
}

static void
on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct evc_kafka *kafka = opaque;
    struct evc_queue_item *item = message->_private;

    (void)client;
    item->status = status_of(message->err);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka->last_err = message->err;
    }
    kafka->pending--;
}

static int
producer_make(struct evc_kafka *kafka, struct evc_error *error)
{
    rd_kafka_conf_t *conf = evc_kafka_conf(&kafka->settings, evc_kafka_producer_defaults, error);
    int rc;

    if (!conf) {
        return EVC_E_CONFIG;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, kafka);
    rc = evc_kafka_client(RD_KAFKA_PRODUCER, conf, &kafka->producer, error);
    if (rc != EVC_OK) {
        return rc;
    }
    kafka->topic = rd_kafka_topic_new(kafka->producer, kafka->settings.options.topic, NULL);
    if (!kafka->topic) {
        rd_kafka_destroy(kafka->producer);
        kafka->producer = NULL;
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    kafka->is_topic_sure = false;
    return EVC_OK;
}

static void
producer_drop(struct evc_kafka *kafka)
{
    if (kafka->producer) {
        rd_kafka_topic_destroy(kafka->topic);
        (void)rd_kafka_purge(kafka->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                                  RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy(kafka->producer);
        kafka->producer = NULL;
        kafka->topic = NULL;
    }
    kafka->pending = 0;
}

/** Knows the topic, and looks every few seconds whether it has grown. */
static int
look_at_topic(struct evc_kafka *kafka, struct evc_error *error)
{
    uint64_t now_us = evc_clock_mono_us();
    unsigned count = 0;
    int rc;

    if (kafka->is_topic_sure && now_us < kafka->look_due_us) {
        return EVC_OK;
    }
    rc = evc_kafka_ensure_topic(kafka->producer, &kafka->settings, &count, error);
    if (rc != EVC_OK) {
        /* What was known still holds; whether records can be appended, their reports say. */
        kafka->look_due_us = now_us + (uint64_t)EVC_KAFKA_METADATA_MS * 1000;
        return kafka->is_topic_sure ? EVC_OK : rc;
    }
    if (count > EVC_PARTITION_MAX) {
        count = EVC_PARTITION_MAX; /* the others stay empty */
    }
    atomic_store(&kafka->partition_count, count);
    kafka->is_topic_sure = true;
    kafka->look_due_us = now_us + (uint64_t)EVC_KAFKA_METADATA_MS * 1000;
    return EVC_OK;
}

static rd_kafka_resp_err_t
produce(struct evc_kafka *kafka, struct evc_queue_item *item)
{
    uint32_t events = htole32(item->event_count);

    return rd_kafka_producev(
        kafka->producer, RD_KAFKA_V_RKT(kafka->topic),
        RD_KAFKA_V_PARTITION((int32_t)item->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE((void *)item->record.ptr, item->record.len), RD_KAFKA_V_OPAQUE(item),
        /* How many events, for whoever counts records without reading them. */
        RD_KAFKA_V_HEADER(EVC_KAFKA_EVENTS_HEADER, &events, sizeof(events)), RD_KAFKA_V_END);
}

/** Hands all records over and waits for their reports. */
static void
produce_all(struct evc_kafka *kafka, struct evc_queue_item *items, size_t count)
{
    uint64_t until_us = evc_clock_mono_us() + (uint64_t)PRODUCER_WAIT_MS * 1000;

    kafka->pending = 0;
    kafka->last_err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t err = produce(kafka, &items[i]);

        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            items[i].status = EVC_E_SYS; /* in doubt until it is reported */
            kafka->pending++;
        } else {
            items[i].status = err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? EVC_E_FULL : EVC_E_SYS;
            kafka->last_err = err;
        }
    }
    while (kafka->pending > 0 && evc_clock_mono_us() < until_us) {
        rd_kafka_poll(kafka->producer, PRODUCER_POLL_MS);
    }
}

static int
conclude(struct evc_kafka *kafka, const struct evc_queue_item *items, size_t count,
         struct evc_error *error)
{
    char why[256] = "";
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(kafka->producer, why, sizeof(why));
    unsigned failed = 0;
    int rc = EVC_OK;

    for (size_t i = 0; i < count; i++) {
        if (items[i].status != EVC_OK) {
            failed++;
            rc = items[i].status;
        }
    }
    if (rc != EVC_OK) {
        evc_error_set(error, rc, "Kafka has not taken %u of %zu records for topic %s: %s", failed,
                      count, kafka->settings.options.topic,
                      fatal ? why : rd_kafka_err2str(kafka->last_err));
    }
    if (kafka->pending > 0 || fatal) {
        producer_drop(kafka);
    }
    return rc;
}

static int
kafka_append(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
             struct evc_error *error)
{
    struct evc_kafka *kafka = (struct evc_kafka *)queue;
    int rc = kafka->producer ? EVC_OK : producer_make(kafka, error);

    rc = rc ? rc : look_at_topic(kafka, error);
    if (rc != EVC_OK) {
        for (size_t i = 0; i < count; i++) {
            items[i].status = rc;
        }
        return rc;
    }
    produce_all(kafka, items, count);
    return conclude(kafka, items, count, error);
}

static unsigned
kafka_partitions(struct evc_queue *queue)
{
    return atomic_load(&((struct evc_kafka *)queue)->partition_count);
}

/** What the brokers keep is theirs to say. */
static int
kafka_usage(struct evc_queue *queue, uint64_t *ret_bytes, uint64_t *ret_bytes_max)
{
    (void)queue;
    (void)ret_bytes;
    (void)ret_bytes_max;
    return EVC_E_NOT_FOUND;
}

static void
kafka_close(struct evc_queue *queue)
{
    struct evc_kafka *kafka = (struct evc_kafka *)queue;

    producer_drop(kafka);
    evc_kafka_settings_finish(&kafka->settings);
    free(kafka);
}

static const struct evc_queue_ops kafka_ops = {
    .blob_bytes_max = EVC_KAFKA_BLOB_BYTES_MAX,
    .close = kafka_close,
    .append = kafka_append,
    .usage = kafka_usage,
    .partitions = kafka_partitions,
    .consumer_open = evc_kafka_consumer_open,
    .consumer_join = evc_kafka_consumer_join,
};

int
evc_queue_kafka_open(const struct evc_kafka_options *options, struct evc_queue **ret,
                     struct evc_error *error)
{
    struct evc_kafka *kafka = calloc(1, sizeof(*kafka));
    int rc;

    if (!kafka) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    kafka->queue.ops = &kafka_ops;
    atomic_store(&kafka->partition_count, options->partition_count);
    rc = evc_kafka_settings_copy(&kafka->settings, options);
    if (rc != EVC_OK) {
        evc_error_set(error, rc, "out of memory");
    }
    rc = rc ? rc : producer_make(kafka, error);
    if (rc != EVC_OK) {
        kafka_close(&kafka->queue);
        return rc;
    }
    /* So that consumers find the topic; without a broker the first append tries again. */
    (void)look_at_topic(kafka, NULL);
    *ret = &kafka->queue;
    return EVC_OK;
}
