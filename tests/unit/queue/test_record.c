/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's record: written and read back, at its bounds, and damaged in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/record.h"

static struct evc_record_writer writer;
static struct evc_buf out;

static int
setup(void **state)
{
    (void)state;
    evc_buf_init(&out, 2 * EVC_RECORD_BYTES_MAX);
    return evc_record_writer_init(&writer);
}

static int
teardown(void **state)
{
    (void)state;
    evc_record_writer_finish(&writer);
    evc_buf_finish(&out);
    return 0;
}

static void
assert_same_event(const struct evc_event *a, const struct evc_event *b)
{
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->flags, b->flags);
    assert_true(evc_slice_equal(a->key, b->key));
    assert_true(a->version == b->version);
    assert_int_equal(a->expiry_s, b->expiry_s);
    assert_true(a->written_us == b->written_us);
    assert_int_equal(a->only, b->only);
}

static const struct evc_event events[] = {
    {.key = {"k", 1}, .version = UINT64_C(1) << 60, .written_us = 1767225600000000},
    {.op = EVC_EVENT_DELETE,
     .key = {"key", 3},
     .version = (UINT64_C(1) << 60) - 77,
     .written_us = 5},
    {.flags = EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN,
     .key = {"a:b", 3},
     .version = UINT64_MAX,
     .expiry_s = UINT32_MAX,
     .written_us = UINT64_MAX},
    {.flags = EVC_EVENT_REPAIR | EVC_EVENT_RESHIP, .key = {"z", 1}},
    {.flags = EVC_EVENT_CARRIED, .only = 15, .key = {"carried", 7}, .version = 9, .expiry_s = 1},
    {.flags = EVC_EVENT_CARRIED | EVC_EVENT_REPAIR, .only = 0, .key = {"home", 4}},
};

enum {
    EVENT_COUNT = sizeof(events) / sizeof(events[0])
};

static struct evc_slice
write_all(uint64_t first_seq)
{
    evc_record_writer_begin(&writer, 768, 0x1122334455667788, 1767225600001000);
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        assert_int_equal(evc_record_writer_add(&writer, &events[i]), EVC_OK);
    }
    evc_buf_clear(&out);
    assert_int_equal(evc_record_writer_encode(&writer, first_seq, &out), EVC_OK);
    return evc_buf_slice(&out);
}

static void
test_record__written__reads_back_the_same(void **state)
{
    struct evc_record_reader reader;
    struct evc_event event;

    (void)state;
    assert_int_equal(evc_record_reader_init(&reader, write_all(42)), EVC_OK);
    assert_int_equal(reader.header.slot, 768);
    assert_true(reader.header.producer == 0x1122334455667788);
    assert_int_equal(reader.header.first_seq, 42);
    assert_int_equal(reader.header.count, EVENT_COUNT);
    assert_true(reader.header.fed_us == 1767225600001000);
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        assert_int_equal(evc_record_reader_next(&reader, &event), EVC_OK);
        assert_same_event(&event, &events[i]);
    }
    assert_int_equal(evc_record_reader_next(&reader, &event), EVC_E_NOT_FOUND);
}

static void
test_record__empty__announces_a_number(void **state)
{
    struct evc_record_reader reader;
    struct evc_event event;

    (void)state;
    evc_record_writer_begin(&writer, 1, 2, 3);
    assert_int_equal(evc_record_writer_encode(&writer, 99, &out), EVC_OK);
    assert_int_equal(evc_record_reader_init(&reader, evc_buf_slice(&out)), EVC_OK);
    assert_int_equal(reader.header.count, 0);
    assert_int_equal(reader.header.first_seq, 99);
    assert_int_equal(evc_record_reader_next(&reader, &event), EVC_E_NOT_FOUND);
}

static void
test_record__longest_keys__stay_within_the_bound(void **state)
{
    char key[EVC_EVENT_KEY_LEN_MAX];
    struct evc_event event = {.key = {key, sizeof(key)}, .version = UINT64_MAX / 3};
    struct evc_record_reader reader;
    uint32_t count = 0;

    (void)state;
    memset(key, 'k', sizeof(key));
    evc_record_writer_begin(&writer, 1, 2, 3);
    while (evc_record_writer_add(&writer, &event) == EVC_OK) {
        event.version ^= UINT64_MAX;
        count++;
    }
    assert_int_equal(evc_record_writer_encode(&writer, 1, &out), EVC_OK);
    assert_true(evc_buf_len(&out) <= EVC_RECORD_BYTES_MAX);
    assert_int_equal(evc_record_reader_init(&reader, evc_buf_slice(&out)), EVC_OK);
    assert_int_equal(reader.header.count, count);
}

static void
test_record__events_max__is_kept(void **state)
{
    struct evc_event event = {.key = {"k", 1}, .version = 1};

    (void)state;
    evc_record_writer_begin(&writer, 1, 2, 3);
    for (unsigned i = 0; i < EVC_RECORD_EVENTS_MAX; i++) {
        assert_int_equal(evc_record_writer_add(&writer, &event), EVC_OK);
    }
    assert_int_equal(evc_record_writer_add(&writer, &event), EVC_E_FULL);
}

static void
test_record__any_byte_changed_or_cut__is_corrupt(void **state)
{
    struct evc_slice whole = write_all(7);
    char copy[512];
    struct evc_record_reader reader;

    (void)state;
    assert_true(whole.len <= sizeof(copy));
    for (size_t i = 0; i < whole.len; i++) {
        memcpy(copy, whole.ptr, whole.len);
        copy[i] = (char)(copy[i] ^ 0x20);
        assert_int_equal(
            evc_record_reader_init(&reader, (struct evc_slice){.ptr = copy, .len = whole.len}),
            EVC_E_CORRUPT);
        assert_int_equal(
            evc_record_reader_init(&reader, (struct evc_slice){.ptr = whole.ptr, .len = i}),
            EVC_E_CORRUPT);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_record__written__reads_back_the_same),
        CASE(test_record__empty__announces_a_number),
        CASE(test_record__longest_keys__stay_within_the_bound),
        CASE(test_record__events_max__is_kept),
        CASE(test_record__any_byte_changed_or_cut__is_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
