/* SPDX-License-Identifier: Apache-2.0 */
/* See config_queue.h. */
#include "topology/config_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum {
    CONFIG_PROPERTIES_MAX = 128
};

int
evc_config_read_kind(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                     void *target)
{
    const char *text;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (strcmp(text, "embedded") != 0 && strcmp(text, "kafka") != 0) {
        return evc_yaml_mistake(yaml, value,
                                "\"%.80s\" is not known; allowed are embedded and kafka", text);
    }
    EVC_CONTAINER_OF(target, struct evc_config, queue.kind)->queue.line =
        (unsigned)value->start_mark.line + 1;
    return evc_yaml_read_string(yaml, value, field, target);
}

/** One of the list, which ends at a comma or with it. librdkafka would pass over what it cannot
 * read, and take 9092 where a port is missing. */
static int
check_broker(struct evc_yaml *yaml, const yaml_node_t *value, const char *text, size_t len)
{
    struct evc_address address;
    struct evc_error error;
    char *broker;
    int rc;

    if (len == 0) {
        return evc_yaml_mistake(yaml, value, "has an empty entry; brokers are host:port,host:port");
    }
    broker = strndup(text, len);
    if (!broker) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    rc = evc_address_parse(broker, &address, &error);
    free(broker);
    if (rc != EVC_OK) {
        return evc_yaml_mistake(yaml, value, "%s; brokers are host:port,host:port without blanks",
                                error.text);
    }
    evc_address_finish(&address);
    return EVC_OK;
}

int
evc_config_read_brokers(struct evc_yaml *yaml, yaml_node_t *value,
                        const struct evc_yaml_field *field, void *target)
{
    const char *at = NULL;
    int rc;

    if (value->type == YAML_SEQUENCE_NODE) {
        return evc_yaml_mistake(yaml, value, "must be one text: \"host:port,host:port\"");
    }
    rc = evc_yaml_text(yaml, value, &at);
    while (rc == EVC_OK && at) {
        size_t len = strcspn(at, ",");

        rc = check_broker(yaml, value, at, len);
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    return rc ? rc : evc_yaml_read_string(yaml, value, field, target);
}

static int
read_property(struct evc_yaml *yaml, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
              struct evc_config_property *property)
{
    yaml_node_t *name = evc_yaml_node(yaml, pair->key);
    const char *text;
    size_t back;
    int rc = evc_yaml_text(yaml, name, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (evc_yaml_is_repeated(yaml, mapping, pair, text)) {
        return evc_yaml_mistake(yaml, name, "\"%.80s\" is given twice", text);
    }
    property->name = strdup(text);
    property->line = (unsigned)name->start_mark.line + 1;
    if (!property->name) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    back = evc_yaml_enter(yaml, property->name);
    rc = evc_yaml_text(yaml, evc_yaml_node(yaml, pair->value), &text);
    evc_yaml_leave(yaml, back);
    if (rc != EVC_OK) {
        return rc;
    }
    property->value = strdup(text);
    return property->value ? EVC_OK : evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
}

int
evc_config_read_properties(struct evc_yaml *yaml, yaml_node_t *value,
                           const struct evc_yaml_field *field, void *target)
{
    struct evc_config_properties *properties = target;
    size_t count;
    int rc = EVC_OK;

    (void)field;
    if (value->type != YAML_MAPPING_NODE) {
        return evc_yaml_mistake(yaml, value, "must be a mapping (name: value)");
    }
    count = (size_t)(value->data.mapping.pairs.top - value->data.mapping.pairs.start);
    if (count > CONFIG_PROPERTIES_MAX) {
        return evc_yaml_mistake(yaml, value, "has %zu entries; at most %d are allowed", count,
                                CONFIG_PROPERTIES_MAX);
    }
    properties->items = calloc(count + 1, sizeof(*properties->items));
    if (!properties->items) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    while (rc == EVC_OK && properties->count < count) {
        const yaml_node_pair_t *pair = &value->data.mapping.pairs.start[properties->count];

        rc = read_property(yaml, value, pair, &properties->items[properties->count++]);
    }
    return rc;
}

static int
refuse_kafka_settings(const struct evc_config *config, struct evc_error *error)
{
    const struct {
        const char *name;
        bool is_given;
    } settings[] = {
        {"brokers", config->queue.brokers != NULL},
        {"managed", config->queue.is_managed},
        {"replication", config->queue.replication > 0},
        {"properties", config->queue.properties.count > 0},
        {"topic", config->queue.topic.count > 0},
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (settings[i].is_given) {
            return evc_error_set(error, EVC_E_CONFIG, "%s:%u: queue.%s: is for kind kafka only",
                                 config->file, config->queue.line, settings[i].name);
        }
    }
    return EVC_OK;
}

int
evc_config_check_queue(const struct evc_config *config, struct evc_error *error)
{
    bool is_kafka = evc_config_is_kafka(config);

    if (is_kafka && !config->queue.brokers) {
        return evc_error_set(
            error, EVC_E_CONFIG,
            "%s:%u: queue: \"brokers\" is missing, which kind kafka needs (host:port,…)",
            config->file, config->queue.line);
    }
    return is_kafka ? EVC_OK : refuse_kafka_settings(config, error);
}

bool
evc_config_is_kafka(const struct evc_config *config)
{
    return strcmp(config->queue.kind, "kafka") == 0;
}

void
evc_config_free_properties(struct evc_config_properties *properties)
{
    for (unsigned i = 0; i < properties->count; i++) {
        free(properties->items[i].name);
        free(properties->items[i].value);
    }
    free(properties->items);
}
