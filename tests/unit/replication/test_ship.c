/* SPDX-License-Identifier: Apache-2.0 */
/* Shipping one key: coalescing, reading the newest, gone, expired, policies, retry, giving up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_zones.h"
#include "replication/ship.h"

#define NOW_US UINT64_C(1767225600000000)
#define ABANDON_US (UINT64_C(10) * 1000 * 1000)
#define HOLD_MS 4000
#define DESTINATION 3

enum {
    SENT_MAX = 64
};

struct sent {
    uint32_t opaque;
    evc_version version;
    bool is_tombstone;
    int64_t ttl_s;
    char value[64];
};

struct fixture {
    struct fake_zones zones;
    struct fake_sink sink;
    struct evc_moment now;
    struct evc_ship_link link;
    bool link_refuses;
    struct sent sent[SENT_MAX];
    unsigned sent_count;
    struct evc_books *books;
    struct evc_prefix_top prefixes;
    struct evc_ship *ship;
    uint64_t position, seq;
    unsigned retried, troubled; /* told by on_trouble */
    uint8_t trouble;            /* the last outcome it was told */
    bool is_any_key;
};

static struct fixture f;

/** Versions 1, 2, … of a writer, all a moment ago. */
static evc_version
version_of(unsigned number, unsigned slot)
{
    uint64_t ms = NOW_US / 1000 - EVC_VERSION_EPOCH_MS - 1000 + number;

    return ms << (EVC_VERSION_COUNTER_BITS + EVC_VERSION_WRITER_BITS) |
           evc_version_writer_make(0, slot);
}

static bool
keep_sent(struct evc_ship_link *link, const struct evc_replica *replica, uint32_t opaque)
{
    struct sent *sent = &f.sent[f.sent_count];

    (void)link;
    if (f.link_refuses) {
        return false;
    }
    assert_true(f.sent_count < SENT_MAX);
    *sent = (struct sent){
        .opaque = opaque,
        .version = replica->version,
        .is_tombstone = replica->client_flags == EVC_TOMBSTONE_FLAGS && replica->value.len == 0,
        .ttl_s = replica->ttl_s,
    };
    memcpy(sent->value, replica->value.ptr, replica->value.len);
    f.sent_count++;
    return true;
}

static void
count_trouble(void *ctx, struct evc_slice key, const struct evc_trail_event *event, bool has_ended)
{
    struct fixture *fixture = ctx;

    assert_true(fixture->is_any_key || evc_slice_equal(key, EVC_SLICE("key")));
    fixture->retried += !has_ended;
    fixture->troubled += has_ended;
    fixture->trouble = event->outcome;
}

static void
make_ship(const struct evc_config *config)
{
    evc_ship_destroy(f.ship);
    assert_int_equal(evc_ship_create(&f.zones.port, &f.now, &f.sink.sink, &f.link,
                                     &(struct evc_ship_options){
                                         .config = config,
                                         .destination = DESTINATION,
                                         .items_max = 16,
                                         .read_timeout_us = 100000,
                                         .retry_min_ms = 10,
                                         .retry_max_ms = 100,
                                         .hold_ms = HOLD_MS,
                                         .abandon_after_us = ABANDON_US,
                                         .tombstone_ttl_s = 3600,
                                         .drift_ms = EVC_VERSION_DRIFT_MS_DEFAULT,
                                         .trail_max = 64,
                                         .prefixes = &f.prefixes,
                                         .on_trouble = count_trouble,
                                         .ctx = &f,
                                     },
                                     &f.ship),
                     EVC_OK);
}

static int
setup(void **state)
{
    (void)state;
    f = (struct fixture){.now = {.mono_us = 1000000, .unix_us = NOW_US}, .seq = 1};
    fake_zones_init(&f.zones, 2);
    fake_sink_init(&f.sink);
    f.link.send = keep_sent;
    f.books = evc_books_create();
    evc_prefix_top_init(&f.prefixes, f.now.mono_us);
    make_ship(NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_ship_destroy(f.ship);
    evc_books_destroy(f.books);
    return 0;
}

static void
offer(const struct evc_event *event)
{
    struct evc_record_header header = {
        .slot = 9, .producer = 1, .first_seq = f.seq++, .fed_us = NOW_US, .count = 1};
    struct evc_books_opened opened;

    evc_ship_offer(f.ship, evc_books_open(f.books, f.position++, &header, &opened), event);
}

static void
offer_set(evc_version version)
{
    offer(&(struct evc_event){
        .key = EVC_SLICE("key"), .version = version, .written_us = NOW_US - 2000});
}

static void
reply_last(enum evc_apply_result result)
{
    evc_ship_on_reply(f.ship, f.sent[f.sent_count - 1].opaque, result, 0);
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
pass_ms(unsigned ms)
{
    f.now.mono_us += ms * 1000;
    f.now.unix_us += ms * 1000;
    evc_ship_tick(f.ship);
    fake_zones_run(&f.zones);
}

static void
test_ship__value_in_local_zone__is_sent_with_version_and_remaining_life(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    f.zones.zone[0].ttl_s = 77;
    offer_set(version);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 1);
    assert_string_equal(f.sent[0].value, "value");
    assert_int_equal(f.sent[0].version, version);
    assert_int_equal(f.sent[0].ttl_s, 77);
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
    assert_int_equal(evc_books_lag(f.books)->count, 1);
    /* From the version's time (999 ms ago, to the millisecond), not from the later announcement. */
    assert_in_range(evc_books_lag(f.books)->max, 998000, 999000);
    assert_true(evc_ship_is_idle(f.ship));
}

/** memcached takes more than 30 days for a Unix time; sent as it was read it would be long over. */
static void
test_ship__more_than_thirty_days_left__are_sent_as_a_unix_time(void **state)
{
    static const struct {
        int64_t left, sent;
    } cases[] = {
        {EVC_TTL_DELTA_MAX_S, EVC_TTL_DELTA_MAX_S},
        {EVC_TTL_DELTA_MAX_S + 1, NOW_US / 1000000 + EVC_TTL_DELTA_MAX_S + 1},
        {INT32_MAX, INT32_MAX},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_zone_put(&f.zones.zone[0], version_of(i + 1, 1), "value");
        f.zones.zone[0].ttl_s = cases[i].left;
        offer_set(version_of(i + 1, 1));
        fake_zones_run(&f.zones);
        assert_int_equal(f.sent_count, i + 1);
        assert_int_equal(f.sent[i].ttl_s, cases[i].sent);
        reply_last(EVC_APPLY_APPLIED);
    }
}

static void
test_ship__many_events_of_one_key__are_sent_once_or_twice(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(10, 1), "tenth");
    for (unsigned i = 1; i <= 10; i++) {
        offer_set(version_of(i, 1));
    }
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_APPLIED);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 1); /* what was sent for the first spoke for the last */
    assert_int_equal(outcome(EVC_OUTCOME_COALESCED), 9);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__newer_event_while_on_its_way__goes_round_again(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "one");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    fake_zone_put(&f.zones.zone[0], version_of(2, 1), "two");
    offer_set(version_of(2, 1));
    reply_last(EVC_APPLY_APPLIED);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 2);
    assert_string_equal(f.sent[1].value, "two");
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 2);
}

static void
test_ship__local_zone_older__takes_it_from_another(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "old");
    fake_zone_put(&f.zones.zone[1], version_of(2, 1), "new");
    offer_set(version_of(2, 1));
    fake_zones_run(&f.zones);
    assert_string_equal(f.sent[0].value, "new");
    assert_int_equal(f.sink.count, 0);
}

static void
test_ship__only_older_found__is_sent_and_repair_is_asked_to_announce(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "old");
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "old");
    offer_set(version_of(2, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent[0].version, version_of(1, 1));
    assert_int_equal(
        fake_sink_count(&f.sink, EVC_EVENT_REPAIR | EVC_EVENT_RESHIP, version_of(2, 1)), 1);
}

static void
test_ship__newer_of_another_writer_found__asks_for_repair(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(2, 9), "theirs");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version_of(2, 9)), 1);
}

/** A zone that is being filled may have a write before those that are read. */
static void
test_ship__only_in_the_zone_being_filled__is_not_gone(void **state)
{
    (void)state;
    f.zones.port.write_only_count = 1;
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "new");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 1);
    assert_int_equal(f.sent[0].version, version_of(1, 1));
    assert_false(f.sent[0].is_tombstone);
    assert_false(f.zones.zone[0].has_item);
}

static void
test_ship__gone_from_every_zone__becomes_a_tombstone_here_and_there(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    offer_set(version);
    fake_zones_run(&f.zones);
    assert_true(f.sent[0].is_tombstone);
    assert_int_equal(f.sent[0].version, version);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fake_zone_is_tombstone(&f.zones.zone[i]));
        assert_int_equal(f.zones.zone[i].cas, version);
    }
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_GONE), 1);
}

static void
test_ship__missing_here_and_a_zone_silent__waits_for_it(void **state)
{
    (void)state;
    f.zones.zone[1].mood = FAKE_LOSES;
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 0);
    assert_false(f.zones.zone[0].has_item);
    f.zones.zone[1].mood = FAKE_ANSWERS;
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "there");
    pass_ms(200);
    assert_string_equal(f.sent[0].value, "there");
}

static void
test_ship__expired_on_the_way__is_sent_as_a_delete(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    offer(&(struct evc_event){.key = EVC_SLICE("key"),
                              .version = version,
                              .written_us = NOW_US - 5000000,
                              .expiry_s = (uint32_t)(NOW_US / 1000000) - 1});
    fake_zones_run(&f.zones);
    assert_true(f.sent[0].is_tombstone);
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_EXPIRED), 1);
}

static void
test_ship__repair_request__is_not_for_other_regions(void **state)
{
    (void)state;
    offer(&(struct evc_event){
        .key = EVC_SLICE("key"), .flags = EVC_EVENT_REPAIR, .version = version_of(1, 1)});
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 1);
    assert_int_equal(f.sent_count, 0);
}

static void
test_ship__policies__filter_and_invalidate_by_prefix(void **state)
{
    struct evc_config_policy policies[] = {
        {.prefix = (char *)"session:", .replicate = EVC_POLICY_NONE},
        {.prefix = (char *)"row:", .replicate = EVC_POLICY_INVALIDATE}};
    struct evc_config config = {.policies = policies, .policies_count = 2};
    evc_version version = version_of(1, 1);

    (void)state;
    make_ship(&config);
    fake_zone_put(&f.zones.zone[0], version, "value");
    offer(&(struct evc_event){.key = EVC_SLICE("session:1"), .version = version});
    offer(&(struct evc_event){.key = EVC_SLICE("row:1"), .version = version});
    fake_zones_run(&f.zones);
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 1);
    assert_int_equal(f.sent_count, 1);
    assert_true(f.sent[0].is_tombstone);
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

/** A tombstone of a region's own version would come to stand beside its value there. */
static void
test_ship__invalidated_version_of_the_destination__is_not_sent_back(void **state)
{
    struct evc_config_policy policy = {.prefix = (char *)"row:",
                                       .replicate = EVC_POLICY_INVALIDATE};
    struct evc_config config = {.policies = &policy, .policies_count = 1};
    evc_version version = version_of(1, 1) | evc_version_writer_make(DESTINATION, 0);

    (void)state;
    make_ship(&config);
    offer(
        &(struct evc_event){.key = EVC_SLICE("row:1"), .op = EVC_EVENT_DELETE, .version = version});
    assert_int_equal(f.sent_count, 0);
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 1);
}

/** The value is read for nobody: that it was buried here, only the receiver can tell. */
static void
test_ship__invalidation_behind_our_own_version__asks_for_repair(void **state)
{
    struct evc_config_policy policy = {.prefix = (char *)"row:",
                                       .replicate = EVC_POLICY_INVALIDATE};
    struct evc_config config = {.policies = &policy, .policies_count = 1};

    (void)state;
    make_ship(&config);
    offer(&(struct evc_event){.key = EVC_SLICE("row:1"), .version = version_of(1, 1)});
    evc_ship_on_reply(f.ship, f.sent[0].opaque, EVC_APPLY_BEHIND, version_of(2, 2));
    assert_int_equal(outcome(EVC_OUTCOME_BEHIND), 1);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(f.sink.events[0].flags, EVC_EVENT_REPAIR);
    assert_true(f.sink.events[0].version == version_of(2, 2));
}

/** The first event and the first value that leaves are looked at, and stand for 16. */
static void
test_ship__prefixes__are_told_what_is_shipped_not_what_is_filtered(void **state)
{
    struct evc_config_policy policy = {.prefix = (char *)"session:", .replicate = EVC_POLICY_NONE};
    struct evc_config config = {.policies = &policy, .policies_count = 1};
    struct evc_prefix_rates rates;

    (void)state;
    make_ship(&config);
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    offer(&(struct evc_event){.key = EVC_SLICE("session:1"), .version = version_of(1, 1)});
    offer(&(struct evc_event){.key = EVC_SLICE("user:1"), .version = version_of(1, 1)});
    fake_zones_run(&f.zones);
    evc_prefix_top_rates(&f.prefixes, f.now.mono_us + 1000000, &rates);
    assert_int_equal(rates.count, 1);
    assert_true(evc_slice_equal(rates.top[0].prefix, EVC_SLICE("user:")));
    assert_float_equal(rates.top[0].events, EVC_PREFIX_TOP_GAP, 0.001);
    assert_float_equal(rates.top[0].bytes, 5.0 * (double)EVC_PREFIX_TOP_GAP, 0.001);
    reply_last(EVC_APPLY_APPLIED);
}

/** It would be rejected the next time. */
static void
test_ship__value_is_rejected__is_abandoned_at_once(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "large");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_REJECTED);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
    assert_int_equal(f.trouble, EVC_OUTCOME_ABANDONED);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__receiver_fails__is_sent_again_after_a_while_then_abandoned(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_FAILED);
    assert_int_equal(f.sent_count, 1);
    pass_ms(15);
    assert_int_equal(f.sent_count, 2);
    assert_int_equal(f.retried, 1);
    f.now.mono_us += ABANDON_US + 1;
    reply_last(EVC_APPLY_FAILED);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
    assert_true(f.retried == 1 && f.troubled == 1 && f.trouble == EVC_OUTCOME_ABANDONED);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__asked_for_a_key__tells_what_is_under_way_and_what_has_ended(void **state)
{
    struct evc_ship_account account;

    (void)state;
    evc_ship_explain(f.ship, EVC_SLICE("key"), &account);
    assert_true(!account.is_under_way && account.event_count == 0 && account.remembered == 0);
    fake_zone_put(&f.zones.zone[0], version_of(2, 1), "value");
    offer(&(struct evc_event){.op = EVC_EVENT_DELETE,
                              .key = EVC_SLICE("key"),
                              .flags = EVC_EVENT_REPAIR,
                              .version = version_of(1, 1)});
    offer_set(version_of(2, 1));
    fake_zones_run(&f.zones);
    evc_ship_explain(f.ship, EVC_SLICE("key"), &account);
    assert_true(account.is_under_way);
    assert_string_equal(account.state, "sent");
    assert_int_equal(account.failing_us, 0);
    reply_last(EVC_APPLY_FAILED);
    f.now.mono_us += 3000;
    evc_ship_explain(f.ship, EVC_SLICE("key"), &account);
    assert_string_equal(account.state, "retrying");
    assert_int_equal(account.failing_us, 3000);
    assert_int_equal(account.current.version, version_of(2, 1));
    assert_int_equal(account.current.attempts, 1);
    assert_int_equal(account.current.slot, 9);
    assert_int_equal(account.current.first_seq, 2);
    pass_ms(15);
    reply_last(EVC_APPLY_BEHIND);
    evc_ship_explain(f.ship, EVC_SLICE("key"), &account);
    assert_false(account.is_under_way);
    assert_int_equal(account.event_count, 2);
    assert_int_equal(account.remembered, 2);
    assert_int_equal(account.events[0].outcome, EVC_OUTCOME_BEHIND);
    assert_int_equal(account.events[0].attempts, 1);
    assert_int_equal(account.events[0].ended_us, f.now.unix_us);
    assert_int_equal(account.events[1].outcome, EVC_OUTCOME_FILTERED);
    assert_int_equal(account.events[1].op, EVC_EVENT_DELETE);
    assert_int_equal(account.events[1].first_seq, 1);
    evc_ship_explain(f.ship, EVC_SLICE("other"), &account);
    assert_int_equal(account.event_count, 0);
}

static void
test_ship__link_down_for_long__first_failure_abandons_nothing(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    f.link_refuses = true;
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    pass_ms(2 * ABANDON_US / 1000);
    f.link_refuses = false;
    evc_ship_on_link_ready(f.ship);
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_FAILED);
    pass_ms(200);
    assert_int_equal(f.sent_count, 2);
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

static void
test_ship__drift_refused_there__is_abandoned_at_once(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_DRIFT);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
}

static void
test_ship__late_there__is_told(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_LATE);
    assert_int_equal(outcome(EVC_OUTCOME_LATE), 1);
    assert_true(f.retried == 0 && f.troubled == 1 && f.trouble == EVC_OUTCOME_LATE);
}

static void
test_ship__link_lost__everything_on_its_way_is_sent_again(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    evc_ship_on_link_lost(f.ship);
    pass_ms(100);
    assert_int_equal(f.sent_count, 1);
    evc_ship_on_link_ready(f.ship);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 2);
    reply_last(EVC_APPLY_IDENTICAL);
    assert_int_equal(outcome(EVC_OUTCOME_IDENTICAL), 1);
}

static void
test_ship__link_full__waits_until_it_is_ready(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    f.link_refuses = true;
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 0);
    f.link_refuses = false;
    evc_ship_on_link_ready(f.ship);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 1);
    reply_last(EVC_APPLY_APPLIED);
}

/** The receiver cannot take it, again and again, for so long. */
static void
fail_for_ms(unsigned ms)
{
    for (unsigned passed = 0; passed < ms; passed += 100) {
        if (f.sent_count == SENT_MAX) {
            f.sent_count = 0;
        }
        pass_ms(100);
        if (!evc_ship_is_idle(f.ship)) {
            reply_last(EVC_APPLY_FAILED);
        }
    }
}

static void
test_ship__fails_for_long__is_carried_and_the_position_moves(void **state)
{
    evc_version version = version_of(1, 1);
    const struct evc_event *again = &f.sink.events[0];
    bool has_moved;

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    offer_set(version);
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_FAILED);
    fail_for_ms(HOLD_MS - 500);
    assert_int_equal(f.sink.count, 0);
    assert_int_equal(evc_books_position(f.books, &has_moved), 0);
    fail_for_ms(1000);
    assert_int_equal(f.sink.count, 1);
    assert_int_equal(again->flags, EVC_EVENT_CARRIED);
    assert_int_equal(again->only, DESTINATION);
    assert_int_equal(again->version, version);
    assert_in_range(again->written_us, NOW_US, NOW_US + 1); /* since when it fails */
    assert_int_equal(outcome(EVC_OUTCOME_COALESCED), 1);
    assert_int_equal(evc_books_position(f.books, &has_moved), 1);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__carried_again_and_again__is_given_up_in_the_end(void **state)
{
    evc_version version = version_of(1, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "value");
    offer_set(version);
    fake_zones_run(&f.zones);
    reply_last(EVC_APPLY_FAILED);
    for (unsigned i = 0; i < 4; i++) {
        fail_for_ms(HOLD_MS + 500);
        if (f.sink.count > i) {
            struct evc_event again = f.sink.events[i];

            again.key = EVC_SLICE("key"); /* the sink keeps none */
            offer(&again);
            fake_zones_run(&f.zones);
            reply_last(EVC_APPLY_FAILED);
        }
    }
    assert_int_equal(f.sink.count, 2);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__carried_for_another_destination__is_not_for_this_one(void **state)
{
    (void)state;
    offer(&(struct evc_event){.key = EVC_SLICE("key"),
                              .flags = EVC_EVENT_CARRIED,
                              .only = DESTINATION + 1,
                              .version = version_of(1, 1)});
    assert_int_equal(outcome(EVC_OUTCOME_FILTERED), 1);
}

/** Events of so many keys that no zone answers for. */
static void
offer_failing(unsigned count)
{
    f.zones.zone[0].mood = f.zones.zone[1].mood = FAKE_REFUSES;
    f.is_any_key = true;
    for (unsigned i = 0; i < count; i++) {
        char key[8];

        snprintf(key, sizeof(key), "key%u", i);
        offer(&(struct evc_event){.key = evc_slice_str(key), .version = version_of(1, 1)});
    }
}

/** Another key is sent and applied, again and again. */
static void
get_on_for_ms(unsigned ms)
{
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "value");
    for (unsigned passed = 0; passed < ms; passed += 50) {
        f.sent_count = 0;
        pass_ms(50);
        offer_set(version_of(1, 1));
        fake_zones_run(&f.zones);
        reply_last(EVC_APPLY_APPLIED);
    }
}

/** What a dead node holds up must leave room for the keys of the others. */
static void
test_ship__too_many_keys_wait__the_next_is_given_up(void **state)
{
    struct evc_ship_stats stats;

    (void)state;
    get_on_for_ms(3200);
    offer_failing(12);
    evc_ship_stats(f.ship, &stats);
    assert_int_equal(stats.later, 8);
    assert_int_equal(stats.crowded_total, 4);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 0); /* behind those that wait */
    assert_true(evc_ship_has_room(f.ship, 8));
}

/** A region that is just starting fails all of them: there is nobody to make room for. */
static void
test_ship__all_keys_wait__none_is_given_up(void **state)
{
    struct evc_ship_stats stats;

    (void)state;
    get_on_for_ms(3200);
    pass_ms(150); /* and then nothing does */
    offer_failing(16);
    evc_ship_stats(f.ship, &stats);
    assert_int_equal(stats.later, 16);
    assert_int_equal(stats.crowded_total, 0);
    assert_false(evc_ship_has_room(f.ship, 1));
    f.zones.zone[0].mood = f.zones.zone[1].mood = FAKE_ANSWERS;
    pass_ms(150); /* the first that get on are no reason to give up the others */
    evc_ship_stats(f.ship, &stats);
    assert_int_equal(stats.crowded_total, 0);
    assert_int_equal(stats.later, 0);
}

static void
test_ship__more_keys_than_items__has_no_room(void **state)
{
    char key[8];

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        assert_true(evc_ship_has_room(f.ship, 1));
        snprintf(key, sizeof(key), "key%u", i);
        offer(&(struct evc_event){.key = evc_slice_str(key), .version = version_of(1, 1)});
    }
    assert_false(evc_ship_has_room(f.ship, 1));
}

/** The version of a clock that is an hour ahead. */
static evc_version
version_far_ahead(void)
{
    return version_of(3600 * 1000, 8);
}

static void
test_ship__item_of_a_clock_far_ahead_found__is_not_sent_and_repair_is_asked(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_far_ahead(), "far");
    fake_zone_put(&f.zones.zone[1], version_far_ahead(), "far");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 0);
    assert_int_equal(
        fake_sink_count(&f.sink, EVC_EVENT_REPAIR | EVC_EVENT_RESHIP, version_of(1, 1)), 1);
    assert_int_equal(outcome(EVC_OUTCOME_COALESCED), 1);
    assert_true(evc_ship_is_idle(f.ship));
}

static void
test_ship__item_of_a_clock_far_ahead_in_one_zone__takes_the_other(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_far_ahead(), "far");
    fake_zone_put(&f.zones.zone[1], version_of(1, 1), "good");
    offer_set(version_of(1, 1));
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent_count, 1);
    assert_string_equal(f.sent[0].value, "good");
}

/** Nor may it take the place of an event that can be shipped. */
static void
test_ship__event_of_a_clock_far_ahead__is_abandoned_at_once(void **state)
{
    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(1, 1), "good");
    offer_set(version_of(1, 1));
    offer_set(version_far_ahead());
    assert_int_equal(f.troubled, 1);
    assert_int_equal(f.trouble, EVC_OUTCOME_ABANDONED);
    fake_zones_run(&f.zones);
    assert_int_equal(f.sent[0].version, version_of(1, 1));
    reply_last(EVC_APPLY_APPLIED);
    assert_int_equal(outcome(EVC_OUTCOME_ABANDONED), 1);
    assert_int_equal(outcome(EVC_OUTCOME_APPLIED), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_ship__value_in_local_zone__is_sent_with_version_and_remaining_life),
        CASE(test_ship__more_than_thirty_days_left__are_sent_as_a_unix_time),
        CASE(test_ship__many_events_of_one_key__are_sent_once_or_twice),
        CASE(test_ship__newer_event_while_on_its_way__goes_round_again),
        CASE(test_ship__local_zone_older__takes_it_from_another),
        CASE(test_ship__only_older_found__is_sent_and_repair_is_asked_to_announce),
        CASE(test_ship__newer_of_another_writer_found__asks_for_repair),
        CASE(test_ship__item_of_a_clock_far_ahead_found__is_not_sent_and_repair_is_asked),
        CASE(test_ship__item_of_a_clock_far_ahead_in_one_zone__takes_the_other),
        CASE(test_ship__event_of_a_clock_far_ahead__is_abandoned_at_once),
        CASE(test_ship__only_in_the_zone_being_filled__is_not_gone),
        CASE(test_ship__gone_from_every_zone__becomes_a_tombstone_here_and_there),
        CASE(test_ship__missing_here_and_a_zone_silent__waits_for_it),
        CASE(test_ship__expired_on_the_way__is_sent_as_a_delete),
        CASE(test_ship__repair_request__is_not_for_other_regions),
        CASE(test_ship__policies__filter_and_invalidate_by_prefix),
        CASE(test_ship__invalidated_version_of_the_destination__is_not_sent_back),
        CASE(test_ship__invalidation_behind_our_own_version__asks_for_repair),
        CASE(test_ship__prefixes__are_told_what_is_shipped_not_what_is_filtered),
        CASE(test_ship__value_is_rejected__is_abandoned_at_once),
        CASE(test_ship__receiver_fails__is_sent_again_after_a_while_then_abandoned),
        CASE(test_ship__asked_for_a_key__tells_what_is_under_way_and_what_has_ended),
        CASE(test_ship__link_down_for_long__first_failure_abandons_nothing),
        CASE(test_ship__drift_refused_there__is_abandoned_at_once),
        CASE(test_ship__late_there__is_told),
        CASE(test_ship__link_lost__everything_on_its_way_is_sent_again),
        CASE(test_ship__link_full__waits_until_it_is_ready),
        CASE(test_ship__fails_for_long__is_carried_and_the_position_moves),
        CASE(test_ship__carried_again_and_again__is_given_up_in_the_end),
        CASE(test_ship__carried_for_another_destination__is_not_for_this_one),
        CASE(test_ship__all_keys_wait__none_is_given_up),
        CASE(test_ship__too_many_keys_wait__the_next_is_given_up),
        CASE(test_ship__more_keys_than_items__has_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
