/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue on Kafka: one topic per cache and region, one record one Kafka message, its partition
 * chosen by us. See queue.h for what a queue promises; only this folder includes rdkafka.h, and
 * nothing newer than librdkafka 2.0.2's interface.
 *
 * The topic is made when it is not there, and enlarged when it has fewer partitions than are asked
 * for. It may be enlarged at any time, by `evcache partitions` or by Kafka's own tools: everybody
 * looks every few seconds.
 */
#ifndef EVC_QUEUE_KAFKA_KAFKA_H
#define EVC_QUEUE_KAFKA_KAFKA_H

#include "queue/queue.h"

struct evc_kafka_property {
    char *name;
    char *value;
};

/** All strings are copied. */
struct evc_kafka_options {
    const char *brokers;      /* host:port,host:port */
    const char *topic;        /* of one cache and region */
    const char *group_prefix; /* before the name of every group */
    unsigned partition_count; /* at least; 1 to EVC_PARTITION_MAX */
    int replication;          /* copies of a new topic; -1: the brokers' default */
    const struct evc_kafka_property *properties; /* of librdkafka */
    size_t property_count;
    const struct evc_kafka_property *topic_properties; /* of a new topic, as Kafka names them */
    size_t topic_property_count;
};

/**
 * Opens the queue. Needs no broker: while none can be reached, append fails and consumers have
 * nothing. EVC_E_CONFIG: a property is not known to librdkafka, or ours to set.
 */
EVC_MUST_USE int evc_queue_kafka_open(const struct evc_kafka_options *options,
                                      struct evc_queue **ret, struct evc_error *error);

/** Whether librdkafka knows the property and takes its value, and it is not ours to set. 0 or
 * EVC_E_CONFIG. */
EVC_MUST_USE int evc_kafka_check_property(const struct evc_kafka_property *property,
                                          struct evc_error *error);

/** Whether a producer and a consumer could be made with all of the options' properties. 0 or
 * EVC_E_CONFIG; reaches no broker. */
EVC_MUST_USE int evc_kafka_check_properties(const struct evc_kafka_options *options,
                                            struct evc_error *error);

/**
 * Raises the topic's partitions to count and waits until the brokers say so. *ret_before: how many
 * there were. EVC_E_CONFIG: it has more already. EVC_E_SYS: the brokers refuse, or cannot be
 * reached.
 */
EVC_MUST_USE int evc_kafka_set_partitions(const struct evc_kafka_options *options, unsigned count,
                                          unsigned *ret_before, struct evc_error *error);

#endif
