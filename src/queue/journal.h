/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: a writer's own ring of events in a mapped file, before the queue. It is batch
 * buffer, crash protection and spool in one. One file per worker slot (`slot-0007.journal`), one
 * live process per file (flock); the next process that opens the slot replays what the last one
 * left.
 *
 *   reserve ─▶ PENDING ─▶ READY (release: the first zone acknowledged) ─▶ FED (in the queue)
 *                    ├──▶ READY as REPAIR|UNKNOWN (no zone acknowledged)
 *                    └──▶ FED without being fed (cancelled: no zone can have it)
 *   and, beside that, SETTLED: every zone has spoken, nothing of the write is on its way any more
 *
 * Invariants: an event is in the file before its write leaves for any zone; a PENDING event blocks
 * nobody behind it; the file's tail passes an entry only when it is FED and SETTLED, or has moved
 * to the head: what the queue does not take of one partition may not keep room from the others.
 * What a dead process left is replayed: PENDING as REPAIR|UNKNOWN; READY or FED but not SETTLED as
 * REPAIR|RESHIP (a zone may lack it and nobody else would notice); READY and SETTLED as it is. No
 * system call and no lock per event: the owner thread stores, the feeder thread loads, through
 * atomics. An event that finds the ring full is counted in lost_total and in the sequence (see
 * evc_journal_take_lost), never silent.
 *
 * Numbers: the file's header holds the producer's identity and, per partition, the last sequence
 * number fed. They are advanced by the feeder after the queue has the batch; a process killed in
 * between feeds the same numbers again, which the destinations count as duplicates.
 *
 * Durability: nothing in the file is lost by the death of any process, at whatever instruction. The
 * kernel writes it to the disk when it likes, so a power cut can leave it older or torn. Everything
 * up to the head is checked at opening; a file that does not hold is refused as damaged and is to
 * be moved away: its events are then not replicated, values in the nodes are untouched.
 */
#ifndef EVC_QUEUE_JOURNAL_H
#define EVC_QUEUE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/status.h"
#include "queue/event.h"
#include "queue/queue.h"

enum {
    EVC_JOURNAL_BYTES_MIN = 64 * 1024,
    EVC_JOURNAL_FED_MAX = 8192, /* entries fed between two untakes */
};

struct evc_journal;

/** A place in the ring: where reserve put an event. */
typedef uint64_t evc_journal_pos;

#define EVC_JOURNAL_POS_NONE UINT64_MAX

/**
 * Opens or creates the journal of a slot in directory (created if absent). bytes: size of the ring
 * for a new file. EVC_E_BUSY with the holder's process id when another process has the slot;
 * EVC_E_CORRUPT names the file; EVC_E_SYS when the path cannot be written. What the last process
 * left is ready to be fed when this returns; *ret_replayed says how many events that is.
 */
EVC_MUST_USE int evc_journal_open(const char *directory, unsigned slot, uint64_t bytes,
                                  struct evc_journal **ret, uint64_t *ret_replayed,
                                  struct evc_error *error);

/** Unmaps and unlocks. Whatever is not fed stays for the next process. Accepts NULL. */
void evc_journal_close(struct evc_journal *journal);

/** How many entries have been released since it was opened: whether the feeder's bell needs
 * ringing. */
uint64_t evc_journal_released_total(const struct evc_journal *journal);

/** Where the clock of the slot's writer survives a restart (evc_version_clock_keep). Owner thread.
 */
uint64_t *evc_journal_clock_cell(struct evc_journal *journal);

unsigned evc_journal_slot(const struct evc_journal *journal);
uint64_t evc_journal_producer(const struct evc_journal *journal);

/* --- owner thread --- */

/**
 * Copies an event in as PENDING, before its write leaves. EVC_JOURNAL_POS_NONE when the ring is
 * full: counted as lost; the write goes on.
 */
evc_journal_pos evc_journal_reserve(struct evc_journal *journal, const struct evc_event *event);

/** The first zone has acknowledged: the feeder may take it. POS_NONE is ignored, here and below. */
void evc_journal_release(struct evc_journal *journal, evc_journal_pos pos);

/** No zone has acknowledged and it may exist somewhere: released as REPAIR | UNKNOWN. */
void evc_journal_release_unknown(struct evc_journal *journal, evc_journal_pos pos);

/**
 * Every zone has acknowledged, failed or been given up, and what that asks for is in the journal.
 * Once per reserved entry, after one of release, release_unknown and cancel.
 */
void evc_journal_settle(struct evc_journal *journal, evc_journal_pos pos);

/** Certainly no zone has it (all refused): nothing is announced. To be settled like the others. */
void evc_journal_cancel(struct evc_journal *journal, evc_journal_pos pos);

/** reserve + release + settle in one, for events that follow a fact (echo, repair, reship). A sink.
 */
struct evc_event_sink *evc_journal_sink(struct evc_journal *journal);

/* --- feeder thread --- */

struct evc_journal_entry {
    evc_journal_pos pos;
    struct evc_event event; /* key is a view into the ring, valid until evc_journal_fed(pos) */
};

/** The next READY entry in the order of release. At most EVC_JOURNAL_FED_MAX of those taken may be
 * fed before an untake. false: none now. */
bool evc_journal_take(struct evc_journal *journal, struct evc_journal_entry *ret);

/** Puts everything taken and not yet fed back, to be taken again in order (the queue refused). */
void evc_journal_untake(struct evc_journal *journal);

/** The next sequence number to give in a partition (starts at 1). */
uint64_t evc_journal_next_seq(const struct evc_journal *journal, uint32_t partition);

/** The queue has these: entries become FED and the partition's numbers advance by count. */
void evc_journal_fed(struct evc_journal *journal, const evc_journal_pos *pos, size_t count,
                     uint32_t partition);

/**
 * How many events of a partition were lost for want of room since the last call. The feeder skips
 * as many numbers, so that every destination sees the gap as lost.
 */
uint64_t evc_journal_take_lost(struct evc_journal *journal, uint32_t partition);

/**
 * Where half of the ring is taken, an eighth of it by what is fed already, and the tail stands at
 * an entry that waits: moves waiting entries from the tail to the head, a lot of them at a time, so
 * that the tail moves on. They keep their turn. Nothing may be taken. True: more could be done,
 * once the owner has reserved an event again.
 */
bool evc_journal_make_room(struct evc_journal *journal);

/** Partitions of the queue; lost events are counted per partition. Set once, before the first
 * reserve. */
void evc_journal_set_partitions(struct evc_journal *journal, unsigned partition_count);

/* --- any thread, for status --- */

struct evc_journal_stats {
    uint64_t bytes_used;
    uint64_t bytes_max;      /* of the ring, so much is for events */
    uint64_t reserved_total; /* since it was opened; with those that were replayed */
    uint64_t events_waiting; /* PENDING or READY */
    uint64_t oldest_us;  /* when the oldest that waits for the queue was written, Unix; 0: none */
    uint64_t lost_total; /* since the file was made */
    uint64_t replayed_total;
    uint64_t
        produced[EVC_PARTITION_MAX]; /* last sequence number given, per partition: fed and lost */
};

void evc_journal_stats(const struct evc_journal *journal, struct evc_journal_stats *ret);

/** What a journal says of itself and its holder. */
struct evc_journal_peek {
    unsigned slot;
    uint64_t producer;
    int64_t pid; /* who held it last, or holds it */
    struct evc_journal_stats stats;
};

/** Of a journal that is open here. */
void evc_journal_describe(const struct evc_journal *journal, struct evc_journal_peek *ret);

/**
 * Looks at the journal of a slot without disturbing its process, live or dead. EVC_E_NOT_FOUND:
 * there is none, or it is not finished; EVC_E_SYS; EVC_E_CORRUPT.
 */
EVC_MUST_USE int evc_journal_peek(const char *directory, unsigned slot,
                                  struct evc_journal_peek *ret);

#endif
