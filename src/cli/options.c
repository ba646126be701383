/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines by getopt_long: one table of all options, of which a verb takes some. What a verb
 * does not take is refused by name, the same way as what does not exist.
 */
#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/printable.h"
#include "cli/verbs.h"
#include "queue/queue.h"
#include "sweep/verify.h"
#include "sweep/warm.h"

/** Values getopt_long returns; above every character. */
enum option_value {
    OPTION_CONFIG = 256,
    OPTION_REGION,
    OPTION_INDEX,
    OPTION_ZONE,
    OPTION_JSON,
    OPTION_MEMCACHED,
    OPTION_PIDS,
    OPTION_LOG_LEVEL,
    OPTION_BASE64,
    OPTION_SET,
    OPTION_FROM,
    OPTION_RATE,
    OPTION_DRY_RUN,
    OPTION_PREFIX,
    OPTION_MEMORY,
    OPTION_LAG,
    OPTION_REPAIR,
    OPTION_HELP = 'h',
};

static const struct {
    struct option option;
    unsigned take; /* 0: every verb */
} option_table[] = {
    {{"config", required_argument, NULL, OPTION_CONFIG}, EVC_CLI_TAKE_CONFIG},
    {{"region", required_argument, NULL, OPTION_REGION}, EVC_CLI_TAKE_REGION | EVC_CLI_TAKE_VERIFY},
    {{"index", required_argument, NULL, OPTION_INDEX}, EVC_CLI_TAKE_PLACE},
    {{"zone", required_argument, NULL, OPTION_ZONE}, EVC_CLI_TAKE_PLACE | EVC_CLI_TAKE_WARM},
    {{"json", no_argument, NULL, OPTION_JSON}, EVC_CLI_TAKE_JSON},
    {{"memcached", required_argument, NULL, OPTION_MEMCACHED}, EVC_CLI_TAKE_MEMCACHED},
    {{"pids", required_argument, NULL, OPTION_PIDS}, EVC_CLI_TAKE_PIDS},
    {{"log-level", required_argument, NULL, OPTION_LOG_LEVEL}, EVC_CLI_TAKE_LOG_LEVEL},
    {{"base64", no_argument, NULL, OPTION_BASE64}, EVC_CLI_TAKE_KEY},
    {{"set", required_argument, NULL, OPTION_SET}, EVC_CLI_TAKE_SET},
    {{"from", required_argument, NULL, OPTION_FROM}, EVC_CLI_TAKE_WARM},
    {{"rate", required_argument, NULL, OPTION_RATE}, EVC_CLI_TAKE_WARM},
    {{"dry-run", no_argument, NULL, OPTION_DRY_RUN}, EVC_CLI_TAKE_WARM},
    {{"prefix", required_argument, NULL, OPTION_PREFIX}, EVC_CLI_TAKE_VERIFY},
    {{"memory", required_argument, NULL, OPTION_MEMORY}, EVC_CLI_TAKE_VERIFY},
    {{"lag", required_argument, NULL, OPTION_LAG}, EVC_CLI_TAKE_VERIFY},
    {{"repair", no_argument, NULL, OPTION_REPAIR}, EVC_CLI_TAKE_VERIFY},
    {{"help", no_argument, NULL, OPTION_HELP}, 0},
};

enum {
    OPTION_COUNT = sizeof(option_table) / sizeof(option_table[0]),
    SENTENCE_BYTES = 1024,
};

__attribute__((format(printf, 2, 0))) static void
print_sentence(const char *verb, const char *format, va_list args)
{
    char sentence[SENTENCE_BYTES];

    vsnprintf(sentence, sizeof(sentence), format, args);
    evc_printable_make(sentence, sizeof(sentence));
    fprintf(stderr, "evcache %s: %s\n", verb, sentence);
}

int
evc_cli_fail(const char *verb, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_sentence(verb, format, args);
    va_end(args);
    return EVC_EXIT_FAILURE;
}

int
evc_cli_misuse(const char *verb, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_sentence(verb, format, args);
    va_end(args);
    fprintf(stderr, "`evcache %s --help` tells how it is used.\n", verb);
    return EVC_EXIT_USAGE;
}

static bool
parse_number(const char *text, unsigned long least, unsigned long most, unsigned *ret)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < least ||
        value > most) {
        return false;
    }
    *ret = (unsigned)value;
    return true;
}

static bool
parse_log_level(const char *text, enum evc_log_level *ret)
{
    static const char *const names[] = {
        [EVC_LOG_ERROR] = "error",
        [EVC_LOG_WARN] = "warn",
        [EVC_LOG_INFO] = "info",
        [EVC_LOG_DEBUG] = "debug",
    };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum evc_log_level)i;
            return true;
        }
    }
    return false;
}

static int
take_region(struct evc_cli_options *options, const char *text)
{
    options->region = text;
    if (options->region_count == EVC_CONFIG_REGION_MAX) {
        return evc_cli_misuse(options->verb, "--region may be said %d times",
                              EVC_CONFIG_REGION_MAX);
    }
    options->regions[options->region_count++] = text;
    return EVC_EXIT_OK;
}

static int
take_rate(struct evc_cli_options *options, const char *text)
{
    if (!evc_decimal_parse_u64(evc_slice_str(text), &options->rate) || options->rate < 1 ||
        options->rate > EVC_WARM_RATE_MAX) {
        return evc_cli_misuse(options->verb,
                              "--rate is a number of items a second from 1 to %d, not '%s'",
                              EVC_WARM_RATE_MAX, text);
    }
    return EVC_EXIT_OK;
}

static int
take_memory(struct evc_cli_options *options, const char *text)
{
    if (!evc_config_size_parse(text, &options->memory) ||
        options->memory < EVC_VERIFY_MEMORY_BYTES_MIN ||
        options->memory > EVC_VERIFY_MEMORY_BYTES_MAX) {
        return evc_cli_misuse(options->verb, "--memory is a size from 256KiB to 64GiB, not '%s'",
                              text);
    }
    return EVC_EXIT_OK;
}

static int
take_lag(struct evc_cli_options *options, const char *text)
{
    if (!evc_config_ms_parse(text, &options->lag_ms) || options->lag_ms > EVC_VERIFY_LAG_MS_MAX) {
        return evc_cli_misuse(options->verb, "--lag is a duration from 0ms to 1h, not '%s'", text);
    }
    return EVC_EXIT_OK;
}

/** Takes one option. EVC_EXIT_OK, or what to exit with; help is not an option here. */
static int
take_option(struct evc_cli_options *options, int value, const char *text)
{
    switch ((enum option_value)value) {
    case OPTION_CONFIG:
        options->config = text;
        return EVC_EXIT_OK;
    case OPTION_REGION:
        return take_region(options, text);
    case OPTION_FROM:
        options->from = text;
        return EVC_EXIT_OK;
    case OPTION_PREFIX:
        options->prefix = text;
        return EVC_EXIT_OK;
    case OPTION_RATE:
        return take_rate(options, text);
    case OPTION_MEMORY:
        return take_memory(options, text);
    case OPTION_LAG:
        return take_lag(options, text);
    case OPTION_DRY_RUN:
        options->is_dry_run = true;
        return EVC_EXIT_OK;
    case OPTION_REPAIR:
        options->is_repair = true;
        return EVC_EXIT_OK;
    case OPTION_ZONE:
        options->zone = text;
        return EVC_EXIT_OK;
    case OPTION_JSON:
        options->is_json = true;
        return EVC_EXIT_OK;
    case OPTION_BASE64:
        options->is_base64 = true;
        return EVC_EXIT_OK;
    case OPTION_MEMCACHED:
        options->memcached = text;
        return EVC_EXIT_OK;
    case OPTION_PIDS:
        options->pids = text;
        return EVC_EXIT_OK;
    case OPTION_INDEX:
        if (!parse_number(text, 0, EVC_CONFIG_RELAY_MAX - 1, &options->index)) {
            return evc_cli_misuse(options->verb, "--index is a number from 0 to %d, not '%s'",
                                  EVC_CONFIG_RELAY_MAX - 1, text);
        }
        return EVC_EXIT_OK;
    case OPTION_SET:
        if (!parse_number(text, 1, EVC_PARTITION_MAX, &options->set)) {
            return evc_cli_misuse(options->verb, "--set is a number from 1 to %d, not '%s'",
                                  EVC_PARTITION_MAX, text);
        }
        return EVC_EXIT_OK;
    case OPTION_LOG_LEVEL:
        if (!parse_log_level(text, &options->log_level)) {
            return evc_cli_misuse(options->verb,
                                  "--log-level is error, warn, info or debug, not '%s'", text);
        }
        options->log_level_text = text;
        return EVC_EXIT_OK;
    case OPTION_HELP:
        break;
    }
    assert(false);
    return EVC_EXIT_USAGE;
}

/** The arguments that are not options: the configuration file or a key, for verbs that take them.
 */
static int
take_arguments(struct evc_cli_options *options, unsigned take, int argc, char **argv)
{
    if ((take & EVC_CLI_TAKE_FILE) != 0 && optind < argc) {
        options->config = argv[optind++];
    }
    if ((take & EVC_CLI_TAKE_KEY) != 0 && optind < argc) {
        options->key = argv[optind++];
    }
    if (optind < argc) {
        return evc_cli_misuse(options->verb, "'%s' is one argument too many", argv[optind]);
    }
    if (options->config == NULL || options->config[0] == '\0') {
        return evc_cli_misuse(options->verb, "which configuration? %s",
                              (take & EVC_CLI_TAKE_FILE) != 0 ? "Name its FILE"
                                                              : "Say --config FILE");
    }
    if ((take & EVC_CLI_TAKE_KEY) != 0 && options->key == NULL) {
        return evc_cli_misuse(options->verb, "which key? Name it after the options");
    }
    if ((take & EVC_CLI_TAKE_REGION) != 0 && options->region == NULL) {
        return evc_cli_misuse(options->verb, "which region? Say --region NAME");
    }
    return EVC_EXIT_OK;
}

int
evc_cli_refuse_option(const char *verb, int value, char *const *argv)
{
    const char *given = argv[optind - 1];

    if (value == ':') {
        return evc_cli_misuse(verb, "%s needs a value", given);
    }
    if (optopt > 0 && optopt < OPTION_CONFIG) {
        return evc_cli_misuse(verb, "-%c is no option of it", optopt);
    }
    if (optopt >= OPTION_CONFIG) {
        return evc_cli_misuse(verb, "%.*s takes no value", (int)strcspn(given, "="), given);
    }
    return evc_cli_misuse(verb, "%s is no option of it", given);
}

bool
evc_cli_options_parse(int argc, char **argv, unsigned take, const char *help,
                      struct evc_cli_options *ret, int *ret_exit)
{
    struct option table[OPTION_COUNT + 1] = {0};
    size_t count = 0;

    assert(argc >= 1);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_table[i].take == 0 || (option_table[i].take & take) != 0) {
            table[count++] = option_table[i].option;
        }
    }
    *ret = (struct evc_cli_options){.lag_ms = EVC_VERIFY_LAG_MS_DEFAULT,
                                    .verb = argv[0],
                                    .log_level = EVC_LOG_INFO,
                                    .log_level_text = "info"};
    optind = 1;
    opterr = 0;
    for (;;) {
        int value = getopt_long(argc, argv, ":h", table, NULL);
        if (value == -1) {
            break;
        }
        if (value == OPTION_HELP) {
            fputs(help, stdout);
            *ret_exit = EVC_EXIT_OK;
            return false;
        }
        if (value == '?' || value == ':') {
            *ret_exit = evc_cli_refuse_option(ret->verb, value, argv);
            return false;
        }
        *ret_exit = take_option(ret, value, optarg);
        if (*ret_exit != EVC_EXIT_OK) {
            return false;
        }
    }
    *ret_exit = take_arguments(ret, take, argc, argv);
    return *ret_exit == EVC_EXIT_OK;
}

/** The region that was named, and whether it has the zone that was. */
static int
find_place(const struct evc_cli_options *options, const struct evc_config *config,
           unsigned *ret_region, struct evc_error *error)
{
    unsigned region, zone;
    int status = evc_config_region_find(config, options->region, &region, error);

    if (status == EVC_OK && options->zone != NULL) {
        status = evc_config_zone_find(&config->regions[region], options->zone, &zone, error);
    }
    if (status == EVC_OK) {
        *ret_region = region;
    }
    return status;
}

bool
evc_cli_config_load(const struct evc_cli_options *options, struct evc_config **ret_config,
                    unsigned *ret_region, int *ret_exit)
{
    struct evc_config *config = NULL;
    struct evc_error error = {0};

    if (evc_config_load(options->config, &config, &error) != 0) {
        *ret_exit = evc_cli_fail(options->verb, "%s", error.text);
        return false;
    }
    if (ret_region != NULL && find_place(options, config, ret_region, &error) != EVC_OK) {
        *ret_exit = evc_cli_misuse(options->verb, "%s", error.text);
        evc_config_destroy(config);
        return false;
    }
    *ret_config = config;
    return true;
}
