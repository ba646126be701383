/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One consumer group of a relay, without the queue: takes records, opens a batch in the partition's
 * books for each and offers its events to a shipment (another region's group) or to repair (the
 * region's own group). The caller polls the queue while there is room and commits what the books
 * say. Pure.
 */
#ifndef EVC_REPLICATION_CONSUME_H
#define EVC_REPLICATION_CONSUME_H

#include "queue/queue.h"
#include "queue/record.h"
#include "replication/books.h"
#include "replication/repair.h"
#include "replication/ship.h"

struct evc_consume {
    struct evc_ship *ship; /* exactly one of the two is set; neither is owned */
    struct evc_repair *repair;
    struct evc_books *books[EVC_PARTITION_MAX]; /* NULL: not this consumer's partition */
    struct evc_list abandoned; /* books of partitions that went to another, with events open */
    uint64_t records_total, events_total;
    uint64_t corrupt_total;        /* records that could not be read; their numbers show as lost */
    uint64_t slot_conflicts_total; /* batches that show two live producers on one worker slot */
    /* of the last record that was taken, for the log */
    struct evc_record_header last;
    struct evc_books_opened last_opened;
    struct evc_event events[EVC_RECORD_EVENTS_MAX]; /* of the record being taken */
    uint64_t hashes[EVC_RECORD_EVENTS_MAX];         /* of their keys */
};

/** Nothing is allocated yet. */
void evc_consume_init(struct evc_consume *consume, struct evc_ship *ship,
                      struct evc_repair *repair);

/** Frees the books. Ship and repair must be destroyed first or be idle. */
void evc_consume_finish(struct evc_consume *consume);

/**
 * Takes a partition up where position and blob left it. 0, EVC_E_NOMEM or EVC_E_CORRUPT; then the
 * partition is not taken up, and may be with another blob.
 */
EVC_MUST_USE int evc_consume_add(struct evc_consume *consume, unsigned partition, uint64_t position,
                                 struct evc_slice blob);

/** A partition goes to another: what is not folded into its books is dropped, without an outcome.
 */
void evc_consume_remove(struct evc_consume *consume, unsigned partition);

/** Whether any record (EVC_RECORD_EVENTS_MAX events, any partition) may be taken now. */
bool evc_consume_has_room(const struct evc_consume *consume);

/**
 * Takes one record; bytes are not kept. Needs room. EVC_E_CORRUPT: counted and passed over, the
 * group goes on behind it.
 */
int evc_consume_record(struct evc_consume *consume, unsigned partition, uint64_t position,
                       struct evc_slice bytes);

#endif
