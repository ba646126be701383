/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fail-over readiness: may the applications of one region be sent to another now? One number from
 * 0 to 100 for a source and a destination, the lowest of four parts, because a region is as ready
 * as its weakest part:
 *
 *     lag        how old what the destination serves may be: the oldest event that waits, or the
 *                99th percentile of recent lag, whichever is longer
 *     backlog    how much it has not got yet: events on their way against the source's items
 *     agreement  events that were lost or are unexplained, and canaries that are stale
 *     warmth     what it holds (items, bytes) and how often that answers (hits), against the source
 *
 * Pure rules over numbers; the bounds below are the whole of them. Between two bounds a part falls
 * evenly on a logarithmic scale (warmth: a linear one).
 */
#ifndef EVC_SURVEY_READINESS_H
#define EVC_SURVEY_READINESS_H

#include <stdbool.h>
#include <stdint.h>

enum evc_readiness_part {
    EVC_READINESS_LAG,
    EVC_READINESS_BACKLOG,
    EVC_READINESS_AGREEMENT,
    EVC_READINESS_WARMTH,
    EVC_READINESS_PART_MAX,
};

/* Where a part is 100, and where it is 0. */
#define EVC_READINESS_LAG_S_BEST 1.0
#define EVC_READINESS_LAG_S_WORST 60.0
#define EVC_READINESS_BACKLOG_BEST 1e-4 /* share of the source's items */
#define EVC_READINESS_BACKLOG_WORST 0.05
#define EVC_READINESS_WRONG_BEST 1e-7 /* lost and unexplained, share of what was produced */
#define EVC_READINESS_WRONG_WORST 1e-2
#define EVC_READINESS_WARMTH_BEST 0.95 /* of the source's */
#define EVC_READINESS_WARMTH_WORST 0.05

enum {
    EVC_READINESS_READS_MIN = 1000,       /* fewer reads in a region say nothing about its hits */
    EVC_READINESS_ITEMS_ASSUMED = 100000, /* where a region's nodes do not tell */
    EVC_READINESS_IN_FLIGHT_FREE = 100,   /* so few events on their way are no backlog */
    EVC_READINESS_WRONG_AT_MOST = 99,     /* one lost event is enough not to be 100 */
    EVC_READINESS_REASON_BYTES = 120,
};

/** One of the two regions. */
struct evc_readiness_region {
    bool has_memory; /* items and bytes are known */
    uint64_t items, bytes;
    uint64_t hits, reads; /* recent */
};

struct evc_readiness_input {
    const char *broken; /* NULL, or why nothing can be said: no link, a silent relay; 0 then */
    uint64_t waiting_us;
    unsigned waiting_partition; /* which one waits longest */
    bool is_waiting_in_journal; /* none does: it is the source's journals */
    uint64_t lag_p99_us;        /* 0: nothing was applied lately */
    uint64_t in_flight;         /* in the queue and in the source's journals */
    uint64_t produced, lost, unexplained;
    uint64_t canaries, canaries_fresh; /* of the source, where they should have arrived */
    struct evc_readiness_region source, destination;
};

struct evc_readiness {
    unsigned score; /* 0 to 100: the lowest part */
    unsigned part[EVC_READINESS_PART_MAX];
    /* Why a part is below 100, or "": a sentence without a full stop. */
    char reason[EVC_READINESS_PART_MAX][EVC_READINESS_REASON_BYTES];
};

/** "lag", "backlog", "agreement", "warmth". */
const char *evc_readiness_part_str(enum evc_readiness_part part);

void evc_readiness_rate(const struct evc_readiness_input *input, struct evc_readiness *ret);

/** The part that decides: the first of the lowest. */
enum evc_readiness_part evc_readiness_weakest(const struct evc_readiness *readiness);

#endif
