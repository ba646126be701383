/* SPDX-License-Identifier: Apache-2.0 */
/* Properties, clients and the topic; see client.h. */
#include "queue/kafka/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
    KAFKA_ERROR_BYTES = 256
};

/* --- settings --- */

static struct evc_kafka_property *
copy_properties(const struct evc_kafka_property *from, size_t count)
{
    struct evc_kafka_property *to = calloc(count + 1, sizeof(*to));
    bool is_whole = to != NULL;

    for (size_t i = 0; is_whole && i < count; i++) {
        to[i].name = strdup(from[i].name);
        to[i].value = strdup(from[i].value);
        is_whole = to[i].name && to[i].value;
    }
    return to; /* the first without a name or value says that memory ran out */
}

static bool
are_whole(const struct evc_kafka_property *properties, size_t count)
{
    for (size_t i = 0; properties && i < count; i++) {
        if (!properties[i].name || !properties[i].value) {
            return false;
        }
    }
    return properties != NULL;
}

int
evc_kafka_settings_copy(struct evc_kafka_settings *settings,
                        const struct evc_kafka_options *options)
{
    struct evc_kafka_options *mine = &settings->options;

    *mine = *options;
    mine->brokers = strdup(options->brokers);
    mine->topic = strdup(options->topic);
    mine->group_prefix = strdup(options->group_prefix);
    mine->properties = copy_properties(options->properties, options->property_count);
    mine->topic_properties =
        copy_properties(options->topic_properties, options->topic_property_count);
    return mine->brokers && mine->topic && mine->group_prefix &&
                   are_whole(mine->properties, mine->property_count) &&
                   are_whole(mine->topic_properties, mine->topic_property_count)
               ? EVC_OK
               : EVC_E_NOMEM;
}

static void
free_properties(const struct evc_kafka_property *properties, size_t count)
{
    for (size_t i = 0; properties && i < count; i++) {
        free(properties[i].name);
        free(properties[i].value);
    }
    free((void *)properties);
}

void
evc_kafka_settings_finish(struct evc_kafka_settings *settings)
{
    struct evc_kafka_options *mine = &settings->options;

    free((void *)mine->brokers);
    free((void *)mine->topic);
    free((void *)mine->group_prefix);
    free_properties(mine->properties, mine->property_count);
    free_properties(mine->topic_properties, mine->topic_property_count);
}

/* --- clients --- */

/** Properties the backend's promises rest on; a user who sets one breaks them. */
static bool
is_ours(const char *name)
{
    static const char *const ours[] = {
        "bootstrap.servers",  "metadata.broker.list",          "group.id",
        "enable.auto.commit", "enable.auto.offset.store",      "auto.offset.reset",
        "enable.idempotence", "partition.assignment.strategy", "enable.partition.eof",
        "transactional.id",
    };

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcmp(ours[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int
set_property(rd_kafka_conf_t *conf, const struct evc_kafka_property *property,
             struct evc_error *error)
{
    char why[KAFKA_ERROR_BYTES] = "";

    if (is_ours(property->name)) {
        return evc_error_set(error, EVC_E_CONFIG,
                             "queue.properties.%s: is set by evcache and cannot be changed",
                             property->name);
    }
    switch (rd_kafka_conf_set(conf, property->name, property->value, why, sizeof(why))) {
    case RD_KAFKA_CONF_OK:
        return EVC_OK;
    case RD_KAFKA_CONF_UNKNOWN:
        return evc_error_set(error, EVC_E_CONFIG,
                             "queue.properties.%s: is not a property of librdkafka %s",
                             property->name, rd_kafka_version_str());
    case RD_KAFKA_CONF_INVALID:
        break;
    }
    why[strcspn(why, "\n")] = '\0';
    return evc_error_set(error, EVC_E_CONFIG, "queue.properties.%s: %s", property->name, why);
}

/** librdkafka's own words; they say what an error code cannot. */
static void
on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    evc_log_debug("librdkafka", "level=%d facility=%s text=\"%s\"", level, facility, text);
}

rd_kafka_conf_t *
evc_kafka_conf(const struct evc_kafka_settings *settings, const char *const *defaults,
               struct evc_error *error)
{
    const struct evc_kafka_options *options = &settings->options;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[KAFKA_ERROR_BYTES];
    bool is_set = rd_kafka_conf_set(conf, "bootstrap.servers", options->brokers, why,
                                    sizeof(why)) == RD_KAFKA_CONF_OK;

    for (size_t i = 0; is_set && defaults[i]; i += 2) {
        /* A property this librdkafka does not know yet is passed over. */
        is_set = rd_kafka_conf_set(conf, defaults[i], defaults[i + 1], why, sizeof(why)) !=
                 RD_KAFKA_CONF_INVALID;
    }
    if (!is_set) {
        evc_error_set(error, EVC_E_CONFIG, "queue.brokers: %s", why);
    }
    for (size_t i = 0; is_set && i < options->property_count; i++) {
        is_set = set_property(conf, &options->properties[i], error) == EVC_OK;
    }
    if (!is_set) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    return conf;
}

int
evc_kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret,
                 struct evc_error *error)
{
    char why[KAFKA_ERROR_BYTES] = "";
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));

    if (!client) {
        rd_kafka_conf_destroy(conf);
        why[strcspn(why, "\n")] = '\0';
        return evc_error_set(error, EVC_E_CONFIG, "queue.properties: %s", why);
    }
    *ret = client;
    return EVC_OK;
}

static const char *const admin_defaults[] = {"socket.nagle.disable", "true", NULL};

int
evc_kafka_check_property(const struct evc_kafka_property *property, struct evc_error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int rc = set_property(conf, property, error);

    rd_kafka_conf_destroy(conf);
    return rc;
}

/** As a client of one type has them: what does not go together with our own, or among them, is
 * found when it is made. */
static int
check_client(const struct evc_kafka_settings *settings, rd_kafka_type_t type,
             const char *const *defaults, struct evc_error *error)
{
    rd_kafka_conf_t *conf = evc_kafka_conf(settings, defaults, error);
    rd_kafka_t *client = NULL;
    int rc;

    if (!conf) {
        return EVC_E_CONFIG;
    }
    /* Only a consumer has one; it never joins. */
    if (type == RD_KAFKA_CONSUMER &&
        rd_kafka_conf_set(conf, "group.id", settings->options.group_prefix, NULL, 0) !=
            RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(conf);
        return evc_error_set(error, EVC_E_CONFIG, "group %s: librdkafka does not take the name",
                             settings->options.group_prefix);
    }
    rc = evc_kafka_client(type, conf, &client, error);
    if (rc == EVC_OK) {
        rd_kafka_destroy(client);
    }
    return rc;
}

int
evc_kafka_check_properties(const struct evc_kafka_options *options, struct evc_error *error)
{
    struct evc_kafka_settings settings = {.options = *options};
    int rc;

    settings.options.brokers = ""; /* none is looked for, nor its name */
    rc = check_client(&settings, RD_KAFKA_PRODUCER, evc_kafka_producer_defaults, error);
    return rc ? rc : check_client(&settings, RD_KAFKA_CONSUMER, evc_kafka_consumer_defaults, error);
}

/* --- the topic --- */

int
evc_kafka_count_partitions(rd_kafka_t *client, const char *topic, unsigned *ret_count,
                           struct evc_error *error)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    unsigned count = 0;

    if (!handle) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    err = rd_kafka_metadata(client, 0, handle, &metadata, EVC_KAFKA_ADMIN_MS);
    rd_kafka_topic_destroy(handle);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return evc_error_set(error, EVC_E_SYS, "Kafka does not answer: %s", rd_kafka_err2str(err));
    }
    if (metadata->topic_cnt == 1) {
        err = metadata->topics[0].err;
        count = (unsigned)metadata->topics[0].partition_cnt;
    } else {
        err = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    }
    rd_kafka_metadata_destroy(metadata);
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        return evc_error_set(error, EVC_E_NOT_FOUND, "Kafka has no topic %s", topic);
    }
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR || count == 0) {
        return evc_error_set(error, EVC_E_SYS, "topic %s: %s", topic, rd_kafka_err2str(err));
    }
    *ret_count = count;
    return EVC_OK;
}

/** Waits for the answer to an admin request. The event is the caller's; NULL: none came. */
static rd_kafka_event_t *
wait_answer(rd_kafka_queue_t *queue)
{
    return rd_kafka_queue_poll(queue, EVC_KAFKA_ADMIN_MS + 1000);
}

/** What became of the one topic a request was about. */
static int
topic_result(rd_kafka_event_t *event, const rd_kafka_topic_result_t **results, size_t count,
             rd_kafka_resp_err_t harmless, struct evc_error *error)
{
    rd_kafka_resp_err_t err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const char *why = event ? rd_kafka_event_error_string(event) : rd_kafka_err2str(err);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && count == 1) {
        err = rd_kafka_topic_result_error(results[0]);
        why = rd_kafka_topic_result_error_string(results[0]);
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR || err == harmless) {
        return EVC_OK;
    }
    return evc_error_set(error, EVC_E_SYS, "Kafka refuses: %s", why ? why : rd_kafka_err2str(err));
}

static rd_kafka_AdminOptions_t *
admin_options(rd_kafka_t *client, rd_kafka_admin_op_t op)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, op);
    char why[KAFKA_ERROR_BYTES];

    /* Refused only for a time-out out of range, which this one is not. */
    (void)rd_kafka_AdminOptions_set_request_timeout(options, EVC_KAFKA_ADMIN_MS, why, sizeof(why));
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, EVC_KAFKA_ADMIN_MS, why,
                                                      sizeof(why));
    return options;
}

static int
create_topic(rd_kafka_t *client, const struct evc_kafka_settings *settings, struct evc_error *error)
{
    const struct evc_kafka_options *options = &settings->options;
    char why[KAFKA_ERROR_BYTES] = "";
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        options->topic, (int)options->partition_count, options->replication, why, sizeof(why));
    rd_kafka_AdminOptions_t *admin;
    const rd_kafka_topic_result_t **results = NULL;
    rd_kafka_event_t *event;
    rd_kafka_queue_t *queue;
    size_t count = 0;
    int rc;

    if (!topic) {
        return evc_error_set(error, EVC_E_CONFIG, "topic %s: %s", options->topic, why);
    }
    for (size_t i = 0; i < options->topic_property_count; i++) {
        (void)rd_kafka_NewTopic_set_config(topic, options->topic_properties[i].name,
                                           options->topic_properties[i].value);
    }
    admin = admin_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, admin, queue);
    event = wait_answer(queue);
    if (event && rd_kafka_event_CreateTopics_result(event)) {
        results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    }
    rc = topic_result(event, results, count, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, error);
    if (event) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_NewTopic_destroy(topic);
    return rc;
}

static int
enlarge_topic(rd_kafka_t *client, const char *name, unsigned partition_count,
              struct evc_error *error)
{
    char why[KAFKA_ERROR_BYTES] = "";
    rd_kafka_NewPartitions_t *topic =
        rd_kafka_NewPartitions_new(name, partition_count, why, sizeof(why));
    rd_kafka_AdminOptions_t *admin;
    const rd_kafka_topic_result_t **results = NULL;
    rd_kafka_event_t *event;
    rd_kafka_queue_t *queue;
    size_t count = 0;
    int rc;

    if (!topic) {
        return evc_error_set(error, EVC_E_CONFIG, "topic %s: %s", name, why);
    }
    admin = admin_options(client, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
    queue = rd_kafka_queue_new(client);
    rd_kafka_CreatePartitions(client, &topic, 1, admin, queue);
    event = wait_answer(queue);
    if (event && rd_kafka_event_CreatePartitions_result(event)) {
        results = rd_kafka_CreatePartitions_result_topics(
            rd_kafka_event_CreatePartitions_result(event), &count);
    }
    /* Refused as invalid when another process has just done the same. */
    rc = topic_result(event, results, count, RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, error);
    if (event) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_NewPartitions_destroy(topic);
    return rc;
}

int
evc_kafka_ensure_topic(rd_kafka_t *client, const struct evc_kafka_settings *settings,
                       unsigned *ret_count, struct evc_error *error)
{
    const struct evc_kafka_options *options = &settings->options;
    unsigned count = 0;
    int rc = evc_kafka_count_partitions(client, options->topic, &count, error);

    if (rc == EVC_E_NOT_FOUND) {
        rc = create_topic(client, settings, error);
    } else if (rc == EVC_OK && count < options->partition_count) {
        rc = enlarge_topic(client, options->topic, options->partition_count, error);
    } else {
        *ret_count = count;
        return rc;
    }
    rc = rc ? rc : evc_kafka_count_partitions(client, options->topic, &count, error);
    if (rc == EVC_OK) {
        *ret_count = count;
    }
    return rc == EVC_E_NOT_FOUND ? EVC_E_SYS : rc; /* not all brokers know of it yet */
}

int
evc_kafka_set_partitions(const struct evc_kafka_options *options, unsigned count,
                         unsigned *ret_before, struct evc_error *error)
{
    struct evc_kafka_settings settings = {.options = *options};
    rd_kafka_conf_t *conf = evc_kafka_conf(&settings, admin_defaults, error);
    rd_kafka_t *client = NULL;
    unsigned before = 0;
    int rc = conf ? evc_kafka_client(RD_KAFKA_PRODUCER, conf, &client, error) : EVC_E_CONFIG;

    if (rc != EVC_OK) {
        return rc;
    }
    rc = evc_kafka_count_partitions(client, options->topic, &before, error);
    if (rc == EVC_OK && before > count) {
        rc = evc_error_set(error, EVC_E_CONFIG,
                           "topic %s has %u partitions; partitions can be added but not taken away",
                           options->topic, before);
    }
    if (rc == EVC_OK && before < count) {
        rc = enlarge_topic(client, options->topic, count, error);
    }
    rd_kafka_destroy(client);
    if (rc == EVC_OK) {
        *ret_before = before;
    }
    return rc;
}
