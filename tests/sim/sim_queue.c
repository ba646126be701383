/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_queue.h. Records are kept for the whole run; nothing is trimmed. */
#include "sim_queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_memory.h"
#include "sim_relay.h"
#include "sim_world.h"

enum {
    IN_DOUBT_CHANCE = 100, /* of a record for a stuck partition, to be in */
};

struct stored_record {
    char *bytes;
    size_t len;
    uint32_t event_count;
};

struct group {
    uint64_t committed;
    char *blob;
    size_t blob_len;
};

struct sim_queue_partition {
    struct stored_record *records; /* index: position */
    size_t count, capacity;
    uint64_t stuck_until_us;
    struct group groups[SIM_REGION_MAX];
};

/** In its process's memory: a kill closes it. */
struct sim_consumer {
    struct evc_queue_consumer consumer; /* first */
    struct sim_queue *queue;
    unsigned group;
    uint64_t next[SIM_PARTITION_MAX];
};

void
sim_queue_group_name(unsigned region, char ret[8])
{
    (void)snprintf(ret, 8, "g%u", region % SIM_REGION_MAX);
}

static struct sim_queue *
queue_of(struct evc_queue *queue)
{
    return EVC_CONTAINER_OF(queue, struct sim_queue, queue);
}

static struct sim_consumer *
consumer_of(struct evc_queue_consumer *consumer)
{
    return EVC_CONTAINER_OF(consumer, struct sim_consumer, consumer);
}

static void *
copy_bytes(const void *bytes, size_t len)
{
    return memcpy(sim_keep_alloc(len + 1), bytes, len);
}

/* --- consumers --- */

static void
consumer_close(struct evc_queue_consumer *consumer)
{
    free(consumer_of(consumer));
}

static int
consumer_poll(struct evc_queue_consumer *consumer, struct evc_queue_record *ret, size_t max)
{
    struct sim_consumer *mine = consumer_of(consumer);
    unsigned partition_count = mine->queue->world->plan.partition_count;
    size_t count = 0;

    for (unsigned i = 0; i < partition_count; i++) {
        const struct sim_queue_partition *partition = &mine->queue->partitions[i];

        while (count < max && mine->next[i] < partition->count) {
            const struct stored_record *record = &partition->records[mine->next[i]];

            ret[count++] = (struct evc_queue_record){
                .partition = i,
                .position = mine->next[i]++,
                .bytes = {.ptr = record->bytes, .len = record->len},
            };
        }
    }
    return (int)count;
}

static struct group *
group_of(struct sim_consumer *consumer, uint32_t partition)
{
    return &consumer->queue->partitions[partition].groups[consumer->group];
}

static int
consumer_committed(struct evc_queue_consumer *consumer, uint32_t partition, uint64_t *ret_position,
                   struct evc_slice *ret_blob)
{
    const struct group *group = group_of(consumer_of(consumer), partition);

    *ret_position = group->committed;
    *ret_blob = (struct evc_slice){.ptr = group->blob, .len = group->blob_len};
    return EVC_OK;
}

static int
consumer_commit(struct evc_queue_consumer *consumer, uint32_t partition, uint64_t position,
                struct evc_slice blob)
{
    struct group *group = group_of(consumer_of(consumer), partition);

    assert(position >= group->committed);
    group->committed = position;
    sim_keep_free(group->blob);
    group->blob = copy_bytes(blob.ptr, blob.len);
    group->blob_len = blob.len;
    return EVC_OK;
}

static int
consumer_backlog(struct evc_queue_consumer *consumer, uint32_t partition,
                 struct evc_queue_backlog *ret)
{
    const struct sim_queue_partition *held = &consumer_of(consumer)->queue->partitions[partition];

    *ret = (struct evc_queue_backlog){0};
    for (uint64_t i = group_of(consumer_of(consumer), partition)->committed; i < held->count; i++) {
        ret->records++;
        ret->events += held->records[i].event_count;
    }
    return EVC_OK;
}

static int
consumer_wake_fd(struct evc_queue_consumer *consumer)
{
    (void)consumer;
    return -1; /* relays are woken by append */
}

static void
consumer_wake_clear(struct evc_queue_consumer *consumer)
{
    (void)consumer;
}

static const struct evc_queue_consumer_ops consumer_ops = {
    .close = consumer_close,
    .poll = consumer_poll,
    .committed = consumer_committed,
    .commit = consumer_commit,
    .backlog = consumer_backlog,
    .wake_fd = consumer_wake_fd,
    .wake_clear = consumer_wake_clear,
};

/* --- the queue --- */

static void
put_record(struct sim_queue_partition *partition, const struct evc_queue_item *item)
{
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity ? partition->capacity * 2 : 64;
        partition->records =
            sim_keep_realloc(partition->records, partition->capacity * sizeof(*partition->records));
    }
    partition->records[partition->count++] = (struct stored_record){
        .bytes = copy_bytes(item->record.ptr, item->record.len),
        .len = item->record.len,
        .event_count = item->event_count,
    };
}

/** A partition without a leader: the record may be in, and nobody says so. */
static int
append_in_doubt(struct sim_queue *queue, const struct evc_queue_item *item)
{
    if (sim_random_chance(&queue->world->random, IN_DOUBT_CHANCE)) {
        put_record(&queue->partitions[item->partition], item);
        queue->world->refed_count += item->event_count;
    }
    return EVC_E_SYS;
}

static int
queue_append(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
             struct evc_error *error)
{
    struct sim_queue *mine = queue_of(queue);
    struct sim_world *world = mine->world;
    uint64_t event_count = 0;
    bool refuses;
    int rc = EVC_OK;

    (void)error;
    assert(world->feeding);
    refuses = world->time.now_us < world->plan.faults_until_us &&
              sim_random_chance(&world->random, world->plan.queue_full_chance);
    for (size_t i = 0; i < count; i++) {
        items[i].status = refuses && sim_random_chance(&world->random, 500) ? EVC_E_FULL : EVC_OK;
        if (world->time.now_us < mine->partitions[items[i].partition].stuck_until_us) {
            items[i].status = append_in_doubt(mine, &items[i]);
        }
        if (items[i].status != EVC_OK) {
            rc = items[i].status;
            continue;
        }
        event_count += items[i].event_count;
        put_record(&mine->partitions[items[i].partition], &items[i]);
    }
    sim_relay_wake(&world->regions[mine->region].relay);
    sim_feeder_has_appended(world->feeding, event_count);
    return rc;
}

static int
queue_usage(struct evc_queue *queue, uint64_t *ret_bytes, uint64_t *ret_bytes_max)
{
    (void)queue;
    *ret_bytes = 0;
    *ret_bytes_max = UINT64_MAX;
    return EVC_OK;
}

static unsigned
queue_partitions(struct evc_queue *queue)
{
    return queue_of(queue)->world->plan.partition_count;
}

static int
queue_consumer_open(struct evc_queue *queue, const char *group, const uint32_t *partitions,
                    size_t partition_count, struct evc_queue_consumer **ret,
                    struct evc_error *error)
{
    struct sim_consumer *consumer = calloc(1, sizeof(*consumer));

    (void)error;
    if (!consumer) {
        return EVC_E_NOMEM;
    }
    consumer->consumer.ops = &consumer_ops;
    consumer->queue = queue_of(queue);
    consumer->group = (unsigned)(group[1] - '0');
    for (size_t i = 0; i < partition_count; i++) {
        consumer->next[partitions[i]] = group_of(consumer, partitions[i])->committed;
    }
    *ret = &consumer->consumer;
    return EVC_OK;
}

static void
queue_close(struct evc_queue *queue)
{
    (void)queue;
}

static const struct evc_queue_ops queue_ops = {
    .close = queue_close,
    .append = queue_append,
    .usage = queue_usage,
    .partitions = queue_partitions,
    .consumer_open = queue_consumer_open,
};

void
sim_queue_stick(struct sim_queue *queue, unsigned partition, uint64_t until_us)
{
    queue->partitions[partition].stuck_until_us = until_us;
}

void
sim_queue_init(struct sim_queue *queue, struct sim_world *world, unsigned region)
{
    *queue = (struct sim_queue){
        .queue = {.ops = &queue_ops},
        .world = world,
        .region = region,
        .partitions = sim_keep_alloc(SIM_PARTITION_MAX * sizeof(struct sim_queue_partition)),
    };
}

void
sim_queue_finish(struct sim_queue *queue)
{
    for (unsigned i = 0; i < SIM_PARTITION_MAX; i++) {
        struct sim_queue_partition *partition = &queue->partitions[i];

        for (size_t at = 0; at < partition->count; at++) {
            sim_keep_free(partition->records[at].bytes);
        }
        for (unsigned group = 0; group < SIM_REGION_MAX; group++) {
            sim_keep_free(partition->groups[group].blob);
        }
        sim_keep_free(partition->records);
    }
    sim_keep_free(queue->partitions);
}
