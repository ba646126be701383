/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are suspects, per policy, and what happens when memory is short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sweep/copy_table.h"

enum {
    COPIES = 5, /* two regions of two zones that count; the second has one that is being filled */
    FILLING = 4,
    VERSION = 1000,
};

static const struct evc_copy_layout layout = {
    .copy_count = COPIES,
    .region = {0, 0, 1, 1, 1},
    .is_counted = {true, true, true, true, false},
};

#define COPY EVC_POLICY_COPY
#define INVALIDATE EVC_POLICY_INVALIDATE
#define NONE EVC_POLICY_NONE

/** What each copy holds: a letter per copy. `-` nothing, `n` the newest, `o` older, `f` foreign,
 * `s`, `e` and `g` the newest of another size, expiry and flags, `E` an expiry that is within the
 * slack, `G` flags that are not known. */
static const struct {
    enum evc_policy policy;
    const char *copies;
    bool is_suspect;
    unsigned holder;
} cases[] = {
    {COPY, "nnnnn", false, 0},       {COPY, "nnnn-", false, 0},
    {COPY, "nnnno", false, 0},       {COPY, "nnn-n", true, 0},
    {COPY, "-nnnn", true, 1},        {COPY, "nnonn", true, 0},
    {COPY, "nnngn", true, 0},        {COPY, "nnnGn", false, 0},
    {COPY, "nn---", true, 0},        {COPY, "nnnfn", true, 0},
    {COPY, "fffff", true, 0},        {COPY, "nnsnn", true, 0},
    {COPY, "nnenn", true, 0},        {COPY, "nnEnn", false, 0},
    {COPY, "----n", true, 4},        {COPY, "oooon", true, 0},
    {INVALIDATE, "nn---", false, 0}, {INVALIDATE, "nnnn-", false, 0},
    {INVALIDATE, "nnn--", true, 0},  {INVALIDATE, "n----", true, 0},
    {INVALIDATE, "nnoo-", true, 0},  {INVALIDATE, "nn--n", true, 0},
    {NONE, "--nn-", false, 2},       {NONE, "--no-", true, 2},
    {NONE, "nn---", false, 0},       {NONE, "-n---", true, 1},
};

static struct evc_copy_item
item_of(char letter)
{
    struct evc_copy_item item = {.version = VERSION, .size = 60, .expiry_s = 5000, .flags = 7};

    switch (letter) {
    case 'o':
        item.version--;
        break;
    case 'f':
        item.version = 0;
        break;
    case 's':
        item.size++;
        break;
    case 'e':
        item.expiry_s += EVC_COPY_TABLE_EXPIRY_SLACK_S + 1;
        break;
    case 'g':
        item.flags++;
        break;
    case 'G':
        item.flags = 0;
        break;
    case 'E':
        item.expiry_s -= EVC_COPY_TABLE_EXPIRY_SLACK_S;
        break;
    default:
        break;
    }
    return item;
}

/** Tells the copies of a case to the table, forwards or backwards. */
static void
tell(struct evc_copy_table *table, size_t i, bool is_backwards)
{
    for (unsigned n = 0; n < COPIES; n++) {
        unsigned copy = is_backwards ? COPIES - 1 - n : n;
        struct evc_copy_item item = item_of(cases[i].copies[copy]);

        if (cases[i].copies[copy] != '-') {
            assert_int_equal(evc_copy_table_add(table, i, cases[i].policy, copy, &item), EVC_OK);
        }
    }
}

static void
test_copy_table__every_case__is_judged_alike_in_any_order(void **state)
{
    (void)state;
    for (unsigned is_backwards = 0; is_backwards <= 1; is_backwards++) {
        struct evc_copy_table table;

        assert_int_equal(evc_copy_table_init(&table, &layout, EVC_COPY_TABLE_BYTES_MIN), EVC_OK);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const struct evc_copy_entry *entry;

            tell(&table, i, is_backwards != 0);
            entry = evc_copy_table_find(&table, i);
            assert_non_null(entry);
            if (evc_copy_table_is_suspect(&table, entry) != cases[i].is_suspect) {
                fail_msg("case %zu: %s", i, cases[i].copies);
            }
            assert_int_equal(evc_copy_table_holder(&table, entry), cases[i].holder);
        }
        evc_copy_table_finish(&table);
    }
}

static void
test_copy_table__newer_version__the_others_hold_something_older(void **state)
{
    struct evc_copy_table table;
    struct evc_copy_item item = item_of('n');
    const struct evc_copy_entry *entry;

    (void)state;
    assert_int_equal(evc_copy_table_init(&table, &layout, EVC_COPY_TABLE_BYTES_MIN), EVC_OK);
    for (unsigned copy = 0; copy < 3; copy++) {
        assert_int_equal(evc_copy_table_add(&table, 7, COPY, copy, &item), EVC_OK);
    }
    item.version++;
    assert_int_equal(evc_copy_table_add(&table, 7, COPY, 1, &item), EVC_OK);
    entry = evc_copy_table_find(&table, 7);
    assert_true(entry->newest == VERSION + 1);
    for (unsigned copy = 0; copy < 4; copy++) {
        assert_int_equal(evc_copy_entry_is_newest(entry, copy), copy == 1);
        assert_int_equal(evc_copy_table_is_older(&table, entry, copy), copy == 0 || copy == 2);
    }
    assert_true(evc_copy_table_has_region(&table, entry, 1));
    assert_null(evc_copy_table_find(&table, 8));
    evc_copy_table_finish(&table);
}

static void
test_copy_table__policy_none__regions_are_strangers(void **state)
{
    struct evc_slice key = EVC_SLICE("own:1");

    (void)state;
    assert_true(evc_copy_table_hash(key, NONE, 0) != evc_copy_table_hash(key, NONE, 1));
    assert_true(evc_copy_table_hash(key, COPY, 0) == evc_copy_table_hash(key, COPY, 1));
}

static void
test_copy_table__full__half_of_the_keys_make_room_and_the_rest_stays_found(void **state)
{
    struct evc_copy_table table;
    struct evc_copy_item item = item_of('n');
    struct evc_key_range range;
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15); /* spreads evenly */
    uint64_t told = 0;

    (void)state;
    evc_key_range_init(&range);
    assert_int_equal(evc_copy_table_init(&table, &layout, EVC_COPY_TABLE_BYTES_MIN), EVC_OK);
    while (evc_copy_table_add(&table, told * step, COPY, 0, &item) == EVC_OK) {
        told++;
    }
    assert_true(told == table.entries_max && told * table.entry_bytes < EVC_COPY_TABLE_BYTES_MIN);
    assert_int_equal(evc_copy_table_add(&table, told * step, COPY, 0, &item), EVC_E_FULL);
    assert_int_equal(evc_copy_table_add(&table, 0, COPY, 1, &item), EVC_OK); /* it is in */
    assert_true(evc_key_range_halve(&range));
    evc_copy_table_keep(&table, &range);
    assert_true(table.count > told / 3 && table.count < told * 2 / 3);
    for (uint64_t i = 0; i < told; i++) {
        const struct evc_copy_entry *entry = evc_copy_table_find(&table, i * step);

        assert_int_equal(entry != NULL, evc_key_range_has(&range, i * step));
        assert_true(!entry || entry->newest == VERSION);
    }
    evc_copy_table_clear(&table);
    assert_null(evc_copy_table_find(&table, 0));
    evc_copy_table_finish(&table);
}

static void
test_copy_table__as_many_copies_as_there_can_be__are_told_apart(void **state)
{
    struct evc_copy_layout all = {.copy_count = EVC_COPY_TABLE_COPIES_MAX};
    struct evc_copy_item item = item_of('n');
    struct evc_copy_table table;

    (void)state;
    for (unsigned i = 0; i < EVC_COPY_TABLE_COPIES_MAX; i++) {
        all.region[i] = (uint8_t)(i / 8);
        all.is_counted[i] = true;
    }
    assert_int_equal(evc_copy_table_init(&table, &all, EVC_COPY_TABLE_BYTES_MIN), EVC_OK);
    for (unsigned i = 0; i < EVC_COPY_TABLE_COPIES_MAX; i++) {
        assert_true(i == 0 || evc_copy_table_is_suspect(&table, evc_copy_table_find(&table, 1)));
        assert_int_equal(evc_copy_table_add(&table, 1, COPY, i, &item), EVC_OK);
    }
    assert_false(evc_copy_table_is_suspect(&table, evc_copy_table_find(&table, 1)));
    evc_copy_table_finish(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_table__every_case__is_judged_alike_in_any_order),
        cmocka_unit_test(test_copy_table__newer_version__the_others_hold_something_older),
        cmocka_unit_test(test_copy_table__policy_none__regions_are_strangers),
        cmocka_unit_test(
            test_copy_table__full__half_of_the_keys_make_room_and_the_rest_stays_found),
        cmocka_unit_test(test_copy_table__as_many_copies_as_there_can_be__are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
