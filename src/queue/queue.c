/* SPDX-License-Identifier: Apache-2.0 */
/* Callers of a backend's tables; see queue.h. */
#include "queue/queue.h"

#include "base/hash.h"

uint32_t
evc_queue_partition(struct evc_slice key, unsigned partition_count)
{
    return (uint32_t)(evc_hash_key(key) % partition_count);
}

void
evc_queue_close(struct evc_queue *queue)
{
    if (queue) {
        queue->ops->close(queue);
    }
}

int
evc_queue_append(struct evc_queue *queue, struct evc_queue_item *items, size_t count,
                 struct evc_error *error)
{
    return queue->ops->append(queue, items, count, error);
}

int
evc_queue_usage(struct evc_queue *queue, uint64_t *ret_bytes, uint64_t *ret_bytes_max)
{
    return queue->ops->usage(queue, ret_bytes, ret_bytes_max);
}

unsigned
evc_queue_partitions(struct evc_queue *queue)
{
    return queue->ops->partitions(queue);
}

size_t
evc_queue_blob_bytes_max(const struct evc_queue *queue)
{
    return queue->ops->blob_bytes_max ? queue->ops->blob_bytes_max : EVC_QUEUE_BLOB_BYTES_MAX;
}

bool
evc_queue_has_shared_groups(const struct evc_queue *queue)
{
    return queue->ops->consumer_join != NULL;
}

int
evc_queue_consumer_join(struct evc_queue *queue, const char *group, struct evc_queue_member *member,
                        struct evc_queue_consumer **ret, struct evc_error *error)
{
    return queue->ops->consumer_join(queue, group, member, ret, error);
}

int
evc_queue_consumer_open(struct evc_queue *queue, const char *group, const uint32_t *partitions,
                        size_t partition_count, struct evc_queue_consumer **ret,
                        struct evc_error *error)
{
    return queue->ops->consumer_open(queue, group, partitions, partition_count, ret, error);
}

void
evc_queue_consumer_close(struct evc_queue_consumer *consumer)
{
    if (consumer) {
        consumer->ops->close(consumer);
    }
}

int
evc_queue_consumer_poll(struct evc_queue_consumer *consumer, struct evc_queue_record *ret,
                        size_t max)
{
    return consumer->ops->poll(consumer, ret, max);
}

int
evc_queue_consumer_committed(struct evc_queue_consumer *consumer, uint32_t partition,
                             uint64_t *ret_position, struct evc_slice *ret_blob)
{
    return consumer->ops->committed(consumer, partition, ret_position, ret_blob);
}

int
evc_queue_consumer_commit(struct evc_queue_consumer *consumer, uint32_t partition,
                          uint64_t position, struct evc_slice blob)
{
    return consumer->ops->commit(consumer, partition, position, blob);
}

int
evc_queue_consumer_backlog(struct evc_queue_consumer *consumer, uint32_t partition,
                           struct evc_queue_backlog *ret)
{
    return consumer->ops->backlog(consumer, partition, ret);
}

int
evc_queue_consumer_wake_fd(struct evc_queue_consumer *consumer)
{
    return consumer->ops->wake_fd(consumer);
}

void
evc_queue_consumer_wake_clear(struct evc_queue_consumer *consumer)
{
    consumer->ops->wake_clear(consumer);
}
