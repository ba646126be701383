/* SPDX-License-Identifier: Apache-2.0 */
/* How what a survey found looks: the same in status and in top. */
#ifndef EVC_CLI_SURVEY_STYLE_H
#define EVC_CLI_SURVEY_STYLE_H

#include "cli/terminal.h"
#include "survey/survey.h"

static inline enum evc_style
evc_style_of_state(enum evc_survey_state state)
{
    return state == EVC_SURVEY_FINE   ? EVC_STYLE_GOOD
           : state == EVC_SURVEY_SLOW ? EVC_STYLE_WARN
                                      : EVC_STYLE_BAD;
}

/** score: a readiness, 0 to 100. */
static inline enum evc_style
evc_style_of_score(unsigned score)
{
    return score >= 90 ? EVC_STYLE_GOOD : score >= 50 ? EVC_STYLE_WARN : EVC_STYLE_BAD;
}

#endif
