/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation of a whole global cache in virtual time, on the object files of production: random
 * writes, faults and kills by seed, then quiet, then the checks of sim_check.h.
 *
 *   sim --seeds 10000                     all rules on: every seed passes
 *   sim --seeds 10000 --off echo          without a rule: some do not
 *   sim --seeds 10000 --with filling      a theme (sim_plan.h) in every seed
 *   sim --trace 325 --off restamp         one seed, every step
 *
 * The last line says how often each outcome of the books came. One that never came in 10,000 seeds
 * is not tested: that fails, too.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "replication/outcome.h"
#include "replication/rule.h"
#include "sim_check.h"
#include "sim_world.h"

enum {
    FAILURES_SHOWN_MAX = 10,
    SEEDS_WITH_ALL = 10000,                /* so many must bring every outcome */
    MEMORY_KEPT_BYTES = 256 * 1024 * 1024, /* what one seed frees, the next one takes */
};

struct rule_name {
    const char *name;
    enum evc_rule rule;
};

static const struct rule_name rule_names[] = {
    {"release", EVC_RULE_RELEASE},
    {"conditional", EVC_RULE_CONDITIONAL},
    {"echo", EVC_RULE_ECHO},
    {"failed", EVC_RULE_FAILED},
    {"two_writers", EVC_RULE_TWO_WRITERS},
    {"newer_read", EVC_RULE_NEWER_READ},
    {"restamp", EVC_RULE_RESTAMP},
    {"reship", EVC_RULE_RESHIP},
    {"conflict_echo", EVC_RULE_CONFLICT_ECHO},
    {"gone", EVC_RULE_GONE},
    {"older_read", EVC_RULE_OLDER_READ},
    {"inversion", EVC_RULE_INVERSION},
    {"differ", EVC_RULE_DIFFER},
};

struct arguments {
    uint64_t first, seeds;
    uint64_t seconds_max;      /* 0: no limit */
    enum sim_failure expected; /* stop at the first of the kind, and that is success */
    struct sim_options options;
};

/** What a run of many seeds came to. */
struct tally {
    uint64_t run, failed, kills, writes, lossy_keys_differ;
    bool has_expected; /* the failure that was expected came */
    struct evc_books_totals books;
};

static void
usage(FILE *out)
{
    (void)fputs(
        "sim [--first N] [--seeds N] [--seconds N] [--off RULE]... [--with THEME]...\n"
        "    [--bad-clock] [--expect-failure KIND]\n"
        "        all seeds from --first on, at most --seconds of real time; with a kind until\n"
        "        the first failure of it, which is success\n"
        "sim --trace SEED [--off RULE]... [--with THEME]... [--bad-clock]\n"
        "        one seed, every step\n"
        "rules:",
        out);
    for (size_t i = 0; i < sizeof(rule_names) / sizeof(rule_names[0]); i++) {
        (void)fprintf(out, " %s", rule_names[i].name);
    }
    (void)fputs("\nthemes:", out);
    for (unsigned i = 0; i < SIM_THEME_MAX; i++) {
        (void)fprintf(out, " %s", sim_theme_str(i));
    }
    (void)fputs("\nkinds of failure:", out);
    for (unsigned i = SIM_FAILURE_NONE + 1; i < SIM_FAILURE_MAX; i++) {
        (void)fprintf(out, "%s \"%s\"", i > 1 ? "," : "", sim_failure_str(i));
    }
    (void)fputs("\n", out);
}

static uint32_t
rule_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(rule_names) / sizeof(rule_names[0]); i++) {
        if (strcmp(rule_names[i].name, name) == 0) {
            return rule_names[i].rule;
        }
    }
    usage(stderr);
    exit(2);
}

static uint32_t
theme_by_name(const char *name)
{
    for (unsigned i = 0; i < SIM_THEME_MAX; i++) {
        if (strcmp(sim_theme_str(i), name) == 0) {
            return UINT32_C(1) << i;
        }
    }
    usage(stderr);
    exit(2);
}

static enum sim_failure
failure_by_name(const char *name)
{
    for (unsigned i = SIM_FAILURE_NONE + 1; i < SIM_FAILURE_MAX; i++) {
        if (strcmp(sim_failure_str(i), name) == 0) {
            return i;
        }
    }
    usage(stderr);
    exit(2);
}

static uint64_t
number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0') {
        usage(stderr);
        exit(2);
    }
    return value;
}

static struct arguments
parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"first", required_argument, NULL, 'f'},   {"seeds", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'}, {"off", required_argument, NULL, 'o'},
        {"with", required_argument, NULL, 'w'},    {"trace", required_argument, NULL, 'T'},
        {"bad-clock", no_argument, NULL, 'b'},     {"expect-failure", required_argument, NULL, 'x'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    struct arguments arguments = {.seeds = 1000};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'f':
            arguments.first = number(optarg);
            break;
        case 's':
            arguments.seeds = number(optarg);
            break;
        case 't':
            arguments.seconds_max = number(optarg);
            break;
        case 'o':
            arguments.options.rules_off |= rule_by_name(optarg);
            break;
        case 'w':
            arguments.options.themes |= theme_by_name(optarg);
            break;
        case 'T':
            arguments.first = number(optarg);
            arguments.seeds = 1;
            arguments.options.is_tracing = true;
            break;
        case 'b':
            arguments.options.has_bad_clock = true;
            break;
        case 'x':
            arguments.expected = failure_by_name(optarg);
            break;
        default:
            usage(option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    return arguments;
}

static void
add_books(struct evc_books_totals *sum, const struct evc_books_totals *books)
{
    sum->lost += books->lost;
    sum->duplicate += books->duplicate;
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        sum->outcome[i] += books->outcome[i];
    }
}

static void
say_failure(const struct sim_world *world)
{
    (void)printf("seed %" PRIu64, world->seed);
    for (unsigned i = 0; i < SIM_THEME_MAX; i++) {
        if (sim_plan_has(&world->plan, i)) {
            (void)printf(", %s", sim_theme_str(i));
        }
    }
    (void)printf(": %s: %s\n", sim_failure_str(world->failure), world->failure_text);
}

static void
run_seed(uint64_t seed, const struct arguments *arguments, const char *directory,
         struct tally *tally)
{
    struct sim_world *world = sim_world_create(seed, &arguments->options, directory);
    bool passed = sim_world_run(world);

    tally->run++;
    tally->kills += world->kill_count;
    tally->writes += world->history.write_count;
    if (passed) {
        tally->lossy_keys_differ += sim_check_lossy_differences(world);
        add_books(&tally->books, &world->books);
    } else if (tally->failed++ < FAILURES_SHOWN_MAX) {
        say_failure(world);
    }
    tally->has_expected = !passed && world->failure == arguments->expected;
    sim_world_destroy(world);
}

static struct tally
run_all(const struct arguments *arguments, const char *directory)
{
    struct tally tally = {0};
    time_t until = time(NULL) + (time_t)arguments->seconds_max;

    for (uint64_t i = 0; i < arguments->seeds; i++) {
        run_seed(arguments->first + i, arguments, directory, &tally);
        if (tally.has_expected) {
            break;
        }
        if (arguments->seconds_max != 0 && time(NULL) > until) {
            break;
        }
    }
    return tally;
}

/** Journals are mapped files: in memory where there is a place for that. */
static void
make_directory(char *ret, size_t bytes)
{
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)snprintf(ret, bytes, "%s/evcache-sim-XXXXXX", where);
    if (!mkdtemp(ret)) {
        perror("sim: mkdtemp");
        exit(2);
    }
}

static void
remove_directory(const char *directory)
{
    char path[64];

    for (unsigned region = 0; region < SIM_REGION_MAX; region++) {
        (void)snprintf(path, sizeof(path), "%s/%u", directory, region);
        (void)rmdir(path);
    }
    (void)rmdir(directory);
}

static void
say_tally(const struct tally *tally, uint64_t first)
{
    (void)printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed; %" PRIu64
                 " writes, %" PRIu64 " kills; of keys that nodes lost, %" PRIu64 " differ\n",
                 tally->run, first, tally->failed, tally->writes, tally->kills,
                 tally->lossy_keys_differ);
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        (void)printf("%s %" PRIu64 ", ", evc_outcome_str(i), tally->books.outcome[i]);
    }
    (void)printf("lost %" PRIu64 ", duplicate %" PRIu64 "\n", tally->books.lost,
                 tally->books.duplicate);
}

/** Whether some outcome never came, so that nothing was tested of it; says which. */
static bool
lacks_outcome(const struct tally *tally)
{
    bool lacks = false;

    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        if (tally->books.outcome[i] == 0) {
            (void)printf("not one event is %s\n", evc_outcome_str(i));
            lacks = true;
        }
    }
    if (tally->books.lost == 0 || tally->books.duplicate == 0) {
        (void)printf("not one event is lost, or not one duplicate\n");
        lacks = true;
    }
    return lacks;
}

/** Whether the run is one that must bring every outcome. */
static bool
has_all(const struct arguments *arguments, const struct tally *tally)
{
    const struct sim_options *options = &arguments->options;

    return tally->run >= SEEDS_WITH_ALL && options->rules_off == 0 && options->themes == 0 &&
           !options->has_bad_clock;
}

int
main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv);
    char directory[48];
    struct tally tally;

    (void)mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES);
    make_directory(directory, sizeof(directory));
    tally = run_all(&arguments, directory);
    remove_directory(directory);
    say_tally(&tally, arguments.first);
    if (arguments.expected != SIM_FAILURE_NONE) {
        return !tally.has_expected;
    }
    return tally.failed > 0 || (has_all(&arguments, &tally) && lacks_outcome(&tally));
}
