/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading keys of the region: the local zone first, another zone on a miss or an error, each at
 * most once. A tombstone is a definite miss and ends the search. Pure: effects go through the port;
 * whoever owns the loop calls evc_reader_on_turn.
 *
 *   ask the local zone ─▶ HIT: answered                  (MISS or failure: ask the next zone)
 *          └─▶ no answer within the hedge delay: ask the next zone beside it, the first HIT answers
 *
 * One deadline holds for the whole read. A zone that is asked alone may take its equal share of the
 * time that is left, so that a silent one leaves some to the others.
 *
 * Hedging never asks more than one zone beside the first, and at most a share of all reads: when
 * everything is slow, asking twice makes it slower. The delay is set, or measured: the time within
 * which 95 % of the recent first answers came, not below EVC_READ_HEDGE_MIN_US.
 *
 * Refill: a value found in another zone is added, with its version and the life left to it, to the
 * zones that missed it. It is a memcached add, so it replaces nothing, no tombstone either; a node
 * that has lost its memory fills up with what is asked for.
 */
#ifndef EVC_ENGINE_READ_H
#define EVC_ENGINE_READ_H

#include "base/clock.h"
#include "base/histogram.h"
#include "base/pool.h"
#include "meta/node_op.h"
#include "topology/config.h"

enum {
    EVC_READS_MAX = 262144,          /* per reader, those whose slower zone is awaited included */
    EVC_READ_REFILLS_MAX = 1024,     /* in flight; beyond it the zone stays unfilled */
    EVC_READ_HEDGE_MIN_US = 2000,    /* below it, a hedge costs more than it saves */
    EVC_READ_HEDGE_BURST = 64,       /* hedges that reads may have saved up */
    EVC_READ_MEASURE_US = 1000000,   /* how often the measured delay is taken anew */
    EVC_READ_MEASURE_COUNT_MIN = 64, /* from fewer answers nothing is concluded */
};

#define EVC_READ_HEDGE_OFF UINT32_C(0)
#define EVC_READ_HEDGE_MEASURED UINT32_MAX

struct evc_reader_options {
    uint32_t timeout_us;    /* for the whole read, over all zones */
    uint32_t hedge_us;      /* OFF, MEASURED or the delay */
    unsigned hedge_percent; /* of the reads, at most */
    bool refills;
};

/** As the configuration says. */
struct evc_reader_options evc_reader_options_of(const struct evc_config *config);

struct evc_read_answer {
    enum evc_node_result result; /* HIT; MISS (a tombstone, too); or the last zone's failure */
    struct evc_node_reply reply; /* of a HIT; views valid during the call */
    unsigned zones_asked;
};

/** Comes exactly once, possibly before evc_read_start returns. */
typedef void (*evc_read_fn)(void *ctx, const struct evc_read_answer *answer);

/** What a zone has said of a read so far: its enum evc_node_result, or one of these. */
enum {
    EVC_READ_ZONE_NOT_ASKED = EVC_NODE_RESULT_MAX,
    EVC_READ_ZONE_WAITING,
    EVC_READ_ZONE_MAX,
};

struct evc_reader_stats {
    uint64_t fallbacks_total; /* reads that asked a further zone after a miss or a failure */
    uint64_t hedges_total, hedges_won_total, hedges_capped_total;
    uint64_t refills_total, refills_skipped_total; /* skipped: too many in flight */
    uint64_t hedge_us; /* the delay in force; 0: off. The largest, when summed over workers */
};

struct evc_read;

/** Context of one thread. */
struct evc_reader {
    struct evc_node_port *port;
    const struct evc_moment *now;
    struct evc_reader_options options;
    struct evc_pool reads, refills;
    unsigned in_flight;            /* reads and refills whose operations are out */
    struct evc_list unhedged;      /* reads that may still be hedged, oldest first */
    uint32_t hedge_us;             /* in force */
    unsigned hedge_credit;         /* in hundredths of a hedge */
    struct evc_histogram first_us; /* of first answers since measured_us */
    uint64_t measured_us;
    struct evc_reader_stats stats;
};

/** All that is pointed to outlives the reader. */
void evc_reader_init(struct evc_reader *reader, struct evc_node_port *port,
                     const struct evc_moment *now, const struct evc_reader_options *options);
void evc_reader_finish(struct evc_reader *reader); /* nothing may be in flight */

/**
 * Starts a read. want: enum evc_node_want; FLAGS and SIZE are added. EVC_E_FULL when EVC_READS_MAX
 * are in flight: nothing happened.
 */
EVC_MUST_USE int evc_read_start(struct evc_reader *reader, struct evc_slice key, uint16_t want,
                                evc_read_fn done, void *ctx);

/**
 * The same, and zones, an array of the zone count, is kept up to date until done: a tombstone is
 * told as EVC_NODE_MISS.
 */
EVC_MUST_USE int evc_read_start_told(struct evc_reader *reader, struct evc_slice key, uint16_t want,
                                     uint8_t *zones, evc_read_fn done, void *ctx);

/** Hedges what is due. Every turn of the loop, and every tick. */
void evc_reader_on_turn(struct evc_reader *reader);

#endif
