/* SPDX-License-Identifier: Apache-2.0 */
/* See part.h. */
#include "queue/kafka/part.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

enum {
    PART_TIME_SIGN = '@', /* not of base64 */
    PART_TIME_BYTES = 1 + EVC_DECIMAL_BYTES_MAX,
    PART_METADATA_BYTES_MAX = (EVC_QUEUE_BLOB_BYTES_MAX + 2) / 3 * 4 + 1 + PART_TIME_BYTES,
};

static int
blob_from_metadata(struct evc_buf *blob, const char *metadata, size_t len)
{
    char *tail;
    int decoded;

    if (len % 4 != 0 || len >= PART_METADATA_BYTES_MAX) {
        return EVC_E_CORRUPT;
    }
    if (len == 0) {
        return EVC_OK;
    }
    if (evc_buf_reserve(blob, len, &tail) != EVC_OK) {
        return EVC_E_NOMEM;
    }
    decoded = EVP_DecodeBlock((unsigned char *)tail, (const unsigned char *)metadata, (int)len);
    if (decoded < 0) {
        return EVC_E_CORRUPT;
    }
    for (size_t i = len; i > len - 2 && metadata[i - 1] == '='; i--) {
        decoded--; /* what was padded decodes to zeros */
    }
    evc_buf_commit(blob, (size_t)decoded);
    return EVC_OK;
}

/** Cuts the time off the end of a text; 0 if it has none. EVC_E_CORRUPT: that is no time. */
static int
take_time(const char *metadata, size_t *len, uint64_t *ret_us)
{
    const char *sign = memrchr(metadata ? metadata : "", PART_TIME_SIGN, *len);
    struct evc_slice digits;
    uint64_t ms;

    *ret_us = 0;
    if (!sign) {
        return EVC_OK;
    }
    digits.ptr = sign + 1;
    digits.len = (size_t)(metadata + *len - digits.ptr);
    if (!evc_decimal_parse_u64(digits, &ms)) {
        return EVC_E_CORRUPT;
    }
    *ret_us = ms * 1000;
    *len = (size_t)(sign - metadata);
    return EVC_OK;
}

static int
metadata_from_blob(struct evc_buf *metadata, struct evc_slice blob, uint64_t done_us)
{
    size_t len = (blob.len + 2) / 3 * 4;
    char *tail;

    evc_buf_clear(metadata);
    if (evc_buf_reserve(metadata, len + 1, &tail) != EVC_OK) {
        return EVC_E_NOMEM;
    }
    if (blob.len > 0) {
        (void)EVP_EncodeBlock((unsigned char *)tail, (const unsigned char *)blob.ptr,
                              (int)blob.len);
    }
    evc_buf_commit(metadata, len);
    if (done_us == 0) {
        return EVC_OK;
    }
    if (evc_buf_reserve(metadata, PART_TIME_BYTES, &tail) != EVC_OK) {
        return EVC_E_NOMEM;
    }
    *tail = PART_TIME_SIGN;
    evc_buf_commit(metadata, 1 + evc_decimal_format_u64(tail + 1, done_us / 1000));
    return EVC_OK;
}

int
evc_kafka_part_take_up(struct evc_kafka_part *part, uint64_t position, const char *metadata,
                       size_t metadata_len)
{
    int rc;

    assert(!part->is_owned);
    *part = (struct evc_kafka_part){
        .is_owned = true,
        .committed = position,
        .next = position,
    };
    evc_buf_init(&part->blob, PART_METADATA_BYTES_MAX);
    evc_buf_init(&part->metadata, PART_METADATA_BYTES_MAX);
    part->handed = calloc(EVC_KAFKA_OPEN_MAX, sizeof(*part->handed));
    rc = part->handed ? take_time(metadata, &metadata_len, &part->done_us) : EVC_E_NOMEM;
    rc = rc ? rc : blob_from_metadata(&part->blob, metadata, metadata_len);
    part->last_appended_us = part->done_us;
    if (rc != EVC_OK) {
        evc_kafka_part_drop(part);
    }
    return rc;
}

void
evc_kafka_part_place(struct evc_kafka_part *part, uint64_t position)
{
    assert(part->handed_head == part->handed_tail);
    part->committed = position;
    part->next = position;
}

void
evc_kafka_part_drop(struct evc_kafka_part *part)
{
    if (part->is_owned) {
        free(part->handed);
        evc_buf_finish(&part->blob);
        evc_buf_finish(&part->metadata);
    }
    *part = (struct evc_kafka_part){0};
}

bool
evc_kafka_part_hand_out(struct evc_kafka_part *part, uint64_t position, uint64_t events,
                        uint64_t appended_us)
{
    if (part->handed_head - part->handed_tail == EVC_KAFKA_OPEN_MAX) {
        return false;
    }
    part->handed[part->handed_head++ % EVC_KAFKA_OPEN_MAX] = (struct evc_kafka_handed){
        .position = position,
        .events_before = part->events_handed,
        .appended_us = appended_us,
    };
    part->events_handed += events;
    part->last_appended_us = appended_us;
    part->next = position + 1;
    return true;
}

/** Passes over what lies before the committed position. */
static void
settle_handed(struct evc_kafka_part *part)
{
    while (part->handed_tail < part->handed_head) {
        const struct evc_kafka_handed *oldest =
            &part->handed[part->handed_tail % EVC_KAFKA_OPEN_MAX];

        if (oldest->position >= part->committed) {
            part->events_committed = oldest->events_before;
            return;
        }
        part->handed_tail++;
    }
    part->events_committed = part->events_handed;
}

/** When the last record before a position was appended. */
static uint64_t
done_before(const struct evc_kafka_part *part, uint64_t position)
{
    uint64_t done_us = part->done_us;

    for (uint64_t i = part->handed_tail; i < part->handed_head; i++) {
        const struct evc_kafka_handed *handed = &part->handed[i % EVC_KAFKA_OPEN_MAX];

        if (handed->position >= position) {
            break;
        }
        done_us = handed->appended_us;
    }
    return done_us;
}

int
evc_kafka_part_commit(struct evc_kafka_part *part, uint64_t position, struct evc_slice blob)
{
    uint64_t done_us;
    int rc;

    if (position > part->next) {
        return EVC_E_INVALID;
    }
    done_us = done_before(part, position);
    rc = metadata_from_blob(&part->metadata, blob, done_us);
    if (rc != EVC_OK) {
        return rc;
    }
    evc_buf_clear(&part->blob);
    rc = evc_buf_append(&part->blob, blob);
    part->committed = position;
    part->done_us = done_us;
    part->is_dirty = true;
    part->is_copied = false;
    settle_handed(part);
    return rc;
}

void
evc_kafka_part_backlog(const struct evc_kafka_part *part, uint64_t first, uint64_t end,
                       struct evc_queue_backlog *ret)
{
    uint64_t from = part->committed > first ? part->committed : first;
    uint64_t seen = part->next > first ? part->next : first;

    *ret = (struct evc_queue_backlog){
        .records = end > from ? end - from : 0,
        .events = part->events_handed - part->events_committed,
        .records_unread = end > seen ? end - seen : 0,
    };
    if (ret->records == 0) {
        return;
    }
    ret->oldest_us = part->handed_tail < part->handed_head
                         ? part->handed[part->handed_tail % EVC_KAFKA_OPEN_MAX].appended_us
                         : part->last_appended_us;
}
