/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: finds the verb and hands over. Everything else is in the verb's own file; a new verb
 * is a file, a line in verbs.h and a row here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"
#include "cli/verbs.h"

static int print_version(int argc, char **argv);
static int print_help(int argc, char **argv);

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct verb verb_table[] = {
    {"proxy", evc_cli_proxy, "a front door of a region, and a receiver of the others"},
    {"relay", evc_cli_relay, "carries a region's writes to every other region"},
    {"up", evc_cli_up, "runs a whole global cache on this machine"},
    {"status", evc_cli_status, "the books of every pair of regions, and how long writes take"},
    {"top", evc_cli_top, "the whole cache on the terminal, live"},
    {"explain", evc_cli_explain, "one key: what every zone of every region holds of it"},
    {"verify", evc_cli_verify, "every key: do all copies agree, and repairs those that do not"},
    {"warm", evc_cli_warm, "fills a zone, or a region, from copies elsewhere"},
    {"bench", evc_cli_bench, "loads memcached or a proxy, and tells speed and cost"},
    {"partitions", evc_cli_partitions, "adds partitions to a region's topic on Kafka"},
    {"check-config", evc_cli_check_config, "reads a configuration file and names its mistakes"},
    {"version", print_version, "prints the version"},
    {"help", print_help, "prints this"},
};

enum {
    VERB_COUNT = sizeof(verb_table) / sizeof(verb_table[0]),
    VERB_SHOWN_BYTES = 80,
};

static int
print_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("evcache " EVC_VERSION);
    return EVC_EXIT_OK;
}

static void
print_usage(FILE *out)
{
    fputs("A global cache: writes reach every region, reads stay in one, the newest wins.\n"
          "\n"
          "usage: evcache VERB [options]\n"
          "\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "  %-13s %s\n", verb_table[i].name, verb_table[i].summary);
    }
    fputs("\n"
          "`evcache VERB --help` tells more about one. Exit status: 0 it worked, 1 it did\n"
          "not, 2 the command line is wrong; a verb with others names them in its help.\n",
          out);
}

static const struct verb *
verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verb_table[i].name, name) == 0) {
            return &verb_table[i];
        }
    }
    return NULL;
}

static int
refuse_verb(const char *name)
{
    char shown[VERB_SHOWN_BYTES];

    snprintf(shown, sizeof(shown), "%s", name);
    evc_printable_make(shown, sizeof(shown));
    fprintf(stderr, "evcache: there is no verb '%s'; `evcache help` lists them.\n", shown);
    return EVC_EXIT_USAGE;
}

/** `evcache help`, `evcache help VERB`. */
static int
print_help(int argc, char **argv)
{
    const struct verb *verb = argc > 1 ? verb_find(argv[1]) : NULL;

    if (argc > 1 && verb == NULL) {
        return refuse_verb(argv[1]);
    }
    if (verb == NULL || verb->run == print_help || verb->run == print_version) {
        print_usage(stdout);
        return EVC_EXIT_OK;
    }
    char help[] = "--help";
    char *verb_argv[] = {argv[1], help, NULL};
    return verb->run(2, verb_argv);
}

/** What was printed is of use only if it arrived, on a full disk, say. Who reads no more knows. */
static int
finish_output(const char *verb, int result)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return result;
    }
    if (errno != EPIPE) {
        fprintf(stderr, "evcache %s: the output cannot be written: %s\n", verb,
                errno != 0 ? strerror(errno) : "some of it was lost");
    }
    return result != EVC_EXIT_OK ? result : EVC_EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EVC_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return print_help(1, argv + 1);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return print_version(1, argv + 1);
    }
    const struct verb *verb = verb_find(argv[1]);
    if (verb == NULL) {
        return refuse_verb(argv[1]);
    }
    return finish_output(verb->name, verb->run(argc - 1, argv + 1));
}
