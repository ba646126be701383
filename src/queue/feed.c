/* SPDX-License-Identifier: Apache-2.0 */
/* See feed.h. */
#include "queue/feed.h"

#include <stdlib.h>
#include <string.h>

struct evc_feed_part {
    struct evc_record_writer writer;
    evc_journal_pos pos[EVC_RECORD_EVENTS_MAX];
    uint32_t count;
    bool has_gap; /* numbers were skipped: say so even without an event */
};

int
evc_feed_init(struct evc_feed *feed, struct evc_queue *queue, unsigned partition_count)
{
    char *tail;

    *feed = (struct evc_feed){.queue = queue, .partition_count = partition_count};
    evc_buf_init(&feed->out, (size_t)partition_count * EVC_RECORD_BYTES_MAX);
    feed->parts = calloc(partition_count, sizeof(*feed->parts));
    feed->items = calloc(partition_count, sizeof(*feed->items));
    if (!feed->parts || !feed->items) {
        return EVC_E_NOMEM;
    }
    for (unsigned i = 0; i < partition_count; i++) {
        if (evc_record_writer_init(&feed->parts[i].writer) != EVC_OK) {
            return EVC_E_NOMEM;
        }
    }
    /* All of it now: items hold views of what is already there while more is encoded. */
    return evc_buf_reserve(&feed->out, (size_t)partition_count * EVC_RECORD_BYTES_MAX, &tail);
}

void
evc_feed_finish(struct evc_feed *feed)
{
    for (unsigned i = 0; feed->parts && i < feed->partition_count; i++) {
        evc_record_writer_finish(&feed->parts[i].writer);
    }
    free(feed->parts);
    free(feed->items);
    evc_buf_finish(&feed->out);
}

static void
begin(struct evc_feed *feed, struct evc_journal *journal, bool is_first, uint64_t now_us)
{
    for (unsigned i = 0; i < feed->partition_count; i++) {
        struct evc_feed_part *part = &feed->parts[i];

        part->count = 0;
        part->has_gap = evc_journal_take_lost(journal, i) > 0 ||
                        (is_first && evc_journal_next_seq(journal, i) > 1);
        evc_record_writer_begin(&part->writer, (uint16_t)evc_journal_slot(journal),
                                evc_journal_producer(journal), now_us);
    }
}

/** Takes what is ready until a partition's record is full. */
static int
gather(struct evc_feed *feed, struct evc_journal *journal)
{
    struct evc_journal_entry entry;
    int count = 0;

    while (count < EVC_JOURNAL_TAKE_MAX && evc_journal_take(journal, &entry)) {
        struct evc_feed_part *part =
            &feed->parts[evc_queue_partition(entry.event.key, feed->partition_count)];

        if (evc_record_writer_add(&part->writer, &entry.event) != EVC_OK) {
            break; /* this one is put back with everything else that is not fed */
        }
        part->pos[part->count++] = entry.pos;
        count++;
    }
    return count;
}

static int
encode(struct evc_feed *feed, struct evc_journal *journal, size_t *ret_items)
{
    size_t items = 0;

    evc_buf_clear(&feed->out);
    for (unsigned i = 0; i < feed->partition_count; i++) {
        struct evc_feed_part *part = &feed->parts[i];
        size_t before = evc_buf_len(&feed->out);
        int rc;

        if (part->count == 0 && !part->has_gap) {
            continue;
        }
        rc = evc_record_writer_encode(&part->writer, evc_journal_next_seq(journal, i), &feed->out);
        if (rc != EVC_OK) {
            return rc;
        }
        feed->items[items++] = (struct evc_queue_item){
            .partition = i,
            .event_count = part->count,
            .record = {.ptr = feed->out.data + feed->out.read + before,
                       .len = evc_buf_len(&feed->out) - before},
        };
    }
    *ret_items = items;
    return EVC_OK;
}

int
evc_feed_round(struct evc_feed *feed, struct evc_journal *journal, bool is_first, uint64_t now_us,
               uint64_t *ret_records, struct evc_error *error)
{
    size_t items = 0;
    int count, rc;

    begin(feed, journal, is_first, now_us);
    count = gather(feed, journal);
    rc = encode(feed, journal, &items);
    if (rc == EVC_OK && items > 0) {
        rc = evc_queue_append(feed->queue, feed->items, items, error);
    }
    for (unsigned i = 0; rc == EVC_OK && i < feed->partition_count; i++) {
        if (feed->parts[i].count > 0) {
            evc_journal_fed(journal, feed->parts[i].pos, feed->parts[i].count, i);
        }
    }
    evc_journal_untake(journal);
    *ret_records = items;
    return rc == EVC_OK ? count : rc;
}
