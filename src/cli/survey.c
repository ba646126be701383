/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking and adding up. Nothing in an answer is trusted further than its type: unknown regions,
 * partitions and buckets are passed over, missing numbers count as 0.
 */
#include "cli/survey.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/admin.h"

static uint64_t
number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value > 0 ? (uint64_t)value : 0;
}

static const char *
text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value != NULL ? value : "";
}

static struct evc_survey_pair *
pair_at(const struct evc_survey *survey, unsigned source, unsigned destination)
{
    return &survey->pairs[source * survey->config->regions_count + destination];
}

/* --- setting up --- */

static void
add_process(struct evc_survey *survey, unsigned region, bool is_proxy, unsigned index)
{
    const struct evc_config_region *config = &survey->config->regions[region];
    struct evc_survey_process *process = &survey->processes[survey->process_count++];

    *process = (struct evc_survey_process){
        .region = region,
        .index = index,
        .is_proxy = is_proxy,
        .address = is_proxy ? &config->admins[index] : &config->relays[index],
    };
    snprintf(process->name, sizeof(process->name), "%s/%s/%u", config->name,
             is_proxy ? "proxy" : "relay", index);
}

struct evc_survey *
evc_survey_create(const struct evc_config *config)
{
    struct evc_survey *survey = calloc(1, sizeof(*survey));
    size_t process_max = 0;

    if (survey == NULL) {
        return NULL;
    }
    for (unsigned r = 0; r < config->regions_count; r++) {
        process_max += config->regions[r].proxies_count + config->regions[r].relays_count;
    }
    survey->config = config;
    survey->processes = calloc(process_max, sizeof(*survey->processes));
    survey->pairs =
        calloc((size_t)config->regions_count * config->regions_count, sizeof(*survey->pairs));
    if (survey->processes == NULL || survey->pairs == NULL) {
        evc_survey_destroy(survey);
        return NULL;
    }
    for (unsigned r = 0; r < config->regions_count; r++) {
        for (unsigned i = 0; i < config->regions[r].proxies_count; i++) {
            add_process(survey, r, true, i);
        }
        for (unsigned i = 0; i < config->regions[r].relays_count; i++) {
            add_process(survey, r, false, i);
        }
        for (unsigned d = 0; d < config->regions_count; d++) {
            struct evc_survey_pair *pair = pair_at(survey, r, d);
            pair->source = r;
            pair->destination = d;
            pair->cells = calloc(config->queue.partitions, sizeof(*pair->cells));
            survey->pair_count++;
            if (pair->cells == NULL) {
                evc_survey_destroy(survey);
                return NULL;
            }
        }
    }
    return survey;
}

void
evc_survey_destroy(struct evc_survey *survey)
{
    if (survey == NULL) {
        return;
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        free(survey->pairs[i].cells);
    }
    free(survey->pairs);
    free(survey->processes);
    free(survey);
}

/* --- reading answers --- */

/** Asks one process. NULL: it did not answer, or somebody else did; process->why says which. */
static json_t *
ask(const struct evc_survey *survey, struct evc_survey_process *process)
{
    struct evc_error error = {0};
    json_t *answer = NULL;
    const char *region = survey->config->regions[process->region].name;

    process->has_answered = false;
    if (evc_admin_get(process->address, "/status.json", EVC_SURVEY_TIMEOUT_MS, &answer, &error) !=
        0) {
        snprintf(process->why, sizeof(process->why), "%.*s", (int)sizeof(process->why) - 1,
                 error.text);
        return NULL;
    }
    if (strcmp(text(answer, "part"), process->is_proxy ? "proxy" : "relay") != 0 ||
        strcmp(text(answer, "region"), region) != 0 ||
        strcmp(text(answer, "cache"), survey->config->cache) != 0) {
        snprintf(process->why, sizeof(process->why), "%s is answered by another process (%s of %s)",
                 process->address->text, text(answer, "part"), text(answer, "region"));
        json_decref(answer);
        return NULL;
    }
    process->has_answered = true;
    process->why[0] = '\0';
    return answer;
}

static void
read_process(struct evc_survey_process *process, const json_t *answer, unsigned partition_count)
{
    const json_t *feeder = json_object_get(answer, "feeder");
    const json_t *produced = json_object_get(answer, "produced"), *worker;
    size_t index;

    process->pid = number(answer, "pid");
    process->uptime_s = number(answer, "uptime_s");
    process->cpu_us = number(answer, "cpu_us");
    process->journal_lost = number(answer, "lost_at_journal");
    process->journal_waiting = number(json_object_get(answer, "journal"), "waiting");
    json_array_foreach(json_object_get(answer, "workers"), index, worker)
    {
        process->journal_waiting += number(json_object_get(worker, "journal"), "waiting");
    }
    process->is_feeder_stalled = json_is_true(json_object_get(feeder, "stalled"));
    snprintf(process->feeder_error, sizeof(process->feeder_error), "%.*s",
             (int)sizeof(process->feeder_error) - 1, text(feeder, "error"));
    for (unsigned p = 0; p < partition_count; p++) {
        json_int_t value = json_integer_value(json_array_get(produced, p));
        process->produced[p] = value > 0 ? (uint64_t)value : 0;
    }
}

static void
read_cell(struct evc_survey_cell *cell, const json_t *partition)
{
    const json_t *outcomes = json_object_get(partition, "outcomes");

    cell->is_known = true;
    cell->lost = number(partition, "lost");
    cell->duplicate = number(partition, "duplicate");
    /* Exactly the events of records the group has not committed past; those of open batches are
     * among them, and outcomes are counted when their batch is folded. */
    cell->in_flight = number(partition, "backlog_events");
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        cell->outcome[i] = number(outcomes, evc_outcome_str((enum evc_outcome)i));
    }
}

static void
read_buckets(struct evc_histogram *lag, const json_t *buckets)
{
    const json_t *bucket;
    size_t i;

    json_array_foreach(buckets, i, bucket)
    {
        json_int_t index = json_integer_value(json_array_get(bucket, 0));
        json_int_t count = json_integer_value(json_array_get(bucket, 1));
        if (json_is_integer(json_array_get(bucket, 0)) && index >= 0 &&
            index < EVC_HISTOGRAM_BUCKETS && count > 0) {
            lag->bucket[index] += (uint64_t)count;
            lag->count += (uint64_t)count;
        }
    }
}

/** What a relay says of one of its groups. Adds to what other relays of the region have said. */
static void
read_group(struct evc_survey *survey, struct evc_survey_pair *pair, const json_t *group)
{
    const json_t *partition;
    size_t i;
    uint64_t lag_max_us = number(json_object_get(group, "lag_us"), "max");

    json_array_foreach(json_object_get(group, "partitions"), i, partition)
    {
        uint64_t index = number(partition, "partition");
        if (json_is_integer(json_object_get(partition, "partition")) &&
            index < survey->config->queue.partitions) {
            read_cell(&pair->cells[index], partition);
            read_buckets(&pair->lag, json_object_get(partition, "lag_buckets"));
        }
    }
    if (lag_max_us > pair->lag.max) {
        pair->lag.max = lag_max_us;
    }
    pair->slot_conflicts += number(group, "slot_conflicts");
    pair->corrupt_records += number(group, "corrupt");
    if (pair->source != pair->destination && strcmp(text(group, "link"), "up") != 0) {
        pair->is_link_up = false;
        snprintf(pair->why, sizeof(pair->why), "%.*s", (int)sizeof(pair->why) - 1,
                 text(group, "why"));
    }
}

static void
read_relay(struct evc_survey *survey, const struct evc_survey_process *process,
           const json_t *answer)
{
    const json_t *group;
    size_t i;
    unsigned region;

    json_array_foreach(json_object_get(answer, "destinations"), i, group)
    {
        if (evc_config_region_find(survey->config, text(group, "region"), &region, NULL) == 0 &&
            region != process->region) {
            read_group(survey, pair_at(survey, process->region, region), group);
        }
    }
    group = json_object_get(answer, "repair");
    if (group != NULL) {
        read_group(survey, pair_at(survey, process->region, process->region), group);
    }
}

/* --- looking --- */

static void
pairs_reset(struct evc_survey *survey)
{
    for (size_t i = 0; i < survey->pair_count; i++) {
        struct evc_survey_pair *pair = &survey->pairs[i];
        memset(pair->cells, 0, survey->config->queue.partitions * sizeof(*pair->cells));
        pair->total = (struct evc_survey_cell){0};
        pair->is_link_up = true;
        pair->why[0] = '\0';
        pair->slot_conflicts = 0;
        pair->corrupt_records = 0;
        evc_histogram_init(&pair->lag);
    }
}

/** again: who was silent just now is not waited for a second time. */
static void
ask_all(struct evc_survey *survey, bool proxies, bool again)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        struct evc_survey_process *process = &survey->processes[i];
        bool is_asked = process->is_proxy == proxies && (!again || process->has_answered);
        json_t *answer = is_asked ? ask(survey, process) : NULL;
        if (answer == NULL) {
            continue;
        }
        read_process(process, answer, survey->config->queue.partitions);
        if (!process->is_proxy) {
            read_relay(survey, process, answer);
        }
        json_decref(answer);
    }
}

/** What all producers of a region have numbered in a partition; relays only, or proxies as well. */
static uint64_t
produced_by(const struct evc_survey *survey, unsigned region, unsigned partition, bool relays_only)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < survey->process_count; i++) {
        const struct evc_survey_process *process = &survey->processes[i];
        if (process->region == region && !(relays_only && process->is_proxy)) {
            sum += process->produced[partition];
        }
    }
    return sum;
}

static void
judge(struct evc_survey_cell *cell)
{
    int64_t unexplained = (int64_t)(cell->produced + cell->duplicate);

    unexplained -= (int64_t)(cell->lost + cell->in_flight);
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        unexplained -= (int64_t)cell->outcome[i];
    }
    cell->unexplained = unexplained;
}

/** Compares a cell with what it was before the producers were asked. */
static bool
is_unmoved(const struct evc_survey_cell *before, const struct evc_survey_cell *after)
{
    return before->is_known && after->is_known && before->lost == after->lost &&
           before->duplicate == after->duplicate && before->in_flight == after->in_flight &&
           memcmp(before->outcome, after->outcome, sizeof(before->outcome)) == 0;
}

static void
add_to_total(struct evc_survey_cell *total, const struct evc_survey_cell *cell)
{
    total->is_known = total->is_known && cell->is_known;
    total->is_settled = total->is_settled && cell->is_settled;
    total->produced += cell->produced;
    total->lost += cell->lost;
    total->duplicate += cell->duplicate;
    total->in_flight += cell->in_flight;
    total->unexplained += cell->is_settled ? cell->unexplained : 0;
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        total->outcome[i] += cell->outcome[i];
    }
}

/** Whether every producer of a region has answered this look. */
static bool
have_producers_answered(const struct evc_survey *survey, unsigned region)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        if (survey->processes[i].region == region && !survey->processes[i].has_answered) {
            return false;
        }
    }
    return true;
}

/** before: cells of all pairs as first read, produced included (the relays' alone). */
static void
conclude(struct evc_survey *survey, const struct evc_survey_cell *before)
{
    unsigned partition_count = survey->config->queue.partitions;

    for (size_t i = 0; i < survey->pair_count; i++) {
        struct evc_survey_pair *pair = &survey->pairs[i];
        bool has_all = have_producers_answered(survey, pair->source);
        pair->total = (struct evc_survey_cell){.is_known = true, .is_settled = true};
        for (unsigned p = 0; p < partition_count; p++) {
            const struct evc_survey_cell *first = &before[i * partition_count + p];
            struct evc_survey_cell *cell = &pair->cells[p];
            cell->produced = produced_by(survey, pair->source, p, false);
            cell->is_settled = has_all && is_unmoved(first, cell) &&
                               first->produced == produced_by(survey, pair->source, p, true);
            judge(cell);
            add_to_total(&pair->total, cell);
        }
    }
}

void
evc_survey_look(struct evc_survey *survey)
{
    unsigned partition_count = survey->config->queue.partitions;
    struct evc_survey_cell *before = calloc(survey->pair_count * partition_count, sizeof(*before));

    pairs_reset(survey);
    if (before == NULL) { /* nothing is known then, and so it is shown */
        return;
    }
    ask_all(survey, false, false);
    for (size_t i = 0; i < survey->pair_count; i++) {
        for (unsigned p = 0; p < partition_count; p++) {
            struct evc_survey_cell *cell = &before[i * partition_count + p];
            *cell = survey->pairs[i].cells[p];
            cell->produced = produced_by(survey, survey->pairs[i].source, p, true);
        }
    }
    ask_all(survey, true, false);
    pairs_reset(survey);
    ask_all(survey, false, true);
    conclude(survey, before);
    free(before);
}

void
evc_survey_look_patiently(struct evc_survey *survey)
{
    const struct timespec pause = {.tv_nsec = EVC_SURVEY_LOOK_PAUSE_MS * 1000000L};

    for (unsigned look = 1;; look++) {
        evc_survey_look(survey);
        if (look == EVC_SURVEY_LOOKS_MAX || evc_survey_unanswered(survey) > 0 ||
            (evc_survey_is_settled(survey) && evc_survey_unexplained(survey) == 0)) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
}

uint64_t
evc_survey_unexplained(const struct evc_survey *survey)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < survey->pair_count; i++) {
        for (unsigned p = 0; p < survey->config->queue.partitions; p++) {
            const struct evc_survey_cell *cell = &survey->pairs[i].cells[p];
            if (cell->is_settled) {
                sum += (uint64_t)llabs(cell->unexplained);
            }
        }
    }
    return sum;
}

bool
evc_survey_is_settled(const struct evc_survey *survey)
{
    for (size_t i = 0; i < survey->pair_count; i++) {
        if (!survey->pairs[i].total.is_known || !survey->pairs[i].total.is_settled) {
            return false;
        }
    }
    return true;
}

size_t
evc_survey_unanswered(const struct evc_survey *survey)
{
    size_t count = 0;

    for (size_t i = 0; i < survey->process_count; i++) {
        count += !survey->processes[i].has_answered;
    }
    return count;
}
