/* SPDX-License-Identifier: Apache-2.0 */
/* A replicated write at its destination: each rule of apply.h led into its situation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_zones.h"
#include "replication/apply.h"

enum {
    TOMBSTONE_TTL_S = 3600,
    OUR_REGION = 1,
    THEIR_REGION = 0
};

#define NOW_US UINT64_C(1767225600000000)

struct fixture {
    struct fake_zones zones;
    struct fake_sink sink;
    struct evc_version_clock clock;
    struct evc_moment now;
    struct evc_applier applier;
    unsigned done_count;
    enum evc_apply_result result;
    evc_version newest;
};

static struct fixture f;

/** A version of a region, ms before (negative: after) now. */
static evc_version
version_of(unsigned region, int64_t ms_ago)
{
    struct evc_version_clock clock;

    evc_version_clock_init(&clock, evc_version_writer_make(region, 7),
                           EVC_VERSION_DRIFT_MS_DEFAULT);
    return evc_version_clock_mint(&clock, (uint64_t)((int64_t)(NOW_US / 1000) - ms_ago));
}

static int
setup(void **state)
{
    (void)state;
    f = (struct fixture){.now = {.mono_us = 1000000, .unix_us = NOW_US}};
    fake_zones_init(&f.zones, 2);
    fake_sink_init(&f.sink);
    evc_version_clock_init(&f.clock, evc_version_writer_make(OUR_REGION, 1),
                           EVC_VERSION_DRIFT_MS_DEFAULT);
    evc_applier_init(&f.applier, &f.zones.port, &f.clock, &f.now, &f.sink.sink,
                     &(struct evc_apply_options){
                         .region = OUR_REGION,
                         .zone_timeout_us = 500000,
                         .tombstone_ttl_s = TOMBSTONE_TTL_S,
                         .guess_keys = 64,
                     });
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_applier_finish(&f.applier);
    return 0;
}

static void
on_done(void *ctx, uint64_t tag, enum evc_apply_result result, evc_version newest)
{
    (void)ctx;
    assert_int_equal(tag, 42);
    f.done_count++;
    f.result = result;
    f.newest = newest;
}

static void
start(evc_version version, const char *value)
{
    struct evc_replica replica = {
        .key = EVC_SLICE("key"),
        .value = {.ptr = value, .len = strlen(value)},
        .version = version,
    };

    assert_int_equal(evc_apply_start(&f.applier, &replica, on_done, NULL, 42), EVC_OK);
}

static void
apply(evc_version version, const char *value)
{
    start(version, value);
    fake_zones_run(&f.zones);
    assert_int_equal(f.done_count, 1);
}

static void
test_apply__missing_everywhere__is_stored_in_every_zone(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(f.zones.zone[i].cas, version);
        assert_int_equal(f.zones.zone[i].writes, 1);
    }
    assert_int_equal(f.sink.count, 0);
}

static void
test_apply__same_version__is_identical_and_writes_nothing(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    fake_zone_put(&f.zones.zone[0], version, "v");
    fake_zone_put(&f.zones.zone[1], version, "v");
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_IDENTICAL);
    assert_int_equal(f.zones.zone[0].writes + f.zones.zone[1].writes, 0);
}

static void
test_apply__newer_there__is_behind_and_echoed(void **state)
{
    evc_version newer = version_of(OUR_REGION, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[0], newer, "new");
    fake_zone_put(&f.zones.zone[1], newer, "new");
    apply(version_of(THEIR_REGION, 5), "old");
    assert_int_equal(f.result, EVC_APPLY_BEHIND);
    assert_true(f.newest == newer);
    assert_int_equal(f.zones.zone[0].writes, 0);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_RESHIP, newer), 1);
    assert_int_equal(f.sink.count, 1);
}

static void
test_apply__over_our_own_version__is_announced_again(void **state)
{
    evc_version version = version_of(THEIR_REGION, 1);
    evc_version ours = version_of(OUR_REGION, 5);

    (void)state;
    fake_zone_put(&f.zones.zone[0], ours, "ours");
    fake_zone_put(&f.zones.zone[1], ours, "ours");
    apply(version, "theirs");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(fake_sink_count(&f.sink, 0, version), 1);
    assert_int_equal(f.sink.count, 1);
}

static void
test_apply__zones_differ__asks_for_repair(void **state)
{
    evc_version version = version_of(THEIR_REGION, 1);

    (void)state;
    fake_zone_put(&f.zones.zone[1], version_of(THEIR_REGION, 9), "old");
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version), 1);
}

static void
test_apply__raced_by_a_newer_write__keeps_the_newer(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);
    evc_version newer = version_of(OUR_REGION, 1);

    (void)state;
    start(version, "v");
    fake_zones_step(&f.zones); /* both zones say: missing */
    fake_zones_step(&f.zones);
    fake_zone_put(&f.zones.zone[0], newer, "newer");
    fake_zones_run(&f.zones);
    assert_int_equal(f.done_count, 1);
    assert_int_equal(f.zones.zone[0].cas, newer);
    assert_int_equal(f.result, EVC_APPLY_BEHIND);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_RESHIP, newer), 1);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version), 1);
}

static void
test_apply__older_than_tombstones_live_and_missing__is_late(void **state)
{
    (void)state;
    apply(version_of(THEIR_REGION, (TOMBSTONE_TTL_S + 60) * 1000LL), "v");
    assert_int_equal(f.result, EVC_APPLY_LATE);
    assert_false(f.zones.zone[0].has_item);
}

static void
test_apply__older_than_tombstones_live_over_an_older__is_applied(void **state)
{
    evc_version older = version_of(THEIR_REGION, (TOMBSTONE_TTL_S + 90) * 1000LL);

    (void)state;
    fake_zone_put(&f.zones.zone[0], older, "o");
    fake_zone_put(&f.zones.zone[1], older, "o");
    apply(version_of(THEIR_REGION, (TOMBSTONE_TTL_S + 60) * 1000LL), "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
}

static void
test_apply__version_beyond_drift__is_refused(void **state)
{
    (void)state;
    start(version_of(THEIR_REGION, -EVC_VERSION_DRIFT_MS_DEFAULT - 1000), "v");
    assert_int_equal(f.done_count, 1);
    assert_int_equal(f.result, EVC_APPLY_DRIFT);
    assert_int_equal(f.clock.refused_total, 1);
}

static void
test_apply__plain_clients_item__is_older_than_any_version(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    fake_zone_put(&f.zones.zone[0], 17, "plain");
    fake_zone_put(&f.zones.zone[1], 18, "plain");
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(f.zones.zone[0].cas, version);
}

static void
test_apply__one_zone_dead__is_applied_and_asks_for_repair(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    f.zones.zone[1].mood = FAKE_REFUSES;
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version), 1);
}

static void
test_apply__all_zones_dead__fails_and_announces_nothing(void **state)
{
    (void)state;
    f.zones.zone[0].mood = FAKE_REFUSES;
    f.zones.zone[1].mood = FAKE_LOSES;
    apply(version_of(THEIR_REGION, 5), "v");
    assert_int_equal(f.result, EVC_APPLY_FAILED);
    assert_int_equal(f.sink.count, 0);
}

static void
test_apply__tombstone__lives_our_own_tombstone_ttl(void **state)
{
    struct evc_replica replica = {
        .key = EVC_SLICE("key"),
        .value = EVC_SLICE(""),
        .client_flags = EVC_TOMBSTONE_FLAGS,
        .ttl_s = 5,
        .version = version_of(THEIR_REGION, 5),
    };

    (void)state;
    fake_zone_put(&f.zones.zone[0], version_of(THEIR_REGION, 9), "old");
    assert_int_equal(evc_apply_start(&f.applier, &replica, on_done, NULL, 42), EVC_OK);
    fake_zones_run(&f.zones);
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fake_zone_is_tombstone(&f.zones.zone[i]));
        assert_int_equal(f.zones.zone[i].ttl_s, TOMBSTONE_TTL_S);
    }
}

/** As if guesses had been right for long. */
static void
let_guess(void)
{
    memset(f.applier.guess.score, UINT8_MAX, sizeof(f.applier.guess.score));
}

static void
apply_next(evc_version version, const char *value)
{
    f.done_count = 0;
    apply(version, value);
}

static void
test_apply__written_before__goes_over_that_version_without_asking(void **state)
{
    (void)state;
    let_guess();
    apply(version_of(THEIR_REGION, 30), "one"); /* missing: guessed, too */
    apply_next(version_of(THEIR_REGION, 20), "two");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(f.applier.stats.guesses_total, 4);
    assert_int_equal(f.applier.stats.guesses_wrong_total, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(f.zones.zone[i].cas, version_of(THEIR_REGION, 20));
        assert_int_equal(f.zones.zone[i].writes, 2);
    }
    assert_int_equal(f.sink.count, 0);
    apply_next(version_of(THEIR_REGION, 20), "two"); /* asked: it would change nothing */
    assert_int_equal(f.result, EVC_APPLY_IDENTICAL);
    assert_int_equal(f.applier.stats.guesses_total, 4);
}

static void
test_apply__guess_is_wrong__asks_and_keeps_what_is_newer(void **state)
{
    (void)state;
    let_guess();
    apply(version_of(THEIR_REGION, 30), "one");
    for (unsigned i = 0; i < 2; i++) {
        fake_zone_put(&f.zones.zone[i], version_of(OUR_REGION, 10), "ours");
    }
    apply_next(version_of(THEIR_REGION, 20), "two");
    assert_int_equal(f.result, EVC_APPLY_BEHIND);
    assert_int_equal(f.newest, version_of(OUR_REGION, 10));
    assert_int_equal(f.applier.stats.guesses_wrong_total, 2);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_RESHIP, version_of(OUR_REGION, 10)), 1);
    assert_int_equal(f.applier.stats.repairs_total, 0); /* nobody raced, the zones agree */
    apply_next(version_of(THEIR_REGION, 5), "three");   /* knows nothing of the key any more */
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_string_equal(f.zones.zone[1].value, "three");
    assert_int_equal(f.applier.stats.conflict_echoes_total, 1);
}

static void
test_apply__guessed_over_our_own_version__is_announced_again(void **state)
{
    (void)state;
    let_guess();
    for (unsigned i = 0; i < 2; i++) {
        fake_zone_put(&f.zones.zone[i], version_of(OUR_REGION, 30), "ours");
    }
    apply(version_of(OUR_REGION, 30), "ours"); /* came back: identical, and remembered */
    apply_next(version_of(THEIR_REGION, 20), "theirs");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(f.applier.stats.conflict_echoes_total, 1);
}

static void
test_apply__too_old_for_a_missing_key__is_not_guessed(void **state)
{
    (void)state;
    let_guess();
    apply(version_of(THEIR_REGION, (TOMBSTONE_TTL_S + 100) * 1000), "v");
    assert_int_equal(f.result, EVC_APPLY_LATE);
    assert_int_equal(f.applier.stats.guesses_total, 0);
}

/** One clock that is far ahead must not win until then. */
static void
test_apply__item_of_a_clock_far_ahead__is_older_than_any_version(void **state)
{
    evc_version far = version_of(OUR_REGION, -EVC_VERSION_DRIFT_MS_DEFAULT * 100LL);
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    fake_zone_put(&f.zones.zone[0], far, "far");
    fake_zone_put(&f.zones.zone[1], far, "far");
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(f.zones.zone[0].cas, version);
    assert_int_equal(f.zones.zone[1].cas, version);
    assert_int_equal(f.sink.count, 0);
}

/** It entered by the clock of another machine. */
static void
test_apply__item_ahead_by_the_bound_and_a_little_skew__still_counts(void **state)
{
    evc_version ahead = version_of(OUR_REGION, -EVC_VERSION_DRIFT_MS_DEFAULT - 1000);

    (void)state;
    fake_zone_put(&f.zones.zone[0], ahead, "ahead");
    fake_zone_put(&f.zones.zone[1], ahead, "ahead");
    apply(version_of(THEIR_REGION, 5), "v");
    assert_int_equal(f.result, EVC_APPLY_BEHIND);
    assert_int_equal(f.zones.zone[0].cas, ahead);
}

/** A tombstone above it may have been stored a drift bound before its version says, and have lived
 * a second less than its time. */
static void
test_apply__as_old_as_a_tombstone_may_be_gone_and_missing__is_late(void **state)
{
    const int64_t limit_ms = TOMBSTONE_TTL_S * 1000LL - EVC_VERSION_DRIFT_MS_DEFAULT - 2000;

    (void)state;
    apply(version_of(THEIR_REGION, limit_ms + 1), "v");
    assert_int_equal(f.result, EVC_APPLY_LATE);
    f.done_count = 0;
    apply(version_of(THEIR_REGION, limit_ms), "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
}

/** The older one may have come again after a newer one had gone. */
static void
test_apply__as_old_as_a_tombstone_may_be_gone_over_an_older_one__is_late(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fake_zone_put_tombstone(&f.zones.zone[i],
                                version_of(THEIR_REGION, TOMBSTONE_TTL_S * 1000LL + 5));
    }
    apply(version_of(THEIR_REGION, TOMBSTONE_TTL_S * 1000LL), "v");
    assert_int_equal(f.result, EVC_APPLY_LATE);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_int_equal(f.sink.count, 0);
}

/** Neither has a version that would show that they differ. */
static void
test_apply__late_in_one_zone_and_applied_in_another__asks_for_repair(void **state)
{
    evc_version version = version_of(THEIR_REGION, TOMBSTONE_TTL_S * 1000LL);

    (void)state;
    fake_zone_put(&f.zones.zone[1], 7, "plain");
    apply(version, "v");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version), 1);
}

/** The nodes have dropped what they had: nothing older may come back. */
static void
test_apply__no_node_takes_the_value__is_rejected_and_leaves_a_tombstone(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fake_zone_put(&f.zones.zone[i], version_of(THEIR_REGION, 9), "old");
        f.zones.zone[i].mood = FAKE_REJECTS_VALUES;
    }
    apply(version, "large");
    assert_int_equal(f.result, EVC_APPLY_REJECTED);
    assert_int_equal(f.newest, version);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fake_zone_is_tombstone(&f.zones.zone[i]));
        assert_true(f.zones.zone[i].cas < version); /* it may be shipped: it must not win there */
        assert_true(f.zones.zone[i].cas > version_of(THEIR_REGION, 6));
        assert_int_equal(f.zones.zone[i].ttl_s, TOMBSTONE_TTL_S);
    }
    assert_int_equal(f.sink.count, 0);
}

static void
test_apply__value_rejected_and_a_newer_one_comes__the_newer_stays(void **state)
{
    evc_version newer = version_of(OUR_REGION, 1);

    (void)state;
    f.zones.zone[0].mood = f.zones.zone[1].mood = FAKE_REJECTS_VALUES;
    start(version_of(THEIR_REGION, 5), "large");
    for (unsigned i = 0; i < 4; i++) {
        fake_zones_step(&f.zones); /* both are asked, both reject */
    }
    fake_zone_put(&f.zones.zone[0], newer, "newer");
    fake_zones_run(&f.zones);
    assert_int_equal(f.done_count, 1);
    assert_int_equal(f.result, EVC_APPLY_BEHIND);
    assert_int_equal(f.zones.zone[0].cas, newer);
}

static void
test_apply__one_node_does_not_take_the_value__is_applied_and_asks_for_repair(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    f.zones.zone[1].mood = FAKE_REJECTS_VALUES;
    apply(version, "large");
    assert_int_equal(f.result, EVC_APPLY_APPLIED);
    assert_false(f.zones.zone[1].has_item);
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, version), 1);
}

/** What does not answer may have something older, which repair has to bury. */
static void
test_apply__one_zone_rejects_and_one_is_dead__is_rejected_and_asks_for_repair(void **state)
{
    evc_version version = version_of(THEIR_REGION, 5);

    (void)state;
    f.zones.zone[0].mood = FAKE_REJECTS_VALUES;
    f.zones.zone[1].mood = FAKE_REFUSES;
    apply(version, "large");
    assert_int_equal(f.result, EVC_APPLY_REJECTED);
    assert_true(fake_zone_is_tombstone(&f.zones.zone[0]));
    assert_int_equal(fake_sink_count(&f.sink, EVC_EVENT_REPAIR, f.zones.zone[0].cas), 1);
}

/** Out of memory, and not because of the value. */
static void
test_apply__not_even_a_tombstone_is_taken__fails(void **state)
{
    (void)state;
    start(version_of(THEIR_REGION, 5), "v");
    fake_zones_step(&f.zones);
    fake_zones_step(&f.zones);
    f.zones.zone[0].mood = f.zones.zone[1].mood = FAKE_REJECTS;
    fake_zones_run(&f.zones);
    assert_int_equal(f.done_count, 1);
    assert_int_equal(f.result, EVC_APPLY_FAILED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_apply__missing_everywhere__is_stored_in_every_zone),
        CASE(test_apply__same_version__is_identical_and_writes_nothing),
        CASE(test_apply__newer_there__is_behind_and_echoed),
        CASE(test_apply__over_our_own_version__is_announced_again),
        CASE(test_apply__zones_differ__asks_for_repair),
        CASE(test_apply__raced_by_a_newer_write__keeps_the_newer),
        CASE(test_apply__older_than_tombstones_live_and_missing__is_late),
        CASE(test_apply__as_old_as_a_tombstone_may_be_gone_and_missing__is_late),
        CASE(test_apply__as_old_as_a_tombstone_may_be_gone_over_an_older_one__is_late),
        CASE(test_apply__late_in_one_zone_and_applied_in_another__asks_for_repair),
        CASE(test_apply__older_than_tombstones_live_over_an_older__is_applied),
        CASE(test_apply__version_beyond_drift__is_refused),
        CASE(test_apply__plain_clients_item__is_older_than_any_version),
        CASE(test_apply__item_of_a_clock_far_ahead__is_older_than_any_version),
        CASE(test_apply__item_ahead_by_the_bound_and_a_little_skew__still_counts),
        CASE(test_apply__one_zone_dead__is_applied_and_asks_for_repair),
        CASE(test_apply__all_zones_dead__fails_and_announces_nothing),
        CASE(test_apply__tombstone__lives_our_own_tombstone_ttl),
        CASE(test_apply__written_before__goes_over_that_version_without_asking),
        CASE(test_apply__guess_is_wrong__asks_and_keeps_what_is_newer),
        CASE(test_apply__guessed_over_our_own_version__is_announced_again),
        CASE(test_apply__too_old_for_a_missing_key__is_not_guessed),
        CASE(test_apply__no_node_takes_the_value__is_rejected_and_leaves_a_tombstone),
        CASE(test_apply__value_rejected_and_a_newer_one_comes__the_newer_stays),
        CASE(test_apply__one_node_does_not_take_the_value__is_applied_and_asks_for_repair),
        CASE(test_apply__one_zone_rejects_and_one_is_dead__is_rejected_and_asks_for_repair),
        CASE(test_apply__not_even_a_tombstone_is_taken__fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
