/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one process's /status.json into a survey; private to survey.c. Nothing in an answer is
 * trusted further than its type: unknown regions, partitions, nodes and buckets are passed over,
 * missing numbers count as 0.
 */
#ifndef EVC_SURVEY_SURVEY_READ_H
#define EVC_SURVEY_SURVEY_READ_H

#include "survey/survey.h"

/** A region's queue has at least so many partitions (survey.c). Never fewer than before. */
void evc_survey_grow(struct evc_survey *survey, unsigned source, unsigned partition_count);

/**
 * Asks one process. NULL: it did not answer, or somebody else did; process->why says which. Touches
 * nothing but *process, so several may be asked at once. The caller owns the answer.
 */
json_t *evc_survey_ask(const struct evc_survey *survey, struct evc_survey_process *process);

/** What every process tells, and what a proxy tells of its region and nodes, or a relay of its
 * groups. Adds to what other processes of the region have said. */
void evc_survey_read(struct evc_survey *survey, struct evc_survey_process *process,
                     const json_t *answer);

#endif
