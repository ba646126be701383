/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the Kafka backend share. Private to this folder: others see kafka.h. */
#ifndef EVC_QUEUE_KAFKA_CLIENT_H
#define EVC_QUEUE_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "queue/kafka/kafka.h"

enum {
    EVC_KAFKA_ADMIN_MS = 3000,    /* for one answer about the topic */
    EVC_KAFKA_METADATA_MS = 5000, /* how often partitions are looked at */
};

/** A record's header: how many events it has, u32 little-endian. */
#define EVC_KAFKA_EVENTS_HEADER "events"

/** Options of our own, and copies of the caller's. */
struct evc_kafka_settings {
    struct evc_kafka_options options;
};

EVC_MUST_USE int evc_kafka_settings_copy(struct evc_kafka_settings *settings,
                                         const struct evc_kafka_options *options);
void evc_kafka_settings_finish(struct evc_kafka_settings *settings); /* safe after a failed copy */

/** The configuration of a client: our defaults (name, value, …, NULL), then the user's properties.
 * NULL with *error. */
rd_kafka_conf_t *evc_kafka_conf(const struct evc_kafka_settings *settings,
                                const char *const *defaults, struct evc_error *error);

/** Those of a producer (producer.c) and of a consumer (member.c). */
extern const char *const evc_kafka_producer_defaults[];
extern const char *const evc_kafka_consumer_defaults[];

/** Makes a client; takes conf, also when it fails. */
EVC_MUST_USE int evc_kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret,
                                  struct evc_error *error);

/** How many partitions the topic has. EVC_E_NOT_FOUND: it is not there. EVC_E_SYS: nobody answers.
 */
EVC_MUST_USE int evc_kafka_count_partitions(rd_kafka_t *client, const char *topic,
                                            unsigned *ret_count, struct evc_error *error);

/** Makes the topic where it is absent, enlarges it where it is smaller than asked for. */
EVC_MUST_USE int evc_kafka_ensure_topic(rd_kafka_t *client,
                                        const struct evc_kafka_settings *settings,
                                        unsigned *ret_count, struct evc_error *error);

/**
 * Where a partition's log begins (RD_KAFKA_OFFSET_BEGINNING) or ends (RD_KAFKA_OFFSET_END), asked
 * of its leader. rd_kafka_query_watermark_offsets would ask for both but does not keep its time
 * when a broker is away.
 */
EVC_MUST_USE rd_kafka_resp_err_t evc_kafka_log_edge(rd_kafka_t *client, const char *topic,
                                                    int32_t partition, int64_t edge, int timeout_ms,
                                                    int64_t *ret);

/**
 * Moves a position that is not in the log to where the group goes on (place.c). appended_us: of the
 * last record before it, 0 if that is not known. false: the brokers do not say.
 */
EVC_MUST_USE bool evc_kafka_place(rd_kafka_t *client, const char *topic, int32_t partition,
                                  uint64_t appended_us, uint64_t *position);

/** The producer's half, and the handle of the queue. */
struct evc_kafka {
    struct evc_queue queue; /* first */
    struct evc_kafka_settings settings;
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    bool is_topic_sure; /* it was seen by this producer */
    uint64_t look_due_us;
    atomic_uint partition_count;  /* any thread reads; consumers raise it, too */
    size_t pending;               /* items of an append that have no report yet */
    rd_kafka_resp_err_t last_err; /* of the reports of this append */
};

/** The consumer's half (consumer.c); see struct evc_queue_ops. */
EVC_MUST_USE int evc_kafka_consumer_open(struct evc_queue *queue, const char *group,
                                         const uint32_t *partitions, size_t partition_count,
                                         struct evc_queue_consumer **ret, struct evc_error *error);
EVC_MUST_USE int evc_kafka_consumer_join(struct evc_queue *queue, const char *group,
                                         struct evc_queue_member *member,
                                         struct evc_queue_consumer **ret, struct evc_error *error);

#endif
