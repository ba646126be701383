/* SPDX-License-Identifier: Apache-2.0 */
/* The hash index: against a plain array, with hashes that collide in every way. */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/hash_index.h"

enum {
    MAX = 200,
    STEPS = 200000
};

static struct evc_hash_index numbers;
static uint64_t hashes[MAX];
static bool is_in[MAX];

static bool
is_found(uint64_t hash, uint32_t wanted)
{
    uint32_t cursor, number;
    unsigned found = 0;

    evc_hash_index_each(&numbers, hash, cursor, number)
    {
        assert_true(number < MAX && is_in[number]);
        assert_int_equal(hashes[number] >> 32, hash >> 32);
        found += number == wanted;
    }
    assert_in_range(found, 0, 1);
    return found == 1;
}

/** few: of hashes, so that many numbers share one; near: all at home in a few slots at the end. */
static uint64_t
random_hash(unsigned *seed, bool few, bool near)
{
    uint64_t high = (uint64_t)rand_r(seed) * 2 + 1;

    high = near ? 500 + high % 20 : high;
    return (few ? high % 7 : high) << 32 | (uint64_t)rand_r(seed);
}

static void
play(bool few, bool near)
{
    unsigned seed = 1U + few + 2U * near;

    assert_int_equal(evc_hash_index_init(&numbers, MAX), EVC_OK);
    for (int i = 0; i < MAX; i++) {
        is_in[i] = false;
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t number = (uint32_t)rand_r(&seed) % MAX;

        if (is_in[number]) {
            assert_true(is_found(hashes[number], number));
            evc_hash_index_remove(&numbers, hashes[number], number);
            is_in[number] = false;
            assert_false(is_found(hashes[number], number));
        } else {
            hashes[number] = random_hash(&seed, few, near);
            evc_hash_index_add(&numbers, hashes[number], number);
            is_in[number] = true;
        }
        if (step % 1000 == 0) {
            for (uint32_t i = 0; i < MAX; i++) {
                assert_int_equal(is_found(hashes[i], i), is_in[i]);
            }
        }
    }
    evc_hash_index_finish(&numbers);
}

static void
test_hash_index__any_order__finds_what_is_in(void **state)
{
    (void)state;
    play(false, false);
}

static void
test_hash_index__equal_hashes__each_is_found(void **state)
{
    (void)state;
    play(true, false);
}

static void
test_hash_index__crowded_round_the_end__holes_are_closed(void **state)
{
    (void)state;
    play(false, true);
}

static void
test_hash_index__low_half__does_not_matter(void **state)
{
    (void)state;
    assert_int_equal(evc_hash_index_init(&numbers, MAX), EVC_OK);
    is_in[3] = true;
    hashes[3] = UINT64_C(5) << 32;
    evc_hash_index_add(&numbers, hashes[3], 3);
    assert_true(is_found(hashes[3] | 77, 3));
    assert_false(is_found(UINT64_C(6) << 32, 3));
    evc_hash_index_finish(&numbers);
    is_in[3] = false;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_index__any_order__finds_what_is_in),
        cmocka_unit_test(test_hash_index__equal_hashes__each_is_found),
        cmocka_unit_test(test_hash_index__crowded_round_the_end__holes_are_closed),
        cmocka_unit_test(test_hash_index__low_half__does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
