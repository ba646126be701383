/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of feeding, without a thread: takes released events of one journal, makes a record per
 * partition, appends them in one step and settles the journal's numbers. Numbers that were lost at
 * the journal are skipped, so that every destination sees the gap; where no event follows the gap,
 * an empty record announces it, also once per partition when a journal is fed for the first time.
 */
#ifndef EVC_QUEUE_FEED_H
#define EVC_QUEUE_FEED_H

#include "queue/journal.h"
#include "queue/queue.h"
#include "queue/record.h"

struct evc_feed_part;

struct evc_feed {
    struct evc_queue *queue;
    unsigned partition_count;
    struct evc_feed_part *parts; /* by partition */
    struct evc_queue_item *items;
    struct evc_buf out;
};

/** 0 or EVC_E_NOMEM. After it nothing is allocated. */
EVC_MUST_USE int evc_feed_init(struct evc_feed *feed, struct evc_queue *queue,
                               unsigned partition_count);
void evc_feed_finish(struct evc_feed *feed); /* safe after a failed init */

/**
 * One round. now_us: Unix microseconds. The number of events fed (0: nothing was ready), or
 * EVC_E_FULL, EVC_E_SYS…: nothing was fed, everything is taken again in the next round; *error says
 * why.
 */
EVC_MUST_USE int evc_feed_round(struct evc_feed *feed, struct evc_journal *journal, bool is_first,
                                uint64_t now_us, uint64_t *ret_records, struct evc_error *error);

#endif
