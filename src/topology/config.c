/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See config.h. The file's shape is the tables below: one row per setting, with its limits. What no
 * row can say (addresses used twice, receivers and proxies in pairs) is checked afterwards, with
 * the lines kept of the places that may clash.
 */
#include "topology/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/version.h"
#include "topology/canary.h"
#include "topology/config_address.h"
#include "topology/config_queue.h"
#include "topology/yaml_reader.h"

enum {
    CONFIG_PARTITIONS_MAX = 256,
    CONFIG_POLICIES_MAX = 256,
    CONFIG_ZONES_MAX = 8,
    CONFIG_PREFIX_BYTES_MAX = 250,
    CONFIG_MEMORY_TEXT_BYTES = 16,
};

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static_assert(EVC_CONFIG_PROXY_MAX * EVC_CONFIG_WORKER_MAX + EVC_CONFIG_RELAY_MAX +
                      EVC_CONFIG_CLIENT_MAX ==
                  EVC_VERSION_SLOT_MAX,
              "every worker slot belongs to somebody");

#define CHECK_LIST(type, member)                                                                   \
    static_assert(offsetof(type, member##_count) ==                                                \
                      offsetof(type, member) + offsetof(struct evc_address_list, count),           \
                  "an address list is followed by its count")

CHECK_LIST(struct evc_config_zone, nodes);
CHECK_LIST(struct evc_config_region, proxies);
CHECK_LIST(struct evc_config_region, receivers);
CHECK_LIST(struct evc_config_region, admins);
CHECK_LIST(struct evc_config_region, relays);

/* --- zones, regions, policies --- */

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

static int
read_regions(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
             void *target)
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

static int
read_policies(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
              void *target)
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

/* --- the file --- */

/** memcached -m takes MiB as text. */
static int
read_memory(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
            void *target)
{
    char text[CONFIG_MEMORY_TEXT_BYTES];
    uint64_t bytes;
    int rc = evc_yaml_read_size(yaml, value, field, &bytes);

    if (rc != EVC_OK) {
        return rc;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(bytes / MIB));
    free(*(char **)target);
    *(char **)target = strdup(text);
    return *(char **)target ? EVC_OK : evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
}

/** One of two words into a bool. */
static int
read_either(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
            const struct evc_yaml_word *words, bool *ret)
{
    struct evc_yaml_field with_words = *field;
    int is_true;
    int rc;

    with_words.detail = words;
    rc = evc_yaml_read_word(yaml, value, &with_words, &is_true);
    if (rc == EVC_OK) {
        *ret = is_true;
    }
    return rc;
}

static int
read_durability(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                void *target)
{
    static const struct evc_yaml_word words[] = {{"process", false}, {"power", true}, {NULL, 0}};

    return read_either(yaml, value, field, words, target);
}

static int
read_yes_no(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
            void *target)
{
    static const struct evc_yaml_word words[] = {{"no", false}, {"yes", true}, {NULL, 0}};

    return read_either(yaml, value, field, words, target);
}

static int
read_true_false(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                void *target)
{
    static const struct evc_yaml_word words[] = {{"false", false}, {"true", true}, {NULL, 0}};

    return read_either(yaml, value, field, words, target);
}

/** off, measured, or a duration. */
static int
read_hedge(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
           void *target)
{
    const char *text;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (strcmp(text, "off") == 0) {
        *(uint32_t *)target = EVC_CONFIG_HEDGE_OFF;
    } else if (strcmp(text, "measured") == 0) {
        *(uint32_t *)target = EVC_CONFIG_HEDGE_MEASURED;
    } else if (text[0] < '0' || text[0] > '9') {
        rc = evc_yaml_mistake(yaml, value,
                              "\"%.80s\" is not known; allowed are off, measured, and a "
                              "duration from 1ms to 1m",
                              text);
    } else {
        rc = evc_yaml_read_ms(yaml, value, field, target);
    }
    return rc;
}

/** off, or a duration. */
static int
read_every(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
           void *target)
{
    const char *text;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (strcmp(text, "off") == 0) {
        *(uint32_t *)target = 0;
    } else if (text[0] < '0' || text[0] > '9') {
        rc = evc_yaml_mistake(
            yaml, value, "\"%.80s\" is not known; allowed are off and a duration from 100ms to 1h",
            text);
    } else {
        rc = evc_yaml_read_ms(yaml, value, field, target);
    }
    return rc;
}

static const struct evc_yaml_word ack_words[] = {{"one", EVC_ACK_ONE},
                                                 {"quorum", EVC_ACK_QUORUM},
                                                 {"all_but_one", EVC_ACK_ALL_BUT_ONE},
                                                 {"all", EVC_ACK_ALL},
                                                 {NULL, 0}};

static const struct evc_yaml_word flush_words[] = {{"off", EVC_FLUSH_OFF},
                                                   {"region", EVC_FLUSH_REGION},
                                                   {"all", EVC_FLUSH_ALL_REGIONS},
                                                   {NULL, 0}};

static const struct evc_yaml_limits partitions_limits = {1, CONFIG_PARTITIONS_MAX};
static const struct evc_yaml_limits replication_limits = {1, 15};
static const struct evc_yaml_limits queue_limits = {MIB, 1024 * GIB};
static const struct evc_yaml_limits journal_limits = {64 * KIB, GIB};
static const struct evc_yaml_limits workers_limits = {1, EVC_CONFIG_WORKER_MAX};
static const struct evc_yaml_limits connections_limits = {1, 1000000};
static const struct evc_yaml_limits timeout_limits = {1, 60 * 1000};
static const struct evc_yaml_limits percent_limits = {0, 100};
/* memcached has items of up to a gigabyte, and an item is more than its value. */
static const struct evc_yaml_limits value_limits = {KIB, 1023 * MIB};
static const struct evc_yaml_limits drift_limits = {100, 24 * 3600 * 1000};
static const struct evc_yaml_limits tombstone_limits = {60, 30 * 24 * 3600};
static const struct evc_yaml_limits abandon_limits = {1, 24 * 3600};
static const struct evc_yaml_limits canary_limits = {100, 60 * 60 * 1000};
static const struct evc_yaml_limits memory_limits = {MIB, 1024 * GIB};

#define AT(member) offsetof(struct evc_config, member)

static const struct evc_yaml_field queue_fields[] = {
    {"kind", evc_config_read_kind, AT(queue.kind), true, NULL},
    {"path", evc_yaml_read_string, AT(queue.path), true, NULL},
    {"partitions", evc_yaml_read_number, AT(queue.partitions), false, &partitions_limits},
    {"size", evc_yaml_read_size, AT(queue.bytes_max), false, &queue_limits},
    {"durability", read_durability, AT(queue.is_power_durable), false, NULL},
    {"brokers", evc_config_read_brokers, AT(queue.brokers), false, NULL},
    {"managed", read_true_false, AT(queue.is_managed), false, NULL},
    {"replication", evc_yaml_read_number, AT(queue.replication), false, &replication_limits},
    {"properties", evc_config_read_properties, AT(queue.properties), false, NULL},
    {"topic", evc_config_read_properties, AT(queue.topic), false, NULL},
    {0},
};
static const struct evc_yaml_field journal_fields[] = {
    {"path", evc_yaml_read_string, AT(journal.path), false, NULL},
    {"size", evc_yaml_read_size, AT(journal.bytes), false, &journal_limits},
    {0},
};
static const struct evc_yaml_field proxy_fields[] = {
    {"workers", evc_yaml_read_number, AT(workers), false, &workers_limits},
    {"connections", evc_yaml_read_number, AT(connections_max), false, &connections_limits},
    {0},
};
static const struct evc_yaml_field write_fields[] = {
    {"acknowledge", evc_yaml_read_word, AT(write_ack), false, ack_words},
    {"flush_all", evc_yaml_read_word, AT(flush_all), false, flush_words},
    {0},
};
static const struct evc_yaml_field read_fields[] = {
    {"hedge", read_hedge, AT(read_hedge_ms), false, &timeout_limits},
    {"hedge_percent", evc_yaml_read_number, AT(read_hedge_percent), false, &percent_limits},
    {"refill", read_yes_no, AT(read_refills), false, NULL},
    {0},
};
static const struct evc_yaml_field timeout_fields[] = {
    {"read", evc_yaml_read_ms, AT(read_timeout_ms), false, &timeout_limits},
    {"write", evc_yaml_read_ms, AT(write_timeout_ms), false, &timeout_limits},
    {"connect", evc_yaml_read_ms, AT(connect_timeout_ms), false, &timeout_limits},
    {0},
};
static const struct evc_yaml_field value_fields[] = {
    {"max", evc_yaml_read_size32, AT(value_len_max), false, &value_limits},
    {0},
};
static const struct evc_yaml_field version_fields[] = {
    {"drift", evc_yaml_read_ms, AT(drift_ms), false, &drift_limits},
    {0},
};
static const struct evc_yaml_field tombstone_fields[] = {
    {"ttl", evc_yaml_read_seconds, AT(tombstone_ttl_s), false, &tombstone_limits},
    {0},
};
static const struct evc_yaml_field relay_fields[] = {
    {"abandon_after", evc_yaml_read_seconds, AT(abandon_after_s), false, &abandon_limits},
    {0},
};
static const struct evc_yaml_field canary_fields[] = {
    {"every", read_every, AT(canary_ms), false, &canary_limits},
    {0},
};
static const struct evc_yaml_field node_fields[] = {
    {"memory", read_memory, AT(node.memory), false, &memory_limits},
    {"command", evc_yaml_read_string, AT(node.command), false, NULL},
    {0},
};

static const struct evc_yaml_field config_fields[] = {
    {"cache", evc_yaml_read_name, AT(cache), true, NULL},
    {"queue", evc_yaml_read_group, 0, true, queue_fields},
    {"journal", evc_yaml_read_group, 0, false, journal_fields},
    {"proxy", evc_yaml_read_group, 0, false, proxy_fields},
    {"writes", evc_yaml_read_group, 0, false, write_fields},
    {"reads", evc_yaml_read_group, 0, false, read_fields},
    {"timeouts", evc_yaml_read_group, 0, false, timeout_fields},
    {"values", evc_yaml_read_group, 0, false, value_fields},
    {"versions", evc_yaml_read_group, 0, false, version_fields},
    {"tombstones", evc_yaml_read_group, 0, false, tombstone_fields},
    {"relay", evc_yaml_read_group, 0, false, relay_fields},
    {"canaries", evc_yaml_read_group, 0, false, canary_fields},
    {"node", evc_yaml_read_group, 0, false, node_fields},
    {"regions", read_regions, 0, true, NULL},
    {"policies", read_policies, 0, false, NULL},
    {0},
};

static int
set_defaults(struct evc_config *config, const char *file)
{
    config->file = strdup(file);
    config->node.memory = strdup("64");
    config->queue.partitions = 4;
    config->queue.bytes_max = GIB;
    config->journal.bytes = 64 * MIB;
    config->workers = 1;
    config->write_ack = EVC_ACK_ALL_BUT_ONE;
    config->flush_all = EVC_FLUSH_REGION;
    config->read_timeout_ms = 250;
    config->read_hedge_ms = EVC_CONFIG_HEDGE_MEASURED;
    config->read_hedge_percent = 5;
    config->read_refills = true;
    config->write_timeout_ms = 500;
    config->connect_timeout_ms = 1000;
    config->value_len_max = 1024 * 1024;
    config->connections_max = 10000;
    config->tombstone_ttl_s = 3600;
    config->drift_ms = 60000;
    config->abandon_after_s = 600;
    config->canary_ms = 1000;
    return config->file && config->node.memory ? EVC_OK : EVC_E_NOMEM;
}

/** What a receiver takes over nothing may be as old as the ttl less the drift, and has to be able
 * to be as old as the drift. */
static int
check_tombstones(const struct evc_config *config, struct evc_error *error)
{
    if ((uint64_t)config->tombstone_ttl_s * 1000 > UINT64_C(2) * config->drift_ms) {
        return EVC_OK;
    }
    return evc_error_set(error, EVC_E_CONFIG,
                         "%s: tombstones.ttl (%" PRIu32 "s) must be more than twice versions.drift "
                         "(%" PRIu32 "ms)",
                         config->file, config->tombstone_ttl_s, config->drift_ms);
}

static int
default_journal_path(struct evc_config *config, struct evc_error *error)
{
    if (!config->journal.path &&
        asprintf(&config->journal.path, "%s/journal", config->queue.path) < 0) {
        config->journal.path = NULL;
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    return EVC_OK;
}

int
evc_config_load(const char *file, struct evc_config **ret, struct evc_error *error)
{
    struct evc_config *config = calloc(1, sizeof(*config));
    struct evc_yaml yaml;
    int rc;

    if (!config || set_defaults(config, file) != EVC_OK) {
        evc_config_destroy(config);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    rc = evc_yaml_load(&yaml, file, error);
    if (rc == EVC_OK) {
        yaml_node_t *root = yaml_document_get_root_node(&yaml.document);

        rc = root ? evc_yaml_mapping(&yaml, root, config_fields, config)
                  : evc_yaml_mistake(&yaml, NULL,
                                     "the file is empty; it must have cache, queue and regions");
    }
    evc_yaml_finish(&yaml);
    rc = rc ? rc : evc_config_check_addresses(config, error);
    rc = rc ? rc : evc_config_check_queue(config, error);
    rc = rc ? rc : check_tombstones(config, error);
    rc = rc ? rc : default_journal_path(config, error);
    if (rc != EVC_OK) {
        evc_config_destroy(config);
        return rc;
    }
    *ret = config;
    return EVC_OK;
}

/* --- freeing --- */

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
evc_config_destroy(struct evc_config *config)
{
    if (!config) {
        return;
    }
    for (unsigned i = 0; i < config->regions_count; i++) {
        free_region(&config->regions[i]);
    }
    for (unsigned i = 0; i < config->policies_count; i++) {
        free(config->policies[i].prefix);
    }
    free(config->regions);
    free(config->policies);
    free(config->queue.kind);
    free(config->queue.path);
    free(config->queue.brokers);
    evc_config_free_properties(&config->queue.properties);
    evc_config_free_properties(&config->queue.topic);
    free(config->journal.path);
    free(config->node.memory);
    free(config->node.command);
    free(config->cache);
    free(config->file);
    free(config);
}

/* --- questions --- */

/** Appends to the names there are; those without room are left out. */
static void
add_name(char names[EVC_ERROR_TEXT_BYTES / 2], const char *name)
{
    size_t len = strlen(names);

    snprintf(names + len, EVC_ERROR_TEXT_BYTES / 2 - len, "%s%s", len > 0 ? ", " : "", name);
}

int
evc_config_region_find(const struct evc_config *config, const char *name, unsigned *ret_index,
                       struct evc_error *error)
{
    char names[EVC_ERROR_TEXT_BYTES / 2] = "";

    for (unsigned i = 0; i < config->regions_count; i++) {
        if (strcmp(config->regions[i].name, name) == 0) {
            *ret_index = i;
            return EVC_OK;
        }
        add_name(names, config->regions[i].name);
    }
    return evc_error_set(error, EVC_E_NOT_FOUND, "no region \"%.80s\" in %s; it has %s", name,
                         config->file, names);
}

int
evc_config_zone_find(const struct evc_config_region *region, const char *name, unsigned *ret_index,
                     struct evc_error *error)
{
    char names[EVC_ERROR_TEXT_BYTES / 2] = "";

    for (unsigned i = 0; i < region->zones_count; i++) {
        if (strcmp(region->zones[i].name, name) == 0) {
            *ret_index = i;
            return EVC_OK;
        }
        add_name(names, region->zones[i].name);
    }
    return evc_error_set(error, EVC_E_NOT_FOUND, "no zone \"%.80s\" in region %s; it has %s", name,
                         region->name, names);
}

enum evc_policy
evc_config_policy_of(const struct evc_config *config, const char *key, size_t key_len)
{
    if (config->policies_count > 0 && evc_canary_is_key(key, key_len)) {
        return EVC_POLICY_COPY;
    }
    for (unsigned i = 0; i < config->policies_count; i++) {
        size_t len = strlen(config->policies[i].prefix);

        if (len <= key_len && memcmp(key, config->policies[i].prefix, len) == 0) {
            return config->policies[i].replicate;
        }
    }
    return EVC_POLICY_COPY;
}

unsigned
evc_ack_zones(enum evc_ack ack, unsigned zone_count)
{
    switch (ack) {
    case EVC_ACK_QUORUM:
        return zone_count / 2 + 1;
    case EVC_ACK_ALL_BUT_ONE:
        return zone_count > 1 ? zone_count - 1 : 1;
    case EVC_ACK_ALL:
        return zone_count;
    case EVC_ACK_ONE:
        break;
    }
    return 1;
}

bool
evc_config_size_parse(const char *text, uint64_t *ret)
{
    return evc_yaml_size_parse(text, ret);
}

bool
evc_config_ms_parse(const char *text, uint64_t *ret)
{
    return evc_yaml_ms_parse(text, ret);
}
