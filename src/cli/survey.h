/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process of a cache says about itself, put together into the books of every pair of
 * regions. Processes are asked one after another, so under traffic the numbers move between two
 * questions: the relays are asked before and after the producers, and a partition of a pair whose
 * numbers were the same both times is settled. Only then can its books be judged:
 *
 *     unexplained = produced + duplicate - lost - sum of outcomes - in flight
 *
 * where produced is what the source's proxies and relays have numbered and in flight what the
 * source's queue holds that the destination's group has not done with. Used by `evcache status`
 * only.
 */
#ifndef EVC_CLI_SURVEY_H
#define EVC_CLI_SURVEY_H

#include <jansson.h>

#include "base/histogram.h"
#include "queue/queue.h"
#include "replication/outcome.h"
#include "topology/config.h"

enum {
    EVC_SURVEY_TIMEOUT_MS = 3000, /* for one process's answer */
    EVC_SURVEY_LOOKS_MAX = 4,     /* the first, and three more while something seems unexplained */
    EVC_SURVEY_LOOK_PAUSE_MS = 200,
};

/** One partition of a pair. */
struct evc_survey_cell {
    bool is_known; /* its relay has answered */
    bool is_settled;
    uint64_t produced;
    uint64_t lost, duplicate;
    uint64_t outcome[EVC_OUTCOME_MAX];
    uint64_t in_flight;
    int64_t unexplained;
};

/** A source and a destination; the same region twice stands for its own repair group. */
struct evc_survey_pair {
    unsigned source, destination;
    struct evc_survey_cell *cells; /* one per partition */
    struct evc_survey_cell total;  /* is_known, is_settled: of all partitions */
    bool is_link_up;
    char why[128];            /* the link is down, or "" */
    uint64_t slot_conflicts;  /* batches that showed two live producers on one worker slot */
    uint64_t corrupt_records; /* could not be read; their events show as lost */
    struct evc_histogram lag; /* write to visible of what was applied, since the relays started */
};

/** One process that was asked. */
struct evc_survey_process {
    char name[EVC_CONFIG_NAME_LEN_MAX + 16]; /* "virginia/relay/0" */
    const struct evc_address *address;
    unsigned region, index;
    bool is_proxy;
    bool has_answered;
    char why[160]; /* it has not, or "" */
    uint64_t pid, uptime_s, cpu_us;
    uint64_t journal_waiting; /* written, not numbered yet: in nobody's books so far */
    uint64_t journal_lost;
    bool is_feeder_stalled;
    char feeder_error[160];
    uint64_t produced[EVC_PARTITION_MAX];
};

struct evc_survey {
    const struct evc_config *config; /* outlives the survey */
    struct evc_survey_process *processes;
    size_t process_count;
    struct evc_survey_pair *pairs; /* [source * regions_count + destination] */
    size_t pair_count;
};

/** NULL only without memory. */
struct evc_survey *evc_survey_create(const struct evc_config *config);
void evc_survey_destroy(struct evc_survey *survey); /* accepts NULL */

/** Asks everybody once. What was found before is forgotten. Blocks. */
void evc_survey_look(struct evc_survey *survey);

/** Looks until no settled partition seems unexplained, at most EVC_SURVEY_LOOKS_MAX times. */
void evc_survey_look_patiently(struct evc_survey *survey);

/** Sum of the absolute unexplained of everything that is settled. */
uint64_t evc_survey_unexplained(const struct evc_survey *survey);

/** Whether every partition of every pair is known and settled. */
bool evc_survey_is_settled(const struct evc_survey *survey);

size_t evc_survey_unanswered(const struct evc_survey *survey);

/** The whole survey as a JSON object (the caller's). NULL without memory. */
json_t *evc_survey_json(const struct evc_survey *survey);

#endif
