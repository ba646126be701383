/* SPDX-License-Identifier: Apache-2.0 */
/* See canary.h. Keys are tried by number; one is taken when it covers a node or a partition that no
 * key before it did, so a zone has at most as many as it has nodes and the queue partitions. */
#include "topology/canary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "topology/ring.h"

enum {
    PARTITIONS_MAX = 256
};

/** What a zone still needs. */
struct cover {
    bool nodes[EVC_CONFIG_NODES_PER_ZONE_MAX];
    bool partitions[PARTITIONS_MAX];
    unsigned missing;
};

static bool
take(bool *is_covered, struct cover *cover)
{
    bool is_new = !*is_covered;

    *is_covered = true;
    cover->missing -= is_new;
    return is_new;
}

static void
plan_zone(const struct evc_config *config, const char *source, unsigned destination, unsigned zone,
          const struct evc_ring *ring, struct cover *cover, struct evc_canary_plan *plan)
{
    const struct evc_config_region *region = &config->regions[destination];

    for (unsigned i = 0; cover->missing > 0 && i < EVC_CANARY_TRIES_MAX; i++) {
        struct evc_canary_key *key = &plan->keys[plan->count];
        struct evc_slice text;
        bool is_needed;

        (void)snprintf(key->text, sizeof(key->text), EVC_CANARY_PREFIX "%s:%s:%s:%u", source,
                       region->name, region->zones[zone].name, i);
        text = evc_slice_str(key->text);
        key->zone = zone;
        key->node = evc_ring_find(ring, evc_ring_hash(text));
        key->partition = (unsigned)(evc_hash_key(text) % config->queue.partitions);
        is_needed = take(&cover->nodes[key->node], cover);
        is_needed |= take(&cover->partitions[key->partition], cover);
        plan->count += is_needed;
    }
}

static struct evc_ring *
make_ring(const struct evc_config_zone *zone)
{
    const char **addresses = calloc(zone->nodes_count, sizeof(*addresses));
    struct evc_ring *ring;

    if (!addresses) {
        return NULL;
    }
    for (unsigned n = 0; n < zone->nodes_count; n++) {
        addresses[n] = zone->nodes[n].text;
    }
    ring = evc_ring_create(addresses, zone->nodes_count);
    free(addresses);
    return ring;
}

static int
add_zone(const struct evc_config *config, unsigned source, unsigned destination, unsigned zone,
         struct evc_canary_plan *plan)
{
    unsigned node_count = config->regions[destination].zones[zone].nodes_count;
    unsigned needed = node_count + config->queue.partitions;
    struct evc_canary_key *keys =
        realloc(plan->keys, (plan->count + needed + 1) * sizeof(*plan->keys));
    struct evc_ring *ring;
    struct cover cover = {.missing = needed};

    if (!keys) {
        return EVC_E_NOMEM;
    }
    plan->keys = keys; /* and one more, for the key that is being tried */
    ring = make_ring(&config->regions[destination].zones[zone]);
    if (!ring) {
        return EVC_E_NOMEM;
    }
    plan_zone(config, config->regions[source].name, destination, zone, ring, &cover, plan);
    evc_ring_destroy(ring);
    return EVC_OK;
}

int
evc_canary_plan_make(const struct evc_config *config, unsigned source, unsigned destination,
                     struct evc_canary_plan *ret)
{
    const struct evc_config_region *region = &config->regions[destination];
    struct evc_canary_plan plan = {.keys = NULL};

    for (unsigned z = 0; z < region->zones_count; z++) {
        if (region->zones[z].state != EVC_ZONE_DRAINED &&
            add_zone(config, source, destination, z, &plan) != EVC_OK) {
            evc_canary_plan_finish(&plan);
            return EVC_E_NOMEM;
        }
    }
    *ret = plan;
    return EVC_OK;
}

void
evc_canary_plan_finish(struct evc_canary_plan *plan)
{
    free(plan->keys);
    *plan = (struct evc_canary_plan){.keys = NULL};
}

bool
evc_canary_is_key(const char *key, size_t key_len)
{
    return key_len >= sizeof(EVC_CANARY_PREFIX) - 1 &&
           memcmp(key, EVC_CANARY_PREFIX, sizeof(EVC_CANARY_PREFIX) - 1) == 0;
}
