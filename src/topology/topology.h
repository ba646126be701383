/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region's zones and nodes with resolved addresses and rings: the immutable snapshot that every
 * worker shares by reference. Opens no socket.
 */
#ifndef EVC_TOPOLOGY_TOPOLOGY_H
#define EVC_TOPOLOGY_TOPOLOGY_H

#include <netinet/in.h>
#include <sys/types.h>

#include "base/error.h"
#include "topology/config.h"
#include "topology/ring.h"

struct evc_node {
    const char *text; /* "127.0.0.1:12001" */
    union {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    unsigned index; /* within the topology, over all zones */
    unsigned zone;
};

struct evc_zone {
    const char *name;
    struct evc_node *nodes;
    unsigned node_count;
    struct evc_ring *ring;
};

struct evc_topology {
    const struct evc_config *config; /* outlives the topology */
    unsigned region;                 /* index */
    struct evc_zone *zones;
    unsigned zone_count;
    unsigned node_count;       /* over all zones */
    unsigned write_only_count; /* of zones, the last ones */
    unsigned local_zone;       /* index of the zone to read first; it is one that is read */
    int refs;                  /* atomic */
};

/**
 * The zones that serve, in the order of the configuration, then those that are written only;
 * drained ones are left out. local_zone: the name of the zone to read first, or NULL for the first;
 * one that does not serve leaves the first that does. EVC_E_CONFIG when none serves;
 * EVC_E_NOT_FOUND.
 */
EVC_MUST_USE int evc_topology_create(const struct evc_config *config, unsigned region,
                                     const char *local_zone, struct evc_topology **ret,
                                     struct evc_error *error);
struct evc_topology *evc_topology_ref(struct evc_topology *topology);
void evc_topology_unref(struct evc_topology *topology); /* accepts NULL */

/** Resolves an address of the configuration. 0, or EVC_E_CONFIG naming it. */
EVC_MUST_USE int evc_address_resolve(const struct evc_address *address,
                                     struct sockaddr_storage *ret, struct evc_error *error);

#endif
