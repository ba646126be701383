/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a journal's file with any bytes in it. An input is dense, since most of a file is inert:
 * where in the ring its piece belongs (u16, in units of the alignment), the header up to its
 * tables, and the piece, which may go around the ring's end. All else is zero. Every input is tried
 * as it is, and again with the header's constants and the checksums of what looks like entries made
 * to hold. A file that is opened must then work like any journal: feed, fill, move what waits,
 * close and open again. The corpus holds journals as processes leave them: in the first round of
 * the ring, in a later one, over its end, with lots.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"
#include "queue/journal_ring.h"

enum {
    FILE_BYTES = JOURNAL_HEADER_BYTES + EVC_JOURNAL_BYTES_MIN,
    HEADER_BYTES = offsetof(struct journal_header, last_seq),
    PIECE_AT = 2 + HEADER_BYTES,
};

static char directory[] = "/tmp/evcache-fuzz.XXXXXX";
static char file_path[64];
static int file_fd = -1;
static _Alignas(EVC_CACHE_LINE_BYTES) char bytes[FILE_BYTES];

static void
remove_directory(void)
{
    close(file_fd);
    (void)unlink(file_path);
    (void)rmdir(directory);
}

static void
make_directory(void)
{
    if (file_fd < 0) {
        assert(mkdtemp(directory) != NULL);
        snprintf(file_path, sizeof(file_path), "%s/slot-0001.journal", directory);
        file_fd = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        assert(file_fd >= 0);
        atexit(remove_directory);
    }
}

static int
open_journal(struct evc_journal **ret, uint64_t *replayed)
{
    struct evc_error error;
    int rc = evc_journal_open(directory, 1, EVC_JOURNAL_BYTES_MIN, ret, replayed, &error);

    assert(rc == EVC_OK || rc == EVC_E_CORRUPT);
    if (rc == EVC_OK) {
        evc_journal_set_partitions(*ret, 2);
    }
    return rc;
}

static void
feed_all(struct evc_journal *journal, uint64_t expected)
{
    struct evc_journal_entry entry;
    uint64_t count = 0;

    while (evc_journal_take(journal, &entry)) {
        assert(entry.event.key.len >= 1 && entry.event.key.len <= EVC_EVENT_KEY_LEN_MAX);
        assert(entry.event.op == EVC_EVENT_SET || entry.event.op == EVC_EVENT_DELETE);
        assert(journal_entry_at(journal, entry.pos)->bytes >=
               ENTRY_HEAD_BYTES + entry.event.key.len);
        for (size_t i = 0; i < entry.event.key.len; i++) {
            (void)*(volatile const char *)&entry.event.key.ptr[i]; /* is there to be read */
        }
        evc_journal_fed(journal, &entry.pos, 1, (uint32_t)(count % 2));
        count++;
    }
    assert(count == expected);
}

/** Feeds all but one in eight of count, which move then. How many are left. */
static uint64_t
feed_around(struct evc_journal *journal, uint64_t count)
{
    struct evc_event event = {.key = EVC_SLICE("gives-a-lot"), .version = 1};
    struct evc_journal_entry entry;
    uint64_t left = 0;

    for (uint64_t i = 0; i < count; i++) {
        assert(evc_journal_take(journal, &entry));
        if (i % 8 == 0) {
            left++;
        } else {
            evc_journal_fed(journal, &entry.pos, 1, 1);
        }
    }
    evc_journal_untake(journal);
    while (evc_journal_make_room(journal)) {
        left += evc_event_sink_append(evc_journal_sink(journal), &event);
        assert(left <= count);
    }
    return left;
}

static uint64_t
fill(struct evc_journal *journal)
{
    struct evc_event event = {.key = EVC_SLICE("a-key-of-some-length"), .version = 1};
    uint64_t count = 0;

    while (evc_event_sink_append(evc_journal_sink(journal), &event)) {
        count++;
        assert(count <= EVC_JOURNAL_BYTES_MIN / ENTRY_BYTES_MIN);
    }
    return count;
}

static void
try_file(void)
{
    struct evc_journal_stats stats;
    struct evc_journal *journal;
    uint64_t replayed, count;

    assert(ftruncate(file_fd, FILE_BYTES) == 0);
    assert(pwrite(file_fd, bytes, FILE_BYTES, 0) == FILE_BYTES);
    if (open_journal(&journal, &replayed) != EVC_OK) {
        return;
    }
    feed_all(journal, replayed);
    evc_journal_stats(journal, &stats);
    assert(stats.bytes_used == 0 && stats.events_waiting == 0);
    (void)evc_journal_take_lost(journal, 0);
    count = feed_around(journal, fill(journal));
    assert(count > 0);
    evc_journal_close(journal);
    assert(open_journal(&journal, &replayed) == EVC_OK && replayed == count);
    feed_all(journal, count);
    evc_journal_close(journal);
}

/** Makes the checksums hold of all that has a stamp, and of the header what is told at once. */
static void
mend(void)
{
    struct journal_header *header = (struct journal_header *)bytes;
    struct evc_journal journal = {.ring = bytes + JOURNAL_HEADER_BYTES,
                                  .ring_bytes = EVC_JOURNAL_BYTES_MIN,
                                  .producer = header->producer};

    memcpy(header->magic, "EVCJRNL", 8);
    header->format = JOURNAL_FORMAT;
    header->slot = 1;
    header->ring_bytes = EVC_JOURNAL_BYTES_MIN;
    for (uint64_t pos = 0; pos + ENTRY_BYTES_MIN <= EVC_JOURNAL_BYTES_MIN; pos += JOURNAL_ALIGN) {
        struct journal_entry_head *entry = journal_entry_at(&journal, pos);

        if ((journal_load(&entry->stamp) - 1) % EVC_JOURNAL_BYTES_MIN == pos &&
            entry->bytes <= EVC_JOURNAL_BYTES_MIN - pos &&
            ENTRY_HEAD_BYTES + (uint64_t)entry->key_len <= EVC_JOURNAL_BYTES_MIN - pos) {
            entry->checksum = journal_checksum(&journal, entry);
        }
    }
}

static void
lay_out(const uint8_t *data, size_t size)
{
    uint16_t at;

    memset(bytes, 0, sizeof(bytes));
    memcpy(&at, data, sizeof(at));
    memcpy(bytes, data + sizeof(at), HEADER_BYTES);
    for (size_t i = PIECE_AT; i < size; i++) {
        size_t to = ((size_t)at * JOURNAL_ALIGN + i - PIECE_AT) % EVC_JOURNAL_BYTES_MIN;

        bytes[JOURNAL_HEADER_BYTES + to] = (char)data[i];
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < PIECE_AT) {
        return 0;
    }
    make_directory();
    lay_out(data, len);
    try_file();
    lay_out(data, len);
    mend();
    try_file();
    return 0;
}
