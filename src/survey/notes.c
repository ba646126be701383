/* SPDX-License-Identifier: Apache-2.0 */
/* See notes.h. */
#include "survey/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/figure.h"

enum {
    NOTES_FIRST = 16,
};

const char *
evc_note_kind_str(enum evc_note_kind kind)
{
    static const char *const names[EVC_NOTE_KIND_MAX] = {
        [EVC_NOTE_BAD] = "bad",
        [EVC_NOTE_SLOW] = "slow",
        [EVC_NOTE_READY] = "ready",
    };

    return (unsigned)kind < EVC_NOTE_KIND_MAX ? names[kind] : "invalid";
}

const char *
evc_survey_pair_name(const struct evc_survey *survey, const struct evc_survey_pair *pair,
                     char name[EVC_NOTE_SUBJECT_BYTES])
{
    const char *source = survey->config->regions[pair->source].name;

    if (pair->source == pair->destination) {
        snprintf(name, EVC_NOTE_SUBJECT_BYTES, "%s, repair", source);
    } else {
        snprintf(name, EVC_NOTE_SUBJECT_BYTES, "%s → %s", source,
                 survey->config->regions[pair->destination].name);
    }
    return name;
}

/** Room for one more; NULL at the bound. Grows by doubling, so counts are powers of two there. */
static struct evc_note *
add(struct evc_notes *notes)
{
    if (notes->count == EVC_NOTES_MAX) {
        return NULL;
    }
    if (notes->count == 0 ||
        (notes->count >= NOTES_FIRST && (notes->count & (notes->count - 1)) == 0)) {
        size_t room = notes->count == 0 ? NOTES_FIRST : notes->count * 2;
        struct evc_note *grown = realloc(notes->notes, room * sizeof(*grown));

        if (grown == NULL) {
            return NULL;
        }
        notes->notes = grown;
    }
    return &notes->notes[notes->count++];
}

__attribute__((format(printf, 4, 5))) static void
note(struct evc_notes *notes, enum evc_note_kind kind, const char *subject, const char *format, ...)
{
    struct evc_note *added = add(notes);
    va_list args;

    if (added == NULL) {
        notes->left_out++;
        return;
    }
    added->kind = kind;
    snprintf(added->subject, sizeof(added->subject), "%s", subject);
    va_start(args, format);
    (void)vsnprintf(added->text, sizeof(added->text), format, args);
    va_end(args);
}

static void
note_process(struct evc_notes *notes, const struct evc_survey_process *process)
{
    char digits[EVC_FIGURE_BYTES], age[EVC_FIGURE_BYTES];

    if (!process->has_answered) {
        note(notes, EVC_NOTE_BAD, process->name, "does not answer: %s", process->why);
        return;
    }
    if (process->journal_lost > 0) {
        note(notes, EVC_NOTE_BAD, process->name, "has lost %s events: its journal was full",
             evc_figure_count((int64_t)process->journal_lost, digits));
    }
    if (process->journal_waiting_us >= EVC_SURVEY_SLOW_US) {
        note(notes, EVC_NOTE_SLOW, process->name,
             "holds %s events in its journals, the oldest for %s",
             evc_figure_count((int64_t)process->journal_waiting, digits),
             evc_figure_duration(process->journal_waiting_us, age));
    }
    if (process->is_feeder_stalled) {
        note(notes, EVC_NOTE_BAD, process->name, "cannot feed its queue: %s",
             process->feeder_error);
    }
}

static void
note_node(struct evc_notes *notes, const struct evc_survey *survey,
          const struct evc_survey_node *node)
{
    if (node->is_known && !node->is_up) {
        note(notes, EVC_NOTE_BAD, survey->config->regions[node->region].zones[node->zone].name,
             "node %s is %s%s%s", node->address->text, node->state,
             node->why[0] != '\0' ? ": " : "", node->why);
    }
}

static void
note_pair(struct evc_notes *notes, const struct evc_survey_pair *pair, const char *name)
{
    char digits[EVC_FIGURE_BYTES];

    if (!pair->is_link_up) {
        note(notes, EVC_NOTE_BAD, name, "is down: %s", pair->why);
    }
    if (pair->slot_conflicts > 0) {
        note(notes, EVC_NOTE_BAD, name,
             "saw two live producers on one worker slot, %s times: two processes must not have "
             "the same region and index",
             evc_figure_count((int64_t)pair->slot_conflicts, digits));
    }
    if (pair->corrupt_records > 0) {
        note(notes, EVC_NOTE_BAD, name, "could not read %s records; their events are lost",
             evc_figure_count((int64_t)pair->corrupt_records, digits));
    }
}

/** A partition that is behind, has lost something, or does not add up. */
static void
note_partition(struct evc_notes *notes, const struct evc_survey_cell *cell, const char *name,
               unsigned partition)
{
    char digits[EVC_FIGURE_BYTES], age[EVC_FIGURE_BYTES];

    if (cell->state == EVC_SURVEY_SLOW || cell->state == EVC_SURVEY_STALLED) {
        note(notes, cell->state == EVC_SURVEY_SLOW ? EVC_NOTE_SLOW : EVC_NOTE_BAD, name,
             "partition %u is %s: its oldest event waits for %s, %s in all", partition,
             evc_survey_state_str(cell->state), evc_figure_duration(cell->waiting_us, age),
             evc_figure_count((int64_t)cell->in_flight, digits));
    }
    if (cell->lost > 0) {
        note(notes, EVC_NOTE_BAD, name, "partition %u lost %s events", partition,
             evc_figure_count((int64_t)cell->lost, digits));
    }
    if (cell->is_settled && cell->unexplained != 0) {
        note(notes, EVC_NOTE_BAD, name, "partition %u has %s events unexplained", partition,
             evc_figure_count(cell->unexplained, digits));
    }
}

static void
note_readiness(struct evc_notes *notes, const struct evc_survey_pair *pair, const char *name)
{
    if (pair->source != pair->destination && pair->readiness.score < 100) {
        note(notes, EVC_NOTE_READY, name, "is %u ready: %s", pair->readiness.score,
             pair->readiness.reason[evc_readiness_weakest(&pair->readiness)]);
    }
}

void
evc_notes_init(struct evc_notes *notes, const struct evc_survey *survey)
{
    char name[EVC_NOTE_SUBJECT_BYTES];

    *notes = (struct evc_notes){0};
    for (size_t i = 0; i < survey->process_count; i++) {
        note_process(notes, &survey->processes[i]);
    }
    for (size_t i = 0; i < survey->node_count; i++) {
        note_node(notes, survey, &survey->nodes[i]);
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = &survey->pairs[i];

        note_pair(notes, pair, evc_survey_pair_name(survey, pair, name));
        for (unsigned p = 0; p < pair->partition_count; p++) {
            note_partition(notes, &pair->cells[p], name, p);
        }
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        note_readiness(notes, &survey->pairs[i],
                       evc_survey_pair_name(survey, &survey->pairs[i], name));
    }
}

void
evc_notes_finish(struct evc_notes *notes)
{
    free(notes->notes);
    *notes = (struct evc_notes){0};
}

size_t
evc_notes_count(const struct evc_notes *notes, enum evc_note_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < notes->count; i++) {
        count += notes->notes[i].kind == kind;
    }
    return count;
}
