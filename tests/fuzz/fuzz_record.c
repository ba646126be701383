/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of queue records. Every input is read as it is, and once more with its checksum made
 * to hold, or nothing behind the checksum would ever be tried. What is read must survive being
 * written.
 */
#include <endian.h>

#include "base/hash.h"
#include "fuzz.h"
#include "queue/record.h"

enum {
    CHECKSUM_BYTES = 4
};

static struct evc_event events[EVC_RECORD_EVENTS_MAX];

/** Reads to the end; how many events, or -1 when the record is refused somewhere. */
static int
read_all(struct evc_slice bytes, struct evc_record_reader *reader)
{
    unsigned count = 0;
    int rc;

    if (evc_record_reader_init(reader, bytes) != EVC_OK) {
        return -1;
    }
    assert(reader->header.count <= EVC_RECORD_EVENTS_MAX && reader->header.first_seq > 0);
    while ((rc = evc_record_reader_next(reader, &events[count])) == EVC_OK) {
        const struct evc_slice key = events[count].key;

        assert(key.len >= 1 && key.len <= EVC_EVENT_KEY_LEN_MAX);
        assert(key.ptr > bytes.ptr && key.ptr + key.len < bytes.ptr + bytes.len);
        assert(events[count].op == EVC_EVENT_SET || events[count].op == EVC_EVENT_DELETE);
        count++;
        assert(count <= reader->header.count);
    }
    assert(rc == EVC_E_NOT_FOUND || rc == EVC_E_CORRUPT);
    return rc == EVC_E_NOT_FOUND ? (int)count : -1;
}

static void
write_again(const struct evc_record_reader *first, unsigned count)
{
    struct evc_record_reader reader;
    struct evc_record_writer writer;
    struct evc_event event;
    struct evc_buf out;
    unsigned written = 0;

    evc_buf_init(&out, EVC_RECORD_BYTES_MAX);
    assert(evc_record_writer_init(&writer) == EVC_OK);
    evc_record_writer_begin(&writer, first->header.slot, first->header.producer,
                            first->header.fed_us);
    while (written < count && evc_record_writer_add(&writer, &events[written]) == EVC_OK) {
        written++;
    }
    assert(evc_record_writer_encode(&writer, first->header.first_seq, &out) == EVC_OK);
    assert(evc_record_reader_init(&reader, evc_buf_slice(&out)) == EVC_OK);
    for (unsigned i = 0; i < written; i++) {
        assert(evc_record_reader_next(&reader, &event) == EVC_OK);
        assert(event.op == events[i].op && event.flags == events[i].flags);
        assert(event.only == events[i].only && event.only < EVC_EVENT_REGIONS_MAX);
        assert(evc_slice_equal(event.key, events[i].key));
        assert(event.version == events[i].version && event.expiry_s == events[i].expiry_s);
        assert(event.written_us == events[i].written_us);
    }
    assert(evc_record_reader_next(&reader, &event) == EVC_E_NOT_FOUND);
    evc_record_writer_finish(&writer);
    evc_buf_finish(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_record_reader reader;
    uint32_t sum;
    char *copy;
    int count;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    (void)read_all((struct evc_slice){.ptr = copy, .len = len}, &reader);
    if (len < CHECKSUM_BYTES) {
        free(copy);
        return 0;
    }
    sum = htole32(
        (uint32_t)evc_hash_bytes((struct evc_slice){.ptr = copy, .len = len - CHECKSUM_BYTES}, 0));
    memcpy(copy + len - CHECKSUM_BYTES, &sum, sizeof(sum));
    count = read_all((struct evc_slice){.ptr = copy, .len = len}, &reader);
    if (count >= 0) {
        write_again(&reader, (unsigned)count);
    }
    free(copy);
    return 0;
}
