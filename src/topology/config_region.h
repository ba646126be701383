/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of the configuration: `regions:` with their zones and addresses, and `policies:`. Used
 * by config.c alone.
 */
#ifndef EVC_TOPOLOGY_CONFIG_REGION_H
#define EVC_TOPOLOGY_CONFIG_REGION_H

#include "topology/config.h"
#include "topology/yaml_reader.h"

/** Read functions of yaml_reader.h; the target is the struct evc_config. What was read before a
 * mistake stays there, to be freed. */
EVC_MUST_USE int evc_config_read_regions(struct evc_yaml *yaml, yaml_node_t *value,
                                         const struct evc_yaml_field *field, void *target);
EVC_MUST_USE int evc_config_read_policies(struct evc_yaml *yaml, yaml_node_t *value,
                                          const struct evc_yaml_field *field, void *target);

/** The lists, not the configuration; safe after a failed read. */
void evc_config_free_regions(struct evc_config *config);
void evc_config_free_policies(struct evc_config *config);

#endif
