/* SPDX-License-Identifier: Apache-2.0 */
/* See topology.h. */
#include "topology/topology.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
evc_address_resolve(const struct evc_address *address, struct sockaddr_storage *ret,
                    struct evc_error *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    int rc;

    snprintf(port, sizeof(port), "%u", (unsigned)address->port);
    rc = getaddrinfo(address->host, port, &hints, &found);
    if (rc != 0) {
        return evc_error_set(error, EVC_E_CONFIG, "%s: %s", address->text, gai_strerror(rc));
    }
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return EVC_OK;
}

static int
node_init(struct evc_node *node, const struct evc_address *address, struct evc_error *error)
{
    struct sockaddr_storage storage;
    int rc = evc_address_resolve(address, &storage, error);

    if (rc != EVC_OK) {
        return rc;
    }
    node->text = address->text;
    if (storage.ss_family == AF_INET) {
        memcpy(&node->address.v4, &storage, sizeof(node->address.v4));
    } else {
        memcpy(&node->address.v6, &storage, sizeof(node->address.v6));
    }
    return EVC_OK;
}

static int
ring_init(struct evc_zone *zone, struct evc_error *error)
{
    const char **addresses = calloc(zone->node_count, sizeof(*addresses));

    for (unsigned i = 0; addresses && i < zone->node_count; i++) {
        addresses[i] = zone->nodes[i].text;
    }
    zone->ring = addresses ? evc_ring_create(addresses, zone->node_count) : NULL;
    free(addresses);
    return zone->ring ? EVC_OK
                      : evc_error_set(error, EVC_E_NOMEM, "out of memory, or OpenSSL has no MD5");
}

static int
zone_init(struct evc_topology *topology, unsigned index, const struct evc_config_zone *config,
          struct evc_error *error)
{
    struct evc_zone *zone = &topology->zones[index];

    zone->name = config->name;
    zone->nodes = calloc(config->nodes_count, sizeof(*zone->nodes));
    if (!zone->nodes) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (unsigned i = 0; i < config->nodes_count; i++) {
        int rc = node_init(&zone->nodes[i], &config->nodes[i], error);

        if (rc != EVC_OK) {
            return rc;
        }
        zone->nodes[i].index = topology->node_count++;
        zone->nodes[i].zone = index;
        zone->node_count++;
    }
    return ring_init(zone, error);
}

/** Adds the region's zones of one state. */
static int
add_zones(struct evc_topology *topology, const struct evc_config_region *region,
          enum evc_zone_state state, const char *local_zone, struct evc_error *error)
{
    for (unsigned i = 0; i < region->zones_count; i++) {
        const struct evc_config_zone *zone = &region->zones[i];
        unsigned index = topology->zone_count;
        int rc;

        if (zone->state != state) {
            continue;
        }
        if (state == EVC_ZONE_SERVING && local_zone && strcmp(zone->name, local_zone) == 0) {
            topology->local_zone = index;
        }
        topology->zone_count++;
        topology->write_only_count += state == EVC_ZONE_WRITE_ONLY;
        rc = zone_init(topology, index, zone, error);
        if (rc != EVC_OK) {
            return rc;
        }
    }
    return EVC_OK;
}

static void
topology_free(struct evc_topology *topology)
{
    for (unsigned i = 0; topology->zones && i < topology->zone_count; i++) {
        evc_ring_destroy(topology->zones[i].ring);
        free(topology->zones[i].nodes);
    }
    free(topology->zones);
    free(topology);
}

int
evc_topology_create(const struct evc_config *config, unsigned region_index, const char *local_zone,
                    struct evc_topology **ret, struct evc_error *error)
{
    const struct evc_config_region *region = &config->regions[region_index];
    struct evc_topology *topology = calloc(1, sizeof(*topology));
    unsigned local; /* among the configuration's, of which drained ones are left out here */
    int rc;

    if (!topology) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    topology->config = config;
    topology->region = region_index;
    topology->refs = 1;
    rc = local_zone ? evc_config_zone_find(region, local_zone, &local, error) : EVC_OK;
    if (rc == EVC_OK) {
        topology->zones = calloc(region->zones_count, sizeof(*topology->zones));
        rc = topology->zones ? EVC_OK : evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    if (rc == EVC_OK) {
        rc = add_zones(topology, region, EVC_ZONE_SERVING, local_zone, error);
    }
    if (rc == EVC_OK && topology->zone_count == 0) {
        rc = evc_error_set(error, EVC_E_CONFIG, "region %s has no zone in state serving",
                           region->name);
    }
    if (rc == EVC_OK) {
        rc = add_zones(topology, region, EVC_ZONE_WRITE_ONLY, local_zone, error);
    }
    if (rc != EVC_OK) {
        topology_free(topology);
        return rc;
    }
    *ret = topology;
    return EVC_OK;
}

struct evc_topology *
evc_topology_ref(struct evc_topology *topology)
{
    __atomic_add_fetch(&topology->refs, 1, __ATOMIC_RELAXED);
    return topology;
}

void
evc_topology_unref(struct evc_topology *topology)
{
    if (topology && __atomic_sub_fetch(&topology->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        topology_free(topology);
    }
}
