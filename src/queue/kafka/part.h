/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One partition of a Kafka consumer: what is committed, what was handed out since, and the books'
 * blob that travels with the position. No client calls here; private to this folder.
 *
 * Position and blob are committed in one step because they are one thing to Kafka: a committed
 * offset has a text beside it (its metadata), and the blob is that text, base64. So whoever takes
 * the partition up, after a kill, a rebalance or a move of the group to other machines, has the
 * expected numbers of exactly that position; and since Kafka refuses commits of a member that the
 * group has given up, nobody can put old books under a new position. Behind the blob stands when
 * the last record before the position was appended (`@` and milliseconds): an offset alone does not
 * tell where to go on in a log that was cut. A broker takes 4096 bytes of
 * metadata unless its offset.metadata.max.bytes says more: enough for some 90 producers (journals
 * of the region's workers and relays). A commit that is too long is refused whole: the position
 * stays with its books, and the relay says so.
 */
#ifndef EVC_QUEUE_KAFKA_PART_H
#define EVC_QUEUE_KAFKA_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/queue.h"

enum {
    EVC_KAFKA_METADATA_BYTES = 4096, /* of a committed offset, that a broker takes by default */
    /* In base64, and with the time behind it (part.c). */
    EVC_KAFKA_BLOB_BYTES_MAX = (EVC_KAFKA_METADATA_BYTES - 32) / 4 * 3,
};

enum {
    EVC_KAFKA_OPEN_MAX = 16384 /* records handed out and not committed past, per partition */
};

/** A record that was handed out. */
struct evc_kafka_handed {
    uint64_t position;
    uint64_t events_before; /* of those handed out since the partition was taken up */
    uint64_t appended_us;
};

struct evc_kafka_part {
    bool is_owned;
    uint64_t committed; /* what was last asked to be committed */
    uint64_t next;      /* the position after the last record handed out */
    uint64_t events_handed, events_committed;
    uint64_t last_appended_us; /* of the last record handed out, here or by whoever committed */
    uint64_t done_us;          /* of the last record before the committed position; 0: not known */
    struct evc_kafka_handed *handed; /* a ring of EVC_KAFKA_OPEN_MAX */
    uint64_t handed_head, handed_tail;
    struct evc_buf blob;     /* as committed */
    struct evc_buf metadata; /* the same in base64, and done_us */
    bool is_dirty;           /* to be sent to the brokers */
    bool is_committing;      /* on its way there */
    bool is_copied;          /* the books' copy (copy.h) has been sent these */
    bool wants_start;        /* its position is not there (any more): to be put where records are */
};

/** Takes it up at a position with the metadata found there (NULL: none). 0, EVC_E_NOMEM, or
 * EVC_E_CORRUPT: that is not base64. */
EVC_MUST_USE int evc_kafka_part_take_up(struct evc_kafka_part *part, uint64_t position,
                                        const char *metadata, size_t metadata_len);

/** Nothing is handed out yet: it is to go on at another position. */
void evc_kafka_part_place(struct evc_kafka_part *part, uint64_t position);

/** Frees; the partition is not owned any more. */
void evc_kafka_part_drop(struct evc_kafka_part *part);

/** A record was handed out. false: too many are not committed past; it must be kept back. */
bool evc_kafka_part_hand_out(struct evc_kafka_part *part, uint64_t position, uint64_t events,
                             uint64_t appended_us);

/** EVC_E_INVALID: beyond what was handed out. Otherwise dirty from now on. */
EVC_MUST_USE int evc_kafka_part_commit(struct evc_kafka_part *part, uint64_t position,
                                       struct evc_slice blob);

/** Against the log's first and end position. */
void evc_kafka_part_backlog(const struct evc_kafka_part *part, uint64_t first, uint64_t end,
                            struct evc_queue_backlog *ret);

#endif
