/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The books of one (source region, group): what was received by number, and how each event ended,
 * per partition. Pure. Two uses of one struct:
 *   - numbers: every batch's first number is compared with the one expected of its producer; a gap
 * is lost, a repeat duplicate;
 *   - outcomes: events of a batch end in any order; a batch is closed when all have, and folded
 * into the totals when all before it are closed. Totals and the position behind them are committed
 *     together, so they are exact across restarts.
 *
 * Invariant per partition, over folded batches:
 *     received = sum of outcomes,      produced + duplicate = received + lost
 * where produced is the last number seen of every producer, summed. What a status command shows as
 * unexplained is produced + duplicate - lost - sum of outcomes - in flight, produced being the
 * producers' own count and in flight the queue's and the open batches'.
 *
 * A duplicate number is processed like any event (its content need not be the same after a crash of
 * its producer); it is only counted.
 */
#ifndef EVC_REPLICATION_BOOKS_H
#define EVC_REPLICATION_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/slice.h"
#include "queue/record.h"
#include "replication/outcome.h"

enum {
    EVC_BOOKS_BATCHES_MAX = 16384,  /* open, or closed behind an open one, per partition */
    EVC_BOOKS_PRODUCERS_MAX = 2048, /* remembered per partition; the longest silent is forgotten */
};

#define EVC_BOOKS_SILENT_US (UINT64_C(24) * 3600 * 1000 * 1000) /* a producer may be forgotten */

struct evc_books_totals {
    uint64_t received;
    uint64_t lost;
    uint64_t duplicate;
    uint64_t outcome[EVC_OUTCOME_MAX];
};

struct evc_books;

/** Books for one partition. NULL only without memory. */
struct evc_books *evc_books_create(void);
void evc_books_destroy(struct evc_books *books); /* accepts NULL */

/**
 * New books take up from a committed blob (empty: from nothing). 0, EVC_E_NOMEM or EVC_E_CORRUPT;
 * then they are good for evc_books_destroy only.
 */
EVC_MUST_USE int evc_books_load(struct evc_books *books, uint64_t position, struct evc_slice blob);

/**
 * The partition is another's now. Open events end on their own and count nowhere: the next owner
 * sees them again. On the list until the last has ended, then the books free themselves; at once
 * when none is open. evc_books_destroy takes them off too.
 */
void evc_books_abandon(struct evc_books *books, struct evc_list *abandoned);
struct evc_books *evc_books_of_link(struct evc_list *link); /* of that list */

/** A batch that is being processed. */
struct evc_batch {
    struct evc_list link;
    struct evc_books *books;
    uint64_t position;
    uint32_t open; /* events without an outcome */
    uint32_t outcome[EVC_OUTCOME_MAX];
    uint32_t event_count;
    uint16_t slot; /* its producer's */
    uint64_t lost, duplicate;
    /* numbers of its producer after this batch, folded with it */
    uint64_t producer, next_seq;
};

/** The number of its first event: with the slot and the partition, what names a batch everywhere.
 */
static inline uint64_t
evc_batch_first_seq(const struct evc_batch *batch)
{
    return batch->next_seq - batch->event_count;
}

/** Whether there is room to open another batch. */
bool evc_books_has_room(const struct evc_books *books);

/**
 * Whether an event of the batch holds up too many others: its partition's books are half full
 * because the position cannot move past what is open. Whoever keeps an event that cannot end now
 * carries it (EVC_EVENT_CARRIED).
 */
bool evc_batch_is_pinned(const struct evc_batch *batch);

/**
 * Since when (Unix microseconds) attempts at an event of the partition have failed, carried or not:
 * the earliest noted since the last evc_books_forget_failing; 0: none. What is carried is new in
 * the queue; this is how its age stays visible.
 */
void evc_books_forget_failing(struct evc_books *books);
void evc_batch_note_failing(struct evc_batch *batch, uint64_t since_us);
uint64_t evc_books_failing_since_us(const struct evc_books *books);

/** Whether the batch's partition is another's now (evc_books_abandon): its events come again there.
 */
bool evc_batch_is_abandoned(const struct evc_batch *batch);

/** What a record's numbers say when its batch is opened. */
struct evc_books_opened {
    uint64_t lost, duplicate;
    bool is_slot_conflict; /* another producer was heard on this slot within the 10 s before it: two
                              live writers might mint the same versions */
};

/**
 * Opens a batch for the record at position (positions go up, but where the queue lost its end).
 * Each of its header->count events must get one evc_batch_outcome. NULL when it has none: it is
 * closed at once. Needs room.
 */
struct evc_batch *evc_books_open(struct evc_books *books, uint64_t position,
                                 const struct evc_record_header *header,
                                 struct evc_books_opened *ret);

/** One event of the batch has ended. Folds what can be folded; batch may be gone afterwards. */
void evc_batch_outcome(struct evc_batch *batch, enum evc_outcome outcome);

/** Lag of what was applied in this partition, write to visible, microseconds; since creation. */
struct evc_histogram *evc_books_lag(struct evc_books *books);

/** The position to commit and whether it moved since the last evc_books_save. */
uint64_t evc_books_position(const struct evc_books *books, bool *ret_moved);

/** Producers whose numbers are remembered, and the bytes of the blob with them. */
unsigned evc_books_producers(const struct evc_books *books);
size_t evc_books_blob_bytes(const struct evc_books *books);

/**
 * Forgets producers until the blob has at most bytes_max bytes, the longest silent first: only such
 * as have nothing open and were heard EVC_BOOKS_SILENT_US before the last one that was (a journal
 * that was thrown away has its like in every partition). Should one be heard again after all, its
 * numbers before that count as lost. How many.
 */
unsigned evc_books_forget_producers(struct evc_books *books, size_t bytes_max);

/** Appends the blob that belongs to evc_books_position to out. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_books_save(struct evc_books *books, struct evc_buf *out);

/** Folded totals; *ret_open: events received in batches not folded yet. */
void evc_books_totals(const struct evc_books *books, struct evc_books_totals *ret,
                      uint64_t *ret_open);

#endif
