/* SPDX-License-Identifier: Apache-2.0 */
/* Repair of one key: what asks for it, what it brings the zones to, what it announces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_zones.h"
#include "replication/repair.h"

#define NOW_US UINT64_C(1767225600000000)

enum {
    HOLD_MS = 60000,
    SHORT_HOLD_MS = 3000,
    WINDOW_MS = 500,
    SETTLE_MS = 550,
    RELAY_SLOT = 768
};

struct fixture {
    struct fake_zones zones;
    struct fake_sink sink;
    struct evc_version_clock clock;
    struct evc_moment now;
    struct evc_books *books;
    struct evc_repair *repair;
    uint64_t position, seq;
    evc_version told_of; /* by on_abandoned */
    bool is_any_key;
    evc_version told_too_far_ahead;
};

static struct fixture f;

static evc_version
version_of(unsigned number, unsigned slot)
{
    uint64_t ms = NOW_US / 1000 - EVC_VERSION_EPOCH_MS - 1000 + number;

    return ms << (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS) |
           evc_version_writer_make(0, slot);
}

static void
note_abandoned(void *ctx, struct evc_slice key, evc_version version)
{
    struct fixture *fixture = ctx;

    assert_true(fixture->is_any_key || evc_slice_equal(key, EVC_SLICE("key")));
    fixture->told_of = version;
}

static void
note_too_far_ahead(void *ctx, struct evc_slice key, evc_version version)
{
    struct fixture *fixture = ctx;

    assert_true(evc_slice_equal(key, EVC_SLICE("key")));
    fixture->told_too_far_ahead = version;
}

static void
make_repair(uint32_t recent_max, uint32_t hold_ms)
{
    evc_repair_destroy(f.repair);
    assert_int_equal(evc_repair_create(&f.zones.port, &f.clock, &f.now, &f.sink.sink,
                                       &(struct evc_repair_options){
                                           .items_max = 16,
                                           .recent_max = recent_max,
                                           .window_us = WINDOW_MS * 1000,
                                           .settle_us = SETTLE_MS * 1000,
                                           .zone_timeout_us = 100000,
                                           .retry_min_ms = 10,
                                           .retry_max_ms = 100,
                                           .hold_ms = hold_ms,
                                           .abandon_after_us = 5000000,
                                           .tombstone_ttl_s = 3600,
                                           .on_abandoned = note_abandoned,
                                           .on_too_far_ahead = note_too_far_ahead,
                                           .ctx = &f,
                                       },
                                       &f.repair),
                     EVC_OK);
}

static int
setup(void **state)
{
    (void)state;
    f = (struct fixture){.now = {.mono_us = 1000000, .unix_us = NOW_US}, .seq = 1};
    fake_zones_init(&f.zones, 2);
    fake_sink_init(&f.sink);
    evc_version_clock_init(&f.clock, evc_version_writer_make(0, RELAY_SLOT),
                           EVC_VERSION_DRIFT_MS_DEFAULT);
    f.books = evc_books_create();
    make_repair(64, HOLD_MS);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_repair_destroy(f.repair);
    evc_books_destroy(f.books);
    return 0;
}

static void
offer_at(evc_version version, uint8_t flags, const char *key, uint64_t written_us)
{
    struct evc_record_header header = {
        .producer = 1, .first_seq = f.seq++, .fed_us = f.now.unix_us, .count = 1};
    struct evc_event event = {
        .key = evc_slice_str(key), .flags = flags, .version = version, .written_us = written_us};
    struct evc_books_opened opened;

    evc_repair_offer(f.repair, evc_books_open(f.books, f.position++, &header, &opened), &event, 0,
                     header.fed_us);
}

static void
offer(evc_version version, uint8_t flags)
{
    offer_at(version, flags, "key", f.now.unix_us);
}

static void
pass_ms(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 10) {
        f.now.mono_us += 10000;
        f.now.unix_us += 10000;
        evc_repair_tick(f.repair);
        fake_zones_run(&f.zones);
    }
}

/** Time goes by and nothing happens. */
static void
skip_ms(unsigned ms)
{
    f.now.mono_us += ms * 1000;
    f.now.unix_us += ms * 1000;
}

static struct evc_repair_stats
stats(void)
{
    struct evc_repair_stats ret;

    evc_repair_stats(f.repair, &ret);
    return ret;
}

static uint64_t
outcome(enum evc_outcome which)
{
    struct evc_books_totals totals;
    uint64_t open;

    evc_books_totals(f.books, &totals, &open);
    return totals.outcome[which];
}

static void
test_repair__one_writer__costs_nothing(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 5; i++) {
        offer(version_of(i, 1), 0);
    }
    pass_ms(1000);
    assert_int_equal(stats().asked_total, 0);
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 5);
    assert_true(evc_repair_is_idle(f.repair));
}

static void
test_repair__failed_zone__gets_the_newest_and_it_is_announced(void **state)
{
    evc_version version = version_of(2, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "new");
    f.zones.zone[0].ttl_s = 60;
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "old");
    offer(version, EVC_EVENT_REPAIR);
    pass_ms(SETTLE_MS - 20);
    assert_int_equal(f.zones.zone[1].cas, version_of(1, 1)); /* not before writes have settled */
    pass_ms(40);
    assert_int_equal(f.zones.zone[1].cas, version);
    assert_memory_equal(f.zones.zone[1].value, "new", 3);
    assert_int_equal(f.zones.zone[1].ttl_s, 60);
    assert_int_equal(fake_sink_count(&f.sink, 0, version), 1);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
    assert_int_equal(stats().changed_total, 1);
}

static void
test_repair__more_than_thirty_days_left__are_copied_as_a_unix_time(void **state)
{
    evc_version version = version_of(2, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "new");
    f.zones.zone[0].ttl_s = EVC_TTL_DELTA_MAX_S + 1000;
    offer(version, EVC_EVENT_REPAIR);
    pass_ms(SETTLE_MS + 20);
    assert_int_equal(f.zones.zone[1].cas, version);
    assert_in_range(f.zones.zone[1].ttl_s, NOW_US / 1000000 + EVC_TTL_DELTA_MAX_S + 1000,
                    f.now.unix_us / 1000000 + EVC_TTL_DELTA_MAX_S + 1000);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(f.sink.events[0].expiry_s, f.zones.zone[1].ttl_s);
}

/** Each node numbers what a plain client writes for itself: equal numbers are not equal values. */
static void
test_repair__plain_items__get_the_oldest_version_and_are_announced(void **state)
{
    evc_version oldest = EVC_VERSION_OURS_MIN | f.clock.writer;

    (void)state;
    fake_zone_put(&f.zones.zone[0], 9, "b");
    fake_zone_put(&f.zones.zone[1], 9, "a");
    offer(version_of(1, 1), EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
    pass_ms(700);
    for (unsigned zone = 0; zone < 2; zone++) {
        assert_int_equal(f.zones.zone[zone].cas, oldest);
        assert_memory_equal(f.zones.zone[zone].value, "b", 1);
    }
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(f.sink.events[0].version, oldest);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static void
test_repair__zones_equal__changes_and_announces_nothing(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "v");
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "v");
    offer(version_of(1, 1), EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_int_equal(stats().clean_total, 1);
    assert_int_equal(f.sink.count, 0);
}

/** A relay was killed between its restamp and the event of it. */
static void
test_repair__zones_equal_and_a_relays__is_announced_once(void **state)
{
    evc_version version = version_of(2, RELAY_SLOT);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "v");
    fake_zone_put(&f.zones.zone[1], version, "v");
    offer(version_of(1, 1), EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(f.sink.events[0].version, version);
    offer(version, EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_int_equal(f.sink.count, 1);
}

static void
test_repair__two_writers_within_the_window__are_looked_at(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 2), "b");
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "a");
    offer(version_of(1, 1), 0);
    offer(version_of(2, 2), 0);
    pass_ms(700);
    assert_int_equal(stats().two_writers_total, 1);
    assert_int_equal(f.zones.zone[1].cas, version_of(2, 2));
}

static void
test_repair__two_writers_far_apart__are_not(void **state)
{
    (void)state;
    offer(version_of(1, 1), 0);
    skip_ms(2 * WINDOW_MS + 10);
    offer(version_of(2, 2), 0);
    pass_ms(700);
    assert_int_equal(stats().asked_total, 0);
}

static void
test_repair__older_than_one_seen__is_looked_at(void **state)
{
    (void)state;
    offer(version_of(5, 1), 0);
    offer(version_of(4, 1), 0);
    assert_int_equal(stats().inversions_total, 1);
}

static void
test_repair__buried_newer_version__survivor_is_restamped_above_it(void **state)
{
    (void)state;
    offer(version_of(5, 1), 0);                                /* known to have been written… */
    fake_zone_put(&f.zones.zone[0], version_of(3, 2), "late"); /* …and buried by a later arrival */
    fake_zone_put(&f.zones.zone[1], version_of(3, 2), "late");
    offer(version_of(3, 2), 0);
    pass_ms(700);
    assert_int_equal(stats().restamped_total, 1);
    assert_true(f.zones.zone[0].cas > version_of(5, 1));
    assert_int_equal(f.zones.zone[0].cas, f.zones.zone[1].cas);
    assert_memory_equal(f.zones.zone[0].value, "late", 4);
    assert_int_equal(evc_version_writer(f.zones.zone[0].cas),
                     evc_version_writer_make(0, RELAY_SLOT));
    assert_int_equal(fake_sink_count(&f.sink, 0, f.zones.zone[0].cas), 1);
}

static void
test_repair__known_version_expired__older_value_does_not_outlive_it(void **state)
{
    struct evc_record_header header = {
        .producer = 1, .first_seq = f.seq++, .fed_us = NOW_US, .count = 1};
    struct evc_event event = {.key = EVC_SLICE("key"),
                              .flags = EVC_EVENT_REPAIR,
                              .version = version_of(5, 1),
                              .expiry_s = (uint32_t)(NOW_US / 1000000),
                              .written_us = NOW_US};
    struct evc_books_opened opened;

    (void)state;
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "old");
    evc_repair_offer(f.repair, evc_books_open(f.books, f.position++, &header, &opened), &event, 0,
                     NOW_US);
    pass_ms(700);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_true(fake_zone_is_tombstone(&f.zones.zone[1]));
    assert_int_equal(f.zones.zone[1].cas, version_of(5, 1));
}

/** Its tombstone is gone by now; what it deleted has come back in one zone and is no survivor. */
static void
test_repair__known_delete_outlived_its_tombstone__older_value_is_not_restamped(void **state)
{
    struct evc_record_header header = {
        .producer = 1, .first_seq = f.seq++, .fed_us = NOW_US, .count = 1};
    struct evc_books_opened opened;
    struct evc_batch *batch;

    (void)state;
    batch = evc_books_open(f.books, f.position++, &header, &opened);
    evc_repair_offer(f.repair, batch,
                     &(struct evc_event){.op = EVC_EVENT_DELETE,
                                         .key = EVC_SLICE("key"),
                                         .version = version_of(2, 1),
                                         .written_us = NOW_US},
                     0, NOW_US);
    pass_ms(3600 * 1000);
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "deleted");
    offer(version_of(2, 1), EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_int_equal(f.zones.zone[0].cas, version_of(2, 1));
    assert_int_equal(stats().restamped_total, 0);
}

static void
test_repair__unknown_write_found__is_announced(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 1), "v");
    fake_zone_put(&f.zones.zone[1], version_of(2, 1), "v");
    offer(version_of(2, 1), EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
    pass_ms(700);
    assert_int_equal(fake_sink_count(&f.sink, 0, version_of(2, 1)), 1);
}

static void
test_repair__unknown_write_nowhere__is_forgotten(void **state)
{
    (void)state;
    offer(version_of(2, 1), EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
    pass_ms(700);
    assert_int_equal(f.sink.count, 0);
    assert_false(f.zones.zone[0].has_item);
    assert_true(evc_repair_is_idle(f.repair));
}

static void
test_repair__gone_from_all_zones__becomes_a_tombstone(void **state)
{
    (void)state;
    offer(version_of(2, 1), EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_int_equal(f.zones.zone[1].cas, version_of(2, 1));
    assert_int_equal(fake_sink_count(&f.sink, 0, version_of(2, 1)), 1);
}

static void
test_repair__zone_silent__is_tried_again_and_looked_at_twice(void **state)
{
    evc_version version = version_of(2, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "new");
    f.zones.zone[1].mood = FAKE_LOSES;
    offer(version, EVC_EVENT_REPAIR);
    pass_ms(1000);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 0);
    assert_true(stats().retries_total > 0);
    f.zones.zone[1].mood = FAKE_ANSWERS;
    pass_ms(150);
    assert_int_equal(f.zones.zone[1].cas, version);
    /* What was on its way when the zone fell silent lands now. */
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "old");
    pass_ms(700);
    assert_int_equal(f.zones.zone[1].cas, version);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static void
test_repair__zone_silent_for_good__is_abandoned_and_counted(void **state)
{
    (void)state;
    f.zones.zone[1].mood = FAKE_REFUSES;
    offer(version_of(2, 1), EVC_EVENT_REPAIR);
    pass_ms(7000);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
    assert_int_equal(f.told_of, version_of(2, 1));
    assert_int_equal(f.told_too_far_ahead, 0);
    assert_true(evc_repair_is_idle(f.repair));
}

static void
test_repair__asked_again_while_settling__is_one_repair(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        offer(version_of(2, 1), EVC_EVENT_REPAIR);
    }
    pass_ms(700);
    assert_int_equal(stats().gone_total, 1);
    assert_int_equal(outcome(EVC_OUTCOME_COALESCED), 3);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static unsigned looks_at_key;
static void (*submit_to_zones)(struct evc_node_port *port, struct evc_node_op *op);

static void
count_looks(struct evc_node_port *port, struct evc_node_op *op)
{
    looks_at_key += evc_slice_equal(op->key, EVC_SLICE("key"));
    submit_to_zones(port, op);
}

static void
test_repair__asked_without_pause_beside_others__is_looked_at_all_the_same(void **state)
{
    (void)state;
    looks_at_key = 0;
    submit_to_zones = f.zones.port.submit;
    f.zones.port.submit = count_looks;
    for (unsigned ms = 0; ms < 20 * SETTLE_MS; ms += 100) {
        char other[16];

        snprintf(other, sizeof(other), "other-%u", ms / 100 % 8);
        offer_at(version_of(1, 1), EVC_EVENT_REPAIR, other, f.now.unix_us);
        offer(version_of(1, 1), EVC_EVENT_REPAIR);
        pass_ms(100);
    }
    assert_in_range(looks_at_key, 2, 100);
}

static void
test_repair__just_started_in_the_middle__looks_at_what_it_cannot_know(void **state)
{
    (void)state;
    f.position = 100;
    offer(version_of(1, 1), 0);
    assert_int_equal(stats().blind_total, 1);
    skip_ms(2 * WINDOW_MS + 10);
    offer_at(version_of(2, 1), 0, "other", f.now.unix_us);
    assert_int_equal(stats().blind_total, 1);
}

/** The first four of eight events are forgotten again. */
static void
outgrow_memory(void)
{
    char key[16];

    make_repair(4, HOLD_MS);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        offer_at(version_of(i, 1), 0, key, f.now.unix_us);
    }
}

static void
test_repair__one_writer_past_memory__nothing_to_look_at(void **state)
{
    (void)state;
    outgrow_memory();
    offer_at(version_of(20, 1), 0, "delayed", f.now.unix_us - 10000000);
    assert_int_equal(stats().blind_total, 0);
}

static void
test_repair__another_writer_past_memory__is_looked_at(void **state)
{
    (void)state;
    outgrow_memory();
    offer_at(version_of(8, 2), 0, "other", f.now.unix_us);
    assert_int_equal(stats().blind_total, 1);
    skip_ms(10000);
    offer_at(version_of(20, 2), 0, "fresh", f.now.unix_us);
    assert_int_equal(stats().blind_total, 1);
    offer_at(version_of(21, 2), 0, "delayed", f.now.unix_us - 10000000); /* in a journal */
    assert_int_equal(stats().blind_total, 2);
}

static void
test_repair__newest_of_a_third_writer_past_memory__is_looked_at(void **state)
{
    (void)state;
    make_repair(1, HOLD_MS);
    offer_at(version_of(9, 2), 0, "key", f.now.unix_us);
    skip_ms(10000);
    offer_at(version_of(1, 1), 0, "key", f.now.unix_us); /* older, later */
    assert_int_equal(stats().inversions_total, 1);
    offer_at(version_of(10, 1), 0, "other", f.now.unix_us);
    assert_int_equal(stats().blind_total, 0);
    offer_at(version_of(2, 1), 0, "key", f.now.unix_us); /* older than what is forgotten */
    assert_int_equal(stats().blind_total, 1);
}

/** The version of a clock that is an hour ahead. */
static evc_version
version_far_ahead(void)
{
    return version_of(3600 * 1000, 1);
}

static void
put_far_ahead(void)
{
    fake_zone_put(&f.zones.zone[0], version_far_ahead(), "far");
    fake_zone_put(&f.zones.zone[1], version_far_ahead(), "far");
}

static void
test_repair__version_beyond_drift__is_looked_at_and_teaches_nothing(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 2), "good");
    fake_zone_put(&f.zones.zone[1], version_far_ahead(), "far");
    offer(version_far_ahead(), 0);
    assert_int_equal(f.told_too_far_ahead, version_far_ahead());
    assert_int_equal(stats().too_far_ahead_total, 1);
    pass_ms(700);
    assert_int_equal(f.zones.zone[1].cas, version_of(2, 2));
    assert_memory_equal(f.zones.zone[1].value, "good", 4);
    assert_int_equal(fake_sink_count(&f.sink, 0, version_of(2, 2)), 1);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static void
test_repair__only_a_version_beyond_drift_left__gets_one_that_loses_to_late_writes(void **state)
{
    evc_version got;

    (void)state;
    put_far_ahead();
    offer(version_far_ahead(), 0);
    pass_ms(700);
    got = f.zones.zone[0].cas;
    assert_int_equal(f.zones.zone[1].cas, got);
    assert_memory_equal(f.zones.zone[1].value, "far", 3);
    assert_in_range(evc_version_unix_ms(got), NOW_US / 1000 - EVC_VERSION_DRIFT_MS_DEFAULT,
                    f.now.unix_us / 1000 - EVC_VERSION_DRIFT_MS_DEFAULT);
    assert_int_equal(fake_sink_count(&f.sink, 0, got), 1);
    assert_int_equal(f.sink.count, 1);
}

static void
test_repair__version_beyond_drift_has_buried_a_known_one__is_restamped_above_it(void **state)
{
    (void)state;
    offer(version_of(5, 2), 0);
    put_far_ahead();
    offer(version_far_ahead(), 0);
    pass_ms(700);
    assert_int_equal(f.zones.zone[0].cas, f.zones.zone[1].cas);
    assert_true(f.zones.zone[0].cas > version_of(5, 2));
    assert_true(f.zones.zone[0].cas < version_of(6, 0));
    assert_int_equal(fake_sink_count(&f.sink, 0, f.zones.zone[0].cas), 1);
}

/** It ran out after it was looked at, and was buried before it was fetched. */
static void
test_repair__value_becomes_a_tombstone_of_its_version__is_copied_as_one(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    offer(version, EVC_EVENT_REPAIR);
    skip_ms(SETTLE_MS + 10);
    evc_repair_tick(f.repair);
    assert_true(fake_zones_step(&f.zones) && fake_zones_step(&f.zones)); /* both are read */
    fake_zone_put_tombstone(&f.zones.zone[0], version);
    fake_zones_run(&f.zones);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[1]));
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static void
test_repair__a_zone_away_for_long__is_carried_and_the_position_moves(void **state)
{
    evc_version version = version_of(1, 1);
    const struct evc_event *again = &f.sink.events[0];
    uint64_t failed_us;
    bool has_moved;

    (void)state;
    make_repair(64, SHORT_HOLD_MS);
    fake_zone_put(&f.zones.zone[0], version, "value");
    f.zones.zone[1].mood = FAKE_REFUSES;
    offer(version, EVC_EVENT_REPAIR);
    failed_us = f.now.unix_us + SETTLE_MS * 1000;
    pass_ms(SHORT_HOLD_MS - 500);
    assert_int_equal(f.sink.count, 0);
    pass_ms(1000);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(again->flags, EVC_EVENT_REPAIR | EVC_EVENT_CARRIED);
    assert_int_equal(again->version, version);
    assert_in_range(again->written_us, failed_us - 50000, failed_us + 50000);
    assert_int_equal(outcome(EVC_OUTCOME_COALESCED), 1);
    assert_int_equal(evc_books_position(f.books, &has_moved), 1);
    assert_true(evc_repair_is_idle(f.repair));
}

/** What a zone that was silent had been sent may land after the look that follows. */
static void
test_repair__carried__looks_twice_and_keeps_the_clock_of_its_failure(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    fake_zone_put(&f.zones.zone[1], version, "value");
    offer_at(version, EVC_EVENT_REPAIR | EVC_EVENT_CARRIED, "key", f.now.unix_us - 1000000);
    pass_ms(SETTLE_MS + 50);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 0);
    pass_ms(SETTLE_MS + 50);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);

    f.zones.zone[1].mood = FAKE_REFUSES;
    offer_at(version, EVC_EVENT_REPAIR | EVC_EVENT_CARRIED, "key", f.now.unix_us - 4900000);
    pass_ms(SETTLE_MS + 500);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
}

static void
test_repair__carried_for_a_destination__is_no_sign_of_trouble(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 1), "new");
    fake_zone_put(&f.zones.zone[1], version_of(2, 1), "new");
    offer(version_of(2, 1), 0);
    offer(version_of(1, 1), EVC_EVENT_CARRIED);
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 2);
    assert_int_equal(stats().asked_total, 0);
}

static void
test_repair__nobody_acknowledged_and_a_zone_away__is_carried_as_unknown(void **state)
{
    (void)state;
    make_repair(64, SHORT_HOLD_MS);
    f.zones.zone[1].mood = FAKE_REFUSES;
    offer(version_of(1, 1), EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
    pass_ms(SHORT_HOLD_MS + 500);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(f.sink.events[0].flags,
                     EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN | EVC_EVENT_CARRIED);
}

static void
test_repair__node_does_not_take_the_value__ends_without_it(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 1), "large");
    f.zones.zone[1].mood = FAKE_REJECTS_VALUES;
    offer(version_of(2, 1), EVC_EVENT_REPAIR);
    pass_ms(700);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
    assert_int_equal(stats().rejected_total, 1);
    assert_int_equal(stats().retries_total, 0);
    assert_false(f.zones.zone[1].has_item);
}

/** Repair is asked for so many keys, one every 50 ms. */
static void
offer_many(const char *name, unsigned count)
{
    f.is_any_key = true;
    for (unsigned i = 0; i < count; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%s%u", name, i);
        offer_at(version_of(1, 1), EVC_EVENT_REPAIR, key, f.now.unix_us);
        pass_ms(50);
    }
}

static void
test_repair__all_wait_for_a_moment__none_is_given_up(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    f.zones.zone[1].mood = FAKE_REFUSES;
    offer_many("key", 16);
    pass_ms(SETTLE_MS + 100);
    assert_int_equal(stats().retrying, 16);
    assert_false(evc_repair_has_room(f.repair, 1));
    f.zones.zone[1].mood = FAKE_ANSWERS;
    pass_ms(3000);
    assert_int_equal(stats().crowded_total, 0);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 16);
}

static void
test_repair__all_wait_for_as_long_as_events_are_held__leave_half_of_the_room(void **state)
{
    (void)state;
    make_repair(64, SHORT_HOLD_MS);
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    f.zones.zone[1].mood = FAKE_REFUSES;
    skip_ms(SHORT_HOLD_MS); /* nothing was asked for and nothing got on */
    offer_many("key", 16);
    pass_ms(SETTLE_MS + 100);
    assert_int_equal(stats().retrying, 8);
    assert_int_equal(stats().crowded_total, 8);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_repair__one_writer__costs_nothing),
        CASE(test_repair__failed_zone__gets_the_newest_and_it_is_announced),
        CASE(test_repair__more_than_thirty_days_left__are_copied_as_a_unix_time),
        CASE(test_repair__plain_items__get_the_oldest_version_and_are_announced),
        CASE(test_repair__zones_equal__changes_and_announces_nothing),
        CASE(test_repair__zones_equal_and_a_relays__is_announced_once),
        CASE(test_repair__two_writers_within_the_window__are_looked_at),
        CASE(test_repair__two_writers_far_apart__are_not),
        CASE(test_repair__older_than_one_seen__is_looked_at),
        CASE(test_repair__buried_newer_version__survivor_is_restamped_above_it),
        CASE(test_repair__known_version_expired__older_value_does_not_outlive_it),
        CASE(test_repair__known_delete_outlived_its_tombstone__older_value_is_not_restamped),
        CASE(test_repair__unknown_write_found__is_announced),
        CASE(test_repair__unknown_write_nowhere__is_forgotten),
        CASE(test_repair__gone_from_all_zones__becomes_a_tombstone),
        CASE(test_repair__zone_silent__is_tried_again_and_looked_at_twice),
        CASE(test_repair__zone_silent_for_good__is_abandoned_and_counted),
        CASE(test_repair__node_does_not_take_the_value__ends_without_it),
        CASE(test_repair__asked_again_while_settling__is_one_repair),
        CASE(test_repair__asked_without_pause_beside_others__is_looked_at_all_the_same),
        CASE(test_repair__just_started_in_the_middle__looks_at_what_it_cannot_know),
        CASE(test_repair__one_writer_past_memory__nothing_to_look_at),
        CASE(test_repair__another_writer_past_memory__is_looked_at),
        CASE(test_repair__newest_of_a_third_writer_past_memory__is_looked_at),
        CASE(test_repair__value_becomes_a_tombstone_of_its_version__is_copied_as_one),
        CASE(test_repair__version_beyond_drift__is_looked_at_and_teaches_nothing),
        CASE(test_repair__only_a_version_beyond_drift_left__gets_one_that_loses_to_late_writes),
        CASE(test_repair__version_beyond_drift_has_buried_a_known_one__is_restamped_above_it),
        CASE(test_repair__a_zone_away_for_long__is_carried_and_the_position_moves),
        CASE(test_repair__carried__looks_twice_and_keeps_the_clock_of_its_failure),
        CASE(test_repair__carried_for_a_destination__is_no_sign_of_trouble),
        CASE(test_repair__nobody_acknowledged_and_a_zone_away__is_carried_as_unknown),
        CASE(test_repair__all_wait_for_a_moment__none_is_given_up),
        CASE(test_repair__all_wait_for_as_long_as_events_are_held__leave_half_of_the_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
