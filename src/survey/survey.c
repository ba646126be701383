/* SPDX-License-Identifier: Apache-2.0 */
/* Asking in rounds, and adding up. */
#include "survey/survey.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "survey/survey_read.h"

const char *
evc_survey_state_str(enum evc_survey_state state)
{
    static const char *const names[] = {
        [EVC_SURVEY_FINE] = "fine",       [EVC_SURVEY_SLOW] = "slow",
        [EVC_SURVEY_STALLED] = "stalled", [EVC_SURVEY_DOWN] = "down",
        [EVC_SURVEY_UNKNOWN] = "unknown",
    };

    assert(state <= EVC_SURVEY_UNKNOWN);
    return names[state];
}

enum evc_survey_state
evc_survey_state_by_age(uint64_t waiting_us)
{
    return waiting_us >= EVC_SURVEY_STALLED_US ? EVC_SURVEY_STALLED
           : waiting_us >= EVC_SURVEY_SLOW_US  ? EVC_SURVEY_SLOW
                                               : EVC_SURVEY_FINE;
}

struct evc_survey_pair *
evc_survey_pair_at(const struct evc_survey *survey, unsigned source, unsigned destination)
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

/** All arrays of a survey, their sizes taken from the configuration. */
static bool
allocate(struct evc_survey *survey)
{
    const struct evc_config *config = survey->config;
    size_t process_max = 0, node_max = 0;

    for (unsigned r = 0; r < config->regions_count; r++) {
        process_max += config->regions[r].proxies_count + config->regions[r].relays_count;
        for (unsigned z = 0; z < config->regions[r].zones_count; z++) {
            node_max += config->regions[r].zones[z].nodes_count;
        }
    }
    survey->processes = calloc(process_max, sizeof(*survey->processes));
    survey->nodes = calloc(node_max, sizeof(*survey->nodes));
    survey->regions = calloc(config->regions_count, sizeof(*survey->regions));
    survey->pairs =
        calloc((size_t)config->regions_count * config->regions_count, sizeof(*survey->pairs));
    return survey->processes != NULL && survey->nodes != NULL && survey->regions != NULL &&
           survey->pairs != NULL && evc_survey_prefixes_init(&survey->prefixes) == EVC_OK;
}

static void
add_nodes(struct evc_survey *survey, unsigned region)
{
    const struct evc_config_region *config = &survey->config->regions[region];

    for (unsigned z = 0; z < config->zones_count; z++) {
        if (config->zones[z].state == EVC_ZONE_DRAINED) {
            continue; /* nobody speaks to it */
        }
        for (unsigned n = 0; n < config->zones[z].nodes_count; n++) {
            survey->nodes[survey->node_count++] = (struct evc_survey_node){
                .region = region, .zone = z, .address = &config->zones[z].nodes[n]};
        }
    }
}

/** The pairs of a source. False without memory. */
static bool
add_pairs(struct evc_survey *survey, unsigned source)
{
    for (unsigned d = 0; d < survey->config->regions_count; d++) {
        struct evc_survey_pair *pair = evc_survey_pair_at(survey, source, d);
        pair->source = source;
        pair->destination = d;
        pair->partition_count = survey->config->queue.partitions;
        pair->cell_room = pair->partition_count;
        pair->cells = calloc(pair->cell_room, sizeof(*pair->cells));
        survey->pair_count++;
        if (pair->cells == NULL) {
            return false;
        }
    }
    return true;
}

struct evc_survey *
evc_survey_create(const struct evc_config *config)
{
    struct evc_survey *survey = calloc(1, sizeof(*survey));

    if (survey == NULL) {
        return NULL;
    }
    survey->config = config;
    survey->timeout_ms = EVC_SURVEY_TIMEOUT_MS;
    if (!allocate(survey)) {
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
        add_nodes(survey, r);
        if (!add_pairs(survey, r)) {
            evc_survey_destroy(survey);
            return NULL;
        }
    }
    return survey;
}

/** Forgets what relays have told. */
static void
pairs_reset(struct evc_survey *survey)
{
    evc_survey_prefixes_reset(&survey->prefixes);
    for (size_t i = 0; i < survey->pair_count; i++) {
        struct evc_survey_pair *pair = &survey->pairs[i];
        for (unsigned p = 0; p < pair->cell_room; p++) {
            free(pair->cells[p].buckets.at);
            pair->cells[p] = (struct evc_survey_cell){.state = EVC_SURVEY_UNKNOWN};
        }
        pair->total = (struct evc_survey_cell){0};
        pair->is_link_up = true;
        pair->why[0] = '\0';
        pair->slot_conflicts = 0;
        pair->corrupt_records = 0;
        pair->canaries = 0;
        pair->canaries_stale = 0;
        pair->rate = 0;
        evc_histogram_init(&pair->lag);
        evc_histogram_init(&pair->recent);
    }
}

static bool
make_room(struct evc_survey_pair *pair, unsigned partition_count)
{
    struct evc_survey_cell *cells;

    if (partition_count <= pair->cell_room) {
        return true;
    }
    cells = reallocarray(pair->cells, partition_count, sizeof(*cells));
    if (cells == NULL) {
        return false; /* shown with as many as before */
    }
    for (unsigned p = pair->cell_room; p < partition_count; p++) {
        cells[p] = (struct evc_survey_cell){.state = EVC_SURVEY_UNKNOWN};
    }
    pair->cells = cells;
    pair->cell_room = partition_count;
    return true;
}

void
evc_survey_grow(struct evc_survey *survey, unsigned source, unsigned partition_count)
{
    for (unsigned d = 0; d < survey->config->regions_count; d++) {
        struct evc_survey_pair *pair = evc_survey_pair_at(survey, source, d);
        if (partition_count > pair->partition_count && make_room(pair, partition_count)) {
            pair->partition_count = partition_count;
        }
    }
}

/** Forgets what proxies have told. */
static void
regions_reset(struct evc_survey *survey)
{
    memset(survey->regions, 0, survey->config->regions_count * sizeof(*survey->regions));
    for (size_t i = 0; i < survey->node_count; i++) {
        struct evc_survey_node *node = &survey->nodes[i];
        *node = (struct evc_survey_node){
            .region = node->region, .zone = node->zone, .address = node->address};
    }
}

void
evc_survey_destroy(struct evc_survey *survey)
{
    if (survey == NULL) {
        return;
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        for (unsigned p = 0; survey->pairs[i].cells && p < survey->pairs[i].cell_room; p++) {
            free(survey->pairs[i].cells[p].buckets.at);
        }
        free(survey->pairs[i].cells);
    }
    evc_survey_prefixes_finish(&survey->prefixes);
    free(survey->pairs);
    free(survey->regions);
    free(survey->nodes);
    free(survey->processes);
    free(survey);
}

/* --- looking --- */

/** One process to be asked, by a thread of its own. */
struct question {
    const struct evc_survey *survey;
    struct evc_survey_process *process;
    json_t *answer;
    pthread_t thread;
    bool has_thread;
};

static void *
ask_one(void *arg)
{
    struct question *question = arg;

    question->answer = evc_survey_ask(question->survey, question->process);
    return NULL;
}

/** Asks at once, and reads the answers in order. Without a thread, one is asked after another. */
static void
ask_together(struct evc_survey *survey, struct question *questions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct question *question = &questions[i];
        question->has_thread =
            count > 1 && pthread_create(&question->thread, NULL, ask_one, question) == 0;
        if (!question->has_thread) {
            (void)ask_one(question);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (questions[i].has_thread) {
            (void)pthread_join(questions[i].thread, NULL);
        }
        if (questions[i].answer != NULL) {
            evc_survey_read(survey, questions[i].process, questions[i].answer);
            json_decref(questions[i].answer);
        }
    }
}

/** again: who was silent just now is not waited for a second time. */
static void
ask_all(struct evc_survey *survey, bool proxies, bool again)
{
    struct question questions[EVC_SURVEY_ASKED_MAX];
    size_t count = 0;

    for (size_t i = 0; i < survey->process_count; i++) {
        struct evc_survey_process *process = &survey->processes[i];
        if (process->is_proxy != proxies || (again && !process->has_answered)) {
            continue;
        }
        questions[count++] = (struct question){.survey = survey, .process = process};
        if (count == EVC_SURVEY_ASKED_MAX) {
            ask_together(survey, questions, count);
            count = 0;
        }
    }
    ask_together(survey, questions, count);
}

/** Cells of all pairs as they were in the first round. */
struct before {
    struct evc_survey_cell *cells;
    unsigned stride; /* partitions of the pair that has most */
};

/** NULL: the partition was not known then. */
static const struct evc_survey_cell *
before_at(const struct before *before, size_t pair, unsigned partition)
{
    return partition < before->stride ? &before->cells[pair * before->stride + partition] : NULL;
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
           after->records_unread == 0 &&
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
    total->waiting_us = cell->waiting_us > total->waiting_us ? cell->waiting_us : total->waiting_us;
    total->state = cell->state > total->state ? cell->state : total->state;
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

/** The lag of a pair is that of its partitions; its longest the relays have told already. */
static void
add_to_lag(struct evc_histogram *lag, const struct evc_survey_buckets *buckets)
{
    for (unsigned i = 0; i < buckets->count; i++) {
        lag->bucket[buckets->at[i].bucket] += buckets->at[i].count;
        lag->count += buckets->at[i].count;
    }
}

bool
evc_survey_have_relays_answered(const struct evc_survey *survey, unsigned region)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        const struct evc_survey_process *process = &survey->processes[i];
        if (process->region == region && !process->is_proxy && !process->has_answered) {
            return false;
        }
    }
    return true;
}

/** What waits in the source's journals is late for every destination, whatever its partition. */
static void
add_journals(const struct evc_survey *survey, struct evc_survey_pair *pair)
{
    struct evc_survey_cell *total = &pair->total;
    enum evc_survey_state state;

    pair->journal_waiting = 0;
    pair->journal_waiting_us = 0;
    for (size_t i = 0; i < survey->process_count; i++) {
        const struct evc_survey_process *process = &survey->processes[i];
        if (process->region != pair->source || !process->has_answered) {
            continue;
        }
        pair->journal_waiting += process->journal_waiting;
        if (process->journal_waiting_us > pair->journal_waiting_us) {
            pair->journal_waiting_us = process->journal_waiting_us;
        }
    }
    state = evc_survey_state_by_age(pair->journal_waiting_us);
    if (total->state < state || (state > EVC_SURVEY_FINE && total->state == EVC_SURVEY_UNKNOWN &&
                                 evc_survey_have_relays_answered(survey, pair->source))) {
        total->state = state; /* while no broker answers, no relay has any partition */
    }
    if (pair->journal_waiting_us > total->waiting_us) {
        total->waiting_us = pair->journal_waiting_us;
    }
}

/** before: cells of all pairs as first read, produced included (the relays' alone). */
static void
conclude(struct evc_survey *survey, const struct before *before)
{
    for (size_t i = 0; i < survey->pair_count; i++) {
        struct evc_survey_pair *pair = &survey->pairs[i];
        bool has_all = have_producers_answered(survey, pair->source);
        pair->total = (struct evc_survey_cell){.is_known = true, .is_settled = true};
        for (unsigned p = 0; p < pair->partition_count; p++) {
            const struct evc_survey_cell *first = before_at(before, i, p);
            struct evc_survey_cell *cell = &pair->cells[p];
            cell->produced = produced_by(survey, pair->source, p, false);
            cell->is_settled = has_all && first != NULL && is_unmoved(first, cell) &&
                               first->produced == produced_by(survey, pair->source, p, true);
            judge(cell);
            add_to_total(&pair->total, cell);
            add_to_lag(&pair->lag, &cell->buckets);
        }
        add_journals(survey, pair);
        if (!pair->is_link_up && pair->total.state < EVC_SURVEY_DOWN) {
            pair->total.state = EVC_SURVEY_DOWN;
        }
    }
}

/** The items and bytes of the zone that has most, if every node of it has told. */
static void
conclude_memory(struct evc_survey *survey)
{
    size_t i = 0;

    while (i < survey->node_count) {
        const struct evc_survey_node *first = &survey->nodes[i];
        struct evc_survey_region *region = &survey->regions[first->region];
        uint64_t items = 0, bytes = 0;
        bool has_all = true;

        for (; i < survey->node_count && survey->nodes[i].region == first->region &&
               survey->nodes[i].zone == first->zone;
             i++) {
            has_all = has_all && survey->nodes[i].has_memory;
            items += survey->nodes[i].items;
            bytes += survey->nodes[i].bytes;
        }
        if (has_all && (!region->has_memory || items > region->items)) {
            region->has_memory = true;
            region->items = items;
            region->bytes = bytes;
        }
    }
}

static bool
is_cancelled(const struct evc_survey *survey)
{
    return survey->is_cancelled != NULL && atomic_load(survey->is_cancelled);
}

/** The relays' cells as first read; the numbers of the relays themselves are their produced. False
 * without memory. */
static bool
remember(const struct evc_survey *survey, struct before *before)
{
    before->stride = 0;
    for (size_t i = 0; i < survey->pair_count; i++) {
        unsigned count = survey->pairs[i].partition_count;
        before->stride = count > before->stride ? count : before->stride;
    }
    before->cells = calloc(survey->pair_count * before->stride, sizeof(*before->cells));
    if (before->cells == NULL) {
        return false;
    }
    for (size_t i = 0; i < survey->pair_count; i++) {
        for (unsigned p = 0; p < survey->pairs[i].partition_count; p++) {
            struct evc_survey_cell *cell = &before->cells[i * before->stride + p];
            *cell = survey->pairs[i].cells[p];
            cell->buckets = (struct evc_survey_buckets){0};
            cell->produced = produced_by(survey, survey->pairs[i].source, p, true);
        }
    }
    return true;
}

void
evc_survey_look(struct evc_survey *survey)
{
    struct before before;

    for (size_t i = 0; i < survey->pair_count; i++) {
        survey->pairs[i].partition_count = survey->config->queue.partitions;
    }
    pairs_reset(survey);
    regions_reset(survey);
    ask_all(survey, false, false);
    if (!remember(survey, &before)) { /* nothing is known then, and so it is shown */
        pairs_reset(survey);
        return;
    }
    if (!is_cancelled(survey)) {
        ask_all(survey, true, false);
    }
    if (!is_cancelled(survey)) {
        pairs_reset(survey);
        ask_all(survey, false, true);
    }
    conclude(survey, &before);
    conclude_memory(survey);
    evc_survey_prefixes_rank(&survey->prefixes);
    survey->unix_us = evc_clock_unix_us();
    survey->mono_us = evc_clock_mono_us();
    evc_survey_rate_readiness(survey);
    free(before.cells);
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
        for (unsigned p = 0; p < survey->pairs[i].partition_count; p++) {
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
