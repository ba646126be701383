/* SPDX-License-Identifier: Apache-2.0 */
/* See config_region.h. */
#include "topology/config_region.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "topology/config_address.h"

enum {
    CONFIG_POLICIES_MAX = 256,
    CONFIG_ZONES_MAX = 8,
    CONFIG_PREFIX_BYTES_MAX = 250,
};

#define CHECK_LIST(type, member)                                                                   \
    static_assert(offsetof(type, member##_count) ==                                                \
                      offsetof(type, member) + offsetof(struct evc_address_list, count),           \
                  "an address list is followed by its count")

CHECK_LIST(struct evc_config_zone, nodes);
CHECK_LIST(struct evc_config_region, proxies);
CHECK_LIST(struct evc_config_region, receivers);
CHECK_LIST(struct evc_config_region, admins);
CHECK_LIST(struct evc_config_region, relays);

static const struct evc_yaml_limits nodes_limits = {1, EVC_CONFIG_NODES_PER_ZONE_MAX};
static const struct evc_yaml_limits proxies_limits = {1, EVC_CONFIG_PROXY_MAX};
static const struct evc_yaml_limits relays_limits = {1, EVC_CONFIG_RELAY_MAX};

static const struct evc_yaml_word zone_state_words[] = {{"serving", EVC_ZONE_SERVING},
                                                        {"write_only", EVC_ZONE_WRITE_ONLY},
                                                        {"drained", EVC_ZONE_DRAINED},
                                                        {NULL, 0}};

static const struct evc_yaml_field zone_fields[] = {
    {"name", evc_yaml_read_name, offsetof(struct evc_config_zone, name), true, NULL},
    {"nodes", evc_config_read_addresses, offsetof(struct evc_config_zone, nodes), true,
     &nodes_limits},
    {"state", evc_yaml_read_word, offsetof(struct evc_config_zone, state), false, zone_state_words},
    {0},
};

static bool
has_serving(const struct evc_config_region *region)
{
    for (unsigned i = 0; i < region->zones_count; i++) {
        if (region->zones[i].state == EVC_ZONE_SERVING) {
            return true;
        }
    }
    return false;
}

static int
read_zones(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
           void *target)
{
    struct evc_config_region *region = target;
    yaml_node_item_t *items;
    unsigned count;
    int rc = evc_yaml_sequence(yaml, value, CONFIG_ZONES_MAX, &items, &count);

    (void)field;
    if (rc != EVC_OK) {
        return rc;
    }
    region->zones = calloc(count, sizeof(*region->zones));
    if (!region->zones) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    while (rc == EVC_OK && region->zones_count < count) {
        size_t back = evc_yaml_enter_item(yaml, region->zones_count);
        yaml_node_t *node = evc_yaml_node(yaml, items[region->zones_count]);
        struct evc_config_zone *zone = &region->zones[region->zones_count++];

        rc = evc_yaml_mapping(yaml, node, zone_fields, zone);
        for (unsigned i = 0; rc == EVC_OK && i + 1 < region->zones_count; i++) {
            if (strcmp(region->zones[i].name, zone->name) == 0) {
                rc = evc_yaml_mistake(yaml, node, "two zones of a region are named \"%s\"",
                                      zone->name);
            }
        }
        evc_yaml_leave(yaml, back);
    }
    if (rc == EVC_OK && !has_serving(region)) {
        rc = evc_yaml_mistake(yaml, value, "no zone is in state serving; at least one must be");
    }
    return rc;
}

static const struct evc_yaml_field region_fields[] = {
    {"name", evc_yaml_read_name, offsetof(struct evc_config_region, name), true, NULL},
    {"proxies", evc_config_read_addresses, offsetof(struct evc_config_region, proxies), true,
     &proxies_limits},
    {"receivers", evc_config_read_addresses, offsetof(struct evc_config_region, receivers), true,
     &proxies_limits},
    {"admin", evc_config_read_one_or_more, offsetof(struct evc_config_region, admins), true,
     &proxies_limits},
    {"relays", evc_config_read_addresses, offsetof(struct evc_config_region, relays), true,
     &relays_limits},
    {"zones", read_zones, 0, true, NULL},
    {0},
};

static int
check_region(struct evc_yaml *yaml, yaml_node_t *node, const struct evc_config *config,
             const struct evc_config_region *region)
{
    for (const struct evc_config_region *other = config->regions; other < region; other++) {
        if (strcmp(other->name, region->name) == 0) {
            return evc_yaml_mistake(yaml, node, "two regions are named \"%s\"", region->name);
        }
    }
    if (region->receivers_count != region->proxies_count) {
        return evc_yaml_mistake(yaml, node,
                                "region %s has %u proxies and %u receivers; each proxy has one "
                                "receiver",
                                region->name, region->proxies_count, region->receivers_count);
    }
    if (region->admins_count != region->proxies_count) {
        return evc_yaml_mistake(
            yaml, node, "region %s has %u proxies and %u admin addresses; each proxy has one",
            region->name, region->proxies_count, region->admins_count);
    }
    return EVC_OK;
}

int
evc_config_read_regions(struct evc_yaml *yaml, yaml_node_t *value,
                        const struct evc_yaml_field *field, void *target)
{
    struct evc_config *config = target;
    yaml_node_item_t *items;
    unsigned count;
    int rc = evc_yaml_sequence(yaml, value, EVC_CONFIG_REGION_MAX, &items, &count);

    (void)field;
    if (rc != EVC_OK) {
        return rc;
    }
    config->regions = calloc(count, sizeof(*config->regions));
    if (!config->regions) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    while (rc == EVC_OK && config->regions_count < count) {
        size_t back = evc_yaml_enter_item(yaml, config->regions_count);
        yaml_node_t *node = evc_yaml_node(yaml, items[config->regions_count]);
        struct evc_config_region *region = &config->regions[config->regions_count++];

        rc = evc_yaml_mapping(yaml, node, region_fields, region);
        rc = rc ? rc : check_region(yaml, node, config, region);
        evc_yaml_leave(yaml, back);
    }
    return rc;
}

static const struct evc_yaml_word policy_words[] = {{"copy", EVC_POLICY_COPY},
                                                    {"invalidate", EVC_POLICY_INVALIDATE},
                                                    {"none", EVC_POLICY_NONE},
                                                    {NULL, 0}};

/** A prefix may be empty: the policy of every key that no policy before it matched. It may have any
 * bytes, as keys in base64 may. */
static int
read_prefix(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
            void *target)
{
    const char *text = "";
    int rc = EVC_OK;

    (void)field;
    if (value->type != YAML_SCALAR_NODE || value->data.scalar.length > 0) {
        rc = evc_yaml_text(yaml, value, &text);
    }
    if (rc != EVC_OK) {
        return rc;
    }
    *(char **)target = strdup(text);
    return *(char **)target ? EVC_OK : evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
}

static const struct evc_yaml_field policy_fields[] = {
    {"prefix", read_prefix, offsetof(struct evc_config_policy, prefix), true, NULL},
    {"replicate", evc_yaml_read_word, offsetof(struct evc_config_policy, replicate), true,
     policy_words},
    {0},
};

int
evc_config_read_policies(struct evc_yaml *yaml, yaml_node_t *value,
                         const struct evc_yaml_field *field, void *target)
{
    struct evc_config *config = target;
    yaml_node_item_t *items;
    unsigned count;
    int rc = evc_yaml_sequence(yaml, value, CONFIG_POLICIES_MAX, &items, &count);

    (void)field;
    if (rc != EVC_OK) {
        return rc;
    }
    config->policies = calloc(count, sizeof(*config->policies));
    if (!config->policies) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    while (rc == EVC_OK && config->policies_count < count) {
        size_t back = evc_yaml_enter_item(yaml, config->policies_count);
        yaml_node_t *node = evc_yaml_node(yaml, items[config->policies_count]);
        struct evc_config_policy *policy = &config->policies[config->policies_count++];

        rc = evc_yaml_mapping(yaml, node, policy_fields, policy);
        if (rc == EVC_OK && strlen(policy->prefix) > CONFIG_PREFIX_BYTES_MAX) {
            rc = evc_yaml_mistake(yaml, node, "prefix is longer than a key may be (%d bytes)",
                                  CONFIG_PREFIX_BYTES_MAX);
        }
        evc_yaml_leave(yaml, back);
    }
    return rc;
}

static void
free_region(struct evc_config_region *region)
{
    free(region->name);
    evc_config_free_addresses(region->proxies, region->proxies_count);
    evc_config_free_addresses(region->receivers, region->receivers_count);
    evc_config_free_addresses(region->relays, region->relays_count);
    evc_config_free_addresses(region->admins, region->admins_count);
    for (unsigned z = 0; z < region->zones_count; z++) {
        free(region->zones[z].name);
        evc_config_free_addresses(region->zones[z].nodes, region->zones[z].nodes_count);
    }
    free(region->zones);
}

void
evc_config_free_regions(struct evc_config *config)
{
    for (unsigned i = 0; i < config->regions_count; i++) {
        free_region(&config->regions[i]);
    }
    free(config->regions);
}

void
evc_config_free_policies(struct evc_config *config)
{
    for (unsigned i = 0; i < config->policies_count; i++) {
        free(config->policies[i].prefix);
    }
    free(config->policies);
}
