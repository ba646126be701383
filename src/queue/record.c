/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h for the format. */
#include "queue/record.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/hash.h"

enum {
    RECORD_MAGIC = 0xEC,
    RECORD_FORMAT = 1,
    RECORD_FIXED_BYTES = 1 + 1 + 2 + 8 + 8 + 8 + 8, /* before the count */
    RECORD_CHECKSUM_BYTES = 4,
    RECORD_VARINT_BYTES_MAX = 10,
    RECORD_ENTRY_BYTES_MAX = 3 + EVC_EVENT_KEY_LEN_MAX + 3 * RECORD_VARINT_BYTES_MAX,
    RECORD_FRAME_BYTES_MAX = RECORD_FIXED_BYTES + RECORD_VARINT_BYTES_MAX + RECORD_CHECKSUM_BYTES,
};

/* --- numbers --- */

static uint64_t
zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static uint64_t
unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

static size_t
put_varint(char *at, uint64_t value)
{
    size_t len = 0;

    while (value >= 0x80) {
        at[len++] = (char)(value | 0x80);
        value >>= 7;
    }
    at[len++] = (char)value;
    return len;
}

/** false: cut off, or longer than any number. */
static bool
take_varint(struct evc_slice *in, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < in->len && i < RECORD_VARINT_BYTES_MAX; i++) {
        uint8_t byte = (uint8_t)in->ptr[i];

        if (i == RECORD_VARINT_BYTES_MAX - 1 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            in->ptr += i + 1;
            in->len -= i + 1;
            *ret = value;
            return true;
        }
    }
    return false;
}

static char *
put_u64(char *at, uint64_t value)
{
    uint64_t le = htole64(value);

    memcpy(at, &le, sizeof(le));
    return at + sizeof(le);
}

static uint64_t
get_u64(const char *at)
{
    uint64_t le;

    memcpy(&le, at, sizeof(le));
    return le64toh(le);
}

static uint32_t
checksum(const char *bytes, size_t len)
{
    return (uint32_t)evc_hash_bytes((struct evc_slice){.ptr = bytes, .len = len}, 0);
}

/* --- writing --- */

int
evc_record_writer_init(struct evc_record_writer *writer)
{
    char *tail;

    *writer = (struct evc_record_writer){0};
    evc_buf_init(&writer->body, EVC_RECORD_BYTES_MAX);
    return evc_buf_reserve(&writer->body, EVC_RECORD_BYTES_MAX, &tail);
}

void
evc_record_writer_finish(struct evc_record_writer *writer)
{
    evc_buf_finish(&writer->body);
}

void
evc_record_writer_begin(struct evc_record_writer *writer, uint16_t slot, uint64_t producer,
                        uint64_t fed_us)
{
    evc_buf_clear(&writer->body);
    writer->header = (struct evc_record_header){
        .slot = slot,
        .producer = producer,
        .fed_us = fed_us,
    };
}

int
evc_record_writer_add(struct evc_record_writer *writer, const struct evc_event *event)
{
    struct evc_record_header *header = &writer->header;
    char entry[RECORD_ENTRY_BYTES_MAX];
    size_t len = 0;

    assert(event->key.len >= 1 && event->key.len <= EVC_EVENT_KEY_LEN_MAX);
    if (header->count == EVC_RECORD_EVENTS_MAX ||
        evc_buf_len(&writer->body) + RECORD_ENTRY_BYTES_MAX + RECORD_FRAME_BYTES_MAX >
            EVC_RECORD_BYTES_MAX) {
        return EVC_E_FULL;
    }
    if (header->count == 0) {
        header->base_version = event->version;
    }
    entry[len++] = (char)((unsigned)event->op | (unsigned)event->flags << 4);
    entry[len++] = (char)event->key.len;
    memcpy(entry + len, event->key.ptr, event->key.len);
    len += event->key.len;
    if (event->flags & EVC_EVENT_CARRIED) {
        assert(event->only < EVC_EVENT_REGIONS_MAX);
        entry[len++] = (char)event->only;
    }
    len += put_varint(entry + len, zigzag(event->version - header->base_version));
    len += put_varint(entry + len, event->expiry_s);
    len += put_varint(entry + len, zigzag(header->fed_us - event->written_us));
    if (evc_buf_append(&writer->body, (struct evc_slice){.ptr = entry, .len = len}) != EVC_OK) {
        return EVC_E_FULL;
    }
    header->count++;
    return EVC_OK;
}

int
evc_record_writer_encode(struct evc_record_writer *writer, uint64_t first_seq, struct evc_buf *out)
{
    const struct evc_record_header *header = &writer->header;
    struct evc_slice body = evc_buf_slice(&writer->body);
    uint16_t slot = htole16(header->slot);
    uint32_t sum;
    char *start, *at;
    int rc = evc_buf_reserve(out, RECORD_FRAME_BYTES_MAX + body.len, &start);

    if (rc != EVC_OK) {
        return rc;
    }
    at = start;
    *at++ = (char)RECORD_MAGIC;
    *at++ = RECORD_FORMAT;
    memcpy(at, &slot, sizeof(slot));
    at = put_u64(at + sizeof(slot), header->producer);
    at = put_u64(at, first_seq);
    at = put_u64(at, header->base_version);
    at = put_u64(at, header->fed_us);
    at += put_varint(at, header->count);
    memcpy(at, body.ptr, body.len);
    at += body.len;
    sum = htole32(checksum(start, (size_t)(at - start)));
    memcpy(at, &sum, sizeof(sum));
    at += sizeof(sum);
    evc_buf_commit(out, (size_t)(at - start));
    return EVC_OK;
}

/* --- reading --- */

int
evc_record_reader_init(struct evc_record_reader *reader, struct evc_slice bytes)
{
    struct evc_record_header *header = &reader->header;
    uint64_t count;
    uint32_t sum;
    uint16_t slot;

    if (bytes.len < RECORD_FIXED_BYTES + 1 + RECORD_CHECKSUM_BYTES ||
        bytes.len > EVC_RECORD_BYTES_MAX || (uint8_t)bytes.ptr[0] != RECORD_MAGIC ||
        bytes.ptr[1] != RECORD_FORMAT) {
        return EVC_E_CORRUPT;
    }
    bytes.len -= RECORD_CHECKSUM_BYTES;
    memcpy(&sum, bytes.ptr + bytes.len, sizeof(sum));
    if (le32toh(sum) != checksum(bytes.ptr, bytes.len)) {
        return EVC_E_CORRUPT;
    }
    memcpy(&slot, bytes.ptr + 2, sizeof(slot));
    *header = (struct evc_record_header){
        .slot = le16toh(slot),
        .producer = get_u64(bytes.ptr + 4),
        .first_seq = get_u64(bytes.ptr + 12),
        .base_version = get_u64(bytes.ptr + 20),
        .fed_us = get_u64(bytes.ptr + 28),
    };
    reader->rest = (struct evc_slice){
        .ptr = bytes.ptr + RECORD_FIXED_BYTES,
        .len = bytes.len - RECORD_FIXED_BYTES,
    };
    if (!take_varint(&reader->rest, &count) || count > EVC_RECORD_EVENTS_MAX ||
        header->first_seq == 0) {
        return EVC_E_CORRUPT;
    }
    header->count = (uint32_t)count;
    reader->left = header->count;
    return EVC_OK;
}

/** Who a carried event is for; of any other nothing is there. */
static bool
take_only(struct evc_slice *rest, struct evc_event *event)
{
    event->only = 0;
    if (event->flags & EVC_EVENT_CARRIED) {
        if (rest->len == 0 || (uint8_t)rest->ptr[0] >= EVC_EVENT_REGIONS_MAX) {
            return false;
        }
        event->only = (uint8_t)rest->ptr[0];
        rest->ptr++;
        rest->len--;
    }
    return true;
}

static bool
take_event(struct evc_record_reader *reader, struct evc_event *ret)
{
    struct evc_slice *rest = &reader->rest;
    uint64_t version, expiry_s, age;
    unsigned first, key_len;

    if (rest->len < 2) {
        return false;
    }
    first = (uint8_t)rest->ptr[0];
    key_len = (uint8_t)rest->ptr[1];
    if ((first & 0x0F) > EVC_EVENT_DELETE || key_len == 0 || key_len > EVC_EVENT_KEY_LEN_MAX ||
        rest->len - 2 < key_len) {
        return false;
    }
    ret->op = (enum evc_event_op)(first & 0x0F);
    ret->flags = (uint8_t)(first >> 4);
    ret->key = (struct evc_slice){.ptr = rest->ptr + 2, .len = key_len};
    rest->ptr += 2 + key_len;
    rest->len -= 2 + key_len;
    if (!take_only(rest, ret) || !take_varint(rest, &version) || !take_varint(rest, &expiry_s) ||
        expiry_s > UINT32_MAX || !take_varint(rest, &age)) {
        return false;
    }
    ret->version = reader->header.base_version + unzigzag(version);
    ret->expiry_s = (uint32_t)expiry_s;
    ret->written_us = reader->header.fed_us - unzigzag(age);
    return true;
}

int
evc_record_reader_next(struct evc_record_reader *reader, struct evc_event *ret)
{
    if (reader->left == 0) {
        return reader->rest.len == 0 ? EVC_E_NOT_FOUND : EVC_E_CORRUPT;
    }
    if (!take_event(reader, ret)) {
        return EVC_E_CORRUPT;
    }
    reader->left--;
    return EVC_OK;
}
