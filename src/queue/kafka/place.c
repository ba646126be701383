/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a group goes on whose position is not in the log. Deleted records (retention) move the
 * log's start past it: it goes on at the start. An unclean election cuts the log's end before it,
 * and what was written since lies at offsets the group has passed already: it goes on at the
 * records that are younger than the last one it has done. Either way the numbers show what is
 * missing, and what is read a second time. A log that has grown past the position again looks
 * whole: then what it holds instead is passed over, and the numbers show that as lost, too.
 */
#include "base/log.h"
#include "queue/kafka/client.h"

enum {
    PLACE_MS = 1000,      /* for one answer */
    PLACE_SKEW_MS = 5000, /* records bear the times of their writers' clocks */
};

/** The first record of about a time or younger; the log's end where there is none. */
static bool
find_younger(rd_kafka_t *client, const char *topic, int32_t partition, uint64_t appended_us,
             int64_t end, int64_t *ret)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *element = rd_kafka_topic_partition_list_add(list, topic, partition);
    int64_t ms = (int64_t)(appended_us / 1000) - PLACE_SKEW_MS;
    bool is_found;

    element->offset = ms > 0 ? ms : 0; /* asked with the time, answered with the offset */
    is_found = rd_kafka_offsets_for_times(client, list, PLACE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
               element->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    *ret = element->offset >= 0 && element->offset < end ? element->offset : end;
    rd_kafka_topic_partition_list_destroy(list);
    return is_found;
}

rd_kafka_resp_err_t
evc_kafka_log_edge(rd_kafka_t *client, const char *topic, int32_t partition, int64_t edge,
                   int timeout_ms, int64_t *ret)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *element = rd_kafka_topic_partition_list_add(list, topic, partition);
    rd_kafka_resp_err_t err;

    element->offset = edge; /* asked with the edge as a time, answered with its offset */
    err = rd_kafka_offsets_for_times(client, list, timeout_ms);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        err = element->err;
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        *ret = element->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

bool
evc_kafka_place(rd_kafka_t *client, const char *topic, int32_t partition, uint64_t appended_us,
                uint64_t *position)
{
    int64_t low, high, to;

    if (evc_kafka_log_edge(client, topic, partition, RD_KAFKA_OFFSET_BEGINNING, PLACE_MS, &low) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        evc_kafka_log_edge(client, topic, partition, RD_KAFKA_OFFSET_END, PLACE_MS, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    if (*position >= (uint64_t)low && *position <= (uint64_t)high) {
        return true;
    }
    to = low;
    if (*position > (uint64_t)high &&
        !find_younger(client, topic, partition, appended_us, high, &to)) {
        return false;
    }
    evc_log_warn("position is not in the log; what is missing is counted as lost",
                 "topic=%s partition=%d position=%llu log_start=%lld log_end=%lld goes_on_at=%lld",
                 topic, (int)partition, (unsigned long long)*position, (long long)low,
                 (long long)high, (long long)to);
    *position = (uint64_t)to;
    return true;
}
