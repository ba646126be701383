/* SPDX-License-Identifier: Apache-2.0 */
/* What two surveys tell together, and what that says about readiness. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "survey/survey.h"

static uint64_t
grown(uint64_t now, uint64_t earlier)
{
    return now >= earlier ? now - earlier : now;
}

static uint64_t
ended(const struct evc_survey_cell *cell)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        sum += cell->outcome[i];
    }
    return sum;
}

/** Adds now's buckets less earlier's to *ret. Both are ascending, as relays tell them. */
static void
subtract_buckets(const struct evc_survey_buckets *now, const struct evc_survey_buckets *earlier,
                 struct evc_histogram *ret)
{
    unsigned e = 0;

    for (unsigned n = 0; n < now->count; n++) {
        unsigned bucket = now->at[n].bucket;
        uint64_t count = now->at[n].count;

        while (e < earlier->count && earlier->at[e].bucket < bucket) {
            e++;
        }
        if (e < earlier->count && earlier->at[e].bucket == bucket) {
            count = grown(count, earlier->at[e].count);
        }
        if (count > 0) {
            uint64_t upper = evc_histogram_bucket_upper(bucket);
            ret->bucket[bucket] += count;
            ret->count += count;
            ret->max = upper > ret->max ? upper : ret->max;
        }
    }
}

static void
compare_pair(struct evc_survey_pair *pair, const struct evc_survey_pair *earlier, double seconds)
{
    uint64_t events = 0;

    evc_histogram_init(&pair->recent);
    for (unsigned p = 0; p < pair->partition_count && p < earlier->partition_count; p++) {
        struct evc_survey_cell *cell = &pair->cells[p];
        const struct evc_survey_cell *before = &earlier->cells[p];
        struct evc_histogram recent;

        if (!cell->is_known || !before->is_known) {
            continue; /* all it ever did is not what it did since */
        }
        evc_histogram_init(&recent);
        subtract_buckets(&cell->buckets, &before->buckets, &recent);
        cell->recent_count = recent.count;
        cell->recent_p99_us = evc_histogram_quantile(&recent, 0.99);
        evc_histogram_merge(&pair->recent, &recent);
        events += grown(ended(cell), ended(before));
    }
    pair->rate = (double)events / seconds;
}

static void
compare_region(struct evc_survey_region *region, const struct evc_survey_region *earlier,
               double seconds)
{
    if (region->told_count != earlier->told_count) {
        return; /* all that a proxy ever did is not what it did since */
    }
    region->recent_hits = grown(region->hits, earlier->hits);
    region->recent_reads = region->recent_hits + grown(region->misses, earlier->misses);
    region->read_rate = (double)region->recent_reads / seconds;
    region->write_rate = (double)grown(region->writes, earlier->writes) / seconds;
}

void
evc_survey_compare(struct evc_survey *survey, const struct evc_survey *earlier)
{
    assert(survey->config == earlier->config && earlier->mono_us > 0);
    if (survey->mono_us <= earlier->mono_us) {
        return;
    }
    double seconds = (double)(survey->mono_us - earlier->mono_us) / 1e6;
    for (size_t i = 0; i < survey->pair_count; i++) {
        compare_pair(&survey->pairs[i], &earlier->pairs[i], seconds);
    }
    for (unsigned r = 0; r < survey->config->regions_count; r++) {
        compare_region(&survey->regions[r], &earlier->regions[r], seconds);
    }
    evc_survey_rate_readiness(survey);
}

/* --- readiness --- */

/** Recent reads where there were enough of them, else all. */
static struct evc_readiness_region
readiness_region(const struct evc_survey_region *region)
{
    bool is_recent = region->recent_reads >= EVC_READINESS_READS_MIN;

    return (struct evc_readiness_region){
        .has_memory = region->has_memory,
        .items = region->items,
        .bytes = region->bytes,
        .hits = is_recent ? region->recent_hits : region->hits,
        .reads = is_recent ? region->recent_reads : region->hits + region->misses,
    };
}

/** Whether any proxy of a region answers. */
static bool
is_served(const struct evc_survey *survey, unsigned region)
{
    for (size_t i = 0; i < survey->process_count; i++) {
        const struct evc_survey_process *process = &survey->processes[i];
        if (process->is_proxy && process->region == region && process->has_answered) {
            return true;
        }
    }
    return false;
}

/** Why nothing can be said of a pair, or NULL. text: EVC_READINESS_REASON_BYTES. */
static const char *
broken(const struct evc_survey *survey, const struct evc_survey_pair *pair, char *text)
{
    const struct evc_config_region *regions = survey->config->regions;

    if (!pair->total.is_known) {
        snprintf(text, EVC_READINESS_REASON_BYTES,
                 evc_survey_have_relays_answered(survey, pair->source)
                     ? "not every partition of %s has a relay"
                     : "a relay of %s does not answer",
                 regions[pair->source].name);
    } else if (!is_served(survey, pair->destination)) {
        snprintf(text, EVC_READINESS_REASON_BYTES, "no proxy of %s answers",
                 regions[pair->destination].name);
    } else if (!pair->is_link_up) {
        snprintf(text, EVC_READINESS_REASON_BYTES, "no link: %.100s", pair->why);
    } else {
        return NULL;
    }
    return text;
}

static unsigned
longest_waiting(const struct evc_survey_pair *pair)
{
    unsigned longest = 0;

    for (unsigned p = 1; p < pair->partition_count; p++) {
        if (pair->cells[p].waiting_us > pair->cells[longest].waiting_us) {
            longest = p;
        }
    }
    return longest;
}

static void
rate_pair(const struct evc_survey *survey, struct evc_survey_pair *pair)
{
    unsigned longest = longest_waiting(pair);
    uint64_t unexplained = 0;
    char text[EVC_READINESS_REASON_BYTES];

    for (unsigned p = 0; p < pair->partition_count; p++) {
        const struct evc_survey_cell *cell = &pair->cells[p];
        unexplained += cell->is_settled ? (uint64_t)llabs(cell->unexplained) : 0;
    }
    evc_readiness_rate(
        &(struct evc_readiness_input){
            .broken = broken(survey, pair, text),
            .waiting_us = pair->total.waiting_us,
            .waiting_partition = longest,
            .lag_p99_us = evc_histogram_quantile(&pair->recent, 0.99),
            .is_waiting_in_journal = pair->journal_waiting_us > pair->cells[longest].waiting_us,
            .in_flight = pair->total.in_flight + pair->journal_waiting,
            .produced = pair->total.produced,
            .lost = pair->total.lost,
            .unexplained = unexplained,
            .canaries = pair->canaries,
            .canaries_fresh = pair->canaries - pair->canaries_stale,
            .source = readiness_region(&survey->regions[pair->source]),
            .destination = readiness_region(&survey->regions[pair->destination]),
        },
        &pair->readiness);
}

void
evc_survey_rate_readiness(struct evc_survey *survey)
{
    for (size_t i = 0; i < survey->pair_count; i++) {
        rate_pair(survey, &survey->pairs[i]);
    }
}
