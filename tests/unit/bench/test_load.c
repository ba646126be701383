/* SPDX-License-Identifier: Apache-2.0 */
/* What a load is made of: its mix, its keys, its lengths; the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load.h"

enum {
    DRAWS = 100000
};

static const struct evc_load plain = {
    .prefix = "k:",
    .key_count = 1000,
    .get_parts = 3,
    .set_parts = 1,
    .value_min = 10,
    .value_max = 20,
};

static void
test_load__mix_and_lengths__are_as_asked(void **state)
{
    struct evc_load_chooser chooser;
    unsigned gets = 0, lengths[21] = {0};

    (void)state;
    evc_load_chooser_init(&chooser, &plain, 7);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint32_t len = evc_load_next_value_len(&chooser);

        assert_in_range(len, 10, 20);
        lengths[len]++;
        gets += evc_load_next_is_get(&chooser);
    }
    assert_in_range(gets, DRAWS * 74 / 100, DRAWS * 76 / 100);
    for (unsigned len = 10; len <= 20; len++) {
        assert_in_range(lengths[len], DRAWS / 11 * 9 / 10, DRAWS / 11 * 11 / 10);
    }
}

static void
count_keys(const struct evc_load *load, unsigned *counts)
{
    struct evc_load_chooser chooser;

    evc_load_chooser_init(&chooser, load, 1);
    memset(counts, 0, load->key_count * sizeof(*counts));
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t key = evc_load_next_key(&chooser);

        assert_true(key < load->key_count);
        counts[key]++;
    }
}

static void
test_load__uniform__every_key_about_as_often(void **state)
{
    unsigned counts[1000];

    (void)state;
    count_keys(&plain, counts);
    for (unsigned i = 0; i < 1000; i++) {
        assert_in_range(counts[i], 50, 160);
    }
}

static void
test_load__zipf__the_first_has_its_share(void **state)
{
    struct evc_load load = plain;
    unsigned counts[1000], max = 0;

    (void)state;
    load.zipf = 0.99;
    count_keys(&load, counts);
    for (unsigned i = 0; i < 1000; i++) {
        max = counts[i] > max ? counts[i] : max;
    }
    /* 1 / zeta(1000, 0.99) = 13.0 % */
    assert_in_range(max, DRAWS * 12 / 100, DRAWS * 14 / 100);
    load.key_count = 1; /* and the smallest there is */
    count_keys(&load, counts);
    assert_int_equal(counts[0], DRAWS);
}

static void
test_load__same_seed__same_load(void **state)
{
    struct evc_load_chooser a, b, other;
    unsigned same = 0;

    (void)state;
    evc_load_chooser_init(&a, &plain, 5);
    evc_load_chooser_init(&b, &plain, 5);
    evc_load_chooser_init(&other, &plain, 6);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t key = evc_load_next_key(&a);

        assert_int_equal(key, evc_load_next_key(&b));
        same += key == evc_load_next_key(&other);
    }
    assert_true(same < 20);
}

static void
test_load__key__has_its_number_and_length(void **state)
{
    char key[EVC_LOAD_KEY_BYTES];

    (void)state;
    evc_load_put_key(&plain, 1234, key);
    assert_memory_equal(key, "k:0000000000000000001234", EVC_LOAD_KEY_BYTES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load__mix_and_lengths__are_as_asked),
        cmocka_unit_test(test_load__uniform__every_key_about_as_often),
        cmocka_unit_test(test_load__zipf__the_first_has_its_share),
        cmocka_unit_test(test_load__same_seed__same_load),
        cmocka_unit_test(test_load__key__has_its_number_and_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
