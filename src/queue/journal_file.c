/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a journal's file: made whole or not at all, kept to one process, checked before a byte of
 * it is believed, and what a dead process left made ready to be fed. See journal_ring.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "queue/journal_ring.h"

enum {
    STAT_BLOCK_BYTES = 512,
};

static const char journal_magic[8] = "EVCJRNL";

/* --- open and close --- */

/** Whether an entry that carries its stamp is whole; asked of a file somebody else left. */
static bool
entry_is_sound(const struct evc_journal *journal, uint64_t pos)
{
    struct journal_entry_head *entry = journal_entry_at(journal, pos);
    uint64_t left = journal_bytes_to_end(journal, pos);

    if (!journal_entry_is_at(entry, pos) || entry->bytes > left || entry->bytes < ENTRY_BYTES_MIN ||
        entry->bytes % JOURNAL_ALIGN != 0) {
        return false;
    }
    if (journal_entry_is_lot(entry)) {
        if (entry->bytes < LOT_HEAD_BYTES ||
            (journal_lot_is_closed(entry) && *journal_lot_moved(entry) > pos)) {
            return false;
        }
    } else if (entry->key_len > EVC_EVENT_KEY_LEN_MAX || (entry->op & 0x0F) > EVC_EVENT_DELETE ||
               (entry->key_len > 0 && entry->bytes != journal_entry_bytes(entry->key_len)) ||
               (entry->key_len == 0 && entry->bytes != left)) {
        return false;
    }
    return entry->checksum == journal_checksum(journal, entry);
}

/**
 * Finds where the entries end. Up to the header's head each must be sound, or the file is damaged:
 * false. Behind it lies at most what a process was killed over, which counts if it is whole.
 * *ret_moved: what lies before it has moved to a lot, though the tail may not have said so yet.
 */
static bool
find_end(const struct evc_journal *journal, uint64_t *ret_end, uint64_t *ret_moved)
{
    uint64_t tail = journal_load(&journal->header->tail);
    uint64_t head = journal_load(&journal->header->head);
    uint64_t pos = tail;

    *ret_moved = tail;
    for (;;) {
        uint64_t at = journal_skip_end(journal, pos);
        struct journal_entry_head *entry = journal_entry_at(journal, at);
        uint64_t end;

        if (at - tail + ENTRY_BYTES_MIN > journal->ring_bytes || !entry_is_sound(journal, at)) {
            break;
        }
        end = at + entry->bytes;
        if (end - tail > journal->ring_bytes) {
            break;
        }
        if (journal_lot_is_closed(entry) && *journal_lot_moved(entry) > *ret_moved) {
            *ret_moved = *journal_lot_moved(entry);
        }
        pos = end;
    }
    *ret_end = pos;
    return pos >= head;
}

/** What the last process left of one entry; true when it is to be fed. */
static bool
recover_entry(struct journal_entry_head *entry)
{
    uint8_t owner = entry->key_len > 0 ? journal_owner_of(entry) : OWNER_CANCELLED; /* a pad */

    switch (owner & OWNER_STATE_MASK) {
    case OWNER_PENDING:
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
        break;
    case OWNER_READY:
        if (owner & OWNER_SETTLED) {
            return !journal_is_fed(entry);
        }
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_RESHIP; /* a zone may lack it */
        break;
    case OWNER_UNKNOWN:
        if (journal_is_fed(entry)) {
            journal_set_owner(entry, OWNER_UNKNOWN | OWNER_SETTLED);
            return false;
        }
        entry->flags |= EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN;
        break;
    default:
        journal_set_owner(entry, OWNER_CANCELLED | OWNER_SETTLED);
        return false;
    }
    journal_set_fed(entry, false);
    journal_set_owner(entry, OWNER_READY | OWNER_SETTLED);
    return true;
}

/** The process was killed over moving entries: those whose copies are there are over. */
static void
pass_moved(struct evc_journal *journal, uint64_t moved)
{
    uint64_t pos = journal_load(&journal->header->tail);

    while (pos < moved) {
        uint64_t at = journal_skip_end(journal, pos);

        pos = at + journal_entry_at(journal, at)->bytes;
    }
    journal_store_release(&journal->header->tail, pos);
}

/** Makes what waits between the tail and end ready to be fed. How many events that is. */
static uint64_t
recover(struct evc_journal *journal, uint64_t end)
{
    uint64_t pos = journal_load(&journal->header->tail);
    uint64_t replayed = 0;

    while (pos < end) {
        uint64_t at = journal_skip_end(journal, pos);
        struct journal_entry_head *entry = journal_entry_at(journal, at);

        if (recover_entry(entry)) {
            journal_push_ready(journal, at);
            journal_add(&journal->reserved_bytes, entry->bytes);
            replayed++;
        }
        pos = at + entry->bytes;
    }
    journal->reserve_at = end;
    journal->tail_seen = journal_load(&journal->header->tail);
    journal_store_release(&journal->header->head, end);
    journal_add(&journal->reserved_total, replayed);
    journal_add(&journal->header->replayed_total, replayed);
    evc_journal_move_tail(journal);
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

/** All of a file's room now: a full disk must be an error here and not a signal at a write. */
static int
take_room(int fd, const char *path, uint64_t ring_bytes, struct evc_error *error)
{
    int rc = posix_fallocate(fd, 0, (off_t)(JOURNAL_HEADER_BYTES + ring_bytes));

    return rc ? evc_error_sys(error, rc,
                              "%s: no room for %llu bytes; free some or set journal.size", path,
                              (unsigned long long)ring_bytes)
              : EVC_OK;
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
    if (ftruncate(fd, 0) != 0) {
        return evc_error_sys(error, errno, "%s: cannot be written", path);
    }
    rc = take_room(fd, path, header.ring_bytes, error);
    if (rc != EVC_OK) {
        (void)!ftruncate(fd, 0); /* gives back what there was */
        return rc;
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

/** Whether a file without its magic was never finished: no entry has ever been written to it. */
static bool
is_unfinished(int fd, const struct journal_header *header)
{
    static const char none[sizeof(header->magic)];
    uint64_t stamp = 0;

    return memcmp(header->magic, none, sizeof(none)) == 0 &&
           pread(fd, &stamp, sizeof(stamp), JOURNAL_HEADER_BYTES) >= 0 && stamp == 0;
}

/** Whether a header's positions and numbers can be of this release's making. */
static bool
header_is_sound(const struct journal_header *header)
{
    uint64_t tail = journal_load(&header->tail);
    uint64_t head = journal_load(&header->head);

    if (tail % JOURNAL_ALIGN != 0 || head % JOURNAL_ALIGN != 0 || tail > head ||
        head - tail > header->ring_bytes || head > INT64_MAX) {
        return false;
    }
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        if (header->lost_taken[i] > journal_load(&header->lost_seen[i])) {
            return false;
        }
    }
    return true;
}

/** Makes the file if it is new or was never finished; else checks its header. */
static int
prepare_file(int fd, const char *path, unsigned slot, uint64_t bytes, struct evc_error *error)
{
    struct journal_header header = {0};
    struct stat stat;

    /* A short file leaves the rest of the header zero: never finished, or not a journal. */
    if (fstat(fd, &stat) != 0 || pread(fd, &header, sizeof(header), 0) < 0) {
        return evc_error_sys(error, errno, "%s: cannot be read", path);
    }
    if (is_unfinished(fd, &header)) {
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
        (uint64_t)stat.st_size != JOURNAL_HEADER_BYTES + header.ring_bytes ||
        !header_is_sound(&header)) {
        return damaged(error, path, "damaged");
    }
    /* A copy of a journal may have holes. */
    return stat.st_blocks * STAT_BLOCK_BYTES < stat.st_size
               ? take_room(fd, path, header.ring_bytes, error)
               : EVC_OK;
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
    journal->bytes_max = journal->ring_bytes - journal_lot_room(journal->ring_bytes);
    journal->producer = journal->header->producer;
    journal->header->pid = getpid();
    /* All entries of the ring, and as many again that were fed around one that is not: while one
     * waits where it is, all that were released after it lie within a ring of it. When it moves,
     * what was fed until then is left out, but for some (evc_journal_make_room). */
    while (ready_count < 2 * (journal->ring_bytes / ENTRY_BYTES_MIN) + READY_SPARE) {
        ready_count *= 2;
    }
    journal->ready_mask = ready_count - 1;
    journal->ready = calloc(ready_count, sizeof(*journal->ready));
    journal->moves =
        calloc(journal_lot_bytes(journal->ring_bytes) / ENTRY_BYTES_MIN, sizeof(*journal->moves));
    return journal->ready && journal->moves ? EVC_OK
                                            : evc_error_set(error, EVC_E_NOMEM, "out of memory");
}

int
evc_journal_path(const char *directory, unsigned slot, char ret[EVC_PATH_BYTES_MAX])
{
    int len = snprintf(ret, EVC_PATH_BYTES_MAX, "%s/slot-%04u.journal", directory, slot);

    return len < EVC_PATH_BYTES_MAX ? EVC_OK : EVC_E_INVALID;
}

bool
evc_journal_is_finished(const struct journal_header *header)
{
    return memcmp(header->magic, journal_magic, sizeof(journal_magic)) == 0 &&
           header->format == JOURNAL_FORMAT;
}

int
evc_journal_open(const char *directory, unsigned slot, uint64_t bytes, struct evc_journal **ret,
                 uint64_t *ret_replayed, struct evc_error *error)
{
    struct evc_journal *journal = aligned_alloc(EVC_CACHE_LINE_BYTES, sizeof(*journal));
    char path[EVC_PATH_BYTES_MAX];
    uint64_t end, moved;
    int rc;

    assert(bytes >= EVC_JOURNAL_BYTES_MIN);
    if (!journal) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    memset(journal, 0, sizeof(*journal));
    journal->fd = -1;
    journal->sink.append = evc_journal_sink_append;
    atomic_init(&journal->lot_pos, EVC_JOURNAL_POS_NONE);
    if (evc_journal_path(directory, slot, path) != EVC_OK) {
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
    if (rc == EVC_OK && !find_end(journal, &end, &moved)) {
        rc = damaged(error, path, "damaged");
    }
    if (rc != EVC_OK) {
        evc_journal_close(journal);
        return rc;
    }
    pass_moved(journal, moved);
    *ret_replayed = recover(journal, end);
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
    free(journal->moves);
    free(journal);
}
