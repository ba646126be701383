/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `partitions`: how many partitions a region's topic on Kafka has, and more of them. */
#include <stdio.h>

#include "cli/options.h"
#include "cli/verbs.h"
#include "daemon/storage.h"

static const char help[] =
    "usage: evcache partitions --config FILE --region NAME --set N\n"
    "\n"
    "Raises the partitions of a region's topic on Kafka to N while everything runs.\n"
    "Producers and relays notice within some seconds; nothing is restarted.\n"
    "Partitions cannot be taken away. Set queue.partitions in the file too: topics\n"
    "of other regions and canaries go by it.\n"
    "\n"
    "  --config FILE       the configuration, the same for every process\n"
    "  --region NAME       the region whose topic it is\n"
    "  --set N             how many, up to 256\n";

struct change {
    unsigned wanted;
    unsigned before;
};

static int
set_partitions(const struct evc_kafka_options *options, void *ctx, struct evc_error *error)
{
    struct change *change = ctx;

    return evc_kafka_set_partitions(options, change->wanted, &change->before, error);
}

static int
change_partitions(const struct evc_config *config, unsigned region, struct change *change)
{
    struct evc_error error;

    if (!evc_config_is_kafka(config)) {
        return evc_cli_fail("partitions",
                            "queue.kind is %s; partitions are added at run time on "
                            "kafka only, else by queue.partitions and a restart",
                            config->queue.kind);
    }
    if (evc_storage_with_kafka(config, region, set_partitions, change, &error) != EVC_OK) {
        return evc_cli_fail("partitions", "%s", error.text);
    }
    printf("%s: %u partitions, %u before\n", config->regions[region].name, change->wanted,
           change->before);
    return EVC_EXIT_OK;
}

int
evc_cli_partitions(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    struct change change = {0};
    unsigned region;
    int result;

    if (!evc_cli_options_parse(argc, argv,
                               EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_REGION | EVC_CLI_TAKE_SET, help,
                               &options, &result)) {
        return result;
    }
    if (options.set == 0) {
        return evc_cli_misuse("partitions", "how many? Say --set N, 1 to %d", EVC_PARTITION_MAX);
    }
    change.wanted = options.set;
    if (!evc_cli_config_load(&options, &config, &region, &result)) {
        return result;
    }
    result = change_partitions(config, region, &change);
    evc_config_destroy(config);
    return result;
}
