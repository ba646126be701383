/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `status`: asks every process (survey.h) and shows the books of every pair of regions,
 * how their events ended, and the lag.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/options.h"
#include "cli/survey_style.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "survey/survey.h"

static const char help[] =
    "usage: evcache status --config FILE [--json]\n"
    "\n"
    "Asks the admin addresses of every region and shows, per source and destination: what was "
    "produced,\n"
    "what is in flight, how every event ended, how long writes took to become visible, and how "
    "ready the\n"
    "destination is to take the source's applications over (0 to 100). Below stands, by name, "
    "what needs\n"
    "attention: who does not answer, nodes that do not serve, partitions that are behind. A "
    "region's own\n"
    "repair group has a row in the books as well: it reads every event of its region.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "  --json           everything as JSON, partitions and nodes included\n"
    "\n"
    "The outcomes: applied; identical (the destination had it); behind (it had something newer); "
    "late\n"
    "(missing there and older than tombstones live: it may have been deleted); coalesced (a newer "
    "event\n"
    "of its key speaks for it); filtered (by policy, or a request for repair only); expired; gone "
    "(it\n"
    "was in no zone any more and went as a delete); abandoned (given up).\n"
    "\n"
    "unexplained = produced + duplicate - lost - outcomes - in flight, and must be 0. It is judged "
    "only\n"
    "where nothing moved while processes were asked: a partition that did is shown as `moving`. "
    "What\n"
    "seems unexplained is looked at up to 3 more times, 200 ms apart.\n"
    "\n"
    "Colours are for terminals; NO_COLOR turns them off. Exit status: 0 all is explained, 1 "
    "something is\n"
    "not, 2 the command line is wrong, 3 a process does not answer (it is named).\n";

/** "virginia → oregon", or "virginia, repair". text: bytes of it. */
static const char *
pair_name(const struct evc_survey *survey, const struct evc_survey_pair *pair, char *name,
          size_t name_bytes)
{
    const char *source = survey->config->regions[pair->source].name;

    if (pair->source == pair->destination) {
        snprintf(name, name_bytes, "%s, repair", source);
    } else {
        snprintf(name, name_bytes, "%s → %s", source,
                 survey->config->regions[pair->destination].name);
    }
    return name;
}

/** The i-th pair as shown: the pairs of regions by source, then the repair groups. */
static const struct evc_survey_pair *
shown_pair(const struct evc_survey *survey, size_t i)
{
    size_t regions = survey->config->regions_count, ships = regions * (regions - 1);

    assert(i < survey->pair_count);
    if (i >= ships) {
        return &survey->pairs[(i - ships) * (regions + 1)];
    }
    size_t source = i / (regions - 1), destination = i % (regions - 1);
    destination += destination >= source;
    return &survey->pairs[source * regions + destination];
}

static void
count_cell(struct evc_table *table, unsigned column, enum evc_style style, uint64_t count)
{
    char digits[EVC_TERMINAL_TEXT_BYTES];

    evc_table_cell(table, column, count == 0 ? EVC_STYLE_DIM : style,
                   evc_terminal_count((int64_t)count, digits));
}

static void
unexplained_cell(struct evc_table *table, unsigned column, const struct evc_survey *survey,
                 const struct evc_survey_pair *pair)
{
    const struct evc_survey_cell *total = &pair->total;
    char digits[EVC_TERMINAL_TEXT_BYTES];

    if (total->unexplained != 0) {
        evc_table_cell(table, column, EVC_STYLE_BAD,
                       evc_terminal_count(total->unexplained, digits));
    } else if (total->is_settled) {
        evc_table_cell(table, column, EVC_STYLE_GOOD, "0");
    } else {
        bool is_moving = total->is_known && evc_survey_unanswered(survey) == 0;
        evc_table_cell(table, column, EVC_STYLE_WARN, is_moving ? "moving" : "unknown");
    }
}

static void
print_books(const struct evc_survey *survey)
{
    static const char *const headings[] = {"The books", "produced",  "in flight",
                                           "lost",      "duplicate", "unexplained"};
    struct evc_table table;
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 8];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        evc_table_row(&table, pair_name(survey, pair, name, sizeof(name)));
        count_cell(&table, 1, EVC_STYLE_PLAIN, pair->total.produced);
        count_cell(&table, 2, EVC_STYLE_PLAIN, pair->total.in_flight);
        count_cell(&table, 3, EVC_STYLE_BAD, pair->total.lost);
        count_cell(&table, 4, EVC_STYLE_PLAIN, pair->total.duplicate);
        unexplained_cell(&table, 5, survey, pair);
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
}

static void
print_outcomes(const struct evc_survey *survey)
{
    const char *headings[EVC_OUTCOME_MAX + 1] = {"How they ended"};
    struct evc_table table;
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 8];

    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        headings[i + 1] = evc_outcome_str((enum evc_outcome)i);
    }
    evc_table_init(&table, headings, EVC_OUTCOME_MAX + 1);
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        evc_table_row(&table, pair_name(survey, pair, name, sizeof(name)));
        for (unsigned o = 0; o < EVC_OUTCOME_MAX; o++) {
            count_cell(&table, o + 1, o == EVC_OUTCOME_ABANDONED ? EVC_STYLE_BAD : EVC_STYLE_PLAIN,
                       pair->total.outcome[o]);
        }
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
}

static void
print_lag(const struct evc_survey *survey)
{
    static const char *const headings[] = {"Write to visible", "p50",   "p99",  "p99.9", "max",
                                           "oldest",           "state", "ready"};
    static const double quantiles[] = {0.5, 0.99, 0.999, 1.0};
    struct evc_table table;
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 8], duration[EVC_TERMINAL_TEXT_BYTES];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        if (pair->source == pair->destination) {
            continue;
        }
        evc_table_row(&table, pair_name(survey, pair, name, sizeof(name)));
        for (unsigned q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
            evc_terminal_duration(evc_histogram_quantile(&pair->lag, quantiles[q]), duration);
            evc_table_cell(&table, q + 1, EVC_STYLE_PLAIN, pair->lag.count > 0 ? duration : "-");
        }
        evc_table_cell(&table, 5, EVC_STYLE_PLAIN,
                       pair->total.waiting_us > 0
                           ? evc_terminal_duration(pair->total.waiting_us, duration)
                           : "-");
        evc_table_cell(&table, 6, evc_style_of_state(pair->total.state),
                       evc_survey_state_str(pair->total.state));
        evc_table_cell(&table, 7, evc_style_of_score(pair->readiness.score),
                       evc_terminal_count(pair->readiness.score, duration));
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
}

/** One line of what an operator should know beyond the tables. */
__attribute__((format(printf, 2, 3))) static void
print_note(const char *subject, const char *format, ...)
{
    va_list args;

    printf("%s%s%s ", evc_terminal_style(stdout, EVC_STYLE_WARN), subject,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void
print_process_notes(const struct evc_survey_process *process)
{
    char digits[EVC_TERMINAL_TEXT_BYTES], age[EVC_TERMINAL_TEXT_BYTES];

    if (!process->has_answered) {
        print_note(process->name, "does not answer: %s", process->why);
        return;
    }
    if (process->journal_lost > 0) {
        print_note(process->name, "has lost %s events: its journal was full",
                   evc_terminal_count((int64_t)process->journal_lost, digits));
    }
    if (process->journal_waiting_us >= EVC_SURVEY_SLOW_US) {
        print_note(process->name, "holds %s events in its journals, the oldest for %s",
                   evc_terminal_count((int64_t)process->journal_waiting, digits),
                   evc_terminal_duration(process->journal_waiting_us, age));
    }
    if (process->is_feeder_stalled) {
        print_note(process->name, "cannot feed its queue: %s", process->feeder_error);
    }
}

static void
print_pair_notes(const struct evc_survey *survey, const struct evc_survey_pair *pair)
{
    char digits[EVC_TERMINAL_TEXT_BYTES], name[2 * EVC_CONFIG_NAME_LEN_MAX + 8];

    pair_name(survey, pair, name, sizeof(name));
    if (!pair->is_link_up) {
        print_note(name, "is down: %s", pair->why);
    }
    if (pair->slot_conflicts > 0) {
        print_note(name,
                   "saw two live producers on one worker slot, %s times: two processes must "
                   "not have the same region and index",
                   evc_terminal_count((int64_t)pair->slot_conflicts, digits));
    }
    if (pair->corrupt_records > 0) {
        print_note(name, "could not read %s records; their events are lost",
                   evc_terminal_count((int64_t)pair->corrupt_records, digits));
    }
}

/** Partitions that are behind or have lost something, by name. */
static void
print_partition_notes(const struct evc_survey *survey, const struct evc_survey_pair *pair)
{
    char digits[EVC_TERMINAL_TEXT_BYTES], age[EVC_TERMINAL_TEXT_BYTES];
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 8];

    pair_name(survey, pair, name, sizeof(name));
    for (unsigned p = 0; p < pair->partition_count; p++) {
        const struct evc_survey_cell *cell = &pair->cells[p];
        if (cell->state == EVC_SURVEY_SLOW || cell->state == EVC_SURVEY_STALLED) {
            print_note(name, "partition %u is %s: its oldest event waits for %s, %s in all", p,
                       evc_survey_state_str(cell->state),
                       evc_terminal_duration(cell->waiting_us, age),
                       evc_terminal_count((int64_t)cell->in_flight, digits));
        }
        if (cell->lost > 0) {
            print_note(name, "partition %u lost %s events", p,
                       evc_terminal_count((int64_t)cell->lost, digits));
        }
    }
}

static void
print_readiness_notes(const struct evc_survey *survey, const struct evc_survey_pair *pair)
{
    char name[2 * EVC_CONFIG_NAME_LEN_MAX + 8];

    if (pair->source == pair->destination || pair->readiness.score == 100) {
        return;
    }
    print_note(pair_name(survey, pair, name, sizeof(name)), "is %u ready: %s",
               pair->readiness.score,
               pair->readiness.reason[evc_readiness_weakest(&pair->readiness)]);
}

static void
print_node_note(const struct evc_survey *survey, const struct evc_survey_node *node)
{
    if (node->is_known && !node->is_up) {
        print_note(survey->config->regions[node->region].zones[node->zone].name,
                   "node %s is %s%s%s", node->address->text, node->state,
                   node->why[0] != '\0' ? ": " : "", node->why);
    }
}

static void
print_notes(const struct evc_survey *survey)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        print_process_notes(&survey->processes[i]);
    }
    for (size_t i = 0; i < survey->node_count; i++) {
        print_node_note(survey, &survey->nodes[i]);
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        print_pair_notes(survey, shown_pair(survey, i));
        print_partition_notes(survey, shown_pair(survey, i));
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        print_readiness_notes(survey, shown_pair(survey, i));
    }
}

static void
print_tables(const struct evc_survey *survey)
{
    printf("%s%s%s: %u regions, %zu of %zu processes answer\n\n",
           evc_terminal_style(stdout, EVC_STYLE_BOLD), survey->config->cache,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), survey->config->regions_count,
           survey->process_count - evc_survey_unanswered(survey), survey->process_count);
    print_books(survey);
    putchar('\n');
    print_outcomes(survey);
    putchar('\n');
    print_lag(survey);
    putchar('\n');
    print_notes(survey);
}

/** On standard error, so that --json says it too. */
static int
verdict(const struct evc_survey *survey)
{
    uint64_t unexplained = evc_survey_unexplained(survey);

    if (unexplained > 0) {
        return evc_cli_fail("status", "%llu events are unexplained",
                            (unsigned long long)unexplained);
    }
    for (size_t i = 0; i < survey->process_count; i++) {
        if (!survey->processes[i].has_answered) {
            (void)evc_cli_fail("status", "%s (%s) does not answer", survey->processes[i].name,
                               survey->processes[i].address->text);
        }
    }
    return evc_survey_unanswered(survey) > 0 ? EVC_EXIT_UNANSWERED : EVC_EXIT_OK;
}

static int
run(const struct evc_cli_options *options, const struct evc_config *config)
{
    struct evc_survey *survey = evc_survey_create(config);

    if (survey == NULL) {
        return evc_cli_fail("status", "out of memory");
    }
    evc_survey_look_patiently(survey);
    if (options->is_json) {
        json_t *json = evc_survey_json(survey);
        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        print_tables(survey);
    }
    fflush(stdout);
    int result = verdict(survey);
    evc_survey_destroy(survey);
    return result;
}

int
evc_cli_status(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    int result;

    if (!evc_cli_options_parse(argc, argv, EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_JSON, help, &options,
                               &result) ||
        !evc_cli_config_load(&options, &config, NULL, &result)) {
        return result;
    }
    result = run(&options, config);
    evc_config_destroy(config);
    return result;
}
