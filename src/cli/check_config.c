/* SPDX-License-Identifier: Apache-2.0 */
/* `evcache check-config FILE`: reads the configuration as every process would, and says what it
 * means. */
#include <stdio.h>

#include "cli/options.h"
#include "cli/verbs.h"
#include "daemon/storage.h"
#include "topology/config.h"

static const char help[] =
    "usage: evcache check-config FILE\n"
    "\n"
    "Reads FILE as every process of the cache would. Prints what it describes and\n"
    "exits 0, or prints the first mistake as FILE:LINE: what is wrong and what is\n"
    "allowed, and exits 1.\n";

static const char *
plural(unsigned count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

static void
print_region(const struct evc_config_region *region)
{
    printf("  %s: %u %s, %u %s, admin %s\n", region->name, region->proxies_count,
           plural(region->proxies_count, "proxy", "proxies"), region->relays_count,
           plural(region->relays_count, "relay", "relays"), region->admins[0].text);
    for (unsigned i = 0; i < region->zones_count; i++) {
        static const char *const states[] = {
            [EVC_ZONE_SERVING] = "",
            [EVC_ZONE_WRITE_ONLY] = ", written only",
            [EVC_ZONE_DRAINED] = ", drained",
        };

        printf("    zone %s: %u %s%s\n", region->zones[i].name, region->zones[i].nodes_count,
               plural(region->zones[i].nodes_count, "node", "nodes"),
               states[region->zones[i].state]);
    }
}

static void
print_map(const struct evc_config *config)
{
    unsigned zones = 0, nodes = 0;

    for (unsigned i = 0; i < config->regions_count; i++) {
        zones += config->regions[i].zones_count;
        for (unsigned z = 0; z < config->regions[i].zones_count; z++) {
            nodes += config->regions[i].zones[z].nodes_count;
        }
    }
    printf("%s: cache %s, %u %s, %u %s, %u %s, %u %s\n", config->file, config->cache,
           config->regions_count, plural(config->regions_count, "region", "regions"), zones,
           plural(zones, "zone", "zones"), nodes, plural(nodes, "node", "nodes"),
           config->policies_count, plural(config->policies_count, "policy", "policies"));
    printf("  queue %s %s %s, %u %s\n", config->queue.kind,
           evc_config_is_kafka(config) ? "at" : "in",
           evc_config_is_kafka(config) ? config->queue.brokers : config->queue.path,
           config->queue.partitions, plural(config->queue.partitions, "partition", "partitions"));
    for (unsigned i = 0; i < config->regions_count; i++) {
        print_region(&config->regions[i]);
    }
}

int
evc_cli_check_config(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    struct evc_error error;
    int result;

    if (!evc_cli_options_parse(argc, argv, EVC_CLI_TAKE_FILE, help, &options, &result)) {
        return result;
    }
    if (evc_config_load(options.config, &config, &error) != EVC_OK) {
        fprintf(stderr, "%s\n", error.text);
        return EVC_EXIT_FAILURE;
    }
    if (evc_storage_check(config, &error) != EVC_OK) {
        fprintf(stderr, "%s\n", error.text);
        evc_config_destroy(config);
        return EVC_EXIT_FAILURE;
    }
    print_map(config);
    evc_config_destroy(config);
    return EVC_EXIT_OK;
}
