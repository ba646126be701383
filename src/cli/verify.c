/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `verify`: takes the zones that are to agree, has them compared (sweep/verify.h) and
 * shows what was found (verify_view.h).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/figure.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "cli/verify_view.h"

static const char help[] =
    "usage: evcache verify --config FILE [--repair] [--region NAME ...] [--prefix P]\n"
    "                      [--memory SIZE] [--lag D] [--json]\n"
    "\n"
    "Does every copy agree, in the whole cache? Walks all nodes of all zones and\n"
    "compares what every zone of every region holds of every key: version, size,\n"
    "flags and expiry. Each key that may differ is then looked at as `evcache\n"
    "explain` does, every 200 ms for as long as a write may be on its way. The cache\n"
    "may be in use; no access is counted.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "  --region NAME    only this region; may be said several times (default: all)\n"
    "  --prefix P       only keys that begin with P\n"
    "  --memory SIZE    for what is compared at once (default 256MiB, some 3.5\n"
    "                   million keys): more keys than that are done in several\n"
    "                   passes over the nodes\n"
    "  --lag D          so long a write may be on its way (default 600ms): what a\n"
    "                   copy lacks of what was written since is no difference\n"
    "  --repair         brings copies that are behind, missing or foreign to the\n"
    "                   newest version\n"
    "  --json           the result as JSON\n"
    "\n"
    "The copies: alike; behind (an older version: stale); missing (a miss, which is\n"
    "safe); different (the newest version, but another size, flags, expiry or kind);\n"
    "foreign (written on the node past evcache). A key counts once for a pair of\n"
    "regions, with the worst of its copies there. What must be alike the key's\n"
    "policy says. A zone that is being filled is shown and not judged. Canaries and\n"
    "leases are left out; what expires within 5 s may be missing.\n"
    "\n"
    "A repair is a conditional write and replaces nothing newer. late: missing, and\n"
    "older than tombstones live, so nobody knows if it was deleted; it stays a miss.\n"
    "failed: it still differs; a copy that is different is not touched.\n"
    "\n"
    "Progress is on standard error where that is a terminal. Exit status: 0 no copy\n"
    "is behind, different or foreign (any more), 1 some are, or it was stopped, 2\n"
    "the command line is wrong, 3 a node does not answer (it is named).\n";

static void
on_progress(void *ctx)
{
    const struct evc_verify *verify = ctx;
    uint64_t elapsed_us = verify->options.sweep->loop.now.mono_us - verify->phase_started_us;
    unsigned passes = evc_key_range_passes(&verify->range);
    char what[64];

    if (verify->phase == EVC_VERIFY_LOOKING) {
        evc_progress_show("looking at what may differ",
                          verify->looks.looked - verify->looked_before, verify->suspects,
                          elapsed_us);
        return;
    }
    snprintf(what, sizeof(what), passes > 1 ? "comparing, pass %u of %u" : "comparing",
             verify->range.pass, passes);
    evc_progress_show(what, verify->walks.items, verify->expected, elapsed_us);
}

/** On standard error, so that --json says it too. */
static int
verdict(const struct evc_verify *verify)
{
    char digits[EVC_FIGURE_BYTES], name[EVC_SWEEP_NAME_BYTES];
    int result = EVC_EXIT_OK;

    if (verify->is_incomplete) {
        result = evc_cli_fail("verify", "not all was compared: %s", verify->why);
    }
    if (!evc_verify_is_good(verify)) {
        result = evc_cli_fail("verify", "keys with a copy that is behind, different or foreign: %s",
                              evc_figure_count((int64_t)verify->tally.stale_left, digits));
    }
    if (verify->tally.unanswered > 0) {
        const struct evc_sweep *sweep = verify->options.sweep;

        (void)evc_cli_fail(
            "verify", "keys for which a node did not answer: %s, the first of %s",
            evc_figure_count((int64_t)verify->tally.unanswered, digits),
            evc_sweep_copy_name(sweep, &sweep->copies[verify->looks.silent_copy], name));
    }
    return verify->has_silent || verify->tally.unanswered > 0 ? EVC_EXIT_UNANSWERED : result;
}

static int
verify_and_show(const struct evc_cli_options *options, struct evc_verify *verify,
                const struct evc_verify_options *verify_options)
{
    if (evc_verify_run(verify, verify_options) != EVC_OK) {
        return evc_cli_fail("verify", "out of memory; say a smaller --memory");
    }
    evc_progress_clear();
    if (options->is_json) {
        json_t *json = evc_verify_json(verify);

        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        evc_verify_print(verify, options->config);
    }
    fflush(stdout);
    return verdict(verify);
}

static bool
is_wanted(const bool *wanted, const struct evc_cli_options *options, unsigned region)
{
    return options->region_count == 0 || wanted[region];
}

/** All zones but drained ones, of the regions that are wanted. An enum evc_exit. */
static int
add_zones(struct evc_sweep *sweep, const struct evc_cli_options *options)
{
    const struct evc_config *config = sweep->config;
    bool wanted[EVC_CONFIG_REGION_MAX] = {false};
    struct evc_error error;

    for (unsigned i = 0; i < options->region_count; i++) {
        unsigned region;

        if (evc_config_region_find(config, options->regions[i], &region, &error) != EVC_OK) {
            return evc_cli_misuse("verify", "%s", error.text);
        }
        wanted[region] = true;
    }
    for (unsigned r = 0; r < config->regions_count; r++) {
        for (unsigned z = 0; z < config->regions[r].zones_count; z++) {
            if (is_wanted(wanted, options, r) &&
                config->regions[r].zones[z].state != EVC_ZONE_DRAINED &&
                evc_sweep_add_zone(sweep, r, z, &error) != EVC_OK) {
                return evc_cli_fail("verify", "%s", error.text);
            }
        }
    }
    return EVC_EXIT_OK;
}

static int
run(struct evc_sweep *sweep, const struct evc_cli_options *options)
{
    const struct evc_verify_options verify_options = {
        .sweep = sweep,
        .prefix = evc_slice_str(options->prefix ? options->prefix : ""),
        .memory_bytes = options->memory ? options->memory : EVC_VERIFY_MEMORY_BYTES_DEFAULT,
        .lag_ms = (unsigned)options->lag_ms,
        .is_repair = options->is_repair,
    };
    struct evc_error error = {0};
    struct evc_verify *verify;
    int result = add_zones(sweep, options);

    if (result != EVC_EXIT_OK) {
        return result;
    }
    result = evc_sweep_connect(sweep, &error);
    if (result != EVC_OK) {
        (void)evc_cli_fail("verify", "%s", error.text);
        return result == EVC_E_TIMEOUT ? EVC_EXIT_UNANSWERED : EVC_EXIT_FAILURE;
    }
    verify = malloc(sizeof(*verify));
    if (!verify) {
        return evc_cli_fail("verify", "out of memory");
    }
    sweep->on_progress = on_progress;
    result = verify_and_show(options, verify, &verify_options);
    free(verify);
    return result;
}

int
evc_cli_verify(int argc, char **argv)
{
    struct evc_sweep *sweep = malloc(sizeof(*sweep));
    struct evc_cli_options options;
    struct evc_config *config;
    struct evc_error error = {0};
    int result;

    if (!evc_cli_options_parse(argc, argv,
                               EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_JSON | EVC_CLI_TAKE_VERIFY, help,
                               &options, &result) ||
        !evc_cli_config_load(&options, &config, NULL, &result)) {
        free(sweep);
        return result;
    }
    if (!sweep || evc_sweep_init(sweep, config, &error) != EVC_OK) {
        result = evc_cli_fail("verify", "%s", error.text[0] ? error.text : "out of memory");
    } else {
        result = run(sweep, &options);
        evc_sweep_finish(sweep);
    }
    evc_config_destroy(config);
    free(sweep);
    return result;
}
