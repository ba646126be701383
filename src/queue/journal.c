/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events into the journal and out of it again; see journal.h for what it promises and
 * journal_ring.h for how it lies in its file. In memory beside the file is a ring of released
 * positions from owner to feeder. No system call and no lock here.
 */
#include <string.h>

#include "queue/journal_ring.h"

enum {
    FETCH_AHEAD = 8, /* entries */
};

/* --- owner thread --- */

/** Makes an entry visible: the stamp is stored after everything else. */
static void
entry_stamp(const struct evc_journal *journal, struct journal_entry_head *entry, uint64_t pos)
{
    entry->checksum = journal_entry_checksum(journal, entry);
    journal_store_release(&entry->stamp, pos + 1);
}

static void
count_lost(struct evc_journal *journal, struct evc_slice key)
{
    unsigned partition =
        journal->partition_count ? evc_queue_partition(key, journal->partition_count) : 0;

    journal_add(&journal->header->lost_seen[partition], 1);
}

void
evc_journal_write_pad(const struct evc_journal *journal, uint64_t pos, uint64_t bytes,
                      uint32_t mark)
{
    struct journal_entry_head *pad = journal_entry_at(journal, pos);

    pad->bytes = (uint32_t)bytes;
    journal_set_owner(pad, OWNER_CANCELLED | OWNER_SETTLED);
    journal_set_fed(pad, true);
    pad->flags = 0;
    pad->op = 0;
    pad->expiry_s = mark;
    pad->version = 0;
    pad->written_us = 0;
    pad->key_len = 0;
    entry_stamp(journal, pad, pos);
}

/** Whether an event has room up to end; asks the feeder's tail only when the one last seen is too
 * old. */
static bool
has_room(struct evc_journal *journal, uint64_t end)
{
    uint64_t lot_room;

    if (end - journal->tail_seen <= journal->bytes_max) {
        return true;
    }
    /* Before the tail: a lot the tail has passed meanwhile lets an event in, and keeps none out. */
    lot_room = journal_load(&journal->lot_room);
    journal->tail_seen = journal_load_acquire(&journal->header->tail);
    return end - journal->tail_seen <= journal->bytes_max + lot_room;
}

/** Finds room for an entry; false when the ring is full. */
static bool
find_room(struct evc_journal *journal, uint32_t bytes, uint64_t *ret_pos)
{
    uint64_t pos = journal_skip_end(journal, journal->reserve_at);
    uint64_t left = journal_bytes_to_end(journal, pos);
    uint64_t start = left < bytes ? pos + left : pos;

    if (!has_room(journal, start + bytes)) {
        return false;
    }
    if (start != pos) {
        evc_journal_write_pad(journal, pos, left, 0);
    }
    *ret_pos = start;
    return true;
}

/** The feeder has asked for a lot: as long a one as the room that is kept for it allows, or none.
 */
static void
give_lot(struct evc_journal *journal)
{
    uint64_t pos = journal_skip_end(journal, journal->reserve_at);
    uint64_t left = journal_bytes_to_end(journal, pos);
    uint64_t start = left < LOT_BYTES_MIN ? pos + left : pos;
    uint64_t end = journal->reserve_at + journal->ring_bytes - journal->bytes_max;

    journal->tail_seen = journal_load_acquire(&journal->header->tail);
    end = journal_min(end, journal->tail_seen + journal->ring_bytes);
    if (end < start + LOT_BYTES_MIN) {
        return;
    }
    end = journal_min(end, start + journal_bytes_to_end(journal, start));
    end = journal_min(end, start + journal_load(&journal->lot_wanted));
    if (start != pos) {
        evc_journal_write_pad(journal, pos, start - pos, 0);
    }
    evc_journal_write_pad(journal, start, end - start, LOT_MARK);
    journal_store_release(&journal->header->head, end);
    journal_set_lot(journal, start, end - journal->reserve_at);
    journal->reserve_at = end;
    journal_store_release(&journal->lot_wanted, 0);
}

evc_journal_pos
evc_journal_reserve(struct evc_journal *journal, const struct evc_event *event)
{
    uint32_t bytes = journal_entry_bytes(event->key.len);
    struct journal_entry_head *entry;
    uint64_t pos;

    assert(event->key.len >= 1 && event->key.len <= EVC_EVENT_KEY_LEN_MAX);
    assert(event->only < EVC_EVENT_REGIONS_MAX);
    if (journal_load(&journal->lot_wanted) != 0) {
        give_lot(journal);
    }
    if (!find_room(journal, bytes, &pos)) {
        count_lost(journal, event->key);
        return EVC_JOURNAL_POS_NONE;
    }
    entry = journal_entry_at(journal, pos);
    entry->bytes = bytes;
    journal_set_owner(entry, OWNER_PENDING);
    journal_set_fed(entry, false);
    entry->flags = event->flags;
    entry->op = (uint8_t)((unsigned)event->op | (unsigned)event->only << 4);
    entry->expiry_s = event->expiry_s;
    entry->version = event->version;
    entry->written_us = event->written_us;
    entry->key_len = (uint8_t)event->key.len;
    memcpy(entry->key, event->key.ptr, event->key.len);
    entry_stamp(journal, entry, pos);
    journal->reserve_at = pos + bytes;
    journal_store_release(&journal->header->head, journal->reserve_at);
    journal_add(&journal->reserved_total, 1);
    journal_add(&journal->reserved_bytes, bytes);
    return pos;
}

/** PENDING becomes something else, once. */
static void
leave_pending(struct evc_journal *journal, uint64_t pos, uint8_t state)
{
    struct journal_entry_head *entry = journal_entry_at(journal, pos);

    assert(journal_entry_is_at(entry, pos) &&
           (journal_owner_of(entry) & OWNER_STATE_MASK) == OWNER_PENDING);
    journal_set_owner(entry, (uint8_t)(journal_owner_of(entry) | state));
}

void
evc_journal_release(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_READY);
        journal_push_ready(journal, pos);
    }
}

void
evc_journal_release_unknown(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_UNKNOWN);
        journal_push_ready(journal, pos);
    }
}

void
evc_journal_cancel(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_CANCELLED);
        journal_add(&journal->cancelled_total, 1);
        journal_add(&journal->cancelled_bytes, journal_entry_at(journal, pos)->bytes);
    }
}

void
evc_journal_settle(struct evc_journal *journal, evc_journal_pos pos)
{
    struct journal_entry_head *entry;

    if (pos == EVC_JOURNAL_POS_NONE) {
        return;
    }
    entry = journal_entry_at(journal, pos);
    assert(journal_entry_is_at(entry, pos));
    assert((journal_owner_of(entry) & OWNER_STATE_MASK) != OWNER_PENDING);
    journal_set_owner(entry, (uint8_t)(journal_owner_of(entry) | OWNER_SETTLED));
}

bool
evc_journal_sink_append(struct evc_event_sink *sink, const struct evc_event *event)
{
    struct evc_journal *journal =
        (struct evc_journal *)((char *)sink - offsetof(struct evc_journal, sink));
    evc_journal_pos pos = evc_journal_reserve(journal, event);

    evc_journal_release(journal, pos);
    evc_journal_settle(journal, pos);
    return pos != EVC_JOURNAL_POS_NONE;
}

struct evc_event_sink *
evc_journal_sink(struct evc_journal *journal)
{
    return &journal->sink;
}

uint64_t
evc_journal_released_total(const struct evc_journal *journal)
{
    return journal_load(&journal->ready_head);
}

uint64_t *
evc_journal_clock_cell(struct evc_journal *journal)
{
    return &journal->header->clock_cell;
}

void
evc_journal_set_partitions(struct evc_journal *journal, unsigned partition_count)
{
    assert(partition_count >= 1 && partition_count <= EVC_PARTITION_MAX);
    journal->partition_count = partition_count;
}

/* --- feeder thread --- */

void
evc_journal_move_tail(struct evc_journal *journal)
{
    uint64_t head = journal_load_acquire(&journal->header->head);
    uint64_t tail = journal_load(&journal->header->tail);

    for (;;) {
        uint64_t pos = journal_skip_end(journal, tail);

        if (pos >= head || !journal_entry_is_over(journal_entry_at(journal, pos))) {
            break;
        }
        tail = pos + journal_entry_at(journal, pos)->bytes;
    }
    if (journal_load(&journal->lot_pos) < tail) { /* it was not used */
        journal_set_lot(journal, EVC_JOURNAL_POS_NONE, 0);
    }
    journal_store_release(&journal->header->tail, tail);
}

static struct evc_event
event_of(const struct journal_entry_head *entry)
{
    struct evc_event event = {
        .op = (enum evc_event_op)(entry->op & 0x0F),
        .only = (uint8_t)(entry->op >> 4),
        .flags = entry->flags,
        .key = {.ptr = entry->key, .len = entry->key_len},
        .version = entry->version,
        .expiry_s = entry->expiry_s,
        .written_us = entry->written_us,
    };

    if ((journal_owner_of(entry) & OWNER_STATE_MASK) == OWNER_UNKNOWN) {
        event.flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
    }
    return event;
}

/** The owner wrote the entries on another core: they are on their way while others are taken. */
static void
fetch_ahead(const struct evc_journal *journal, uint64_t ready_head)
{
    uint64_t at = journal->ready_taken + FETCH_AHEAD;

    if (at < ready_head) { /* from there on the owner may be storing the position */
        evc_prefetch(journal_entry_at(journal, journal->ready[at & journal->ready_mask]), 1);
    }
}

bool
evc_journal_take(struct evc_journal *journal, struct evc_journal_entry *ret)
{
    uint64_t ready_head = journal_load_acquire(&journal->ready_head);

    while (journal->ready_taken < ready_head) {
        uint64_t pos = journal->ready[journal->ready_taken++ & journal->ready_mask];

        fetch_ahead(journal, ready_head);
        if (journal_is_waiting(journal, pos)) {
            ret->pos = pos;
            ret->event = event_of(journal_entry_at(journal, pos));
            if (journal_load(&journal->oldest_us) == 0) {
                atomic_store_explicit(&journal->oldest_us, ret->event.written_us,
                                      memory_order_relaxed);
            }
            return true;
        }
    }
    evc_journal_move_tail(journal); /* what was settled since it was fed */
    return false;
}

void
evc_journal_untake(struct evc_journal *journal)
{
    journal->ready_taken = journal->ready_tail;
}

uint64_t
evc_journal_next_seq(const struct evc_journal *journal, uint32_t partition)
{
    assert(partition < EVC_PARTITION_MAX);
    return journal_load(&journal->header->last_seq[partition]) + 1;
}

static void
move_ready_tail(struct evc_journal *journal)
{
    uint64_t oldest_us = 0;

    while (journal->ready_tail < journal->ready_taken) {
        uint64_t pos = journal->ready[journal->ready_tail & journal->ready_mask];

        if (journal_is_waiting(journal, pos)) {
            oldest_us = journal_entry_at(journal, pos)->written_us;
            break;
        }
        journal->ready_tail++;
    }
    atomic_store_explicit(&journal->oldest_us, oldest_us, memory_order_relaxed);
}

void
evc_journal_fed(struct evc_journal *journal, const evc_journal_pos *pos, size_t count,
                uint32_t partition)
{
    assert(partition < EVC_PARTITION_MAX);
    journal_add(&journal->header->last_seq[partition], count);
    for (size_t i = 0; i < count; i++) {
        struct journal_entry_head *entry = journal_entry_at(journal, pos[i]);

        assert(journal_entry_is_at(entry, pos[i]) && !journal_is_fed(entry));
        journal_set_fed(entry, true);
        journal->fed_bytes += entry->bytes;
    }
    journal_add(&journal->fed_total, count);
    move_ready_tail(journal);
    evc_journal_move_tail(journal);
}

uint64_t
evc_journal_take_lost(struct evc_journal *journal, uint32_t partition)
{
    struct journal_header *header = journal->header;
    uint64_t lost = journal_load(&header->lost_seen[partition]) - header->lost_taken[partition];

    if (lost > 0) {
        journal_add(&header->last_seq[partition], lost);
        header->lost_taken[partition] += lost;
    }
    return lost;
}

/* --- status --- */

unsigned
evc_journal_slot(const struct evc_journal *journal)
{
    return journal->header->slot;
}

uint64_t
evc_journal_producer(const struct evc_journal *journal)
{
    return journal->producer;
}

void
evc_journal_stats(const struct evc_journal *journal, struct evc_journal_stats *ret)
{
    const struct journal_header *header = journal->header;
    uint64_t fed = journal_load(&journal->fed_total);
    uint64_t gone = journal_load(&journal->cancelled_total) + fed;
    uint64_t reserved = journal_load(&journal->reserved_total);

    *ret = (struct evc_journal_stats){
        .bytes_used = journal_bytes_used(journal),
        .bytes_max = journal->bytes_max,
        .reserved_total = reserved,
        .events_waiting = reserved > gone ? reserved - gone : 0,
        .oldest_us = journal_load(&journal->oldest_us),
        .replayed_total = journal_load(&header->replayed_total),
    };
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        ret->lost_total += journal_load(&header->lost_seen[i]);
        ret->produced[i] = journal_load(&header->last_seq[i]);
    }
}
