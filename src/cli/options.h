/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs' command lines have in common: the options that say which file, which region and
 * how loud, and how a mistake is reported. Each verb says which of them it takes.
 */
#ifndef EVC_CLI_OPTIONS_H
#define EVC_CLI_OPTIONS_H

#include <stdbool.h>

#include "base/log.h"
#include "topology/config.h"

/** Which options a verb takes; bits for evc_cli_options_parse. */
enum evc_cli_take {
    EVC_CLI_TAKE_CONFIG = 1 << 0,    /* --config FILE */
    EVC_CLI_TAKE_REGION = 1 << 1,    /* --region NAME */
    EVC_CLI_TAKE_JSON = 1 << 2,      /* --json */
    EVC_CLI_TAKE_MEMCACHED = 1 << 3, /* --memcached PATH */
    EVC_CLI_TAKE_PIDS = 1 << 4,      /* --pids FILE */
    EVC_CLI_TAKE_FILE = 1 << 5,      /* one argument, the configuration file */
    EVC_CLI_TAKE_LOG_LEVEL = 1 << 6, /* --log-level LEVEL */
    EVC_CLI_TAKE_KEY = 1 << 7,       /* one argument, a key; --base64 */
    EVC_CLI_TAKE_PLACE = 1 << 8,     /* --index N, --zone NAME: which of the region's processes */
    EVC_CLI_TAKE_SET = 1 << 9,       /* --set N: partitions */
    EVC_CLI_TAKE_WARM = 1 << 10,     /* --zone NAME, --from REGION[/ZONE], --rate N, --dry-run */
    EVC_CLI_TAKE_VERIFY =
        1 << 11, /* --region NAME …, --prefix P, --memory SIZE, --lag D, --repair */
};

/** What was given; strings are views into argv. */
struct evc_cli_options {
    const char *verb;
    const char *config; /* --config, or the argument of a verb that takes one */
    const char *region;
    const char *zone;      /* NULL: the first */
    const char *memcached; /* NULL: to be found */
    const char *pids;      /* NULL: none */
    const char *key;
    const char *log_level_text;
    unsigned index;
    unsigned set;                 /* 1 to EVC_PARTITION_MAX; 0: not given */
    enum evc_log_level log_level; /* info */
    const char *from;
    const char *prefix;                         /* NULL: every key */
    const char *regions[EVC_CONFIG_REGION_MAX]; /* each --region; the last one is region, too */
    unsigned region_count;
    uint64_t rate;   /* 0: not given */
    uint64_t memory; /* bytes; 0: not given */
    uint64_t lag_ms; /* EVC_VERIFY_LAG_MS_DEFAULT */
    bool is_json;
    bool is_base64; /* the key is given so */
    bool is_dry_run;
    bool is_repair;
};

/**
 * Parses a verb's arguments. take: enum evc_cli_take bits; help: the verb's text for --help.
 * Returns true when the verb should go on; false when *ret_exit is what to exit with (help was
 * printed, or a mistake, already reported).
 */
bool evc_cli_options_parse(int argc, char **argv, unsigned take, const char *help,
                           struct evc_cli_options *ret, int *ret_exit);

/** Says which option getopt_long did not like ('?' or ':', with opterr 0). EVC_EXIT_USAGE. */
int evc_cli_refuse_option(const char *verb, int value, char *const *argv);

/**
 * Loads options->config and, for verbs with EVC_CLI_TAKE_REGION, finds the region. ret_region may
 * be NULL. False: *ret_exit says what to exit with; the mistake is reported. The caller owns
 * *ret_config.
 */
bool evc_cli_config_load(const struct evc_cli_options *options, struct evc_config **ret_config,
                         unsigned *ret_region, int *ret_exit);

/** `evcache VERB: <sentence>` on standard error. Returns EVC_EXIT_FAILURE. */
int evc_cli_fail(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The same for a mistake in the command line, with where to read more. Returns EVC_EXIT_USAGE. */
int evc_cli_misuse(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
