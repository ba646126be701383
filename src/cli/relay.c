/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `relay`: command line and log around evc_relay_run. */
#include <stdio.h>

#include "cli/options.h"
#include "cli/verbs.h"
#include "relay/relay.h"

static const char help[] =
    "usage: evcache relay --config FILE --region NAME [options]\n"
    "\n"
    "Runs one relay of a region: reads the region's queue, fetches each value from\n"
    "the region's own nodes and delivers it to every other region; repairs the\n"
    "region's zones. Runs until SIGINT or SIGTERM, then notes how far it came.\n"
    "\n"
    "  --config FILE       the configuration, the same for every process\n"
    "  --region NAME       the region it belongs to\n"
    "  --index N           which of the region's `relays` it is, from 0 (default 0)\n"
    "  --zone NAME         the zone to read from first (default: the region's first)\n"
    "  --log-level LEVEL   error, warn, info (default) or debug; the log is on\n"
    "                      standard error\n";

int
evc_cli_relay(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    struct evc_error error = {0};
    unsigned region, take = EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_REGION | EVC_CLI_TAKE_PLACE |
                            EVC_CLI_TAKE_LOG_LEVEL;
    int result;

    if (!evc_cli_options_parse(argc, argv, take, help, &options, &result) ||
        !evc_cli_config_load(&options, &config, &region, &result)) {
        return result;
    }
    if (options.index >= config->regions[region].relays_count) {
        result =
            evc_cli_misuse("relay", "region %s has %u relays; --index %u is none of them",
                           options.region, config->regions[region].relays_count, options.index);
        evc_config_destroy(config);
        return result;
    }
    char id[EVC_CONFIG_NAME_LEN_MAX + 16];
    snprintf(id, sizeof(id), "%s/%u", options.region, options.index);
    evc_log_init("relay", id, options.log_level);
    struct evc_relay_options relay = {
        .config = config, .region = region, .index = options.index, .local_zone = options.zone};
    result = EVC_EXIT_OK;
    if (evc_relay_run(&relay, &error) != 0) {
        result = evc_cli_fail("relay", "%s", error.text);
    }
    evc_config_destroy(config);
    return result;
}
