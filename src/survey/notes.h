/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a survey needs attention, in words: who does not answer, what does not serve, is behind,
 * lost or unexplained. One list for `evcache status`, `evcache top` and the dashboard, so that
 * nothing is fine in one of them and not in another. Pure.
 */
#ifndef EVC_SURVEY_NOTES_H
#define EVC_SURVEY_NOTES_H

#include "survey/survey.h"

enum {
    EVC_NOTES_MAX = 1024, /* beyond them `left_out` counts */
    EVC_NOTE_SUBJECT_BYTES = 2 * EVC_CONFIG_NAME_LEN_MAX + 8,
    EVC_NOTE_TEXT_BYTES = 320,
};

enum evc_note_kind {
    EVC_NOTE_BAD,   /* something is broken, lost or stands still */
    EVC_NOTE_SLOW,  /* something is behind */
    EVC_NOTE_READY, /* a destination that is not fully ready to take a source's applications */
    EVC_NOTE_KIND_MAX,
};

/** "bad", "slow", "ready". */
const char *evc_note_kind_str(enum evc_note_kind kind);

/** A sentence: subject, a blank, text. */
struct evc_note {
    enum evc_note_kind kind;
    char subject[EVC_NOTE_SUBJECT_BYTES]; /* "virginia/relay/0", "virginia → oregon" */
    char text[EVC_NOTE_TEXT_BYTES];       /* "does not answer: connection refused" */
};

struct evc_notes {
    struct evc_note *notes; /* processes, nodes, pairs; what is about readiness comes last */
    size_t count;
    size_t left_out; /* for want of room or memory */
};

/** "virginia → oregon", or "virginia, repair". Returns name. */
const char *evc_survey_pair_name(const struct evc_survey *survey,
                                 const struct evc_survey_pair *pair,
                                 char name[EVC_NOTE_SUBJECT_BYTES]);

/** Of a survey that has looked. */
void evc_notes_init(struct evc_notes *notes, const struct evc_survey *survey);
void evc_notes_finish(struct evc_notes *notes);

/** How many are of a kind. */
size_t evc_notes_count(const struct evc_notes *notes, enum evc_note_kind kind);

#endif
