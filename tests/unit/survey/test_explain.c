/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the copies of one key are judged, per policy. What nodes answer is filled in by hand; that
 * they are asked is tested with nodes (tests/system/test_explain.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "survey/explain.h"

enum {
    REGIONS = 2,
    ZONES = 2,
};

static char names[4][16] = {"virginia", "oregon", "a", "b"};
static char prefixes[2][8] = {"row:", "own:"};
static struct evc_address addresses[3];
static struct evc_config_zone zones[ZONES];
static struct evc_config_region regions[REGIONS];
static struct evc_config_policy policies[] = {
    {.prefix = prefixes[0], .replicate = EVC_POLICY_INVALIDATE},
    {.prefix = prefixes[1], .replicate = EVC_POLICY_NONE},
};
static struct evc_config config;

/** Seconds after 2026-01-01, by a worker of a region. */
static evc_version
version_at(unsigned region, uint64_t second)
{
    struct evc_version_clock clock;

    evc_version_clock_init(&clock, evc_version_writer_make(region, 17), 60000);
    return evc_version_clock_mint(&clock, (1767225600 + second) * 1000);
}

static int
setup(void **state)
{
    static char texts[3][16] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        addresses[i] = (struct evc_address){.text = texts[i], .host = texts[i]};
    }
    for (unsigned z = 0; z < ZONES; z++) {
        zones[z] =
            (struct evc_config_zone){.name = names[2 + z], .nodes = addresses, .nodes_count = 3};
    }
    for (unsigned r = 0; r < REGIONS; r++) {
        regions[r] =
            (struct evc_config_region){.name = names[r], .zones = zones, .zones_count = ZONES};
    }
    config = (struct evc_config){.cache = names[0],
                                 .regions = regions,
                                 .regions_count = REGIONS,
                                 .policies = policies,
                                 .policies_count = 2};
    config.queue.partitions = 4;
    return 0;
}

static struct evc_explain *
explain_make(const char *key)
{
    struct evc_explain *explain = evc_explain_create(&config, evc_slice_str(key));

    assert_non_null(explain);
    assert_int_equal(explain->copy_count, REGIONS * ZONES);
    for (size_t i = 0; i < explain->copy_count; i++) {
        explain->copies[i].has_answered = explain->copies[i].address != NULL;
    }
    return explain;
}

/** What the node of a copy holds: 5 bytes, flags 7, for ever. */
static struct evc_explain_copy *
hold(struct evc_explain *explain, unsigned copy, evc_version version)
{
    struct evc_explain_copy *at = &explain->copies[copy];

    at->is_found = true;
    at->version = version;
    at->reply = (struct evc_node_reply){.cas = version, .size = 5, .client_flags = 7, .ttl_s = -1};
    return at;
}

static void
hold_tombstone(struct evc_explain *explain, unsigned copy, evc_version version)
{
    hold(explain, copy, version)->reply =
        (struct evc_node_reply){.cas = version, .ttl_s = 3600, .is_tombstone = true};
}

static void
hold_all(struct evc_explain *explain, evc_version version)
{
    for (unsigned i = 0; i < REGIONS * ZONES; i++) {
        (void)hold(explain, i, version);
    }
}

/** Judges; states: one letter a copy (newest, following, absent, Drained, unanswered, behind…). */
static void
expect(struct evc_explain *explain, const char *states, size_t differing)
{
    static const char letters[EVC_COPY_STATE_MAX] = {'n', 'F', 'a', 'D', 'u', 'b', 'm', 'd', 'f'};
    char found[REGIONS * ZONES + 1] = "";

    evc_explain_judge(explain);
    for (unsigned i = 0; i < REGIONS * ZONES; i++) {
        found[i] = letters[explain->copies[i].state];
    }
    assert_string_equal(found, states);
    assert_int_equal(evc_explain_differing(explain), differing);
}

static void
test_judge__copies_alike__all_newest(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");

    expect(explain, "aaaa", 0);
    assert_int_equal(explain->newest, 0);
    hold_all(explain, version_at(0, 10));
    explain->copies[3].reply.last_access_s = 99; /* each node's own */
    expect(explain, "nnnn", 0);
    assert_int_equal(explain->newest, version_at(0, 10));
    assert_int_equal(evc_explain_counted(explain), 4);
    evc_explain_destroy(explain);
}

static void
test_judge__copies_differ__each_is_named(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");

    hold_all(explain, version_at(0, 10));
    (void)hold(explain, 1, version_at(1, 7));
    explain->copies[2].is_found = false;
    explain->copies[2].version = 0;
    hold(explain, 3, 0)->reply.cas = 12;
    expect(explain, "nbmf", 3);
    assert_int_equal(explain->copies[1].behind_ms, 3000);
    explain->copies[1].has_answered = explain->copies[1].is_found = false;
    expect(explain, "numf", 2);
    assert_int_equal(evc_explain_unanswered(explain), 1);
    evc_explain_destroy(explain);
}

static void
test_judge__written_again_since_the_first_look__follows(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");

    hold_all(explain, version_at(0, 8));
    (void)hold(explain, 0, version_at(0, 10));
    expect(explain, "nbbb", 3);
    evc_explain_settle(explain);
    (void)hold(explain, 0, version_at(0, 14));
    (void)hold(explain, 1, version_at(0, 13));
    (void)hold(explain, 2, version_at(0, 10));
    expect(explain, "nFFb", 1); /* the last one has not even that of the first look */
    assert_int_equal(explain->copies[2].behind_ms, 4000);
    evc_explain_destroy(explain);
}

static void
test_judge__a_region_of_its_own__follows_its_own(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("own:1");

    (void)hold(explain, 0, version_at(0, 30));
    (void)hold(explain, 1, version_at(0, 20));
    (void)hold(explain, 2, version_at(1, 10));
    (void)hold(explain, 3, version_at(1, 9));
    expect(explain, "nbnb", 2);
    evc_explain_settle(explain);
    (void)hold(explain, 2, version_at(1, 12));
    (void)hold(explain, 3, version_at(1, 11));
    expect(explain, "nbnF", 1);
    evc_explain_destroy(explain);
}

static void
test_judge__one_version_but_not_alike__says_what(void **state)
{
    static const char *const differences[] = {"size", "flags", "expiry", "kind"};
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        struct evc_explain *explain = explain_make("key");

        hold_all(explain, version_at(0, 10));
        explain->copies[3].reply.size += i == 0;
        explain->copies[3].reply.client_flags += i == 1;
        explain->copies[3].reply.ttl_s = i == 2 ? 3000 : -1;
        explain->copies[3].reply.is_tombstone = i == 3;
        expect(explain, "nnnd", 1);
        assert_string_equal(explain->copies[3].difference, differences[i]);
        evc_explain_destroy(explain);
    }
}

static void
test_judge__seconds_left__nodes_count_their_own(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");

    hold_all(explain, version_at(0, 10));
    for (unsigned i = 0; i < 4; i++) {
        explain->copies[i].reply.ttl_s = 100 + i;
    }
    expect(explain, "nnnn", 0);
    explain->copies[3].reply.ttl_s = 106;
    expect(explain, "nnnd", 1);
    for (unsigned i = 0; i < 4; i++) {
        explain->copies[i].reply.ttl_s = 1; /* about to go, and gone in one zone */
    }
    explain->copies[3].is_found = false;
    explain->copies[3].version = 0;
    expect(explain, "nnna", 0);
    evc_explain_destroy(explain);
}

static void
test_judge__tombstones__are_copies_with_a_life_of_their_own(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");

    for (unsigned i = 0; i < 4; i++) {
        hold_tombstone(explain, i, version_at(0, 10));
    }
    explain->copies[1].reply.ttl_s = 600;
    expect(explain, "nnnn", 0);
    (void)hold(explain, 2, version_at(0, 4));
    expect(explain, "nnbn", 1);
    evc_explain_destroy(explain);
}

static void
test_judge__zones_that_do_not_serve__are_shown_and_not_counted(void **state)
{
    (void)state;
    zones[0].state = EVC_ZONE_WRITE_ONLY;
    zones[1].state = EVC_ZONE_DRAINED;
    struct evc_explain *explain = explain_make("key");

    assert_null(explain->copies[1].address);
    assert_non_null(explain->copies[0].address);
    (void)hold(explain, 0, version_at(0, 10));
    expect(explain, "nDmD", 0);
    assert_int_equal(evc_explain_counted(explain), 0);
    evc_explain_destroy(explain);
}

static void
test_judge__policy_invalidate__another_region_has_the_tombstone_or_nothing(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("row:1");

    assert_int_equal(explain->policy, EVC_POLICY_INVALIDATE);
    (void)hold(explain, 0, version_at(0, 10));
    (void)hold(explain, 1, version_at(0, 10));
    expect(explain, "nnaa", 0);
    hold_tombstone(explain, 2, version_at(0, 10));
    expect(explain, "nnnm", 1); /* of one region both or none */
    hold_tombstone(explain, 3, version_at(0, 10));
    expect(explain, "nnnn", 0);
    (void)hold(explain, 3, version_at(1, 5)); /* still what should have gone */
    expect(explain, "nnnb", 1);
    evc_explain_destroy(explain);
}

static void
test_judge__policy_none__regions_are_strangers(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("own:1");

    assert_int_equal(explain->policy, EVC_POLICY_NONE);
    (void)hold(explain, 0, version_at(0, 10));
    (void)hold(explain, 1, version_at(0, 10));
    expect(explain, "nnaa", 0);
    (void)hold(explain, 2, version_at(1, 5));
    expect(explain, "nnnm", 1);
    (void)hold(explain, 3, version_at(1, 4));
    expect(explain, "nnnb", 1);
    evc_explain_destroy(explain);
}

static void
test_writer__every_kind_of_slot__named_as_processes_are(void **state)
{
    char text[EVC_EXPLAIN_WRITER_BYTES];
    (void)state;

    assert_string_equal(evc_explain_writer(&config, evc_version_writer_make(0, 17), text),
                        "virginia/proxy/1 worker 1");
    assert_string_equal(evc_explain_writer(&config, evc_version_writer_make(1, 770), text),
                        "oregon/relay/2");
    assert_string_equal(evc_explain_writer(&config, evc_version_writer_make(1, 1023), text),
                        "oregon/client/191");
    assert_string_equal(evc_explain_writer(&config, evc_version_writer_make(9, 0), text),
                        "region 9/proxy/0 worker 0");
}

/** What a relay answers: one event under way, some ended an ascending number of seconds ago. */
static json_t *
answer_make(bool has_partition, unsigned ended)
{
    json_t *events = json_array();

    for (unsigned i = 0; i < ended; i++) {
        json_array_append_new(events,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I}", "version",
                                        "1954799ce9000000", "kind", "set", "outcome", "applied",
                                        "slot", 17, "first", 1000 + (int)i, "attempts", 0,
                                        "ended_us", (json_int_t)(99 - i) * 1000000));
    }
    json_array_append_new(events, json_pack("{s:s}", "version", "nonsense"));
    return json_pack("{s:I, s:i, s:i, s:[{s:s, s:b, s:I, s:o, s:{s:s, s:s, s:s, s:i, s:i, s:i, "
                     "s:i}}, {s:s}, i]}",
                     "now_us", (json_int_t)100000000, "partition", 5, "partitions", 8,
                     "destinations", "region", "oregon", "has_partition", (int)has_partition,
                     "remembered", (json_int_t)1234, "events", events, "under_way", "version",
                     "1954799ce9000001", "kind", "delete", "state", "retrying", "slot", 18, "first",
                     77, "attempts", 3, "failing_us", 2500, "region", "mars", 17);
}

static void
test_events__of_two_relays__are_put_in_order_and_bounded(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("key");
    const struct evc_explain_way *way = &explain->ways[0];
    json_t *first = answer_make(true, 3), *second = answer_make(false, 9);

    assert_int_equal(explain->way_count, 2);
    assert_false(way->is_known);
    evc_explain_read_relay(explain, 0, first);
    assert_true(way->is_known && !explain->ways[1].is_known);
    assert_int_equal(way->event_count, 4);
    assert_true(way->events[0].is_under_way);
    assert_string_equal(way->events[0].outcome, "retrying");
    assert_int_equal(way->events[0].age_us, 2500);
    assert_int_equal(way->events[1].age_us, 1000000);
    assert_int_equal(way->events[3].first, 1002);
    assert_int_equal(way->events[3].version, 0x1954799ce9000000);
    evc_explain_read_relay(explain, 0, second);
    assert_int_equal(way->event_count, EVC_EXPLAIN_EVENTS_MAX);
    assert_true(way->events[1].is_under_way);
    for (unsigned i = 3; i < EVC_EXPLAIN_EVENTS_MAX; i++) {
        assert_true(way->events[i].age_us >= way->events[i - 1].age_us);
    }
    assert_int_equal(way->remembered, 1234);
    assert_int_equal(way->partition, 5);
    json_decref(first);
    json_decref(second);
    evc_explain_destroy(explain);
}

static void
test_json__key_that_is_no_text__is_there_in_base64(void **state)
{
    (void)state;
    struct evc_explain *explain = explain_make("\xff key");
    (void)hold(explain, 0, version_at(0, 10));
    evc_explain_judge(explain);
    json_t *json = evc_explain_json(explain);

    assert_true(json_is_null(json_object_get(json, "key")));
    assert_string_equal(json_string_value(json_object_get(json, "key_base64")), "/yBrZXk=");
    assert_true(json_is_false(json_object_get(json, "alike")));
    assert_int_equal(json_integer_value(json_object_get(json, "differing")), 3);
    json_t *copy = json_array_get(json_object_get(json, "copies"), 1);
    assert_string_equal(json_string_value(json_object_get(copy, "item")), "absent");
    assert_true(json_is_null(json_object_get(copy, "version")));
    assert_true(json_is_null(json_object_get(copy, "size")));
    json_decref(json);
    evc_explain_destroy(explain);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_judge__copies_alike__all_newest, setup),
        cmocka_unit_test_setup(test_judge__copies_differ__each_is_named, setup),
        cmocka_unit_test_setup(test_judge__written_again_since_the_first_look__follows, setup),
        cmocka_unit_test_setup(test_judge__a_region_of_its_own__follows_its_own, setup),
        cmocka_unit_test_setup(test_judge__one_version_but_not_alike__says_what, setup),
        cmocka_unit_test_setup(test_judge__seconds_left__nodes_count_their_own, setup),
        cmocka_unit_test_setup(test_judge__tombstones__are_copies_with_a_life_of_their_own, setup),
        cmocka_unit_test_setup(test_judge__zones_that_do_not_serve__are_shown_and_not_counted,
                               setup),
        cmocka_unit_test_setup(
            test_judge__policy_invalidate__another_region_has_the_tombstone_or_nothing, setup),
        cmocka_unit_test_setup(test_judge__policy_none__regions_are_strangers, setup),
        cmocka_unit_test_setup(test_writer__every_kind_of_slot__named_as_processes_are, setup),
        cmocka_unit_test_setup(test_events__of_two_relays__are_put_in_order_and_bounded, setup),
        cmocka_unit_test_setup(test_json__key_that_is_no_text__is_there_in_base64, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
