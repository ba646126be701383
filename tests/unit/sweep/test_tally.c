/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of a key's copies, per zone and per pair of regions, before and after a repair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sweep/tally.h"

enum {
    COPIES = 5, /* two regions of two zones that count, and one that is being filled */
};

static const struct evc_copy_layout layout = {
    .copy_count = COPIES,
    .region = {0, 0, 1, 1, 1},
    .is_counted = {true, true, true, true, false},
};

/** A state per letter: n newest, a absent, b behind, m missing, d different, f foreign, - not
 * asked. */
static struct evc_tally_key
key_of(const char *letters, enum evc_policy policy)
{
    struct evc_tally_key key = {.key = EVC_SLICE("key"), .policy = policy};

    for (unsigned i = 0; i < COPIES; i++) {
        static const char order[] = "nFa-ubmdf"; /* as enum evc_copy_state has them */

        key.states[i] = (uint8_t)(strchr(order, letters[i]) - order);
    }
    return key;
}

static void
test_tally__one_key__counts_once_in_a_pair_with_its_worst_copy(void **state)
{
    static const struct {
        const char *letters;
        enum evc_policy policy;
        enum evc_copy_state pair; /* EVC_COPY_STATE_MAX: in none */
        unsigned missing, stale;
    } cases[] = {
        {"nnnnn", EVC_POLICY_COPY, EVC_COPY_NEWEST, 0, 0},
        {"nnnnb", EVC_POLICY_COPY, EVC_COPY_NEWEST, 0, 0},
        {"nnmnn", EVC_POLICY_COPY, EVC_COPY_MISSING, 1, 0},
        {"nmnbn", EVC_POLICY_COPY, EVC_COPY_BEHIND, 0, 1},
        {"nbndn", EVC_POLICY_COPY, EVC_COPY_DIFFERENT, 0, 1},
        {"ffdbm", EVC_POLICY_COPY, EVC_COPY_FOREIGN, 0, 1},
        {"nnaaa", EVC_POLICY_INVALIDATE, EVC_COPY_NEWEST, 0, 0},
        {"nb---", EVC_POLICY_NONE, EVC_COPY_STATE_MAX, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct evc_tally tally = {.layout = layout};
        struct evc_tally_key key = key_of(cases[i].letters, cases[i].policy);
        uint64_t in_pair = 0;

        evc_tally_key(&tally, &key);
        assert_int_equal(tally.keys, 1);
        assert_int_equal(tally.missing, cases[i].missing);
        assert_int_equal(tally.stale, cases[i].stale);
        assert_int_equal(tally.stale_left, cases[i].stale);
        assert_int_equal(tally.sample_count, cases[i].missing + cases[i].stale);
        for (unsigned s = 0; s < EVC_COPY_STATE_MAX; s++) {
            assert_int_equal(tally.pairs[0][1].states[s], s == cases[i].pair);
            in_pair += tally.pairs[0][1].states[s];
        }
        assert_int_equal(in_pair, cases[i].pair != EVC_COPY_STATE_MAX);
        for (unsigned c = 0; c < COPIES; c++) {
            assert_int_equal(tally.zones[c].states[key.states[c]], 1);
        }
    }
}

static void
test_tally__after_a_repair__each_copy_is_repaired_late_or_failed(void **state)
{
    struct evc_tally tally = {.layout = layout};
    struct evc_tally_key before = key_of("bmfmm", EVC_POLICY_COPY);
    struct evc_tally_key after = key_of("nmnmm", EVC_POLICY_COPY);

    (void)state;
    evc_tally_key(&tally, &before);
    evc_tally_repair(&tally, &before, &after, 1U << 1); /* region 1 took it for too old */
    assert_int_equal(tally.zones[0].repaired, 1);
    assert_int_equal(tally.zones[1].failed, 1);
    assert_int_equal(tally.zones[2].repaired, 1);
    assert_int_equal(tally.zones[3].late, 1);
    assert_int_equal(tally.zones[4].repaired + tally.zones[4].late + tally.zones[4].failed, 0);
    assert_int_equal(tally.stale, 1);
    assert_int_equal(tally.stale_left, 0);
}

static void
test_tally__silent_after_a_repair__what_was_stale_is_left(void **state)
{
    struct evc_tally tally = {.layout = layout};
    struct evc_tally_key before = key_of("bmnnn", EVC_POLICY_COPY);
    struct evc_tally_key after = key_of("nnnnn", EVC_POLICY_COPY);

    (void)state;
    evc_tally_key(&tally, &before);
    after.states[0] = EVC_COPY_UNANSWERED;
    evc_tally_repair(&tally, &before, &after, 0);
    assert_int_equal(tally.zones[0].failed, 1);
    assert_int_equal(tally.zones[1].repaired, 1);
    assert_int_equal(tally.stale_left, 1);

    evc_tally_key(&tally, &before);
    after = key_of("nnnnn", EVC_POLICY_COPY);
    after.states[1] = EVC_COPY_UNANSWERED; /* it was missing */
    evc_tally_repair(&tally, &before, &after, 0);
    assert_int_equal(tally.stale, 2);
    assert_int_equal(tally.stale_left, 1);
}

static void
test_tally__an_entry_that_is_alike__counts_as_the_copies_are(void **state)
{
    struct evc_tally tally = {.layout = layout};
    const struct evc_copy_item item = {.version = 1000, .size = 60};
    struct evc_copy_table table;

    (void)state;
    assert_int_equal(evc_copy_table_init(&table, &layout, EVC_COPY_TABLE_BYTES_MIN), EVC_OK);
    for (unsigned copy = 0; copy < 4; copy++) {
        assert_int_equal(evc_copy_table_add(&table, 1, EVC_POLICY_COPY, copy, &item), EVC_OK);
    }
    assert_int_equal(evc_copy_table_add(&table, 2, EVC_POLICY_NONE, 0, &item), EVC_OK);
    assert_int_equal(evc_copy_table_add(&table, 2, EVC_POLICY_NONE, 1, &item), EVC_OK);
    evc_tally_entry(&tally, &table, evc_copy_table_find(&table, 1));
    evc_tally_entry(&tally, &table, evc_copy_table_find(&table, 2));
    assert_int_equal(tally.keys, 2);
    assert_int_equal(tally.zones[0].states[EVC_COPY_NEWEST], 2);
    assert_int_equal(tally.zones[2].states[EVC_COPY_NEWEST], 1);
    assert_int_equal(tally.zones[2].states[EVC_COPY_ABSENT], 1);
    assert_int_equal(tally.zones[4].states[EVC_COPY_MISSING], 1);
    assert_int_equal(tally.pairs[0][1].states[EVC_COPY_NEWEST], 1);
    assert_int_equal(tally.sample_count + tally.missing + tally.stale, 0);
    evc_copy_table_finish(&table);
}

static void
test_tally__more_keys_than_are_shown__the_worst_and_first_are(void **state)
{
    struct evc_tally tally = {.layout = layout};
    struct evc_tally_key key = key_of("nnbnn", EVC_POLICY_COPY);
    char text[16];

    (void)state;
    for (unsigned i = 0; i < 2 * EVC_TALLY_SAMPLES_MAX; i++) {
        key.key.len = (size_t)snprintf(text, sizeof(text), "key-%u", i);
        key.key.ptr = text;
        evc_tally_key(&tally, &key);
    }
    assert_int_equal(tally.stale, 2 * EVC_TALLY_SAMPLES_MAX);
    assert_int_equal(tally.sample_count, EVC_TALLY_SAMPLES_MAX);
    for (unsigned i = 0; i < EVC_TALLY_SAMPLES_MAX; i++) {
        snprintf(text, sizeof(text), "key-%u", i);
        assert_int_equal(tally.samples[i].key_len, strlen(text));
        assert_memory_equal(tally.samples[i].key, text, strlen(text));
        assert_int_equal(tally.samples[i].copy, 2);
        assert_int_equal(tally.samples[i].state, EVC_COPY_BEHIND);
    }
    key = key_of("nnmfn", EVC_POLICY_COPY);
    evc_tally_key(&tally, &key);
    key = key_of("nnmnn", EVC_POLICY_COPY);
    evc_tally_key(&tally, &key);
    assert_int_equal(tally.sample_count, EVC_TALLY_SAMPLES_MAX);
    assert_int_equal(tally.samples[0].state, EVC_COPY_FOREIGN);
    assert_memory_equal(tally.samples[1].key, "key-0", 5);
    assert_memory_equal(tally.samples[EVC_TALLY_SAMPLES_MAX - 1].key, "key-18", 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally__one_key__counts_once_in_a_pair_with_its_worst_copy),
        cmocka_unit_test(test_tally__after_a_repair__each_copy_is_repaired_late_or_failed),
        cmocka_unit_test(test_tally__silent_after_a_repair__what_was_stale_is_left),
        cmocka_unit_test(test_tally__an_entry_that_is_alike__counts_as_the_copies_are),
        cmocka_unit_test(test_tally__more_keys_than_are_shown__the_worst_and_first_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
