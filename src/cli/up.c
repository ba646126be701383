/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `up`: a whole global cache on one machine, for development, demonstrations and tests.
 * Looks before it starts anything (memcached, ports), then hands over to the supervisor.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/broker.h"
#include "cli/options.h"
#include "cli/plan.h"
#include "cli/supervisor.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

static const char help[] =
    "usage: evcache up FILE [options]\n"
    "\n"
    "Runs every memcached node, proxy and relay of every region of FILE on this\n"
    "machine, restarts what dies, and stops everything within 5 seconds on Ctrl-C or\n"
    "SIGTERM: relays first, then proxies, then nodes. Nothing is left then but data:\n"
    "the queue, the journals, and the logs in `log` beside the queue. What a process\n"
    "warns of is shown here, all it says is in its log.\n"
    "\n"
    "  --memcached PATH    the memcached to run (1.6.27 or newer). Otherwise the\n"
    "                      first of: node.command in FILE, $EVCACHE_MEMCACHED,\n"
    "                      build/memcached/memcached, PATH\n"
    "  --pids FILE         keeps {\"region/relay/0\": pid, ...} there as JSON while it\n"
    "                      runs\n"
    "  --log-level LEVEL   of proxies and relays: error, warn, info (default) or\n"
    "                      debug\n"
    "\n"
    "With `queue: {kind: kafka, managed: true}` it also runs a Kafka broker at\n"
    "`brokers`, from the jars in the directory $EVCACHE_KAFKA, or those `make kafka`\n"
    "has put under build/.\n"
    "\n"
    "Exit status: 0 stopped as told, 1 could not start, 2 the command line is wrong.\n";

enum {
    MAP_NODES_SHOWN_MAX = 8,
    MAP_LABEL_COLUMNS = 14,
};

struct up {
    const struct evc_config *config;
    const struct evc_memcached *memcached;
    const struct evc_plan *plan;
};

static void
print_label(const char *region, const char *label)
{
    int region_columns = MAP_LABEL_COLUMNS, label_columns = MAP_LABEL_COLUMNS;

    printf("  %s%-*s%s %-*s ", evc_terminal_style(stdout, EVC_STYLE_BOLD), region_columns, region,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), label_columns, label);
}

static void
print_addresses(const struct evc_address *addresses, unsigned count)
{
    unsigned shown = count < MAP_NODES_SHOWN_MAX ? count : MAP_NODES_SHOWN_MAX;

    for (unsigned i = 0; i < shown; i++) {
        printf("%s%s", i > 0 ? "  " : "", addresses[i].text);
    }
    if (shown < count) {
        printf("  and %u more", count - shown);
    }
    putchar('\n');
}

static void
print_status_urls(const char *label, const struct evc_address *addresses, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        print_label("", i == 0 ? label : "");
        printf("%shttp://%s/status.json%s\n", evc_terminal_style(stdout, EVC_STYLE_DIM),
               addresses[i].text, evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
}

static void
print_region(const struct evc_config_region *region)
{
    print_label(region->name, "applications");
    print_addresses(region->proxies, region->proxies_count);
    print_label("", "receivers");
    print_addresses(region->receivers, region->receivers_count);
    for (unsigned z = 0; z < region->zones_count; z++) {
        print_label("", region->zones[z].name);
        print_addresses(region->zones[z].nodes, region->zones[z].nodes_count);
    }
    print_label("", "dashboard");
    printf("http://%s/\n", region->admins[0].text);
    print_status_urls("status", region->admins, region->admins_count);
    print_status_urls("", region->relays, region->relays_count);
    putchar('\n');
}

static void
print_map(void *ctx)
{
    const struct up *up = ctx;

    printf("%s%s%s: %u region%s, memcached %s\n\n", evc_terminal_style(stdout, EVC_STYLE_BOLD),
           up->config->cache, evc_terminal_style(stdout, EVC_STYLE_PLAIN),
           up->config->regions_count, up->config->regions_count == 1 ? "" : "s",
           up->memcached->version);
    for (unsigned r = 0; r < up->config->regions_count; r++) {
        print_region(&up->config->regions[r]);
    }
    printf("%s%zu processes answer.%s Logs in %s, the queue %s %s.\n",
           evc_terminal_style(stdout, EVC_STYLE_GOOD), up->plan->child_count,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), up->plan->log_directory,
           evc_config_is_kafka(up->config) ? "at" : "in",
           evc_config_is_kafka(up->config) ? up->config->queue.brokers : up->config->queue.path);
    printf("Ctrl-C stops everything; `evcache status --config %s` shows the books.\n",
           up->config->file);
}

/** broker: NULL where none is to be run. */
static int
run(const struct evc_cli_options *options, const struct evc_config *config,
    struct evc_broker *broker)
{
    struct evc_error error = {0};
    struct evc_memcached memcached;
    struct evc_plan plan;

    if (evc_memcached_find(options->memcached, config, &memcached, &error) != 0 ||
        evc_plan_check_ports(config, broker, &error) != 0 ||
        (broker != NULL && evc_broker_prepare(broker, config, &error) != 0)) {
        return evc_cli_fail("up", "%s", error.text);
    }
    char program[PATH_MAX];
    if (realpath("/proc/self/exe", program) == NULL) {
        return evc_cli_fail("up", "cannot find this program: %s", strerror(errno));
    }
    struct evc_plan_options plan_options = {.config = config,
                                            .memcached = &memcached,
                                            .broker = broker,
                                            .program = program,
                                            .log_level = options->log_level_text};
    if (evc_plan_create(&plan, &plan_options, &error) != 0) {
        return evc_cli_fail("up", "%s", error.text);
    }
    struct up up = {.config = config, .memcached = &memcached, .plan = &plan};
    struct evc_supervisor supervisor = {.children = plan.children,
                                        .child_count = plan.child_count,
                                        .pids_path = options->pids,
                                        .on_running = print_map,
                                        .ctx = &up};
    int status = evc_supervisor_run(&supervisor, &error);
    evc_plan_destroy(&plan);
    if (status != 0) {
        return evc_cli_fail("up", "%s", error.text);
    }
    puts("stopped; the queue and the journals stay for the next start");
    return EVC_EXIT_OK;
}

static int
run_with_broker(const struct evc_cli_options *options, const struct evc_config *config)
{
    struct evc_error error = {0};
    struct evc_broker broker = {0};

    if (!config->queue.is_managed) {
        return run(options, config, NULL);
    }
    if (evc_broker_find(config, &broker, &error) != 0) {
        return evc_cli_fail("up", "%s", error.text);
    }
    int result = run(options, config, &broker);
    evc_broker_finish(&broker);
    return result;
}

int
evc_cli_up(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    unsigned take =
        EVC_CLI_TAKE_FILE | EVC_CLI_TAKE_MEMCACHED | EVC_CLI_TAKE_PIDS | EVC_CLI_TAKE_LOG_LEVEL;
    int result;

    if (!evc_cli_options_parse(argc, argv, take, help, &options, &result) ||
        !evc_cli_config_load(&options, &config, NULL, &result)) {
        return result;
    }
    result = run_with_broker(&options, config);
    evc_config_destroy(config);
    return result;
}
