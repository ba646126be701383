/* SPDX-License-Identifier: Apache-2.0 */
/* See copy.h. */
#include "queue/kafka/copy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "queue/kafka/client.h"

void
evc_kafka_copy_open(struct evc_kafka_copy *copy, rd_kafka_t *client, const char *group)
{
    *copy = (struct evc_kafka_copy){.client = client, .answers = rd_kafka_queue_new(client)};
    snprintf(copy->group, sizeof(copy->group), "%s.books", group);
}

void
evc_kafka_copy_close(struct evc_kafka_copy *copy)
{
    rd_kafka_queue_destroy(copy->answers);
    *copy = (struct evc_kafka_copy){0};
}

void
evc_kafka_copy_write(struct evc_kafka_copy *copy, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_AlterConsumerGroupOffsets_t *alter =
        rd_kafka_AlterConsumerGroupOffsets_new(copy->group, list);

    assert(!copy->is_writing);
    rd_kafka_AlterConsumerGroupOffsets(copy->client, &alter, 1, NULL, copy->answers);
    rd_kafka_AlterConsumerGroupOffsets_destroy(alter);
    copy->is_writing = true;
}

/** The partitions of the one group that was asked about; NULL: it failed, *ret_why says how. */
static const rd_kafka_topic_partition_list_t *
partitions_of(const rd_kafka_group_result_t **groups, size_t count, const char **ret_why)
{
    const rd_kafka_error_t *error = count == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;

    *ret_why = error ? rd_kafka_error_string(error) : "no answer";
    return count == 1 && !error ? rd_kafka_group_result_partitions(groups[0]) : NULL;
}

void
evc_kafka_copy_serve(struct evc_kafka_copy *copy, int timeout_ms)
{
    rd_kafka_event_t *event =
        copy->is_writing ? rd_kafka_queue_poll(copy->answers, timeout_ms) : NULL;
    const rd_kafka_AlterConsumerGroupOffsets_result_t *result;
    const char *why;
    size_t count = 0;

    if (!event) {
        return;
    }
    copy->is_writing = false;
    result = rd_kafka_event_AlterConsumerGroupOffsets_result(event);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR || !result) {
        why = rd_kafka_event_error_string(event);
    } else if (partitions_of(rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &count),
                             count, &why)) {
        why = NULL;
    }
    if (why) {
        copy->renew_due_us = 0;
        evc_log_debug("the books' copy is not written", "group=%s why=\"%s\"", copy->group, why);
    }
    rd_kafka_event_destroy(event);
}

/** Asks for the offsets of a list. The answer is the caller's; NULL: there is none now. */
static rd_kafka_event_t *
ask(struct evc_kafka_copy *copy, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_ListConsumerGroupOffsets_t *question =
        rd_kafka_ListConsumerGroupOffsets_new(copy->group, list);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(copy->client);
    rd_kafka_event_t *event;

    rd_kafka_ListConsumerGroupOffsets(copy->client, &question, 1, NULL, answers);
    event = rd_kafka_queue_poll(answers, EVC_KAFKA_ADMIN_MS);
    rd_kafka_ListConsumerGroupOffsets_destroy(question);
    rd_kafka_queue_destroy(answers);
    if (event && rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_event_destroy(event);
        return NULL;
    }
    return event;
}

static void
give(const struct evc_kafka_copy *copy, rd_kafka_topic_partition_t *element,
     const rd_kafka_topic_partition_t *copied)
{
    if (copied->metadata_size > 0) {
        evc_log_warn("a position was set without its books; they are had from their copy",
                     "group=%s partition=%d position=%lld copied_at=%lld", copy->group,
                     (int)element->partition, (long long)element->offset,
                     (long long)copied->offset);
        element->metadata = strndup(copied->metadata, copied->metadata_size);
        element->metadata_size = element->metadata ? copied->metadata_size : 0;
    }
}

bool
evc_kafka_copy_read(struct evc_kafka_copy *copy, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *missing = rd_kafka_topic_partition_list_new(list->cnt);
    const rd_kafka_topic_partition_list_t *found = NULL;
    rd_kafka_event_t *event = NULL;
    const char *why;
    size_t count = 0;
    bool is_known;

    for (int i = 0; i < list->cnt; i++) {
        if (list->elems[i].metadata_size == 0) {
            rd_kafka_topic_partition_list_add(missing, list->elems[i].topic,
                                              list->elems[i].partition);
        }
    }
    if (missing->cnt > 0) {
        event = ask(copy, missing);
    }
    if (event) {
        const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
        found = partitions_of(groups, count, &why);
    }
    is_known = missing->cnt == 0 || found;
    for (int i = 0; found && i < found->cnt; i++) {
        rd_kafka_topic_partition_t *element = rd_kafka_topic_partition_list_find(
            list, found->elems[i].topic, found->elems[i].partition);
        if (element) {
            give(copy, element, &found->elems[i]);
        }
    }
    if (event) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_topic_partition_list_destroy(missing);
    return is_known;
}
