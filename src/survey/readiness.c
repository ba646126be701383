/* SPDX-License-Identifier: Apache-2.0 */
/* One function per part, each giving its number and, below 100, its reason. */
#include "survey/readiness.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *
evc_readiness_part_str(enum evc_readiness_part part)
{
    static const char *const names[EVC_READINESS_PART_MAX] = {
        [EVC_READINESS_LAG] = "lag",
        [EVC_READINESS_BACKLOG] = "backlog",
        [EVC_READINESS_AGREEMENT] = "agreement",
        [EVC_READINESS_WARMTH] = "warmth",
    };

    assert(part < EVC_READINESS_PART_MAX);
    return names[part];
}

/** 100 at best, 0 at worst and beyond. Rounded down, so that only the best is 100. */
static unsigned
scale(double value, double best, double worst)
{
    double share = (worst - value) / (worst - best);

    return share >= 1 ? 100 : share <= 0 ? 0 : (unsigned)(share * 100);
}

/** The same where a tenfold is always as bad as the last one; best is less than worst. */
static unsigned
scale_log(double value, double best, double worst)
{
    return value <= best ? 100 : scale(log(value), log(best), log(worst));
}

static unsigned
rate_lag(const struct evc_readiness_input *input, char *reason)
{
    bool is_waiting = input->waiting_us > input->lag_p99_us;
    double lag_s = (double)(is_waiting ? input->waiting_us : input->lag_p99_us) / 1e6;
    unsigned score = scale_log(lag_s, EVC_READINESS_LAG_S_BEST, EVC_READINESS_LAG_S_WORST);

    if (score < 100 && is_waiting && input->is_waiting_in_journal) {
        snprintf(reason, EVC_READINESS_REASON_BYTES, "events wait in journals for %.1f s", lag_s);
    } else if (score < 100 && is_waiting) {
        snprintf(reason, EVC_READINESS_REASON_BYTES, "partition %u is %.1f s behind",
                 input->waiting_partition, lag_s);
    } else if (score < 100) {
        snprintf(reason, EVC_READINESS_REASON_BYTES, "1 write in 100 takes %.1f s or more", lag_s);
    }
    return score;
}

static unsigned
rate_backlog(const struct evc_readiness_input *input, char *reason)
{
    const struct evc_readiness_region *source = &input->source;
    uint64_t items =
        source->has_memory && source->items > 0 ? source->items : EVC_READINESS_ITEMS_ASSUMED;

    if (input->in_flight <= EVC_READINESS_IN_FLIGHT_FREE) {
        return 100;
    }
    unsigned score = scale_log((double)input->in_flight / (double)items, EVC_READINESS_BACKLOG_BEST,
                               EVC_READINESS_BACKLOG_WORST);
    if (score < 100) {
        snprintf(reason, EVC_READINESS_REASON_BYTES, "%llu events are on their way",
                 (unsigned long long)input->in_flight);
    }
    return score;
}

static unsigned
rate_agreement(const struct evc_readiness_input *input, char *reason)
{
    uint64_t wrong = input->lost + input->unexplained;
    uint64_t stale = input->canaries - input->canaries_fresh;
    unsigned score = 100;

    assert(input->canaries_fresh <= input->canaries);
    if (wrong > 0) {
        uint64_t produced = input->produced > wrong ? input->produced : wrong;
        score = scale_log((double)wrong / (double)produced, EVC_READINESS_WRONG_BEST,
                          EVC_READINESS_WRONG_WORST);
        score = score > EVC_READINESS_WRONG_AT_MOST ? EVC_READINESS_WRONG_AT_MOST : score;
        if (input->unexplained == 0) {
            snprintf(reason, EVC_READINESS_REASON_BYTES, "%llu events were lost",
                     (unsigned long long)input->lost);
        } else {
            snprintf(reason, EVC_READINESS_REASON_BYTES, "%llu events were lost, %llu unexplained",
                     (unsigned long long)input->lost, (unsigned long long)input->unexplained);
        }
    }
    if (stale > 0) {
        unsigned fresh = (unsigned)(100 * input->canaries_fresh / input->canaries);
        if (fresh < score) {
            score = fresh;
            snprintf(reason, EVC_READINESS_REASON_BYTES, "%llu of %llu canaries are stale",
                     (unsigned long long)stale, (unsigned long long)input->canaries);
        }
    }
    return score;
}

/** Lowers *score to what the destination has of the source's, and gives the reason. */
static void
compare_warmth(double of_source, double of_destination, const char *what, unsigned *score,
               char *reason)
{
    double share = of_source > 0 ? of_destination / of_source : 1;
    unsigned warmth = scale(share, EVC_READINESS_WARMTH_BEST, EVC_READINESS_WARMTH_WORST);

    if (warmth < *score) {
        *score = warmth;
        snprintf(reason, EVC_READINESS_REASON_BYTES, "it has %.0f %% of the source's %s",
                 share * 100, what);
    }
}

static unsigned
rate_warmth(const struct evc_readiness_input *input, char *reason)
{
    const struct evc_readiness_region *source = &input->source, *destination = &input->destination;
    unsigned score = 100;

    if (source->has_memory && destination->has_memory) {
        compare_warmth((double)source->items, (double)destination->items, "items", &score, reason);
        compare_warmth((double)source->bytes, (double)destination->bytes, "bytes", &score, reason);
    }
    if (source->reads >= EVC_READINESS_READS_MIN && destination->reads >= EVC_READINESS_READS_MIN) {
        compare_warmth((double)source->hits / (double)source->reads,
                       (double)destination->hits / (double)destination->reads, "hit ratio", &score,
                       reason);
    }
    return score;
}

void
evc_readiness_rate(const struct evc_readiness_input *input, struct evc_readiness *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (input->broken != NULL) {
        snprintf(ret->reason[EVC_READINESS_LAG], EVC_READINESS_REASON_BYTES, "%s", input->broken);
        return;
    }
    ret->part[EVC_READINESS_LAG] = rate_lag(input, ret->reason[EVC_READINESS_LAG]);
    ret->part[EVC_READINESS_BACKLOG] = rate_backlog(input, ret->reason[EVC_READINESS_BACKLOG]);
    ret->part[EVC_READINESS_AGREEMENT] =
        rate_agreement(input, ret->reason[EVC_READINESS_AGREEMENT]);
    ret->part[EVC_READINESS_WARMTH] = rate_warmth(input, ret->reason[EVC_READINESS_WARMTH]);
    ret->score = ret->part[evc_readiness_weakest(ret)];
}

enum evc_readiness_part
evc_readiness_weakest(const struct evc_readiness *readiness)
{
    unsigned weakest = 0;

    for (unsigned i = 1; i < EVC_READINESS_PART_MAX; i++) {
        if (readiness->part[i] < readiness->part[weakest]) {
            weakest = i;
        }
    }
    return (enum evc_readiness_part)weakest;
}
