/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of rows: one time and, for every pair, one point. */
#include "survey/history.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct evc_history {
    size_t pair_count;                /* immutable */
    struct evc_history_point *points; /* [row * pair_count + pair] */
    uint64_t times[EVC_HISTORY_POINTS_MAX];
    size_t first, count;
};

struct evc_history *
evc_history_create(size_t pair_count)
{
    struct evc_history *history = calloc(1, sizeof(*history));

    if (history == NULL) {
        return NULL;
    }
    history->pair_count = pair_count;
    history->points = calloc(pair_count * EVC_HISTORY_POINTS_MAX, sizeof(*history->points));
    if (history->points == NULL) {
        evc_history_destroy(history);
        return NULL;
    }
    return history;
}

void
evc_history_destroy(struct evc_history *history)
{
    if (history != NULL) {
        free(history->points);
        free(history);
    }
}

static size_t
row_of(const struct evc_history *history, size_t index)
{
    assert(index < history->count);
    return (history->first + index) % EVC_HISTORY_POINTS_MAX;
}

size_t
evc_history_count(const struct evc_history *history)
{
    return history->count;
}

uint64_t
evc_history_time(const struct evc_history *history, size_t index)
{
    return history->times[row_of(history, index)];
}

const struct evc_history_point *
evc_history_point(const struct evc_history *history, size_t index, size_t pair)
{
    assert(pair < history->pair_count);
    return &history->points[row_of(history, index) * history->pair_count + pair];
}

/** The row for a time: the last one, or a new one in place of the oldest. */
static size_t
row_for(struct evc_history *history, uint64_t time)
{
    size_t row;

    if (history->count > 0) {
        row = row_of(history, history->count - 1);
        if (time <= history->times[row]) {
            return row;
        }
    }
    if (history->count == EVC_HISTORY_POINTS_MAX) {
        history->first = (history->first + 1) % EVC_HISTORY_POINTS_MAX;
    } else {
        history->count++;
    }
    row = row_of(history, history->count - 1);
    history->times[row] = time;
    for (size_t i = 0; i < history->pair_count; i++) {
        history->points[row * history->pair_count + i] =
            (struct evc_history_point){.p50_ms = -1, .p99_ms = -1, .readiness = 100};
    }
    return row;
}

static void
point_add(struct evc_history_point *point, const struct evc_survey_pair *pair)
{
    float weight = 1.0F / (float)(point->look_count + 1);
    float waiting_ms = (float)((double)pair->total.waiting_us / 1e3);
    uint64_t in_flight = pair->total.in_flight < UINT32_MAX ? pair->total.in_flight : UINT32_MAX;

    if (point->look_count == UINT16_MAX) {
        return; /* the clock stands still */
    }
    point->look_count++;
    point->rate += ((float)pair->rate - point->rate) * weight;
    point->waiting_ms = fmaxf(point->waiting_ms, waiting_ms);
    point->in_flight = in_flight > point->in_flight ? (uint32_t)in_flight : point->in_flight;
    if (pair->recent.count > 0) {
        double p50_ms = (double)evc_histogram_quantile(&pair->recent, 0.5) / 1e3;
        double p99_ms = (double)evc_histogram_quantile(&pair->recent, 0.99) / 1e3;
        point->p50_ms = fmaxf(point->p50_ms, (float)p50_ms);
        point->p99_ms = fmaxf(point->p99_ms, (float)p99_ms);
    }
    if (pair->readiness.score < point->readiness) {
        point->readiness = (uint8_t)pair->readiness.score;
    }
    if (pair->total.state > point->state) {
        point->state = (uint8_t)pair->total.state;
    }
}

void
evc_history_add(struct evc_history *history, const struct evc_survey *survey)
{
    uint64_t second = survey->unix_us / 1000000;
    size_t row = row_for(history, second - second % EVC_HISTORY_POINT_S);

    assert(survey->pair_count == history->pair_count);
    for (size_t i = 0; i < history->pair_count; i++) {
        point_add(&history->points[row * history->pair_count + i], &survey->pairs[i]);
    }
}

/* --- JSON --- */

typedef double (*point_value_fn)(const struct evc_history_point *point); /* below 0: not known */

static double
value_rate(const struct evc_history_point *point)
{
    return point->rate;
}

static double
value_p50(const struct evc_history_point *point)
{
    return point->p50_ms;
}

static double
value_p99(const struct evc_history_point *point)
{
    return point->p99_ms;
}

static double
value_waiting(const struct evc_history_point *point)
{
    return point->waiting_ms;
}

static double
value_in_flight(const struct evc_history_point *point)
{
    return point->in_flight;
}

static double
value_readiness(const struct evc_history_point *point)
{
    return point->readiness;
}

static const struct {
    const char *name;
    point_value_fn value;
} column_table[] = {
    {"rate", value_rate},          {"p50_ms", value_p50},          {"p99_ms", value_p99},
    {"waiting_ms", value_waiting}, {"in_flight", value_in_flight}, {"readiness", value_readiness},
};

static void
print_pair(const struct evc_history *history, const struct evc_survey *survey, size_t index,
           FILE *out)
{
    const struct evc_survey_pair *pair = &survey->pairs[index];

    /* Names of regions have no character that JSON would want escaped. */
    fprintf(out, "{\"source\":\"%s\",\"destination\":\"%s\"",
            survey->config->regions[pair->source].name,
            survey->config->regions[pair->destination].name);
    for (size_t c = 0; c < sizeof(column_table) / sizeof(column_table[0]); c++) {
        fprintf(out, ",\"%s\":[", column_table[c].name);
        for (size_t i = 0; i < history->count; i++) {
            const struct evc_history_point *point = evc_history_point(history, i, index);
            double value = column_table[c].value(point);
            if (point->look_count == 0 || value < 0) {
                fprintf(out, "%snull", i > 0 ? "," : "");
            } else {
                fprintf(out, "%s%.6g", i > 0 ? "," : "", value);
            }
        }
        fputc(']', out);
    }
    fputc('}', out);
}

char *
evc_history_json(const struct evc_history *history, const struct evc_survey *survey)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    const char *separator = "";

    if (out == NULL) {
        return NULL;
    }
    fprintf(out, "{\"point_s\":%d,\"points_max\":%d,\"times\":[", EVC_HISTORY_POINT_S,
            EVC_HISTORY_POINTS_MAX);
    for (size_t i = 0; i < history->count; i++) {
        fprintf(out, "%s%llu", i > 0 ? "," : "", (unsigned long long)evc_history_time(history, i));
    }
    fputs("],\"pairs\":[", out);
    for (size_t i = 0; i < history->pair_count; i++) {
        if (survey->pairs[i].source != survey->pairs[i].destination) {
            fputs(separator, out);
            print_pair(history, survey, i, out);
            separator = ",";
        }
    }
    fputs("]}", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
