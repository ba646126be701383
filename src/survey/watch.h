/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that looks at the whole cache every two seconds (survey.h), compares each look with the
 * one before, and keeps the last hour (history.h). The dashboard and `evcache top` show what it
 * has. Looks of whoever watches are the only cost: a watched process answers two requests each.
 */
#ifndef EVC_SURVEY_WATCH_H
#define EVC_SURVEY_WATCH_H

#include "base/error.h"
#include "survey/survey.h"

enum {
    EVC_WATCH_PERIOD_MS = 2000,  /* from one look's beginning to the next's */
    EVC_WATCH_TIMEOUT_MS = 1000, /* for one process's answer */
};

struct evc_watch;

/** config outlives it. EVC_E_NOMEM, or EVC_E_SYS when there is no thread. */
EVC_MUST_USE int evc_watch_start(const struct evc_config *config, struct evc_watch **ret,
                                 struct evc_error *error);

/** Waits for a look under way: EVC_WATCH_TIMEOUT_MS at most. Accepts NULL. */
void evc_watch_stop(struct evc_watch *watch);

/**
 * Shows the last look to see, which must not keep it and be quick: the next look waits meanwhile.
 * False before the first look has ended: see is not called. Any thread.
 */
bool evc_watch_view(struct evc_watch *watch,
                    void (*see)(void *ctx, const struct evc_survey *survey), void *ctx);

/** JSON texts for the caller to free: the last look (evc_survey_json), the last hour
 * (evc_history_json). NULL before the first look and without memory. Any thread. */
char *evc_watch_survey_json(struct evc_watch *watch);
char *evc_watch_history_json(struct evc_watch *watch);

#endif
