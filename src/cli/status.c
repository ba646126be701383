/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `status`: asks every process (survey.h) and shows the books of every pair of regions,
 * how their events ended, and the lag.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/figure.h"
#include "cli/options.h"
#include "cli/survey_style.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "survey/notes.h"

static const char help[] =
    "usage: evcache status --config FILE [--json]\n"
    "\n"
    "Asks the admin addresses of every region and shows, per source and destination:\n"
    "what was produced, what is in flight, how every event ended, how long writes\n"
    "took to become visible, and how ready the destination is to take the source's\n"
    "applications over (0 to 100). Below stands, by name, what needs attention: who\n"
    "does not answer, nodes that do not serve, partitions that are behind. A\n"
    "region's own repair group has a row in the books as well: it reads every event\n"
    "of its region.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "  --json           everything as JSON, partitions and nodes included\n"
    "\n"
    "The outcomes: applied; identical (the destination had it); behind (it had\n"
    "something newer); late (missing there and older than tombstones live: it may\n"
    "have been deleted); coalesced (a newer event of its key speaks for it);\n"
    "filtered (by policy, or a request for repair only); expired; gone (it was in no\n"
    "zone any more and went as a delete); abandoned (given up).\n"
    "\n"
    "unexplained = produced + duplicate - lost - outcomes - in flight, and must be\n"
    "0. It is judged only where nothing moved while processes were asked: a\n"
    "partition that did is shown as `moving`. What seems unexplained is looked at up\n"
    "to 3 more times, 200 ms apart.\n"
    "\n"
    "Colours are for terminals; NO_COLOR turns them off. Exit status: 0 all is\n"
    "explained, 1 something is not, 2 the command line is wrong, 3 a process does\n"
    "not answer (it is named).\n";

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

/** What nobody told is not 0. */
static void
count_cell(struct evc_table *table, unsigned column, enum evc_style style, bool is_known,
           uint64_t count)
{
    char digits[EVC_FIGURE_BYTES];

    if (!is_known) {
        evc_table_cell(table, column, EVC_STYLE_DIM, "-");
        return;
    }
    evc_table_cell(table, column, count == 0 ? EVC_STYLE_DIM : style,
                   evc_figure_count((int64_t)count, digits));
}

static void
unexplained_cell(struct evc_table *table, unsigned column, const struct evc_survey *survey,
                 const struct evc_survey_pair *pair)
{
    const struct evc_survey_cell *total = &pair->total;
    char digits[EVC_FIGURE_BYTES];

    if (total->unexplained != 0) {
        evc_table_cell(table, column, EVC_STYLE_BAD, evc_figure_count(total->unexplained, digits));
    } else if (total->is_settled) {
        evc_table_cell(table, column, EVC_STYLE_GOOD, "0");
    } else {
        bool is_moving = total->is_known && evc_survey_unanswered(survey) == 0;
        evc_table_cell(table, column, EVC_STYLE_WARN, is_moving ? "moving" : "unknown");
    }
}

/** Its producers are the region's proxies and relays. */
static bool
is_produced_known(const struct evc_survey *survey, unsigned region)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        if (survey->processes[i].region == region && !survey->processes[i].has_answered) {
            return false;
        }
    }
    return true;
}

static void
print_books(const struct evc_survey *survey)
{
    static const char *const headings[] = {"The books", "produced",  "in flight",
                                           "lost",      "duplicate", "unexplained"};
    struct evc_table table;
    char name[EVC_NOTE_SUBJECT_BYTES];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        bool is_known = pair->total.is_known;

        evc_table_row(&table, evc_survey_pair_name(survey, pair, name));
        count_cell(&table, 1, EVC_STYLE_PLAIN, is_produced_known(survey, pair->source),
                   pair->total.produced);
        count_cell(&table, 2, EVC_STYLE_PLAIN, is_known, pair->total.in_flight);
        count_cell(&table, 3, EVC_STYLE_BAD, is_known, pair->total.lost);
        count_cell(&table, 4, EVC_STYLE_PLAIN, is_known, pair->total.duplicate);
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
    char name[EVC_NOTE_SUBJECT_BYTES];

    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        headings[i + 1] = evc_outcome_str((enum evc_outcome)i);
    }
    evc_table_init(&table, headings, EVC_OUTCOME_MAX + 1);
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        evc_table_row(&table, evc_survey_pair_name(survey, pair, name));
        for (unsigned o = 0; o < EVC_OUTCOME_MAX; o++) {
            count_cell(&table, o + 1, o == EVC_OUTCOME_ABANDONED ? EVC_STYLE_BAD : EVC_STYLE_PLAIN,
                       pair->total.is_known, pair->total.outcome[o]);
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
    char name[EVC_NOTE_SUBJECT_BYTES], duration[EVC_FIGURE_BYTES];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = shown_pair(survey, i);
        if (pair->source == pair->destination) {
            continue;
        }
        evc_table_row(&table, evc_survey_pair_name(survey, pair, name));
        for (unsigned q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
            evc_figure_duration(evc_histogram_quantile(&pair->lag, quantiles[q]), duration);
            evc_table_cell(&table, q + 1, EVC_STYLE_PLAIN, pair->lag.count > 0 ? duration : "-");
        }
        evc_table_cell(&table, 5, EVC_STYLE_PLAIN,
                       pair->total.waiting_us > 0
                           ? evc_figure_duration(pair->total.waiting_us, duration)
                           : "-");
        evc_table_cell(&table, 6, evc_style_of_state(pair->total.state),
                       evc_survey_state_str(pair->total.state));
        evc_table_cell(&table, 7, evc_style_of_score(pair->readiness.score),
                       evc_figure_count(pair->readiness.score, duration));
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
}

/** What an operator should know beyond the tables. */
static void
print_notes(const struct evc_survey *survey)
{
    struct evc_notes notes;

    evc_notes_init(&notes, survey);
    for (size_t i = 0; i < notes.count; i++) {
        const struct evc_note *note = &notes.notes[i];

        printf(
            "%s%s%s %s\n",
            evc_terminal_style(stdout, note->kind == EVC_NOTE_BAD ? EVC_STYLE_BAD : EVC_STYLE_WARN),
            note->subject, evc_terminal_style(stdout, EVC_STYLE_PLAIN), note->text);
    }
    if (notes.left_out > 0) {
        printf("and %zu more like these\n", notes.left_out);
    }
    evc_notes_finish(&notes);
}

static void
print_tables(const struct evc_survey *survey)
{
    printf("%s%s%s: %u region%s, %zu of %zu processes answer\n\n",
           evc_terminal_style(stdout, EVC_STYLE_BOLD), survey->config->cache,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), survey->config->regions_count,
           survey->config->regions_count == 1 ? "" : "s",
           survey->process_count - evc_survey_unanswered(survey), survey->process_count);
    print_books(survey);
    putchar('\n');
    print_outcomes(survey);
    putchar('\n');
    if (survey->config->regions_count > 1) {
        print_lag(survey);
        putchar('\n');
    }
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
