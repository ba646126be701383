/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses in the configuration: reading one or a list of them, and the check that none is used
 * twice. Used by config.c alone.
 */
#ifndef EVC_TOPOLOGY_CONFIG_ADDRESS_H
#define EVC_TOPOLOGY_CONFIG_ADDRESS_H

#include "topology/config.h"
#include "topology/yaml_reader.h"

/** A list of addresses; in the configuration's structs a pointer followed by its count. */
struct evc_address_list {
    struct evc_address *addresses;
    unsigned count;
};

/** Read functions of yaml_reader.h; the target is a struct evc_address_list, detail its limits. */
int evc_config_read_addresses(struct evc_yaml *yaml, yaml_node_t *value,
                              const struct evc_yaml_field *field, void *target);

/** The same, or one address without a list around it. */
int evc_config_read_one_or_more(struct evc_yaml *yaml, yaml_node_t *value,
                                const struct evc_yaml_field *field, void *target);

/** Refuses an address that stands in two places, naming both with their lines. 0 or a status. */
EVC_MUST_USE int evc_config_check_addresses(const struct evc_config *config,
                                            struct evc_error *error);

void evc_config_free_addresses(struct evc_address *addresses, unsigned count);

#endif
