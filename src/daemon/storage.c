/* SPDX-License-Identifier: Apache-2.0 */
/* See storage.h. */
#include "daemon/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static int
region_path(const struct evc_config *config, unsigned region, const char *root, const char *setting,
            char ret[EVC_PATH_BYTES_MAX], struct evc_error *error)
{
    int len = snprintf(ret, EVC_PATH_BYTES_MAX, "%s/%s", root, config->regions[region].name);

    if (len < 0 || len >= EVC_PATH_BYTES_MAX) {
        return evc_error_set(error, EVC_E_CONFIG, "%s: the path is too long", setting);
    }
    return EVC_OK;
}

/** Makes the region's directory below root; setting: the root's name in the configuration. */
static int
make_region_directory(const struct evc_config *config, unsigned region, const char *root,
                      const char *setting, char ret[EVC_PATH_BYTES_MAX], struct evc_error *error)
{
    int status = region_path(config, region, root, setting, ret, error);

    status = status ? status : evc_directory_make(ret, error);
    if (status == EVC_OK && access(ret, W_OK) != 0) {
        status = evc_error_sys(error, errno, "%s: %s is not writable", setting, ret);
    }
    return status;
}

/** The configuration's properties as the queue takes them; the strings stay the configuration's. */
static struct evc_kafka_property *
list_properties(const struct evc_config_properties *properties)
{
    struct evc_kafka_property *list = calloc(properties->count + 1, sizeof(*list));

    for (unsigned i = 0; list && i < properties->count; i++) {
        list[i] = (struct evc_kafka_property){
            .name = properties->items[i].name,
            .value = properties->items[i].value,
        };
    }
    return list;
}

int
evc_storage_with_kafka(const struct evc_config *config, unsigned region, evc_storage_kafka_fn call,
                       void *ctx, struct evc_error *error)
{
    struct evc_kafka_property *properties = list_properties(&config->queue.properties);
    struct evc_kafka_property *of_topic = list_properties(&config->queue.topic);
    char topic[2 * EVC_CONFIG_NAME_LEN_MAX + 16];
    char group_prefix[sizeof(topic) + 1];
    int status = EVC_E_NOMEM;

    snprintf(topic, sizeof(topic), "evcache.%s.%s", config->cache, config->regions[region].name);
    snprintf(group_prefix, sizeof(group_prefix), "%s.", topic);
    if (properties && of_topic) {
        status = call(
            &(struct evc_kafka_options){
                .brokers = config->queue.brokers,
                .topic = topic,
                .group_prefix = group_prefix,
                .partition_count = config->queue.partitions,
                .replication = config->queue.replication ? (int)config->queue.replication : -1,
                .properties = properties,
                .property_count = config->queue.properties.count,
                .topic_properties = of_topic,
                .topic_property_count = config->queue.topic.count,
            },
            ctx, error);
    } else {
        evc_error_set(error, status, "out of memory");
    }
    free(properties);
    free(of_topic);
    return status;
}

static int
open_kafka(const struct evc_kafka_options *options, void *ctx, struct evc_error *error)
{
    return evc_queue_kafka_open(options, ctx, error);
}

/** ctx: the configuration. The first mistake, with its line: of a property by itself, or of all
 * together. */
static int
check_kafka(const struct evc_kafka_options *options, void *ctx, struct evc_error *error)
{
    const struct evc_config *config = ctx;
    struct evc_error mistake;
    unsigned line = config->queue.line;
    int status = EVC_OK;

    for (size_t i = 0; i < options->property_count && status == EVC_OK; i++) {
        status = evc_kafka_check_property(&options->properties[i], &mistake);
        line = status ? config->queue.properties.items[i].line : line;
    }
    status = status ? status : evc_kafka_check_properties(options, &mistake);
    return status ? evc_error_set(error, status, "%s:%u: %s", config->file, line, mistake.text)
                  : EVC_OK;
}

int
evc_storage_check(const struct evc_config *config, struct evc_error *error)
{
    return evc_config_is_kafka(config)
               ? evc_storage_with_kafka(config, 0, check_kafka, (void *)config, error)
               : EVC_OK;
}

static int
open_embedded(const struct evc_config *config, unsigned region, struct evc_queue **ret,
              struct evc_error *error)
{
    const char *groups[EVC_CONFIG_REGION_MAX];
    char path[EVC_PATH_BYTES_MAX];
    int status =
        make_region_directory(config, region, config->queue.path, "queue.path", path, error);

    if (status != EVC_OK) {
        return status;
    }
    for (unsigned i = 0; i < config->regions_count; i++) {
        groups[i] = config->regions[i].name;
    }
    return evc_queue_embedded_open(
        &(struct evc_queue_options){
            .path = path,
            .partition_count = config->queue.partitions,
            .bytes_max = config->queue.bytes_max,
            .durability =
                config->queue.is_power_durable ? EVC_DURABILITY_POWER : EVC_DURABILITY_PROCESS,
            .groups = groups,
            .group_count = config->regions_count,
        },
        ret, error);
}

int
evc_storage_open_queue(const struct evc_config *config, unsigned region, struct evc_queue **ret,
                       struct evc_error *error)
{
    int status = evc_storage_check(config, error);

    if (status != EVC_OK) {
        return status;
    }
    return evc_config_is_kafka(config)
               ? evc_storage_with_kafka(config, region, open_kafka, ret, error)
               : open_embedded(config, region, ret, error);
}

bool
evc_storage_has_journal(const struct evc_config *config, unsigned region, unsigned slot)
{
    char path[EVC_PATH_BYTES_MAX];
    char file[EVC_PATH_BYTES_MAX + 32];

    if (region_path(config, region, config->journal.path, "journal.path", path, NULL) != EVC_OK) {
        return false;
    }
    snprintf(file, sizeof(file), "%s/slot-%04u.journal", path, slot);
    return access(file, F_OK) == 0;
}

int
evc_storage_peek_journal(const struct evc_config *config, unsigned region, unsigned slot,
                         struct evc_journal_peek *ret)
{
    char path[EVC_PATH_BYTES_MAX];
    int status = region_path(config, region, config->journal.path, "journal.path", path, NULL);

    return status ? status : evc_journal_peek(path, slot, ret);
}

int
evc_storage_open_journal(const struct evc_config *config, unsigned region, unsigned slot,
                         struct evc_journal **ret, uint64_t *ret_replayed, struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX];
    int status =
        make_region_directory(config, region, config->journal.path, "journal.path", path, error);

    status = status ? status
                    : evc_journal_open(path, slot, config->journal.bytes, ret, ret_replayed, error);
    if (status == EVC_OK) {
        evc_journal_set_partitions(*ret, config->queue.partitions);
    }
    return status;
}

void
evc_storage_log_replay(const struct evc_journal *journal, uint64_t replayed)
{
    if (replayed > 0) {
        evc_log_info("events of the last process are replayed", "slot=%u events=%llu",
                     evc_journal_slot(journal), (unsigned long long)replayed);
    }
}
