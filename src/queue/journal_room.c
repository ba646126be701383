/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits at the journal's tail makes way for what comes: see evc_journal_make_room. A partition
 * that the queue does not take would keep the tail where its oldest entry is, and the room of
 * everything fed behind it.
 *
 * The feeder asks for a lot, and the owner gives it at its next event: an entry without a key at
 * the head, of some length. The feeder copies waiting entries from the tail into it, behind the
 * lot's own head, closes the lot and moves the tail:
 *
 *   tail ─▶ A · · B · C | D …        … [ lot            ]
 *   tail ─▶ A · · B · C | D …        … [ lot A' B' C' · ]   open: passed over as a whole
 *           A · · B · C | D …        … [lot] A' B' C' ·     closed: it says that all before | moved
 *               tail ─▶ | D …        … [lot] A' B' C' ·
 *
 * Closing is one store, of the lot's length and checksum. A process killed before it leaves the
 * originals and a lot that stands for nothing; one killed after it leaves the copies, and the next
 * process moves the tail to where the lot says. So at no instant are there both, or neither.
 *
 * Only settled entries move, which their owner has forgotten. All of it is the feeder's doing and
 * happens while none is taken: no event is fed twice for having moved, and as each keeps its place
 * in the order of release, a record in doubt is made again of the same events.
 */
#include <string.h>

#include "queue/journal_ring.h"

enum {
    SHORT_SHARE = 2, /* of the ring, so much must be used */
    WORTH_SHARE = 8, /* and so much be over: what is copied for it is at most seven times as much */
};

static bool
entry_is_movable(const struct journal_entry_head *entry)
{
    uint8_t owner = journal_owner_of(entry);

    return (owner & OWNER_SETTLED) && (owner & OWNER_STATE_MASK) != OWNER_CANCELLED &&
           !journal_is_fed(entry);
}

/** Whether it is time to move entries, and any would. */
static bool
is_short(const struct evc_journal *journal)
{
    uint64_t head = journal_load_acquire(&journal->header->head);
    uint64_t tail = journal_load(&journal->header->tail);
    uint64_t waiting = journal_load(&journal->reserved_bytes) - journal->fed_bytes -
                       journal_load(&journal->cancelled_bytes);
    uint64_t used = head - tail;

    return used > journal->ring_bytes / SHORT_SHARE &&
           used > waiting + journal->ring_bytes / WORTH_SHARE &&
           entry_is_movable(journal_entry_at(journal, journal_skip_end(journal, tail)));
}

/** The lot at hand; false: it is asked for. */
static bool
find_lot(struct evc_journal *journal, uint64_t *ret_pos)
{
    if (journal_load_acquire(&journal->lot_wanted) != 0) {
        return false;
    }
    *ret_pos = journal_load(&journal->lot_pos);
    if (*ret_pos == EVC_JOURNAL_POS_NONE) {
        journal_store_release(&journal->lot_wanted, journal_lot_bytes(journal->ring_bytes));
        return false;
    }
    return true;
}

static void
copy_entry(const struct evc_journal *journal, uint64_t from, uint64_t to)
{
    const struct journal_entry_head *entry = journal_entry_at(journal, from);
    struct journal_entry_head *copy = journal_entry_at(journal, to);

    memcpy((char *)copy + sizeof(copy->stamp), (const char *)entry + sizeof(entry->stamp),
           entry->bytes - sizeof(entry->stamp));
    journal_store_release(&copy->stamp, to + 1);
}

/** What is left of a lot is an open lot again, or nothing. */
static bool
fits(uint64_t room, uint64_t bytes)
{
    return room == bytes || room >= bytes + LOT_OPEN_BYTES_MIN;
}

/** Copies what waits from the tail on. How many; *ret_from: where it ended, *ret_to: in the lot. */
static size_t
copy_waiting(struct evc_journal *journal, uint64_t lot, uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t lot_end = lot + journal_entry_at(journal, lot)->bytes;
    uint64_t from = journal_load(&journal->header->tail);
    uint64_t to = lot + LOT_HEAD_BYTES;
    size_t count = 0;

    for (;;) {
        uint64_t pos = journal_skip_end(journal, from);
        const struct journal_entry_head *entry = journal_entry_at(journal, pos);

        if (pos >= lot) {
            break;
        }
        if (entry_is_movable(entry)) {
            if (!fits(lot_end - to, entry->bytes)) {
                break;
            }
            copy_entry(journal, pos, to);
            journal->moves[count++] = (struct journal_move){.from = pos, .to = to};
            to += entry->bytes;
        } else if (!journal_entry_is_over(entry)) {
            break;
        }
        from = pos + entry->bytes;
    }
    *ret_from = from;
    *ret_to = to;
    return count;
}

static void
close_lot(const struct evc_journal *journal, uint64_t lot, uint64_t moved_up_to)
{
    struct journal_entry_head *entry = journal_entry_at(journal, lot);
    struct journal_entry_head closed = {.bytes = LOT_HEAD_BYTES};

    closed.checksum = journal_lot_checksum(journal, moved_up_to);
    *journal_lot_moved(entry) = moved_up_to;
    journal_store_release(&entry->extent, journal_load(&closed.extent));
}

/** Where an entry is now; POS_NONE when it has not moved. */
static uint64_t
moved_to(const struct evc_journal *journal, size_t count, uint64_t pos)
{
    size_t low = 0;

    while (count > 0) {
        size_t half = count / 2;

        if (journal->moves[low + half].from < pos) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return journal->moves[low].from == pos ? journal->moves[low].to : EVC_JOURNAL_POS_NONE;
}

/** Released positions follow what has moved; those that are fed are left out when they are many. */
static void
follow_moves(struct evc_journal *journal, size_t count)
{
    uint64_t at = journal_load_acquire(&journal->ready_head);
    uint64_t kept = at;
    bool leaves_out = journal_load(&journal->fed_total) - journal->ready_tail > READY_FED_MAX;
    uint64_t last = journal->moves[count - 1].from;

    while (at-- > journal->ready_tail) {
        uint64_t pos = journal->ready[at & journal->ready_mask];
        uint64_t to = pos <= last ? moved_to(journal, count, pos) : EVC_JOURNAL_POS_NONE;

        if (to != EVC_JOURNAL_POS_NONE) {
            pos = to;
        } else if (leaves_out && !journal_is_waiting(journal, pos)) {
            continue;
        }
        journal->ready[--kept & journal->ready_mask] = pos;
    }
    journal->ready_tail = kept;
    journal->ready_taken = kept;
}

static void
move_into(struct evc_journal *journal, uint64_t lot)
{
    uint64_t lot_end = lot + journal_entry_at(journal, lot)->bytes;
    uint64_t from, to;
    size_t count = copy_waiting(journal, lot, &from, &to);

    if (count == 0) {
        return;
    }
    if (to < lot_end) {
        evc_journal_write_pad(journal, to, lot_end - to, LOT_MARK);
    }
    close_lot(journal, lot, from);
    follow_moves(journal, count);
    if (lot_end - to >= LOT_BYTES_MIN) {
        journal_set_lot(journal, to, lot_end - to);
    } else {
        journal_set_lot(journal, EVC_JOURNAL_POS_NONE, 0);
    }
    journal_store_release(&journal->header->tail, from);
    evc_journal_move_tail(journal);
}

bool
evc_journal_make_room(struct evc_journal *journal)
{
    uint64_t lot;

    assert(journal->ready_taken == journal->ready_tail);
    evc_journal_move_tail(journal);
    if (!is_short(journal)) {
        return false;
    }
    if (find_lot(journal, &lot)) {
        move_into(journal, lot);
    }
    return is_short(journal);
}
