/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of `queue:` that no row of a table can say; private to the configuration. */
#ifndef EVC_TOPOLOGY_CONFIG_QUEUE_H
#define EVC_TOPOLOGY_CONFIG_QUEUE_H

#include "topology/yaml_reader.h"

/** embedded or kafka, into a char *. */
EVC_MUST_USE int evc_config_read_kind(struct evc_yaml *yaml, yaml_node_t *value,
                                      const struct evc_yaml_field *field, void *target);

/** host:port,host:port,… as it stands, into a char *. */
EVC_MUST_USE int evc_config_read_brokers(struct evc_yaml *yaml, yaml_node_t *value,
                                         const struct evc_yaml_field *field, void *target);

/** Any names and their values, into a struct evc_config_properties. Whether librdkafka or Kafka
 * knows them is not asked here. */
EVC_MUST_USE int evc_config_read_properties(struct evc_yaml *yaml, yaml_node_t *value,
                                            const struct evc_yaml_field *field, void *target);

/** What the kind of the queue asks for and does not allow; after the whole file was read. */
EVC_MUST_USE int evc_config_check_queue(const struct evc_config *config, struct evc_error *error);

void evc_config_free_properties(struct evc_config_properties *properties);

#endif
