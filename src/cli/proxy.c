/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `proxy`: command line and log around evc_proxy_run. */
#include <stdio.h>

#include "cli/options.h"
#include "cli/verbs.h"
#include "proxy/proxy.h"

static const char help[] =
    "usage: evcache proxy --config FILE --region NAME [options]\n"
    "\n"
    "Runs one proxy of a region: applications speak memcached to it, and the other\n"
    "regions' relays deliver to its receiver. Runs until SIGINT or SIGTERM, then\n"
    "answers what is in flight.\n"
    "\n"
    "  --config FILE       the configuration, the same for every process\n"
    "  --region NAME       the region it belongs to\n"
    "  --index N           which of the region's `proxies` it is, from 0 (default 0)\n"
    "  --zone NAME         the zone to read from first (default: the region's first)\n"
    "  --log-level LEVEL   error, warn, info (default) or debug; the log is on\n"
    "                      standard error\n";

int
evc_cli_proxy(int argc, char **argv)
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
    if (options.index >= config->regions[region].proxies_count) {
        result =
            evc_cli_misuse("proxy", "region %s has %u proxies; --index %u is none of them",
                           options.region, config->regions[region].proxies_count, options.index);
        evc_config_destroy(config);
        return result;
    }
    char id[EVC_CONFIG_NAME_LEN_MAX + 16];
    snprintf(id, sizeof(id), "%s/%u", options.region, options.index);
    evc_log_init("proxy", id, options.log_level);
    struct evc_proxy_options proxy = {
        .config = config, .region = region, .index = options.index, .local_zone = options.zone};
    result = EVC_EXIT_OK;
    if (evc_proxy_run(&proxy, &error) != 0) {
        result = evc_cli_fail("proxy", "%s", error.text);
    }
    evc_config_destroy(config);
    return result;
}
