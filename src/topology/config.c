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
#include "topology/config_region.h"
#include "topology/yaml_reader.h"

enum {
    CONFIG_PARTITIONS_MAX = 256,
    CONFIG_MEMORY_TEXT_BYTES = 16,
};

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static_assert(EVC_CONFIG_PROXY_MAX * EVC_CONFIG_WORKER_MAX + EVC_CONFIG_RELAY_MAX +
                      EVC_CONFIG_CLIENT_MAX ==
                  EVC_VERSION_SLOT_MAX,
              "every worker slot belongs to somebody");

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
    {"regions", evc_config_read_regions, 0, true, NULL},
    {"policies", evc_config_read_policies, 0, false, NULL},
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

void
evc_config_destroy(struct evc_config *config)
{
    if (!config) {
        return;
    }
    evc_config_free_regions(config);
    evc_config_free_policies(config);
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
