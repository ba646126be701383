/* SPDX-License-Identifier: Apache-2.0 */
/* An application's write: answers, release into a real journal, repair requests, deciding kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_zones.h"
#include "replication/write.h"

#define NOW_US UINT64_C(1767225600000000)

enum {
    TOMBSTONE_TTL_S = 3600
};

struct fixture {
    struct fake_zones zones;
    struct evc_version_clock clock;
    struct evc_moment now;
    struct evc_journal *journal;
    struct evc_writer writer;
    char directory[64];
    unsigned answers;
    enum evc_write_result result;
    unsigned zones_stored;
    char error[128];
};

static struct fixture f;

static int
setup(void **state)
{
    struct evc_error error;
    uint64_t replayed;

    (void)state;
    f = (struct fixture){.now = {.mono_us = 1000000, .unix_us = NOW_US}};
    fake_zones_init(&f.zones, 3);
    evc_version_clock_init(&f.clock, evc_version_writer_make(0, 1), EVC_VERSION_DRIFT_MS_DEFAULT);
    snprintf(f.directory, sizeof(f.directory), "/tmp/test_write.XXXXXX");
    if (!mkdtemp(f.directory) ||
        evc_journal_open(f.directory, 1, EVC_JOURNAL_BYTES_MIN, &f.journal, &replayed, &error)) {
        return -1;
    }
    evc_journal_set_partitions(f.journal, 1);
    evc_writer_init(&f.writer, &f.zones.port, &f.clock, &f.now, f.journal,
                    &(struct evc_write_options){
                        .zones_needed = 2,
                        .timeout_us = 500000,
                        .tombstone_ttl_s = TOMBSTONE_TTL_S,
                        .value_len_max = 64,
                    });
    return 0;
}

static int
teardown(void **state)
{
    char path[128];

    (void)state;
    evc_writer_finish(&f.writer);
    evc_journal_close(f.journal);
    snprintf(path, sizeof(path), "%s/slot-0001.journal", f.directory);
    remove(path);
    remove(f.directory);
    return 0;
}

static void
on_done(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    (void)ctx;
    assert_int_equal(tag, 7);
    f.answers++;
    f.result = answer->result;
    f.zones_stored = answer->zones_stored;
    snprintf(f.error, sizeof(f.error), "%.*s", (int)answer->error.len, answer->error.ptr);
}

static void
start(const struct evc_write_request *request)
{
    f.answers = 0;
    assert_int_equal(evc_write_start(&f.writer, request, on_done, NULL, 7), EVC_OK);
}

static struct evc_write_request
request_of(enum evc_write_kind kind, const char *value)
{
    return (struct evc_write_request){
        .kind = kind,
        .key = EVC_SLICE("key"),
        .value = evc_slice_str(value),
        .client_flags = 5,
        .want_existed = kind == EVC_WRITE_DELETE,
    };
}

static enum evc_write_result
do_write(enum evc_write_kind kind, const char *value)
{
    struct evc_write_request request = request_of(kind, value);

    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.answers, 1);
    assert_int_equal(f.writer.stats.in_flight, 0);
    return f.result;
}

static void
assert_zones(const uint8_t *zones, enum evc_write_zone first, enum evc_write_zone second,
             enum evc_write_zone third)
{
    assert_int_equal(zones[0], first);
    assert_int_equal(zones[1], second);
    assert_int_equal(zones[2], third);
}

/** Takes what is released; returns how many, the last in *ret. */
static unsigned
take_events(struct evc_journal_entry *ret)
{
    struct evc_journal_entry entry;
    unsigned count = 0;

    while (evc_journal_take(f.journal, &entry)) {
        *ret = entry;
        evc_journal_fed(f.journal, &entry.pos, 1, 0);
        count++;
    }
    return count;
}

static void
test_write__set__is_in_every_zone_with_one_version_and_announced_once(void **state)
{
    struct evc_journal_entry entry;

    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_STORED);
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(f.zones.zone[i].value, "value", 5);
        assert_int_equal(f.zones.zone[i].cas, f.zones.zone[0].cas);
        assert_int_equal(f.zones.zone[i].client_flags, 5);
    }
    assert_int_equal(take_events(&entry), 1);
    assert_int_equal(entry.event.version, f.zones.zone[0].cas);
    assert_int_equal(entry.event.op, EVC_EVENT_SET);
    assert_int_equal(entry.event.flags, 0);
}

static void
test_write__event__is_released_with_the_first_zone_not_before(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_SET, "value");
    struct evc_journal_entry entry;

    (void)state;
    start(&request);
    assert_int_equal(take_events(&entry), 0);
    fake_zones_step(&f.zones);
    assert_int_equal(take_events(&entry), 1);
    assert_int_equal(f.answers, 0);
    fake_zones_step(&f.zones);
    assert_int_equal(f.answers, 1); /* two of three */
    fake_zones_run(&f.zones);
    assert_int_equal(f.answers, 1);
}

static void
test_write__one_zone_fails__is_answered_and_asks_for_repair(void **state)
{
    struct evc_journal_entry entry;

    (void)state;
    f.zones.zone[2].mood = FAKE_LOSES;
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_STORED);
    assert_int_equal(take_events(&entry), 2);
    assert_int_equal(entry.event.flags, EVC_EVENT_REPAIR);
}

static void
test_write__too_few_zones__fails_and_says_how_many(void **state)
{
    (void)state;
    f.zones.zone[1].mood = FAKE_REFUSES;
    f.zones.zone[2].mood = FAKE_LOSES;
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_FAILED);
    assert_int_equal(f.writer.stats.repairs_total, 1);
}

static void
test_write__no_zone_acknowledged__is_released_as_unknown(void **state)
{
    struct evc_journal_entry entry;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f.zones.zone[i].mood = FAKE_LOSES_ANSWER;
    }
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_FAILED);
    assert_int_equal(take_events(&entry), 1);
    assert_int_equal(entry.event.flags, EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
}

static void
test_write__refused_everywhere__is_not_announced(void **state)
{
    struct evc_journal_entry entry;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f.zones.zone[i].mood = FAKE_REFUSES;
    }
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_FAILED);
    assert_int_equal(take_events(&entry), 0);
}

static void
test_write__value_rejected_by_the_nodes__is_said_and_the_key_deleted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f.zones.zone[i].mood = FAKE_REJECTS;
    }
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_REJECTED);
    assert_string_equal(f.error, "SERVER_ERROR out of memory storing object");
    assert_int_equal(f.writer.stats.zone_failures_total,
                     6); /* three of the set, three of the delete that followed */
}

static void
test_write__delete__leaves_tombstones_and_says_what_was_there(void **state)
{
    struct evc_journal_entry entry;

    (void)state;
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_NOT_FOUND);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_int_equal(f.zones.zone[0].ttl_s, TOMBSTONE_TTL_S);
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_NOT_FOUND);
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_DELETED);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[2]));
    assert_int_equal(take_events(&entry), 4);
    assert_int_equal(entry.event.op, EVC_EVENT_DELETE);
}

static void
test_write__delete_without_the_local_zone__says_what_the_next_had(void **state)
{
    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    f.zones.zone[0].has_item = false; /* it has lost its memory */
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_DELETED);
    f.zones.zone[0].has_item = false;
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_NOT_FOUND);
    f.zones.zone[0].mood = FAKE_REFUSES;
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_NOT_FOUND);
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_DELETED);
}

static void
test_write__expired_on_arrival__is_a_tombstone(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_SET, "value");

    (void)state;
    request.exptime = -1;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_STORED);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
}

static void
test_write__add_and_replace__decide_over_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(do_write(EVC_WRITE_REPLACE, "r"), EVC_WRITE_NOT_STORED);
    assert_int_equal(do_write(EVC_WRITE_ADD, "a"), EVC_WRITE_STORED);
    assert_int_equal(do_write(EVC_WRITE_ADD, "b"), EVC_WRITE_NOT_STORED);
    assert_int_equal(do_write(EVC_WRITE_REPLACE, "r"), EVC_WRITE_STORED);
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(f.zones.zone[i].value, "r", 1);
        assert_int_equal(f.zones.zone[i].cas, f.zones.zone[0].cas);
    }
    assert_int_equal(do_write(EVC_WRITE_DELETE, ""), EVC_WRITE_DELETED);
    assert_int_equal(do_write(EVC_WRITE_REPLACE, "r"), EVC_WRITE_NOT_STORED);
    assert_int_equal(do_write(EVC_WRITE_ADD, "over a tombstone"), EVC_WRITE_STORED);
}

static void
test_write__cas__stores_only_over_the_version_the_client_saw(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_CAS, "new");

    (void)state;
    request.unique = 99;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_NOT_FOUND);
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_EXISTS);
    request.unique = f.zones.zone[0].cas;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_STORED);
    assert_memory_equal(f.zones.zone[2].value, "new", 3);
}

static void
test_write__touch__keeps_value_and_flags_under_a_new_version(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_TOUCH, "");
    uint64_t before;

    (void)state;
    assert_int_equal(do_write(EVC_WRITE_TOUCH, ""), EVC_WRITE_NOT_FOUND);
    assert_int_equal(do_write(EVC_WRITE_SET, "value"), EVC_WRITE_STORED);
    before = f.zones.zone[0].cas;
    request.exptime = 100;
    request.client_flags = 0;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_TOUCHED);
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(f.zones.zone[i].value, "value", 5);
        assert_int_equal(f.zones.zone[i].client_flags, 5);
        assert_int_equal(f.zones.zone[i].ttl_s, 100);
        assert_true(f.zones.zone[i].cas > before);
    }
}

static void
test_write__decision_raced__is_made_again(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_ADD, "mine");

    (void)state;
    start(&request);
    fake_zones_step(&f.zones); /* missing */
    fake_zone_put(&f.zones.zone[0], 12345, "theirs");
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_NOT_STORED);
    assert_int_equal(f.writer.stats.races_total, 1);
    assert_int_equal(f.zones.zone[1].writes, 0);
}

static void
test_write__local_zone_down__another_decides(void **state)
{
    (void)state;
    f.zones.zone[0].mood = FAKE_REFUSES;
    assert_int_equal(do_write(EVC_WRITE_ADD, "a"), EVC_WRITE_STORED);
    assert_int_equal(f.zones.zone[1].writes + f.zones.zone[2].writes, 2);
    assert_int_equal(do_write(EVC_WRITE_ADD, "b"), EVC_WRITE_NOT_STORED);
}

static void
test_write__version__is_above_what_the_deciding_zone_held(void **state)
{
    uint64_t ahead;

    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    ahead = f.zones.zone[0].cas +
            (UINT64_C(5000) << (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS));
    fake_zone_put(&f.zones.zone[0], ahead, "from a faster clock");
    assert_int_equal(do_write(EVC_WRITE_REPLACE, "r"), EVC_WRITE_STORED);
    assert_true(f.zones.zone[0].cas > ahead);
}

static void
test_write__local_zone_lost_the_item__another_is_believed(void **state)
{
    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "v"), EVC_WRITE_STORED);
    f.zones.zone[0].has_item = false;
    assert_int_equal(do_write(EVC_WRITE_ADD, "a"), EVC_WRITE_NOT_STORED);
    assert_int_equal(do_write(EVC_WRITE_APPEND, "+"), EVC_WRITE_STORED);
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(f.zones.zone[i].value, "v+", 2);
        assert_int_equal(f.zones.zone[i].cas, f.zones.zone[0].cas);
    }
}

static void
count_answer(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    (void)ctx;
    f.answers++;
    f.result = answer->result;
    assert_true(answer->result == EVC_WRITE_FAILED ||
                (answer->result == EVC_WRITE_COUNTED && answer->number == tag + 1));
}

/** Starts that many incr of one key before any node speaks; the tag is the order. */
static void
start_counting(unsigned count)
{
    struct evc_write_request request = request_of(EVC_WRITE_INCR, "");

    f.answers = 0;
    request.delta = 1;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(evc_write_start(&f.writer, &request, count_answer, NULL, i), EVC_OK);
    }
}

static void
test_write__many_count_at_once__each_once_and_in_order(void **state)
{
    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "0"), EVC_WRITE_STORED);
    start_counting(100);
    fake_zones_run(&f.zones);
    assert_int_equal(f.answers, 100);
    assert_int_equal(f.writer.stats.races_total, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(f.zones.zone[i].value_len, 3);
        assert_memory_equal(f.zones.zone[i].value, "100", 3);
    }
}

static void
test_write__many_wait_for_a_turn_and_all_nodes_go_down__all_fail(void **state)
{
    enum {
        COUNT = 50000 /* one inside the other, they would not fit the stack */
    };

    (void)state;
    assert_int_equal(do_write(EVC_WRITE_SET, "0"), EVC_WRITE_STORED);
    start_counting(COUNT);
    for (unsigned i = 0; i < 3; i++) {
        f.zones.zone[i].mood = FAKE_REFUSES;
    }
    fake_zones_run(&f.zones);
    assert_int_equal(f.answers, COUNT);
    assert_int_equal(f.result, EVC_WRITE_FAILED);
    assert_int_equal(f.writer.stats.in_flight, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void
test_write__zones_needed_of_the_request__answers_then_and_says_what_each_said(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_SET, "value");
    uint8_t zones[3];

    (void)state;
    request.zones = zones;
    request.zones_needed = 1;
    start(&request);
    assert_zones(zones, EVC_WRITE_ZONE_WAITING, EVC_WRITE_ZONE_WAITING, EVC_WRITE_ZONE_WAITING);
    assert_true(fake_zones_step(&f.zones));
    assert_int_equal(f.answers, 1);
    assert_int_equal(f.result, EVC_WRITE_STORED);
    fake_zones_run(&f.zones); /* after the answer nothing is told any more */
    assert_zones(zones, EVC_WRITE_ZONE_STORED, EVC_WRITE_ZONE_WAITING, EVC_WRITE_ZONE_WAITING);

    f.zones.zone[0].mood = FAKE_REFUSES;
    f.zones.zone[1].mood = FAKE_REJECTS;
    request.zones_needed = 3;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.answers, 1);
    assert_int_equal(f.result, EVC_WRITE_FAILED);
    assert_int_equal(zones[0], EVC_WRITE_ZONE_REFUSED);
}

static void
test_write__deciding__tells_what_looks_have_met(void **state)
{
    struct evc_write_request request = request_of(EVC_WRITE_ADD, "value");
    uint8_t zones[3];

    (void)state;
    request.zones = zones;
    request.zones_needed = 3;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_STORED);
    assert_zones(zones, EVC_WRITE_ZONE_STORED, EVC_WRITE_ZONE_STORED, EVC_WRITE_ZONE_STORED);
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_NOT_STORED);
    assert_zones(zones, EVC_WRITE_ZONE_NOT_ASKED, EVC_WRITE_ZONE_NOT_ASKED,
                 EVC_WRITE_ZONE_NOT_ASKED);
    for (unsigned zone = 0; zone < 3; zone++) {
        f.zones.zone[zone].mood = FAKE_REFUSES;
    }
    start(&request);
    assert_int_equal(f.result, EVC_WRITE_FAILED);
    assert_zones(zones, EVC_WRITE_ZONE_REFUSED, EVC_WRITE_ZONE_REFUSED, EVC_WRITE_ZONE_REFUSED);
    f.zones.zone[1].mood = FAKE_LOSES;
    f.zones.zone[2].mood = FAKE_REJECTS;
    start(&request);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_WRITE_FAILED);
    assert_zones(zones, EVC_WRITE_ZONE_REFUSED, EVC_WRITE_ZONE_UNKNOWN, EVC_WRITE_ZONE_REJECTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_write__set__is_in_every_zone_with_one_version_and_announced_once),
        CASE(test_write__event__is_released_with_the_first_zone_not_before),
        CASE(test_write__one_zone_fails__is_answered_and_asks_for_repair),
        CASE(test_write__too_few_zones__fails_and_says_how_many),
        CASE(test_write__no_zone_acknowledged__is_released_as_unknown),
        CASE(test_write__refused_everywhere__is_not_announced),
        CASE(test_write__value_rejected_by_the_nodes__is_said_and_the_key_deleted),
        CASE(test_write__delete__leaves_tombstones_and_says_what_was_there),
        CASE(test_write__delete_without_the_local_zone__says_what_the_next_had),
        CASE(test_write__expired_on_arrival__is_a_tombstone),
        CASE(test_write__add_and_replace__decide_over_what_is_there),
        CASE(test_write__cas__stores_only_over_the_version_the_client_saw),
        CASE(test_write__touch__keeps_value_and_flags_under_a_new_version),
        CASE(test_write__decision_raced__is_made_again),
        CASE(test_write__local_zone_down__another_decides),
        CASE(test_write__local_zone_lost_the_item__another_is_believed),
        CASE(test_write__many_count_at_once__each_once_and_in_order),
        CASE(test_write__many_wait_for_a_turn_and_all_nodes_go_down__all_fail),
        CASE(test_write__version__is_above_what_the_deciding_zone_held),
        CASE(test_write__zones_needed_of_the_request__answers_then_and_says_what_each_said),
        CASE(test_write__deciding__tells_what_looks_have_met),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
