/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder: one thread per process that takes released events from the process's journals, makes
 * records of them and appends those to the queue. Workers never wait for it: they only ring its
 * bell when it sleeps. While the queue is full or away it retries with back-off, and the journals
 * fill.
 *
 * Batches are whatever is ready when the feeder comes round: at once when it was quiet, a
 * millisecond after the last round when not, three in a rush, without a pause after a full one.
 */
#ifndef EVC_QUEUE_FEEDER_H
#define EVC_QUEUE_FEEDER_H

#include <stdbool.h>

#include "queue/journal.h"
#include "queue/queue.h"

enum {
    EVC_FEEDER_JOURNALS_MAX = 64
};

struct evc_feeder;

/** Takes neither journals nor queue: both outlive the feeder. Starts the thread. */
EVC_MUST_USE int evc_feeder_create(struct evc_queue *queue, unsigned partition_count,
                                   struct evc_journal *const *journals, size_t journal_count,
                                   struct evc_feeder **ret, struct evc_error *error);

/** Feeds what is ready for at most drain_ms, stops the thread, frees. Accepts NULL. */
void evc_feeder_destroy(struct evc_feeder *feeder, unsigned drain_ms);

/** There may be something to feed. Any thread; a system call only when the feeder sleeps. */
void evc_feeder_ring(struct evc_feeder *feeder);

struct evc_feeder_stats {
    uint64_t records_total;
    uint64_t events_total;
    uint64_t append_errors_total;
    uint64_t full_total; /* appends refused because the queue is at its bound */
    bool is_stalled;     /* the last append failed, or partitions are left out since one did */
    char last_error[EVC_ERROR_TEXT_BYTES];
};

/** Any thread. */
void evc_feeder_stats(struct evc_feeder *feeder, struct evc_feeder_stats *ret);

#endif
