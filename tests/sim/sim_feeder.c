/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_feeder.h. The order of steps is queue/feeder.c's; a kill may fall between any two of
 * them. */
#include "sim_feeder.h"

#include <assert.h>

#include "queue/record.h"
#include "sim_world.h"

enum {
    FEED_US_MIN = 50,
    FEED_US_MAX = 20 * 1000,
    BATCH_EVENTS_MAX = 16,
};

/** What one step takes: the entries of one partition, in order. */
struct batch {
    struct evc_record_writer writer;
    struct evc_buf record;
    evc_journal_pos pos[BATCH_EVENTS_MAX];
    size_t count;
};

/** Takes entries and keeps those of the first one's partition; the others are put back and come
 * again. */
static void
gather(struct sim_process *process, struct batch *batch, uint32_t *ret_partition)
{
    unsigned partition_count = process->world->plan.partition_count;
    size_t events_max = (size_t)sim_random_between(&process->world->random, 1, BATCH_EVENTS_MAX);
    struct evc_journal_entry entry;

    evc_record_writer_begin(&batch->writer, (uint16_t)process->slot,
                            evc_journal_producer(process->journal), process->moment.unix_us);
    while (batch->count < events_max && evc_journal_take(process->journal, &entry)) {
        uint32_t partition = evc_queue_partition(entry.event.key, partition_count);

        if (batch->count > 0 && partition != *ret_partition) {
            break;
        }
        *ret_partition = partition;
        batch->pos[batch->count++] = entry.pos;
        if (evc_record_writer_add(&batch->writer, &entry.event) != EVC_OK) {
            sim_world_fail(process->world, "%s: a batch of %zu events is full", process->name,
                           batch->count);
        }
    }
}

static int
append(struct sim_process *process, struct batch *batch, uint32_t partition)
{
    struct evc_journal *journal = process->journal;
    struct evc_queue *queue = &process->world->regions[process->region].queue.queue;
    uint64_t lost = evc_journal_take_lost(journal, partition);
    int rc;

    assert(lost == 0); /* no seed fills a journal */
    rc = evc_record_writer_encode(&batch->writer, evc_journal_next_seq(journal, partition),
                                  &batch->record);
    if (rc == EVC_OK) {
        struct evc_queue_item item = {
            .partition = partition,
            .event_count = (uint32_t)batch->count,
            .record = evc_buf_slice(&batch->record),
        };

        rc = evc_queue_append(queue, &item, 1, NULL);
    }
    sim_world_say(process->world, "%s: feeds %zu to p%u: %d", process->name, batch->count,
                  partition, rc);
    return rc;
}

/** Returns false when the process did not survive the step. */
static bool
feed(struct sim_process *process, struct batch *batch, uint32_t partition)
{
    int rc = append(process, batch, partition);

    if (rc == EVC_OK && process->feeder.dies_next) {
        process->world->refed_count += batch->count;
        return false;
    }
    if (rc == EVC_OK) {
        evc_journal_fed(process->journal, batch->pos, batch->count, partition);
    }
    evc_journal_untake(process->journal);
    return true;
}

static void
on_feed(void *ctx, uint64_t life)
{
    struct sim_process *process = ctx;
    struct batch batch = {.count = 0};
    uint32_t partition = 0;
    bool survives = true;

    if (!process->is_alive || process->life != life) {
        return;
    }
    sim_process_enter(process);
    evc_buf_init(&batch.record, EVC_RECORD_BYTES_MAX);
    if (evc_record_writer_init(&batch.writer) == EVC_OK) {
        gather(process, &batch, &partition);
        if (batch.count > 0) {
            survives = feed(process, &batch, partition);
        }
        evc_record_writer_finish(&batch.writer);
    }
    evc_buf_finish(&batch.record);
    sim_process_leave(process); /* still due, so that a step that found nothing rings no bell */
    process->feeder.is_due = false;
    if (!survives) {
        sim_process_kill(process);
    } else if (batch.count > 0) {
        sim_feeder_ring(process);
    }
}

void
sim_feeder_ring(struct sim_process *process)
{
    struct sim_world *world = process->world;

    if (!process->feeder.is_due) {
        process->feeder.is_due = true;
        sim_time_after(&world->time, sim_random_spread(&world->random, FEED_US_MIN, FEED_US_MAX),
                       on_feed, process, process->life);
    }
}
