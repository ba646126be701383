/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ketama: the same ring everywhere. The expected places and nodes were computed with another
 * implementation (Python: hashlib.md5 and bisect over the points of ring.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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
        {EVC_SLICE("a"), 3111502092, 0},
        {EVC_SLICE("foo"), 3675831724, 2},
        {EVC_SLICE("user:1"), 282964413, 0},
        {EVC_SLICE("session:42"), 3425615685, 1},
        {{longest, sizeof(longest)}, 2138779539, 2},
        {EVC_SLICE("key with base64"), 902119617, 0},
        {EVC_SLICE("\xc3\xbc\xc3\xa4"), 3563664215, 1},
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
    KEYS = 40000
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
        cmocka_unit_test(test_ring__last_node_taken_away__moves_only_its_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
