/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal seen from outside: its file mapped for reading, while its process may be writing. What
 * is read is a little old, and the ring may move on under the walk: an entry that does not carry
 * its stamp any more has been overtaken by the tail, which is then looked at again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "queue/journal_ring.h"

enum {
    PEEK_OVERTAKEN_MAX = 8, /* how often the walk begins anew at a tail that has moved on */
};

static bool
is_waiting(const struct journal_entry_head *entry)
{
    uint8_t state = journal_owner_of(entry) & OWNER_STATE_MASK;

    return entry->key_len > 0 && !journal_is_fed(entry) && state != OWNER_CANCELLED;
}

/** Entries between tail and head that are not fed, and when the first of them was written. */
static uint64_t
count_waiting(const struct evc_journal *journal, uint64_t *ret_oldest_us)
{
    uint64_t head = journal_load_acquire(&journal->header->head);
    uint64_t pos = journal_load_acquire(&journal->header->tail);
    uint64_t count = 0;
    unsigned overtaken = 0;

    *ret_oldest_us = 0;
    while (pos < head && overtaken < PEEK_OVERTAKEN_MAX) {
        uint64_t at = journal_skip_end(journal, pos);
        const struct journal_entry_head *entry = journal_entry_at(journal, at);
        uint32_t bytes = entry->bytes;

        if (!journal_entry_is_at(entry, at) || bytes < ENTRY_BYTES_MIN ||
            bytes > journal_bytes_to_end(journal, at) || bytes % JOURNAL_ALIGN != 0) {
            overtaken++;
            count = 0;
            *ret_oldest_us = 0;
            pos = journal_load_acquire(&journal->header->tail);
            continue;
        }
        if (is_waiting(entry)) {
            *ret_oldest_us = count == 0 ? entry->written_us : *ret_oldest_us;
            count++;
        }
        pos = at + bytes;
    }
    return count;
}

static void
read_header(const struct evc_journal *journal, struct evc_journal_peek *ret)
{
    const struct journal_header *header = journal->header;
    uint64_t oldest_us;
    uint64_t waiting = count_waiting(journal, &oldest_us);

    *ret = (struct evc_journal_peek){
        .slot = header->slot,
        .producer = header->producer,
        .pid = header->pid,
        .stats =
            {
                .bytes_used = journal_bytes_used(journal),
                .bytes_max = journal->bytes_max,
                .events_waiting = waiting,
                .oldest_us = oldest_us,
                .replayed_total = journal_load(&header->replayed_total),
            },
    };
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        ret->stats.lost_total += journal_load(&header->lost_seen[i]);
        ret->stats.produced[i] = journal_load(&header->last_seq[i]);
    }
}

static int
peek_file(int fd, struct evc_journal_peek *ret)
{
    struct evc_journal journal = {.fd = fd};
    struct stat stat;
    int status = EVC_OK;
    void *bytes;

    if (fstat(fd, &stat) != 0) {
        return EVC_E_SYS;
    }
    if (stat.st_size < JOURNAL_HEADER_BYTES) {
        return EVC_E_NOT_FOUND; /* is being made */
    }
    bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return EVC_E_SYS;
    }
    journal.header = bytes;
    journal.ring = (char *)bytes + JOURNAL_HEADER_BYTES;
    journal.ring_bytes = journal.header->ring_bytes;
    if (!evc_journal_is_finished(journal.header)) {
        status = EVC_E_NOT_FOUND;
    } else if (journal.ring_bytes < EVC_JOURNAL_BYTES_MIN ||
               journal.ring_bytes % JOURNAL_ALIGN != 0 ||
               (uint64_t)stat.st_size != JOURNAL_HEADER_BYTES + journal.ring_bytes) {
        status = EVC_E_CORRUPT;
    } else {
        journal.bytes_max = journal.ring_bytes - journal_lot_room(journal.ring_bytes);
        read_header(&journal, ret);
    }
    munmap(bytes, (size_t)stat.st_size);
    return status;
}

void
evc_journal_describe(const struct evc_journal *journal, struct evc_journal_peek *ret)
{
    ret->slot = journal->header->slot;
    ret->producer = journal->producer;
    ret->pid = journal->header->pid;
    evc_journal_stats(journal, &ret->stats);
}

int
evc_journal_peek(const char *directory, unsigned slot, struct evc_journal_peek *ret)
{
    char path[EVC_PATH_BYTES_MAX];
    int fd, status;

    if (evc_journal_path(directory, slot, path) != EVC_OK) {
        return EVC_E_NOT_FOUND;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? EVC_E_NOT_FOUND : EVC_E_SYS;
    }
    status = peek_file(fd, ret);
    close(fd);
    return status;
}
