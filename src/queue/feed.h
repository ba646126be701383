/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One round of feeding, without a thread: takes released events of one journal, makes a record per
 * partition, appends them and settles the journal's numbers, each partition by itself: one that the
 * queue does not take holds up no other. Numbers that were lost at the journal are skipped, so that
 * every destination sees the gap; where no event follows the gap, an empty record announces it,
 * also once per partition when a journal is fed for the first time.
 *
 * A partition that the queue did not take beside others that it took is left out for
 * EVC_FEED_HOLD_US, for all journals, and again after each attempt that fails: to find out may take
 * the queue seconds, in which the others are not fed.
 *
 * Lost numbers are given only behind events that are surely in the queue. So a record in doubt (it
 * may be in or not) is always made again with the same numbers, and what of it was in is counted
 * duplicate, never mistaken for the numbers of what was lost.
 */
#ifndef EVC_QUEUE_FEED_H
#define EVC_QUEUE_FEED_H

#include "queue/journal.h"
#include "queue/queue.h"
#include "queue/record.h"

enum {
    /* From the beginning of the round on, so twice as long as Kafka is waited for in it: half of
     * the time is the others'. */
    EVC_FEED_HOLD_US = 6 * 1000 * 1000,
};

struct evc_feed_part;

/** A journal that is fed, and where numbers were skipped that no record has shown yet. */
struct evc_feed_source {
    struct evc_journal *journal;
    bool wants_room; /* evc_journal_make_room could do more */
    bool owes_gap[EVC_PARTITION_MAX];
};

/** What one round has fed. */
struct evc_feed_count {
    unsigned events;
    unsigned records;
    bool is_holding; /* partitions were left out */
};

struct evc_feed {
    struct evc_queue *queue;
    unsigned partition_count;
    struct evc_feed_part *parts; /* by partition */
    struct evc_queue_item *items;
    struct evc_buf out;
    uint64_t held_until_us[EVC_PARTITION_MAX]; /* by the clock of the rounds; 0: taken since */
};

/** 0 or EVC_E_NOMEM. After it nothing is allocated, but to grow. */
EVC_MUST_USE int evc_feed_init(struct evc_feed *feed, struct evc_queue *queue,
                               unsigned partition_count);
void evc_feed_finish(struct evc_feed *feed); /* safe after a failed init */

/** Makes room for partitions that were added; never for fewer. 0 or EVC_E_NOMEM: as before. */
EVC_MUST_USE int evc_feed_grow(struct evc_feed *feed, unsigned partition_count);

/** Before the first round with a journal. */
void evc_feed_source_init(struct evc_feed_source *source, struct evc_journal *journal);

/**
 * One round, after which the journal makes room. now_us: Unix microseconds; *ret: what was fed,
 * also after a failure. 0 (and no event: nothing was ready), or EVC_E_FULL, EVC_E_SYS…: some was
 * not fed and is taken again in the next round; *error (may be NULL) says why.
 */
EVC_MUST_USE int evc_feed_round(struct evc_feed *feed, struct evc_feed_source *source,
                                uint64_t now_us, struct evc_feed_count *ret,
                                struct evc_error *error);

#endif
