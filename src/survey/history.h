/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last hour of every pair of regions, for the dashboard: a ring of points of ten seconds each,
 * filled from surveys. Memory is taken once: 24 bytes a pair and point, so 360 points of 3 regions
 * (9 pairs, those of a region's repair included) take 76 KiB and of 16 regions 2.1 MiB. One thread
 * at a time.
 */
#ifndef EVC_SURVEY_HISTORY_H
#define EVC_SURVEY_HISTORY_H

#include "survey/survey.h"

enum {
    EVC_HISTORY_POINT_S = 10,
    EVC_HISTORY_POINTS_MAX = 360,
};

/** What the looks of ten seconds have seen of a pair. */
struct evc_history_point {
    float rate;           /* mean of the looks: events a second */
    float p50_ms, p99_ms; /* highest of the looks; below 0: nothing was applied */
    float waiting_ms;     /* highest: the oldest event in flight */
    uint32_t in_flight;   /* highest */
    uint8_t readiness;    /* lowest */
    uint8_t state;        /* worst, an enum evc_survey_state */
    uint16_t look_count;  /* 0: no look fell into these ten seconds */
};

struct evc_history;

/** For pairs in the order of a survey's. NULL without memory. */
struct evc_history *evc_history_create(size_t pair_count);
void evc_history_destroy(struct evc_history *history); /* accepts NULL */

/** Adds a survey that was compared with the one before it. A clock that goes back adds to the last
 * point. */
void evc_history_add(struct evc_history *history, const struct evc_survey *survey);

/** Points held, oldest first: index 0 to count - 1. Times are Unix seconds, multiples of 10. */
size_t evc_history_count(const struct evc_history *history);
uint64_t evc_history_time(const struct evc_history *history, size_t index);
const struct evc_history_point *evc_history_point(const struct evc_history *history, size_t index,
                                                  size_t pair);

/**
 * It as JSON text, for the caller to free: {point_s, points_max, times, pairs: [{source,
 * destination, rate, p50_ms, p99_ms, waiting_ms, in_flight, readiness}]} with arrays as long as
 * times, null where nothing is known; repair groups left out. survey names the pairs. NULL without
 * memory.
 */
char *evc_history_json(const struct evc_history *history, const struct evc_survey *survey);

#endif
