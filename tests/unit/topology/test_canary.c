/* SPDX-License-Identifier: Apache-2.0 */
/* Canary plans: every node and every partition is covered, and both regions find the same keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "topology/canary.h"
#include "topology/topology.h"

enum {
    NODES = 40,
    PARTITIONS = 16,
};

struct fixture {
    char texts[2 * NODES][32];
    char host[16];
    struct evc_address nodes[2 * NODES];
    struct evc_config_zone zones[3];
    struct evc_config_region regions[2];
    struct evc_config_policy policy;
    struct evc_config config;
};

static void
fixture_init(struct fixture *f)
{
    static char name_a[] = "a", name_b[] = "b", name_c[] = "c", here[] = "here", there[] = "there";
    static char everything[] = "", cache[] = "movies";

    memset(f, 0, sizeof(*f));
    strcpy(f->host, "127.0.0.1");
    for (unsigned i = 0; i < 2 * NODES; i++) {
        snprintf(f->texts[i], sizeof(f->texts[i]), "127.0.0.1:%u", 12000 + i);
        f->nodes[i] = (struct evc_address){
            .text = f->texts[i], .host = f->host, .port = (uint16_t)(12000 + i)};
    }
    f->zones[0] = (struct evc_config_zone){.name = name_a, .nodes = f->nodes, .nodes_count = NODES};
    f->zones[1] = (struct evc_config_zone){
        .name = name_b, .state = EVC_ZONE_DRAINED, .nodes = f->nodes, .nodes_count = NODES};
    f->zones[2] =
        (struct evc_config_zone){.name = name_c, .nodes = f->nodes + NODES, .nodes_count = NODES};
    f->regions[0] = (struct evc_config_region){.name = here, .zones = f->zones, .zones_count = 3};
    f->regions[1] = (struct evc_config_region){.name = there, .zones = f->zones, .zones_count = 3};
    f->policy = (struct evc_config_policy){.prefix = everything, .replicate = EVC_POLICY_NONE};
    f->config = (struct evc_config){.cache = cache,
                                    .queue.partitions = PARTITIONS,
                                    .regions = f->regions,
                                    .regions_count = 2,
                                    .policies = &f->policy,
                                    .policies_count = 1};
}

static void
test_canary__plan__covers_every_node_and_partition(void **state)
{
    struct fixture f;
    struct evc_canary_plan plan;
    bool nodes[3][NODES] = {{false}}, partitions[3][PARTITIONS] = {{false}};

    (void)state;
    fixture_init(&f);
    assert_int_equal(evc_canary_plan_make(&f.config, 0, 1, &plan), 0);
    assert_true(plan.count <= 2 * (NODES + PARTITIONS));
    for (unsigned i = 0; i < plan.count; i++) {
        const struct evc_canary_key *key = &plan.keys[i];

        nodes[key->zone][key->node] = true;
        partitions[key->zone][key->partition] = true;
        assert_int_equal(evc_hash_key(evc_slice_str(key->text)) % PARTITIONS, key->partition);
        assert_true(evc_canary_is_key(key->text, strlen(key->text)));
    }
    for (unsigned z = 0; z < 3; z++) {
        for (unsigned n = 0; n < NODES; n++) {
            assert_int_equal(nodes[z][n], z != 1); /* the drained zone is left alone */
        }
        for (unsigned p = 0; p < PARTITIONS; p++) {
            assert_int_equal(partitions[z][p], z != 1);
        }
    }
    evc_canary_plan_finish(&plan);
}

static void
test_canary__plan__its_nodes_are_those_of_the_topology(void **state)
{
    struct fixture f;
    struct evc_canary_plan plan;
    struct evc_topology *topology;

    (void)state;
    fixture_init(&f);
    assert_int_equal(evc_canary_plan_make(&f.config, 0, 1, &plan), 0);
    assert_int_equal(evc_topology_create(&f.config, 1, NULL, &topology, NULL), 0);
    for (unsigned i = 0; i < plan.count; i++) {
        const struct evc_canary_key *key = &plan.keys[i];
        const struct evc_zone *zone = &topology->zones[key->zone == 0 ? 0 : 1];

        assert_string_equal(zone->name, f.zones[key->zone].name);
        assert_int_equal(evc_ring_find(zone->ring, evc_ring_hash(evc_slice_str(key->text))),
                         key->node);
    }
    evc_topology_unref(topology);
    evc_canary_plan_finish(&plan);
}

static void
test_canary__policy_for_everything__does_not_apply(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(evc_config_policy_of(&f.config, "a", 1), EVC_POLICY_NONE);
    assert_int_equal(evc_config_policy_of(&f.config, "__evcache:canary:", 17), EVC_POLICY_COPY);
    assert_int_equal(evc_config_policy_of(&f.config, "__evcache:canary", 16), EVC_POLICY_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canary__plan__covers_every_node_and_partition),
        cmocka_unit_test(test_canary__plan__its_nodes_are_those_of_the_topology),
        cmocka_unit_test(test_canary__policy_for_everything__does_not_apply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
