/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `warm`: which zones are filled from which is decided here; filling them is
 * sweep/warm.h's.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/figure.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "sweep/warm.h"

static const char help[] =
    "usage: evcache warm --config FILE --region NAME [--zone NAME]\n"
    "                    [--from REGION[/ZONE]] [--rate N] [--dry-run] [--json]\n"
    "\n"
    "Fills a zone from the others of its region: one that is being filled\n"
    "(write_only) or has lost its memory; or, with --from, a region from another.\n"
    "Every item goes with its version, its flags and the life left to it, and is\n"
    "only ever added: nothing that is there is replaced, no newer value and no\n"
    "tombstone, so applications may read and write all the while. Reading an item\n"
    "counts as no access.\n"
    "\n"
    "  --config FILE          the configuration, the same for every process\n"
    "  --region NAME          the region to be filled\n"
    "  --zone NAME            the zone (default: those that are write_only; with\n"
    "                         --from of another region all that are not drained)\n"
    "  --from REGION[/ZONE]   where from (default: the other zones of the region\n"
    "                         that serve)\n"
    "  --rate N               items a second, at most (default: as fast as the nodes\n"
    "                         answer)\n"
    "  --dry-run              asks what is missing, and changes nothing\n"
    "  --json                 the result as JSON\n"
    "\n"
    "Each item that was seen ends as one of: added; already there; expired or gone\n"
    "(before it was read); foreign (written on the node past evcache: it has no\n"
    "version); filtered (from another region only keys with the policy copy are\n"
    "taken); failed. From another region a key may come back that was deleted here\n"
    "longer ago than tombstones live, if its delete never arrived there.\n"
    "\n"
    "Progress is on standard error where that is a terminal. Ctrl-C ends it; what\n"
    "was added stays, and the next run goes on. Exit status: 0 all is there, 1\n"
    "something failed, or it was stopped, 2 the command line is wrong, 3 a node does\n"
    "not answer (it is named).\n";

/** What the command line says, as indexes in the configuration. */
struct plan {
    const struct evc_config *config;
    unsigned region, from_region;
    bool has_from_zone;
    unsigned from_zone;
    bool has_zone;
    unsigned zone;
};

/* --- which zones --- */

/** An enum evc_exit; a mistake is told. */
static int
take_from(const struct evc_cli_options *options, struct plan *plan)
{
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 2];
    struct evc_error error;
    char *zone;

    plan->from_region = plan->region;
    if (!options->from) {
        return EVC_EXIT_OK;
    }
    snprintf(name, sizeof(name), "%s", options->from);
    zone = strchr(name, '/');
    if (zone) {
        *zone++ = '\0';
    }
    if (evc_config_region_find(plan->config, name, &plan->from_region, &error) != EVC_OK) {
        return evc_cli_misuse("warm", "--from: %s", error.text);
    }
    if (zone && evc_config_zone_find(&plan->config->regions[plan->from_region], zone,
                                     &plan->from_zone, &error) != EVC_OK) {
        return evc_cli_misuse("warm", "--from: %s", error.text);
    }
    plan->has_from_zone = zone != NULL;
    return EVC_EXIT_OK;
}

static int
make_plan(const struct evc_cli_options *options, struct plan *plan)
{
    const struct evc_config_region *region = &plan->config->regions[plan->region];
    struct evc_error error;

    plan->has_zone = options->zone != NULL;
    if (options->zone &&
        evc_config_zone_find(region, options->zone, &plan->zone, &error) != EVC_OK) {
        return evc_cli_misuse("warm", "%s", error.text);
    }
    return take_from(options, plan);
}

static bool
is_target(const struct plan *plan, unsigned zone)
{
    enum evc_zone_state state = plan->config->regions[plan->region].zones[zone].state;

    if (plan->has_zone) {
        return zone == plan->zone;
    }
    return plan->from_region == plan->region ? state == EVC_ZONE_WRITE_ONLY
                                             : state != EVC_ZONE_DRAINED;
}

static bool
is_source(const struct plan *plan, unsigned zone)
{
    const struct evc_config_region *region = &plan->config->regions[plan->from_region];

    if (plan->has_from_zone) {
        return zone == plan->from_zone;
    }
    return region->zones[zone].state == EVC_ZONE_SERVING &&
           (plan->from_region != plan->region || !is_target(plan, zone));
}

/** All zones of a region that are wanted join the sweep and the set. An enum evc_exit. */
static int
add_zones(struct evc_sweep *sweep, const struct plan *plan, unsigned region,
          bool (*is_wanted)(const struct plan *plan, unsigned zone), struct evc_copy_set *set)
{
    struct evc_error error;

    for (unsigned z = 0; z < plan->config->regions[region].zones_count; z++) {
        if (!is_wanted(plan, z)) {
            continue;
        }
        if (evc_sweep_add_zone(sweep, region, z, &error) != EVC_OK) {
            return evc_cli_fail("warm", "%s", error.text);
        }
        evc_copy_set_add(set, evc_sweep_copy_find(sweep, region, z));
    }
    return EVC_EXIT_OK;
}

static bool
is_empty(const struct evc_copy_set *set)
{
    return (set->words[0] | set->words[1]) == 0;
}

static int
choose_zones(struct evc_sweep *sweep, const struct plan *plan, struct evc_warm_options *warm)
{
    int result = add_zones(sweep, plan, plan->region, is_target, &warm->targets);

    result = result ? result : add_zones(sweep, plan, plan->from_region, is_source, &warm->sources);
    if (result != EVC_EXIT_OK) {
        return result;
    }
    if (is_empty(&warm->targets)) {
        return evc_cli_misuse("warm", "which zone? None of %s is write_only; say --zone NAME",
                              plan->config->regions[plan->region].name);
    }
    if (is_empty(&warm->sources)) {
        return evc_cli_fail("warm", "no other zone of %s serves; say --from REGION",
                            plan->config->regions[plan->from_region].name);
    }
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        bool is_read = evc_copy_set_has(&warm->sources, i);

        if (is_read && evc_copy_set_has(&warm->targets, i)) {
            return evc_cli_misuse("warm", "a zone cannot be filled from itself");
        }
        if (is_read && !sweep->copies[i].is_serving) {
            return evc_cli_misuse("warm", "--from: a zone that is being filled is no source");
        }
    }
    return EVC_EXIT_OK;
}

/* --- what is shown --- */

static void
on_progress(void *ctx)
{
    const struct evc_warm *warm = ctx;
    uint64_t done = 0;

    for (unsigned i = 0; i < EVC_WARM_OUTCOME_MAX; i++) {
        done += warm->outcomes[i];
    }
    evc_progress_show(warm->options.is_dry_run ? "asking" : "filling", done, warm->expected,
                      warm->options.sweep->loop.now.mono_us - warm->started_us);
}

/** "virginia/virginia-a, virginia/virginia-b" */
static void
print_names(const struct evc_sweep *sweep, const struct evc_copy_set *set)
{
    char name[EVC_SWEEP_NAME_BYTES];
    bool is_first = true;

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        if (evc_copy_set_has(set, i)) {
            printf("%s%s", is_first ? "" : ", ",
                   evc_sweep_copy_name(sweep, &sweep->copies[i], name));
            is_first = false;
        }
    }
}

static void
print_head(const struct evc_warm *warm)
{
    const struct evc_sweep *sweep = warm->options.sweep;

    printf("%s%s%s: ", evc_terminal_style(stdout, EVC_STYLE_BOLD), sweep->config->cache,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    print_names(sweep, &warm->options.targets);
    fputs(" from ", stdout);
    print_names(sweep, &warm->options.sources);
    puts(warm->options.is_dry_run ? ", a dry run\n" : "\n");
}

static void
print_row(struct evc_table *table, const char *name, uint64_t count, uint64_t of,
          enum evc_style style)
{
    char text[EVC_FIGURE_BYTES];

    evc_table_row(table, name);
    evc_table_cell(table, 1, count > 0 ? style : EVC_STYLE_PLAIN,
                   evc_figure_count((int64_t)count, text));
    if (of > 0) {
        snprintf(text, sizeof(text), "%.1f %%", 100.0 * (double)count / (double)of);
        evc_table_cell(table, 2, EVC_STYLE_DIM, text);
    }
}

static void
print_outcomes(const struct evc_warm *warm)
{
    static const char *const headings[] = {"Items", "", ""};
    static const enum evc_style styles[EVC_WARM_OUTCOME_MAX] = {
        [EVC_WARM_ADDED] = EVC_STYLE_GOOD,
        [EVC_WARM_FOREIGN] = EVC_STYLE_WARN,
        [EVC_WARM_FAILED] = EVC_STYLE_BAD,
    };
    struct evc_table table;

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (unsigned i = 0; i < EVC_WARM_OUTCOME_MAX; i++) {
        const char *name = i == EVC_WARM_ADDED && warm->options.is_dry_run
                               ? "to be added"
                               : evc_warm_outcome_str((enum evc_warm_outcome)i);

        print_row(&table, name, warm->outcomes[i], warm->seen, styles[i]);
    }
    print_row(&table, "seen", warm->seen, 0, EVC_STYLE_PLAIN);
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
    putchar('\n');
}

static void
print_summary(const struct evc_warm *warm)
{
    uint64_t us = warm->ended_us - warm->started_us;
    uint64_t rate = us > 0 ? (uint64_t)((double)warm->seen * 1e6 / (double)us) : 0;
    bool is_good = warm->outcomes[EVC_WARM_FAILED] == 0 && !warm->is_incomplete;
    char duration[EVC_FIGURE_BYTES], digits[EVC_FIGURE_BYTES];

    printf("%s%s%s in %s, %s items/s",
           evc_terminal_style(stdout, is_good ? EVC_STYLE_GOOD : EVC_STYLE_BAD),
           warm->is_incomplete                   ? "not all was seen"
           : warm->outcomes[EVC_WARM_FAILED] > 0 ? "not all could be added"
           : warm->options.is_dry_run            ? "nothing was changed"
                                                 : "all that could be added is there",
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), evc_figure_duration(us, duration),
           evc_figure_count((int64_t)rate, digits));
    if (warm->bytes_added > 0) {
        printf(", %.1f MiB of values", (double)warm->bytes_added / (1024 * 1024));
    }
    putchar('\n');
}

static json_t *
names_json(const struct evc_sweep *sweep, const struct evc_copy_set *set)
{
    json_t *names = json_array();
    char name[EVC_SWEEP_NAME_BYTES];

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        if (evc_copy_set_has(set, i)) {
            (void)json_array_append_new(
                names, json_string(evc_sweep_copy_name(sweep, &sweep->copies[i], name)));
        }
    }
    return names;
}

static void
print_json(const struct evc_warm *warm)
{
    static const char *const members[EVC_WARM_OUTCOME_MAX] = {
        "added", "already_there", "expired_or_gone", "foreign", "filtered", "failed"};
    const struct evc_sweep *sweep = warm->options.sweep;
    json_t *outcomes = json_object(), *json;

    for (unsigned i = 0; i < EVC_WARM_OUTCOME_MAX; i++) {
        (void)json_object_set_new(outcomes, members[i],
                                  json_integer((json_int_t)warm->outcomes[i]));
    }
    json = json_pack("{s:s, s:o, s:o, s:b, s:b, s:I, s:o, s:I, s:I, s:s?}", "cache",
                     sweep->config->cache, "targets", names_json(sweep, &warm->options.targets),
                     "sources", names_json(sweep, &warm->options.sources), "dry_run",
                     (int)warm->options.is_dry_run, "complete", (int)!warm->is_incomplete, "seen",
                     (json_int_t)warm->seen, "outcomes", outcomes, "bytes",
                     (json_int_t)warm->bytes_added, "us",
                     (json_int_t)(warm->ended_us - warm->started_us), "why",
                     warm->why[0] != '\0' ? warm->why : sweep->why);
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

/** On standard error, so that --json says it too. */
static int
verdict(const struct evc_warm *warm)
{
    char digits[EVC_FIGURE_BYTES];
    int result = EVC_EXIT_OK;

    if (warm->outcomes[EVC_WARM_FAILED] > 0) {
        result = evc_cli_fail("warm", "%s items failed, the first: %s",
                              evc_figure_count((int64_t)warm->outcomes[EVC_WARM_FAILED], digits),
                              warm->why);
    } else if (warm->options.sweep->is_stopped) {
        result = evc_cli_fail("warm", "%s before the end", warm->options.sweep->why);
    } else if (warm->is_incomplete) {
        result = evc_cli_fail("warm", "%s", warm->why);
    }
    return warm->has_silent ? EVC_EXIT_UNANSWERED : result;
}

static int
run(struct evc_sweep *sweep, const struct evc_cli_options *options,
    const struct evc_warm_options *warm_options)
{
    struct evc_warm *warm = malloc(sizeof(*warm));
    struct evc_error error = {0};
    int result;

    if (!warm) {
        return evc_cli_fail("warm", "out of memory");
    }
    result = evc_sweep_connect(sweep, &error);
    if (result != EVC_OK) {
        (void)evc_cli_fail("warm", "%s", error.text);
        free(warm);
        return result == EVC_E_TIMEOUT ? EVC_EXIT_UNANSWERED : EVC_EXIT_FAILURE;
    }
    sweep->on_progress = on_progress;
    evc_warm_run(warm, warm_options);
    evc_progress_clear();
    if (options->is_json) {
        print_json(warm);
    } else {
        print_head(warm);
        print_outcomes(warm);
        print_summary(warm);
    }
    fflush(stdout);
    result = verdict(warm);
    free(warm);
    return result;
}

static int
run_sweep(const struct evc_cli_options *options, const struct plan *plan)
{
    struct evc_sweep *sweep = malloc(sizeof(*sweep));
    struct evc_warm_options warm = {
        .sweep = sweep,
        .is_abroad = plan->from_region != plan->region,
        .is_dry_run = options->is_dry_run,
        .rate = (uint32_t)options->rate,
    };
    struct evc_error error = {0};
    int result;

    if (!sweep || evc_sweep_init(sweep, plan->config, &error) != EVC_OK) {
        free(sweep);
        return evc_cli_fail("warm", "%s", error.text[0] ? error.text : "out of memory");
    }
    result = choose_zones(sweep, plan, &warm);
    if (result == EVC_EXIT_OK) {
        result = run(sweep, options, &warm);
    }
    evc_sweep_finish(sweep);
    free(sweep);
    return result;
}

int
evc_cli_warm(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    struct plan plan = {0};
    int result;

    if (!evc_cli_options_parse(argc, argv,
                               EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_REGION | EVC_CLI_TAKE_JSON |
                                   EVC_CLI_TAKE_WARM,
                               help, &options, &result) ||
        !evc_cli_config_load(&options, &config, &plan.region, &result)) {
        return result;
    }
    plan.config = config;
    result = make_plan(&options, &plan);
    if (result == EVC_EXIT_OK) {
        result = run_sweep(&options, &plan);
    }
    evc_config_destroy(config);
    return result;
}
