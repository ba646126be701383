/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's file and what its parts share: journal.c (events in and out), journal_room.c (what
 * waits at the tail makes way) and journal_file.c (opening, and what a dead process left). Private
 * to them; others see journal.h.
 *
 * The file: one header, then the ring. A position counts bytes since the file was made; its place
 * in the ring is position mod ring size. An entry never wraps: what is left at the ring's end is
 * filled by a pad, or by nothing where not even an entry's head fits. A lot is room at the head
 * that the owner gives to the feeder: as open as a pad, until the feeder has put copies of what
 * waits at the tail into it and closes it (journal_room.c).
 *
 * An entry is stamped with its own position, stored last, and then the header's head passes it. So
 * everything between tail and head is whole, or the file is damaged; and whatever lies behind the
 * newest entry, an older round of the ring or half an entry of a killed process, does not carry the
 * stamp that recovery looks for.
 *
 * Who stores what: the owner the entries, their owner state, head, clock cell and lost_seen; the
 * feeder the fed marks, tail, numbers, lost_taken and the inside of a lot it was given.
 */
#ifndef EVC_QUEUE_JOURNAL_RING_H
#define EVC_QUEUE_JOURNAL_RING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/directory.h"
#include "base/hash.h"
#include "base/prefetch.h"
#include "queue/journal.h"

enum {
    JOURNAL_FORMAT = 3, /* another for every change of what the file holds */
    JOURNAL_HEADER_BYTES = 8192,
    JOURNAL_ALIGN = 8,
};

struct journal_header {
    char magic[8]; /* stored last */
    uint32_t format;
    uint32_t slot;
    uint64_t producer;
    uint64_t ring_bytes;
    int64_t pid; /* of the process that has it */
    /* owner thread stores */
    _Alignas(EVC_CACHE_LINE_BYTES) _Atomic uint64_t head;
    uint64_t clock_cell;
    /* feeder thread stores */
    _Alignas(EVC_CACHE_LINE_BYTES) _Atomic uint64_t tail;
    _Atomic uint64_t replayed_total;
    _Alignas(EVC_CACHE_LINE_BYTES) _Atomic uint64_t last_seq[EVC_PARTITION_MAX];
    uint64_t lost_taken[EVC_PARTITION_MAX];
    /* owner thread stores */
    _Atomic uint64_t lost_seen[EVC_PARTITION_MAX];
};

static_assert(sizeof(struct journal_header) <= JOURNAL_HEADER_BYTES, "the header has its room");

enum owner_state {
    OWNER_PENDING = 0,
    OWNER_READY = 1,
    OWNER_UNKNOWN = 2,   /* released as REPAIR | UNKNOWN */
    OWNER_CANCELLED = 3, /* never to be fed */
    OWNER_STATE_MASK = 3,
    OWNER_SETTLED = 4,
};

struct journal_entry_head {
    _Atomic uint64_t stamp; /* position + 1 */
    union {
        struct {
            uint32_t bytes;    /* of the whole entry, a multiple of JOURNAL_ALIGN */
            uint32_t checksum; /* see journal_entry_checksum */
        };
        _Atomic uint64_t extent; /* both: a lot is closed by one store */
    };
    _Atomic uint8_t owner; /* enum owner_state */
    _Atomic uint8_t is_fed;
    uint8_t flags; /* enum evc_event_flag; recovery may add some */
    uint8_t op;    /* low nibble enum evc_event_op, high nibble `only` */
    uint32_t expiry_s;
    uint64_t version;
    uint64_t written_us;
    uint8_t key_len; /* 0: a pad, or a lot */
    char key[];
};

enum {
    ENTRY_HEAD_BYTES = offsetof(struct journal_entry_head, key),
    ENTRY_BYTES_MIN = (ENTRY_HEAD_BYTES + 1 + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN * JOURNAL_ALIGN,
    ENTRY_BYTES_MAX = (ENTRY_HEAD_BYTES + EVC_EVENT_KEY_LEN_MAX + JOURNAL_ALIGN - 1) /
                      JOURNAL_ALIGN * JOURNAL_ALIGN,
};

/** A lot is an entry without a key; behind its head a position, see journal_lot_moved. */
enum {
    LOT_MARK = 1,                                                          /* in expiry_s */
    LOT_HEAD_BYTES = sizeof(struct journal_entry_head) + sizeof(uint64_t), /* all of a closed one */
    LOT_OPEN_BYTES_MIN = LOT_HEAD_BYTES + JOURNAL_ALIGN,
    LOT_BYTES_MIN = LOT_HEAD_BYTES + ENTRY_BYTES_MAX + LOT_OPEN_BYTES_MIN, /* to be of use */
    LOT_BYTES_MAX = 1024 * 1024,
    LOT_ROOM_SHARE = 32, /* of the ring, so much is kept from events, for lots */
    LOT_ROOM_BYTES_MIN = 4096,
    READY_FED_MAX =
        EVC_JOURNAL_FED_MAX, /* released positions that are fed, kept when others move */
    READY_SPARE = READY_FED_MAX + EVC_JOURNAL_FED_MAX,
};

static_assert(sizeof(struct journal_entry_head) % JOURNAL_ALIGN == 0 &&
                  sizeof(struct journal_entry_head) >= ENTRY_BYTES_MIN,
              "a lot's head is an entry");

/** Where an entry was, and where its copy is. */
struct journal_move {
    uint64_t from, to;
};

struct evc_journal {
    /* immutable after open */
    struct journal_header *header;
    char *ring;
    uint64_t ring_bytes;
    uint64_t bytes_max; /* of the ring, so much is for events */
    uint64_t producer;
    size_t mapped_bytes;
    int fd;
    unsigned partition_count;
    /* Positions in the order of release: room for all the file can hold, and for those that were
     * fed since the last untake, whose place in the file may have been written again meanwhile. */
    uint64_t *ready;
    uint64_t ready_mask;
    struct journal_move *moves; /* the feeder's, of one lot */
    struct evc_event_sink sink;
    /* A lot that is asked for (its bytes) is the owner's to give, which makes it 0 again; then the
     * lot is the feeder's, for as long as the tail has not passed it. */
    _Alignas(EVC_CACHE_LINE_BYTES) _Atomic uint64_t lot_wanted;
    _Atomic uint64_t lot_pos;  /* EVC_JOURNAL_POS_NONE: none, or used */
    _Atomic uint64_t lot_room; /* what it has of the room that is kept for lots */
    /* owner thread stores; the atomic ones are read by others */
    _Alignas(EVC_CACHE_LINE_BYTES) uint64_t reserve_at;
    uint64_t
        tail_seen; /* the feeder's tail when it was last looked at: at or before the real one */
    _Atomic uint64_t ready_head;
    _Atomic uint64_t reserved_total, cancelled_total;
    _Atomic uint64_t reserved_bytes, cancelled_bytes;
    /* feeder thread stores */
    _Alignas(EVC_CACHE_LINE_BYTES) uint64_t ready_taken; /* the next to take */
    uint64_t ready_tail;                                 /* everything before it is fed */
    _Atomic uint64_t fed_total;
    uint64_t fed_bytes;
    _Atomic uint64_t oldest_us; /* when the entry at ready_tail was written; 0: none waits */
};

static inline uint64_t
journal_load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline uint64_t
journal_load_acquire(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_acquire);
}

static inline void
journal_store_release(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_release);
}

/** Adds to a cell only one thread stores to. */
static inline void
journal_add(_Atomic uint64_t *cell, uint64_t count)
{
    atomic_store_explicit(cell, journal_load(cell) + count, memory_order_relaxed);
}

static inline struct journal_entry_head *
journal_entry_at(const struct evc_journal *journal, uint64_t pos)
{
    return (struct journal_entry_head *)(journal->ring + pos % journal->ring_bytes);
}

static inline uint64_t
journal_bytes_to_end(const struct evc_journal *journal, uint64_t pos)
{
    return journal->ring_bytes - pos % journal->ring_bytes;
}

/** Where the entry after the ring's last one starts: not even a pad fits behind it. */
static inline uint64_t
journal_skip_end(const struct evc_journal *journal, uint64_t pos)
{
    uint64_t left = journal_bytes_to_end(journal, pos);

    return left < ENTRY_BYTES_MIN ? pos + left : pos;
}

static inline uint64_t
journal_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** Room in the ring that events do not get, so that a full ring can still give lots. */
static inline uint64_t
journal_lot_room(uint64_t ring_bytes)
{
    uint64_t share = ring_bytes / LOT_ROOM_SHARE / JOURNAL_ALIGN * JOURNAL_ALIGN;

    return share > LOT_ROOM_BYTES_MIN ? share : LOT_ROOM_BYTES_MIN;
}

/** How long a lot is, when there is room. */
static inline uint64_t
journal_lot_bytes(uint64_t ring_bytes)
{
    return journal_min(journal_lot_room(ring_bytes), LOT_BYTES_MAX);
}

/** The lot that is there to be used. By whom it is; see lot_wanted. */
static inline void
journal_set_lot(struct evc_journal *journal, uint64_t pos, uint64_t room)
{
    atomic_store_explicit(&journal->lot_room, room, memory_order_relaxed);
    journal_store_release(&journal->lot_pos, pos);
}

/** How much of bytes_max is taken. */
static inline uint64_t
journal_bytes_used(const struct evc_journal *journal)
{
    uint64_t tail = journal_load_acquire(&journal->header->tail); /* head is never behind it */
    uint64_t used = journal_load_acquire(&journal->header->head) - tail;
    uint64_t lot_room = journal_min(journal_load(&journal->lot_room), used);

    return journal_min(used - lot_room, journal->bytes_max);
}

static inline uint32_t
journal_entry_bytes(size_t key_len)
{
    return (uint32_t)((ENTRY_HEAD_BYTES + key_len + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN *
                      JOURNAL_ALIGN);
}

/** Takes one more field into a seed, so that no other field can undo what it changed. */
static inline uint64_t
journal_stir(uint64_t seed, uint64_t field)
{
    seed = (seed + field) * UINT64_C(0x9E3779B97F4A7C15);
    return seed ^ seed >> 32;
}

/**
 * Over op, expiry, version, time and key, with length and producer in the seed: no key can look
 * like an entry without knowing the producer. The states change and flags may, so they are left
 * out. The fields go into the seed one by one: to hash as bytes what was stored as fields a moment
 * ago waits for the stores to reach the cache.
 */
static inline uint32_t
journal_entry_checksum(const struct evc_journal *journal, const struct journal_entry_head *entry)
{
    uint64_t rest = (uint64_t)entry->expiry_s << 32 | (uint64_t)entry->op << 16 | entry->bytes;
    uint64_t seed = journal_stir(journal->producer, entry->version);
    struct evc_slice key = {.ptr = entry->key, .len = entry->key_len};

    seed = journal_stir(journal_stir(seed, entry->written_us), rest);
    return (uint32_t)evc_hash_bytes(key, seed);
}

static inline bool
journal_entry_is_lot(const struct journal_entry_head *entry)
{
    return entry->key_len == 0 && entry->expiry_s == LOT_MARK;
}

static inline bool
journal_lot_is_closed(const struct journal_entry_head *entry)
{
    return journal_entry_is_lot(entry) && entry->bytes == LOT_HEAD_BYTES;
}

/** Of a closed lot: what lies before this position is over, or has its copy behind the lot. */
static inline uint64_t *
journal_lot_moved(struct journal_entry_head *lot)
{
    return (uint64_t *)((char *)lot + sizeof(*lot));
}

static inline uint32_t
journal_lot_checksum(const struct evc_journal *journal, uint64_t moved_up_to)
{
    struct evc_slice said = {.ptr = (const char *)&moved_up_to, .len = sizeof(moved_up_to)};

    return (uint32_t)evc_hash_bytes(said, journal_stir(journal->producer, LOT_MARK));
}

/** What the checksum of an entry of any kind must be. */
static inline uint32_t
journal_checksum(const struct evc_journal *journal, struct journal_entry_head *entry)
{
    return journal_lot_is_closed(entry) ? journal_lot_checksum(journal, *journal_lot_moved(entry))
                                        : journal_entry_checksum(journal, entry);
}

static inline bool
journal_entry_is_at(const struct journal_entry_head *entry, uint64_t pos)
{
    return journal_load_acquire(&entry->stamp) == pos + 1;
}

static inline uint8_t
journal_owner_of(const struct journal_entry_head *entry)
{
    return atomic_load_explicit(&entry->owner, memory_order_acquire);
}

static inline void
journal_set_owner(struct journal_entry_head *entry, uint8_t state)
{
    atomic_store_explicit(&entry->owner, state, memory_order_release);
}

static inline bool
journal_is_fed(const struct journal_entry_head *entry)
{
    return atomic_load_explicit(&entry->is_fed, memory_order_relaxed) != 0;
}

/** Fed or never to be, and settled: the tail may pass it. */
static inline bool
journal_entry_is_over(const struct journal_entry_head *entry)
{
    uint8_t owner = journal_owner_of(entry);

    return (owner & OWNER_SETTLED) &&
           ((owner & OWNER_STATE_MASK) == OWNER_CANCELLED || journal_is_fed(entry));
}

static inline void
journal_set_fed(struct journal_entry_head *entry, bool is_fed)
{
    atomic_store_explicit(&entry->is_fed, is_fed, memory_order_relaxed);
}

/** Hands a position to the feeder. Owner thread. */
static inline void
journal_push_ready(struct evc_journal *journal, uint64_t pos)
{
    uint64_t at = journal_load(&journal->ready_head);

    journal->ready[at & journal->ready_mask] = pos;
    journal_store_release(&journal->ready_head, at + 1);
}

/** The file of a slot, into ret. 0, or EVC_E_INVALID: too long. */
EVC_MUST_USE int evc_journal_path(const char *directory, unsigned slot,
                                  char ret[EVC_PATH_BYTES_MAX]);

/** Whether the file was made whole, by this release: everything else in it may be looked at. */
bool evc_journal_is_finished(const struct journal_header *header);

/** Moves the tail over what is fed and settled. Feeder thread. */
void evc_journal_move_tail(struct evc_journal *journal);

/** Writes an entry that stands for nothing: a pad, or with LOT_MARK a lot. By whom the room is. */
void evc_journal_write_pad(const struct evc_journal *journal, uint64_t pos, uint64_t bytes,
                           uint32_t mark);

/** Whether a released position still waits. After an untake some are fed already, and what lies
 * before the tail may be another entry by now: it is not looked at. Feeder thread. */
static inline bool
journal_is_waiting(const struct evc_journal *journal, uint64_t pos)
{
    return pos >= journal_load(&journal->header->tail) &&
           !journal_is_fed(journal_entry_at(journal, pos));
}

/** What a journal's sink does; see evc_journal_sink. Owner thread. */
bool evc_journal_sink_append(struct evc_event_sink *sink, const struct evc_event *event);

#endif
