/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `partitions`: how many partitions a region's topic on Kafka has, and more of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/verbs.h"
#include "daemon/storage.h"

static const char help[] =
    "usage: evcache partitions --config FILE --region NAME --set N\n"
    "\n"
    "Raises the partitions of a region's topic on Kafka to N while everything runs. Producers and\n"
    "relays notice within some seconds; nothing is restarted. Partitions cannot be taken away. "
    "Set\n"
    "queue.partitions in the file too: topics of other regions and canaries go by it.\n"
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

/** Takes `--set N` out of the arguments. false: it is not there, or no such number. */
static bool
take_wanted(int *argc, char **argv, unsigned *ret)
{
    for (int i = 1; i + 1 < *argc; i++) {
        char *end;
        unsigned long number;

        if (strcmp(argv[i], "--set") != 0) {
            continue;
        }
        number = strtoul(argv[i + 1], &end, 10);
        if (*end != '\0' || number < 1 || number > EVC_PARTITION_MAX) {
            return false;
        }
        *ret = (unsigned)number;
        memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 1) * sizeof(*argv));
        *argc -= 2;
        return true;
    }
    return false;
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
    bool has_wanted = take_wanted(&argc, argv, &change.wanted);
    unsigned region;
    int result;

    if (!evc_cli_options_parse(argc, argv, EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_REGION, help,
                               &options, &result)) {
        return result;
    }
    if (!has_wanted) {
        return evc_cli_misuse("partitions", "--set takes a number from 1 to %d", EVC_PARTITION_MAX);
    }
    if (!evc_cli_config_load(&options, &config, &region, &result)) {
        return result;
    }
    result = change_partitions(config, region, &change);
    evc_config_destroy(config);
    return result;
}
