/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See journal.h. The file: one header, then the ring. A position counts bytes since the file was
 * made; its place in the ring is position mod ring size. An entry never wraps: what is left at the
 * ring's end is filled by a pad, or by nothing where not even an entry's head fits.
 *
 * An entry is stamped with its own position, stored last. So whatever lies behind the newest entry,
 * an older round of the ring or half an entry of a killed process, does not carry the stamp that
 * recovery looks for, and recovery ends there.
 *
 * Who stores what: the owner the entries, their owner state, the clock cell and lost_seen; the
 * feeder the fed marks, the tail, the numbers and lost_taken. In memory beside it, a ring of
 * released positions from owner to feeder, large enough for as many entries as the file can hold.
 */
#include "queue/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/directory.h"
#include "base/slice.h"

enum {
    JOURNAL_FORMAT = 1,
    JOURNAL_HEADER_BYTES = 8192,
    JOURNAL_ALIGN = 8,
};

static const char journal_magic[8] = "EVCJRNL";

struct journal_header {
    char magic[8]; /* stored last */
    uint32_t format;
    uint32_t slot;
    uint64_t producer;
    uint64_t ring_bytes;
    int64_t pid; /* of the process that has it */
    uint64_t clock_cell;
    _Atomic uint64_t tail;
    _Atomic uint64_t replayed_total;
    _Atomic uint64_t last_seq[EVC_PARTITION_MAX];
    _Atomic uint64_t lost_seen[EVC_PARTITION_MAX];
    uint64_t lost_taken[EVC_PARTITION_MAX];
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
    uint32_t bytes;         /* of the whole entry, a multiple of JOURNAL_ALIGN */
    uint32_t checksum;      /* over everything below but the states and flags, and the key */
    _Atomic uint8_t owner;  /* enum owner_state */
    _Atomic uint8_t is_fed;
    uint8_t flags; /* enum evc_event_flag; recovery may add some */
    uint8_t op;
    uint32_t expiry_s;
    uint64_t version;
    uint64_t written_us;
    uint8_t key_len; /* 0: a pad */
    char key[];
};

enum {
    ENTRY_HEAD_BYTES = offsetof(struct journal_entry_head, key),
    ENTRY_BYTES_MIN = (ENTRY_HEAD_BYTES + 1 + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN * JOURNAL_ALIGN,
    ENTRY_BYTES_MAX = (ENTRY_HEAD_BYTES + EVC_EVENT_KEY_LEN_MAX + JOURNAL_ALIGN - 1) /
                      JOURNAL_ALIGN * JOURNAL_ALIGN,
};

struct evc_journal {
    /* immutable after open */
    struct journal_header *header;
    char *ring;
    uint64_t ring_bytes;
    size_t mapped_bytes;
    int fd;
    unsigned partition_count;
    uint64_t *ready; /* positions in the order of release */
    uint64_t ready_mask;
    struct evc_event_sink sink;
    /* owner thread */
    uint64_t reserve_at;
    /* shared, atomic */
    _Atomic uint64_t head;                            /* owner stores */
    _Atomic uint64_t ready_head;                      /* owner stores */
    _Atomic uint64_t reserved_total, cancelled_total; /* owner stores */
    _Atomic uint64_t fed_total;                       /* feeder stores */
    /* feeder thread */
    uint64_t ready_taken; /* the next to take */
    uint64_t ready_tail;  /* everything before it is fed */
};

/* --- entries --- */

static uint64_t
load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/** Adds to a cell only one thread stores to. */
static void
add(_Atomic uint64_t *cell, uint64_t count)
{
    atomic_store_explicit(cell, load(cell) + count, memory_order_relaxed);
}

static struct journal_entry_head *
entry_at(const struct evc_journal *journal, uint64_t pos)
{
    return (struct journal_entry_head *)(journal->ring + pos % journal->ring_bytes);
}

static uint64_t
bytes_to_end(const struct evc_journal *journal, uint64_t pos)
{
    return journal->ring_bytes - pos % journal->ring_bytes;
}

/** Where the entry after the ring's last one starts: not even a pad fits behind it. */
static uint64_t
skip_end(const struct evc_journal *journal, uint64_t pos)
{
    uint64_t left = bytes_to_end(journal, pos);

    return left < ENTRY_BYTES_MIN ? pos + left : pos;
}

static uint32_t
entry_bytes(size_t key_len)
{
    return (uint32_t)((ENTRY_HEAD_BYTES + key_len + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN *
                      JOURNAL_ALIGN);
}

static uint32_t
entry_checksum(const struct journal_entry_head *entry)
{
    uint64_t fixed[4] = {
        entry->version,
        entry->written_us,
        (uint64_t)entry->expiry_s << 32 | entry->bytes,
        (uint64_t)entry->op << 8 | entry->key_len,
    };

    return (uint32_t)(XXH3_64bits(entry->key, entry->key_len) ^ XXH3_64bits(fixed, sizeof(fixed)));
}

static bool
entry_is_at(const struct journal_entry_head *entry, uint64_t pos)
{
    return atomic_load_explicit(&entry->stamp, memory_order_acquire) == pos + 1;
}

/** Makes an entry visible: the stamp is stored after everything else. */
static void
entry_stamp(struct journal_entry_head *entry, uint64_t pos)
{
    entry->checksum = entry_checksum(entry);
    atomic_store_explicit(&entry->stamp, pos + 1, memory_order_release);
}

static uint8_t
owner_of(const struct journal_entry_head *entry)
{
    return atomic_load_explicit(&entry->owner, memory_order_acquire);
}

static void
set_owner(struct journal_entry_head *entry, uint8_t state)
{
    atomic_store_explicit(&entry->owner, state, memory_order_release);
}

static bool
entry_is_fed(const struct journal_entry_head *entry)
{
    return atomic_load_explicit(&entry->is_fed, memory_order_relaxed) != 0;
}

static void
set_fed(struct journal_entry_head *entry, bool is_fed)
{
    atomic_store_explicit(&entry->is_fed, is_fed, memory_order_relaxed);
}

/* --- owner thread --- */

static void
count_lost(struct evc_journal *journal, struct evc_slice key)
{
    unsigned partition =
        journal->partition_count ? evc_queue_partition(key, journal->partition_count) : 0;

    add(&journal->header->lost_seen[partition], 1);
}

/** Fills the ring's end so that the next entry starts at its beginning. */
static void
write_pad(struct evc_journal *journal, uint64_t pos, uint64_t bytes)
{
    struct journal_entry_head *pad = entry_at(journal, pos);

    pad->bytes = (uint32_t)bytes;
    set_owner(pad, OWNER_CANCELLED | OWNER_SETTLED);
    set_fed(pad, true);
    pad->flags = 0;
    pad->op = 0;
    pad->expiry_s = 0;
    pad->version = 0;
    pad->written_us = 0;
    pad->key_len = 0;
    entry_stamp(pad, pos);
}

/** Finds room for an entry; false when the ring is full. */
static bool
find_room(struct evc_journal *journal, uint32_t bytes, uint64_t *ret_pos)
{
    uint64_t tail = atomic_load_explicit(&journal->header->tail, memory_order_acquire);
    uint64_t pos = skip_end(journal, journal->reserve_at);
    uint64_t left = bytes_to_end(journal, pos);
    uint64_t start = left < bytes ? pos + left : pos;

    if (start + bytes - tail > journal->ring_bytes) {
        return false;
    }
    if (start != pos) {
        write_pad(journal, pos, left);
    }
    *ret_pos = start;
    return true;
}

evc_journal_pos
evc_journal_reserve(struct evc_journal *journal, const struct evc_event *event)
{
    uint32_t bytes = entry_bytes(event->key.len);
    struct journal_entry_head *entry;
    uint64_t pos;

    assert(event->key.len >= 1 && event->key.len <= EVC_EVENT_KEY_LEN_MAX);
    if (!find_room(journal, bytes, &pos)) {
        count_lost(journal, event->key);
        return EVC_JOURNAL_POS_NONE;
    }
    entry = entry_at(journal, pos);
    entry->bytes = bytes;
    set_owner(entry, OWNER_PENDING);
    set_fed(entry, false);
    entry->flags = event->flags;
    entry->op = (uint8_t)event->op;
    entry->expiry_s = event->expiry_s;
    entry->version = event->version;
    entry->written_us = event->written_us;
    entry->key_len = (uint8_t)event->key.len;
    memcpy(entry->key, event->key.ptr, event->key.len);
    entry_stamp(entry, pos);
    journal->reserve_at = pos + bytes;
    atomic_store_explicit(&journal->head, journal->reserve_at, memory_order_release);
    add(&journal->reserved_total, 1);
    return pos;
}

static void
push_ready(struct evc_journal *journal, uint64_t pos)
{
    uint64_t at = load(&journal->ready_head);

    journal->ready[at & journal->ready_mask] = pos;
    atomic_store_explicit(&journal->ready_head, at + 1, memory_order_release);
}

/** PENDING becomes something else, once. */
static void
leave_pending(struct evc_journal *journal, uint64_t pos, uint8_t state)
{
    struct journal_entry_head *entry = entry_at(journal, pos);

    assert(entry_is_at(entry, pos) && (owner_of(entry) & OWNER_STATE_MASK) == OWNER_PENDING);
    set_owner(entry, (uint8_t)(owner_of(entry) | state));
}

void
evc_journal_release(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_READY);
        push_ready(journal, pos);
    }
}

void
evc_journal_release_unknown(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_UNKNOWN);
        push_ready(journal, pos);
    }
}

void
evc_journal_cancel(struct evc_journal *journal, evc_journal_pos pos)
{
    if (pos != EVC_JOURNAL_POS_NONE) {
        leave_pending(journal, pos, OWNER_CANCELLED);
        add(&journal->cancelled_total, 1);
    }
}

void
evc_journal_settle(struct evc_journal *journal, evc_journal_pos pos)
{
    struct journal_entry_head *entry;

    if (pos == EVC_JOURNAL_POS_NONE) {
        return;
    }
    entry = entry_at(journal, pos);
    assert(entry_is_at(entry, pos));
    assert((owner_of(entry) & OWNER_STATE_MASK) != OWNER_PENDING);
    set_owner(entry, (uint8_t)(owner_of(entry) | OWNER_SETTLED));
}

static bool
sink_append(struct evc_event_sink *sink, const struct evc_event *event)
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
    return atomic_load_explicit(&journal->ready_head, memory_order_relaxed);
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

static bool
entry_is_over(const struct journal_entry_head *entry)
{
    uint8_t owner = owner_of(entry);

    return (owner & OWNER_SETTLED) &&
           ((owner & OWNER_STATE_MASK) == OWNER_CANCELLED || entry_is_fed(entry));
}

static void
move_tail(struct evc_journal *journal)
{
    uint64_t head = atomic_load_explicit(&journal->head, memory_order_acquire);
    uint64_t tail = load(&journal->header->tail);

    for (;;) {
        uint64_t pos = skip_end(journal, tail);

        if (pos >= head || !entry_is_over(entry_at(journal, pos))) {
            break;
        }
        tail = pos + entry_at(journal, pos)->bytes;
    }
    atomic_store_explicit(&journal->header->tail, tail, memory_order_release);
}

static struct evc_event
event_of(const struct journal_entry_head *entry)
{
    struct evc_event event = {
        .op = (enum evc_event_op)entry->op,
        .flags = entry->flags,
        .key = {.ptr = entry->key, .len = entry->key_len},
        .version = entry->version,
        .expiry_s = entry->expiry_s,
        .written_us = entry->written_us,
    };

    if ((owner_of(entry) & OWNER_STATE_MASK) == OWNER_UNKNOWN) {
        event.flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
    }
    return event;
}

bool
evc_journal_take(struct evc_journal *journal, struct evc_journal_entry *ret)
{
    uint64_t ready_head = atomic_load_explicit(&journal->ready_head, memory_order_acquire);

    while (journal->ready_taken < ready_head) {
        uint64_t pos = journal->ready[journal->ready_taken++ & journal->ready_mask];
        const struct journal_entry_head *entry = entry_at(journal, pos);

        /* After an untake some may be fed already, and their room in use by others. */
        if (entry_is_at(entry, pos) && !entry_is_fed(entry)) {
            ret->pos = pos;
            ret->event = event_of(entry);
            return true;
        }
    }
    move_tail(journal); /* what was settled since it was fed */
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
    return load(&journal->header->last_seq[partition]) + 1;
}

static void
move_ready_tail(struct evc_journal *journal)
{
    while (journal->ready_tail < journal->ready_taken) {
        uint64_t pos = journal->ready[journal->ready_tail & journal->ready_mask];
        const struct journal_entry_head *entry = entry_at(journal, pos);

        if (entry_is_at(entry, pos) && !entry_is_fed(entry)) {
            return;
        }
        journal->ready_tail++;
    }
}

void
evc_journal_fed(struct evc_journal *journal, const evc_journal_pos *pos, size_t count,
                uint32_t partition)
{
    assert(partition < EVC_PARTITION_MAX);
    add(&journal->header->last_seq[partition], count);
    for (size_t i = 0; i < count; i++) {
        struct journal_entry_head *entry = entry_at(journal, pos[i]);

        assert(entry_is_at(entry, pos[i]) && !entry_is_fed(entry));
        set_fed(entry, true);
    }
    add(&journal->fed_total, count);
    move_ready_tail(journal);
    move_tail(journal);
}

uint64_t
evc_journal_take_lost(struct evc_journal *journal, uint32_t partition)
{
    struct journal_header *header = journal->header;
    uint64_t lost = load(&header->lost_seen[partition]) - header->lost_taken[partition];

    if (lost > 0) {
        add(&header->last_seq[partition], lost);
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
    return journal->header->producer;
}

void
evc_journal_stats(const struct evc_journal *journal, struct evc_journal_stats *ret)
{
    const struct journal_header *header = journal->header;
    uint64_t fed = load(&journal->fed_total);
    uint64_t gone = load(&journal->cancelled_total) + fed;
    uint64_t reserved = load(&journal->reserved_total);

    *ret = (struct evc_journal_stats){
        .bytes_max = journal->ring_bytes,
        .events_waiting = reserved > gone ? reserved - gone : 0,
        .replayed_total = load(&header->replayed_total),
    };
    ret->bytes_used = load(&journal->head) - load(&header->tail);
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        ret->lost_total += load(&header->lost_seen[i]);
        ret->produced[i] = load(&header->last_seq[i]);
    }
}

/* --- open and close --- */

/** Whether what lies at pos can be an entry of this journal; asked of a file somebody else left. */
static bool
entry_is_sound(const struct evc_journal *journal, uint64_t pos)
{
    const struct journal_entry_head *entry = entry_at(journal, pos);
    uint64_t left = bytes_to_end(journal, pos);

    if (!entry_is_at(entry, pos) || entry->bytes > left || entry->bytes < ENTRY_BYTES_MIN ||
        entry->bytes % JOURNAL_ALIGN != 0) {
        return false;
    }
    if (entry->key_len > EVC_EVENT_KEY_LEN_MAX || entry->op > EVC_EVENT_DELETE ||
        (entry->key_len > 0 && entry->bytes != entry_bytes(entry->key_len)) ||
        (entry->key_len == 0 && entry->bytes != left)) {
        return false;
    }
    return entry->checksum == entry_checksum(entry);
}

/** What the last process left of one entry; true when it is to be fed. */
static bool
recover_entry(struct journal_entry_head *entry)
{
    uint8_t owner = owner_of(entry);

    switch (owner & OWNER_STATE_MASK) {
    case OWNER_PENDING:
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
        break;
    case OWNER_READY:
        if (owner & OWNER_SETTLED) {
            return !entry_is_fed(entry);
        }
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_RESHIP; /* a zone may lack it */
        break;
    case OWNER_UNKNOWN:
        if (entry_is_fed(entry)) {
            set_owner(entry, OWNER_UNKNOWN | OWNER_SETTLED);
            return false;
        }
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
        break;
    default:
        set_owner(entry, OWNER_CANCELLED | OWNER_SETTLED);
        return false;
    }
    set_fed(entry, false);
    set_owner(entry, OWNER_READY | OWNER_SETTLED);
    return true;
}

/** Reads the ring from its tail to where the stamps end. How many events wait to be fed. */
static uint64_t
recover(struct evc_journal *journal)
{
    uint64_t tail = load(&journal->header->tail);
    uint64_t pos = tail;
    uint64_t replayed = 0;

    for (;;) {
        uint64_t at = skip_end(journal, pos);

        if (at - tail + ENTRY_BYTES_MIN > journal->ring_bytes || !entry_is_sound(journal, at)) {
            break;
        }
        if (recover_entry(entry_at(journal, at))) {
            push_ready(journal, at);
            replayed++;
        }
        pos = at + entry_at(journal, at)->bytes;
    }
    journal->reserve_at = pos;
    atomic_store(&journal->head, pos);
    add(&journal->reserved_total, replayed);
    add(&journal->header->replayed_total, replayed);
    move_tail(journal);
    return replayed;
}

static int
lock_file(int fd, const char *path, struct evc_error *error)
{
    struct journal_header header;

    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return EVC_OK;
    }
    if (errno != EWOULDBLOCK) {
        return evc_error_sys(error, errno, "%s: cannot be locked", path);
    }
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        header.pid = 0;
    }
    return evc_error_set(
        error, EVC_E_BUSY,
        "%s: in use by process %lld; one process per worker slot, is this proxy or "
        "relay running already?",
        path, (long long)header.pid);
}

static int
make_file(int fd, const char *path, unsigned slot, uint64_t bytes, struct evc_error *error)
{
    struct journal_header header = {
        .format = JOURNAL_FORMAT,
        .slot = slot,
        .ring_bytes = bytes / JOURNAL_ALIGN * JOURNAL_ALIGN,
    };
    int rc;

    if (getrandom(&header.producer, sizeof(header.producer), 0) !=
        (ssize_t)sizeof(header.producer)) {
        return evc_error_sys(error, errno, "no random number for %s", path);
    }
    /* All of it now: a full disk must be an error here and not a signal at the first write. */
    rc = ftruncate(fd, 0) == 0
             ? posix_fallocate(fd, 0, (off_t)(JOURNAL_HEADER_BYTES + header.ring_bytes))
             : errno;
    if (rc != 0) {
        return evc_error_sys(error, rc, "%s: no room for %llu bytes; free some or set journal.size",
                             path, (unsigned long long)header.ring_bytes);
    }
    if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        pwrite(fd, journal_magic, sizeof(journal_magic), 0) != (ssize_t)sizeof(journal_magic)) {
        return evc_error_sys(error, errno, "%s: cannot be written", path);
    }
    return EVC_OK;
}

static int
damaged(struct evc_error *error, const char *path, const char *what)
{
    return evc_error_set(
        error, EVC_E_CORRUPT,
        "%s: %s; move it away to start with an empty journal (events in it are then "
        "not replicated)",
        path, what);
}

/** Makes the file if it is new or was never finished; else checks its header. */
static int
prepare_file(int fd, const char *path, unsigned slot, uint64_t bytes, struct evc_error *error)
{
    struct journal_header header;
    struct stat stat;

    if (fstat(fd, &stat) != 0) {
        return evc_error_sys(error, errno, "%s", path);
    }
    if (stat.st_size < JOURNAL_HEADER_BYTES ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        header.magic[0] == '\0') {
        return make_file(fd, path, slot, bytes, error);
    }
    if (memcmp(header.magic, journal_magic, sizeof(journal_magic)) != 0) {
        return damaged(error, path, "not a journal");
    }
    if (header.format != JOURNAL_FORMAT) {
        return damaged(error, path, "written by another release");
    }
    if (header.slot != slot || header.ring_bytes % JOURNAL_ALIGN != 0 ||
        header.ring_bytes < EVC_JOURNAL_BYTES_MIN ||
        (uint64_t)stat.st_size != JOURNAL_HEADER_BYTES + header.ring_bytes) {
        return damaged(error, path, "damaged");
    }
    return EVC_OK;
}

static int
map_file(struct evc_journal *journal, const char *path, struct evc_error *error)
{
    uint64_t ready_count = 1;
    struct stat stat;
    void *bytes;

    if (fstat(journal->fd, &stat) != 0) {
        return evc_error_sys(error, errno, "%s", path);
    }
    journal->mapped_bytes = (size_t)stat.st_size;
    bytes = mmap(NULL, journal->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, journal->fd, 0);
    if (bytes == MAP_FAILED) {
        return evc_error_sys(error, errno, "%s: cannot be mapped", path);
    }
    journal->header = bytes;
    journal->ring = (char *)bytes + JOURNAL_HEADER_BYTES;
    journal->ring_bytes = journal->header->ring_bytes;
    journal->header->pid = getpid();
    while (ready_count < journal->ring_bytes / ENTRY_BYTES_MIN) {
        ready_count *= 2;
    }
    journal->ready_mask = ready_count - 1;
    journal->ready = calloc(ready_count, sizeof(*journal->ready));
    return journal->ready ? EVC_OK : evc_error_set(error, EVC_E_NOMEM, "out of memory");
}

int
evc_journal_open(const char *directory, unsigned slot, uint64_t bytes, struct evc_journal **ret,
                 uint64_t *ret_replayed, struct evc_error *error)
{
    struct evc_journal *journal = calloc(1, sizeof(*journal));
    char path[EVC_PATH_BYTES_MAX];
    int rc;

    assert(bytes >= EVC_JOURNAL_BYTES_MIN);
    if (!journal) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    journal->fd = -1;
    journal->sink.append = sink_append;
    if (snprintf(path, sizeof(path), "%s/slot-%04u.journal", directory, slot) >=
        (int)sizeof(path)) {
        free(journal);
        return evc_error_set(error, EVC_E_INVALID, "journal path is too long");
    }
    rc = evc_directory_make(directory, error);
    if (rc == EVC_OK) {
        journal->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        rc = journal->fd < 0 ? evc_error_sys(error, errno, "%s: cannot be opened", path) : EVC_OK;
    }
    rc = rc ? rc : lock_file(journal->fd, path, error);
    rc = rc ? rc : prepare_file(journal->fd, path, slot, bytes, error);
    rc = rc ? rc : map_file(journal, path, error);
    if (rc != EVC_OK) {
        evc_journal_close(journal);
        return rc;
    }
    *ret_replayed = recover(journal);
    *ret = journal;
    return EVC_OK;
}

void
evc_journal_close(struct evc_journal *journal)
{
    if (!journal) {
        return;
    }
    if (journal->header) {
        munmap(journal->header, journal->mapped_bytes);
    }
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    free(journal->ready);
    free(journal);
}
