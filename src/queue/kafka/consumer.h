/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer on Kafka, shared by consumer.c (records, positions), member.c (the group, partitions,
 * the client) and commit.c (what leaves for the brokers). Private to them: others see queue.h.
 * Thread: the consumer's.
 */
#ifndef EVC_QUEUE_KAFKA_CONSUMER_H
#define EVC_QUEUE_KAFKA_CONSUMER_H

#include "queue/kafka/client.h"
#include "queue/kafka/copy.h"
#include "queue/kafka/part.h"

enum {
    KAFKA_CONSUMER_RECORDS_MAX = 64, /* handed out by one poll */
    KAFKA_CONSUMER_RETRY_MS = 1000,
};

struct evc_kafka_consumer {
    struct evc_queue_consumer consumer; /* first */
    struct evc_kafka *kafka;
    struct evc_queue_member *member; /* NULL: fixed partitions */
    char group[256];
    rd_kafka_t *client;
    rd_kafka_queue_t *events;  /* what poll reads */
    rd_kafka_queue_t *commits; /* answers to commits */
    int wake_fd;
    struct evc_kafka_part parts[EVC_PARTITION_MAX];
    rd_kafka_message_t *handed[KAFKA_CONSUMER_RECORDS_MAX]; /* by the last poll */
    size_t handed_count;
    rd_kafka_message_t *held; /* came while there was no room */
    uint64_t full_since_us;   /* polled without room since; 0: there was room */
    uint64_t ask_due_us;      /* not before it is a broker asked where a log ends */
    bool is_paused;
    bool is_committing;
    bool is_commit_failing;
    bool is_broken;      /* to be made anew */
    bool has_been_dealt; /* the group has given this client its partitions, or none, once */
    struct evc_kafka_copy copy;
    uint64_t commit_due_us, start_due_us, make_due_us;
};

static inline const char *
kafka_topic_of(const struct evc_kafka_consumer *consumer)
{
    return consumer->kafka->settings.options.topic;
}

/** NULL: not this consumer's. */
static inline struct evc_kafka_part *
kafka_part_of(struct evc_kafka_consumer *consumer, int32_t partition)
{
    if (partition < 0 || partition >= EVC_PARTITION_MAX || !consumer->parts[partition].is_owned) {
        return NULL;
    }
    return &consumer->parts[partition];
}

/* --- member.c --- */

/** Makes the client. EVC_E_CONFIG, EVC_E_SYS; *error may be NULL. */
EVC_MUST_USE int evc_kafka_member_make(struct evc_kafka_consumer *consumer,
                                       struct evc_error *error);

/** Joins the group; its partitions come while it polls. EVC_E_SYS; *error may be NULL. */
EVC_MUST_USE int evc_kafka_member_subscribe(struct evc_kafka_consumer *consumer,
                                            struct evc_error *error);

/** Gives everything back: records handed out, partitions, the client. Safe without one. */
void evc_kafka_member_drop(struct evc_kafka_consumer *consumer);

/** Makes a broken client anew, once in KAFKA_CONSUMER_RETRY_MS; the group gives back what it gave.
 */
void evc_kafka_member_mend(struct evc_kafka_consumer *consumer);

/** Takes up what the group's commits say of the partitions of the list, and sets their offsets.
 * False: that cannot be read now. */
EVC_MUST_USE bool evc_kafka_member_take_up(struct evc_kafka_consumer *consumer,
                                           rd_kafka_topic_partition_list_t *list);

/* --- commit.c --- */

/** Sends all that is dirty in one request, unless one is on its way or a failed one waits. */
void evc_kafka_commits_send(struct evc_kafka_consumer *consumer);

/** Takes answers, for at most so long. */
void evc_kafka_commits_serve(struct evc_kafka_consumer *consumer, int timeout_ms);

/** Sends and waits, within bounds. What fails is taken up from the commit before it. */
void evc_kafka_commits_flush(struct evc_kafka_consumer *consumer);

/** Writes what has changed to the books' copy, or all when it is time to renew it. */
void evc_kafka_books_copy(struct evc_kafka_consumer *consumer);

/** Writes what has changed and waits for it, a moment; not while commits fail. */
void evc_kafka_books_flush(struct evc_kafka_consumer *consumer);

#endif
