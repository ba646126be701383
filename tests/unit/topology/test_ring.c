/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ketama: the same ring everywhere. The expected places and nodes were computed with another
 * implementation (Python: hashlib.md5, xxhash and bisect over the points of ring.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "topology/ring.h"

static const char *const three[] = {"127.0.0.1:12001", "127.0.0.1:12002", "10.0.0.1:11211"};

static void
test_ring__known_keys__are_where_others_find_them(void **state)
{
    char longest[250];
    const struct {
        struct evc_slice key;
        uint32_t hash;
        unsigned node;
    } cases[] = {
        {EVC_SLICE("a"), 3871748790, 0},
        {EVC_SLICE("foo"), 2876137316, 1},
        {EVC_SLICE("user:1"), 995588861, 0},
        {EVC_SLICE("session:42"), 1333245734, 2},
        {{longest, sizeof(longest)}, 3420551189, 1},
        {EVC_SLICE("key with base64"), 1810230066, 0},
        {EVC_SLICE("\xc3\xbc\xc3\xa4"), 136211860, 2},
    };
    struct evc_ring *ring = evc_ring_create(three, 3);

    (void)state;
    memset(longest, 'k', sizeof(longest));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(evc_ring_hash(cases[i].key), cases[i].hash);
        assert_int_equal(evc_ring_find(ring, cases[i].hash), cases[i].node);
    }
    evc_ring_destroy(ring);
}

static void
test_ring__ends_of_the_circle__belong_to_somebody(void **state)
{
    struct evc_ring *ring = evc_ring_create(three, 3);

    (void)state;
    assert_true(evc_ring_find(ring, 0) < 3);
    /* Behind the last point comes the first one. */
    assert_int_equal(evc_ring_find(ring, UINT32_MAX), evc_ring_find(ring, 0));
    evc_ring_destroy(ring);
}

enum {
    NODES = 8,
    KEYS = 40000,
    PARTITIONS = 8
};

static uint32_t
hash_of(unsigned number)
{
    char key[16];

    snprintf(key, sizeof(key), "key-%u", number);
    return evc_ring_hash(evc_slice_str(key));
}

static void
make_addresses(char texts[NODES][24], const char *addresses[NODES])
{
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(texts[i], sizeof(texts[i]), "127.0.0.1:%u", 20000 + i);
        addresses[i] = texts[i];
    }
}

static void
test_ring__many_keys__are_spread_over_all_nodes(void **state)
{
    char texts[NODES][24];
    const char *addresses[NODES];
    unsigned counts[NODES] = {0};
    struct evc_ring *ring;

    (void)state;
    make_addresses(texts, addresses);
    ring = evc_ring_create(addresses, NODES);
    for (unsigned i = 0; i < KEYS; i++) {
        counts[evc_ring_find(ring, hash_of(i))]++;
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_in_range(counts[i], KEYS / NODES * 7 / 10, KEYS / NODES * 14 / 10);
    }
    evc_ring_destroy(ring);
}

static void
test_ring__keys_of_one_partition__are_spread_over_all_nodes(void **state)
{
    char texts[NODES][24];
    const char *addresses[NODES];
    unsigned counts[NODES] = {0};
    unsigned of_partition = 0;
    struct evc_ring *ring;

    (void)state;
    make_addresses(texts, addresses);
    ring = evc_ring_create(addresses, NODES);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key-%u", i);
        if (evc_hash_key(evc_slice_str(key)) % PARTITIONS == 0) {
            of_partition++;
            counts[evc_ring_find(ring, hash_of(i))]++;
        }
    }
    assert_in_range(of_partition, KEYS / PARTITIONS * 9 / 10, KEYS / PARTITIONS * 11 / 10);
    for (unsigned i = 0; i < NODES; i++) {
        assert_in_range(counts[i], of_partition / NODES * 6 / 10, of_partition / NODES * 15 / 10);
    }
    evc_ring_destroy(ring);
}

static void
test_ring__last_node_taken_away__moves_only_its_keys(void **state)
{
    char texts[NODES][24];
    const char *addresses[NODES];
    struct evc_ring *all, *fewer;

    (void)state;
    make_addresses(texts, addresses);
    all = evc_ring_create(addresses, NODES);
    fewer = evc_ring_create(addresses, NODES - 1);
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned before = evc_ring_find(all, hash_of(i));

        if (before != NODES - 1) {
            assert_int_equal(evc_ring_find(fewer, hash_of(i)), before);
        }
    }
    evc_ring_destroy(all);
    evc_ring_destroy(fewer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring__known_keys__are_where_others_find_them),
        cmocka_unit_test(test_ring__ends_of_the_circle__belong_to_somebody),
        cmocka_unit_test(test_ring__many_keys__are_spread_over_all_nodes),
        cmocka_unit_test(test_ring__keys_of_one_partition__are_spread_over_all_nodes),
        cmocka_unit_test(test_ring__last_node_taken_away__moves_only_its_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
