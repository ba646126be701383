/* SPDX-License-Identifier: Apache-2.0 */
/* See feed.h. */
#include "queue/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct evc_feed_part {
    struct evc_record_writer writer;
    evc_journal_pos pos[EVC_RECORD_EVENTS_MAX];
    uint32_t count;
    bool is_full; /* takes no more in this round, however small: order within a partition */
    bool is_held;
};

/** A clock that is put back holds nothing for longer. */
static bool
is_held(const struct evc_feed *feed, unsigned partition, uint64_t now_us)
{
    uint64_t until_us = feed->held_until_us[partition];

    return now_us < until_us && until_us - now_us <= EVC_FEED_HOLD_US;
}

int
evc_feed_grow(struct evc_feed *feed, unsigned partition_count)
{
    struct evc_feed_part *parts;
    struct evc_queue_item *items;

    if (partition_count <= feed->partition_count) {
        return EVC_OK;
    }
    parts = realloc(feed->parts, partition_count * sizeof(*parts));
    if (!parts) {
        return EVC_E_NOMEM;
    }
    feed->parts = parts;
    items = realloc(feed->items, partition_count * sizeof(*items));
    if (!items) {
        return EVC_E_NOMEM;
    }
    feed->items = items;
    while (feed->partition_count < partition_count) {
        struct evc_feed_part *part = &feed->parts[feed->partition_count];

        if (evc_record_writer_init(&part->writer) != EVC_OK) {
            evc_record_writer_finish(&part->writer);
            return EVC_E_NOMEM; /* those before it are of use */
        }
        feed->partition_count++;
    }
    return EVC_OK;
}

int
evc_feed_init(struct evc_feed *feed, struct evc_queue *queue, unsigned partition_count)
{
    *feed = (struct evc_feed){.queue = queue};
    evc_buf_init(&feed->out, (size_t)EVC_PARTITION_MAX * EVC_RECORD_BYTES_MAX);
    return evc_feed_grow(feed, partition_count);
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

void
evc_feed_source_init(struct evc_feed_source *source, struct evc_journal *journal)
{
    source->journal = journal;
    source->wants_room = false;
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        source->owes_gap[i] = evc_journal_next_seq(journal, i) > 1;
    }
}

static void
begin(struct evc_feed *feed, const struct evc_journal *journal, uint64_t now_us,
      struct evc_feed_count *ret)
{
    *ret = (struct evc_feed_count){0};
    for (unsigned i = 0; i < feed->partition_count; i++) {
        struct evc_feed_part *part = &feed->parts[i];

        part->count = 0;
        part->is_full = false;
        part->is_held = is_held(feed, i, now_us);
        ret->is_holding |= part->is_held;
        evc_record_writer_begin(&part->writer, (uint16_t)evc_journal_slot(journal),
                                evc_journal_producer(journal), now_us);
    }
}

/** Takes what is ready. What finds its partition's record full is put back with everything else
 * that is not fed; the others go on. */
static void
gather(struct evc_feed *feed, struct evc_journal *journal)
{
    struct evc_journal_entry entry;
    unsigned count = 0;

    while (count < EVC_JOURNAL_FED_MAX && evc_journal_take(journal, &entry)) {
        struct evc_feed_part *part =
            &feed->parts[evc_queue_partition(entry.event.key, feed->partition_count)];

        if (part->is_held) {
            continue;
        }
        if (part->is_full || evc_record_writer_add(&part->writer, &entry.event) != EVC_OK) {
            part->is_full = true;
            continue;
        }
        part->pos[part->count++] = entry.pos;
        count++;
    }
}

/** Skips the numbers of what the journal lost. Only where nothing is in doubt. */
static void
skip_lost(struct evc_feed_source *source, unsigned partition)
{
    if (evc_journal_take_lost(source->journal, partition) > 0) {
        source->owes_gap[partition] = true;
    }
}

static int
encode(struct evc_feed *feed, struct evc_feed_source *source, size_t *ret_items)
{
    size_t items = 0;
    char *tail;

    evc_buf_clear(&feed->out);
    /* All of it now: items hold views of what is already there while more is encoded. */
    if (evc_buf_reserve(&feed->out, (size_t)feed->partition_count * EVC_RECORD_BYTES_MAX, &tail) !=
        EVC_OK) {
        return EVC_E_NOMEM;
    }
    for (unsigned i = 0; i < feed->partition_count; i++) {
        struct evc_feed_part *part = &feed->parts[i];
        size_t before = evc_buf_len(&feed->out);
        int rc;

        if (part->is_held) {
            continue; /* with its numbers: what was not taken may be in doubt */
        }
        if (part->count == 0) {
            skip_lost(source, i);
            if (!source->owes_gap[i]) {
                continue;
            }
        }
        rc = evc_record_writer_encode(&part->writer, evc_journal_next_seq(source->journal, i),
                                      &feed->out);
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

/** One partition's record is in the queue. */
static void
settle(struct evc_feed *feed, struct evc_feed_source *source, const struct evc_queue_item *item,
       struct evc_feed_count *count)
{
    uint32_t partition = item->partition;
    struct evc_feed_part *part = &feed->parts[partition];

    evc_log_debug("batch fed", "batch=%u/%u/%llu events=%u bytes=%zu", partition,
                  evc_journal_slot(source->journal),
                  (unsigned long long)evc_journal_next_seq(source->journal, partition), part->count,
                  item->record.len);
    if (part->count > 0) {
        evc_journal_fed(source->journal, part->pos, part->count, partition);
    }
    source->owes_gap[partition] = false;
    skip_lost(source, partition);
    count->events += part->count;
    count->records++;
}

/** It stays in the journal, and goes with the same numbers the next time. */
static void
note_refused(const struct evc_feed_source *source, const struct evc_queue_item *item)
{
    static struct evc_log_limit limit;
    unsigned long suppressed;

    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_debug("batch not taken by the queue, to be fed again",
                      "batch=%u/%u/%llu events=%u status=%s suppressed=%lu", item->partition,
                      evc_journal_slot(source->journal),
                      (unsigned long long)evc_journal_next_seq(source->journal, item->partition),
                      item->event_count, evc_status_str(item->status), suppressed);
    }
}

/** Others were taken beside it, or it was left out before this round and it is no better: it is the
 * partition and not the queue. */
static void
hold(struct evc_feed *feed, size_t items, bool others_are_taken, uint64_t now_us)
{
    for (size_t i = 0; i < items; i++) {
        uint64_t *until_us = &feed->held_until_us[feed->items[i].partition];

        if (feed->items[i].status != EVC_E_SYS) {
            *until_us = 0;
        } else if (others_are_taken || *until_us != 0) {
            *until_us = now_us + EVC_FEED_HOLD_US;
        }
    }
}

int
evc_feed_round(struct evc_feed *feed, struct evc_feed_source *source, uint64_t now_us,
               struct evc_feed_count *ret, struct evc_error *error)
{
    size_t items = 0;
    int rc;

    begin(feed, source->journal, now_us, ret);
    gather(feed, source->journal);
    rc = encode(feed, source, &items);
    if (rc != EVC_OK) {
        items = 0;
    } else if (items > 0) {
        rc = evc_queue_append(feed->queue, feed->items, items, error);
    }
    for (size_t i = 0; i < items; i++) {
        if (feed->items[i].status == EVC_OK) {
            settle(feed, source, &feed->items[i], ret);
        } else {
            note_refused(source, &feed->items[i]);
        }
    }
    hold(feed, items, ret->records > 0, now_us);
    evc_journal_untake(source->journal);
    source->wants_room = evc_journal_make_room(source->journal);
    return rc;
}
