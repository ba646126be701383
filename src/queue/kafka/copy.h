/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of a group's books, beside the group: the same texts, committed under the name
 * `<group>.books`. Whoever puts a group to another position with Kafka's own tools takes the
 * metadata from its offsets, and with it the books; they are then had from here, and what is read a
 * second time is duplicate by number. Any earlier state of the books will do, since position and
 * numbers of a copy belong together; so it is written now and then, and nobody waits for it but
 * those who give a partition up. Used by the consumer's thread; private to this folder.
 */
#ifndef EVC_QUEUE_KAFKA_COPY_H
#define EVC_QUEUE_KAFKA_COPY_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    EVC_KAFKA_COPY_MS = 10000,             /* between two of what has changed */
    EVC_KAFKA_COPY_RENEW_MS = 3600 * 1000, /* of all: brokers forget what nobody renews */
    EVC_KAFKA_COPY_FLUSH_MS = 500,         /* where it is waited for */
    EVC_KAFKA_COPY_GROUP_BYTES = 256 + 8,
};

struct evc_kafka_copy {
    rd_kafka_t *client; /* the consumer's */
    rd_kafka_queue_t *answers;
    char group[EVC_KAFKA_COPY_GROUP_BYTES];
    bool is_writing; /* one is on its way */
    uint64_t due_us, renew_due_us;
};

void evc_kafka_copy_open(struct evc_kafka_copy *copy, rd_kafka_t *client, const char *group);
void evc_kafka_copy_close(struct evc_kafka_copy *copy); /* before the client is */

/** Writes positions and metadata of a list; answered later. Not while another is on its way. */
void evc_kafka_copy_write(struct evc_kafka_copy *copy, const rd_kafka_topic_partition_list_t *list);

/** Takes the answer, if one has come. One that failed has everything written anew. */
void evc_kafka_copy_serve(struct evc_kafka_copy *copy, int timeout_ms);

/** Gives the elements without metadata that of the copy, where there is any. false: not known now.
 */
bool evc_kafka_copy_read(struct evc_kafka_copy *copy, rd_kafka_topic_partition_list_t *list);

#endif
