/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verification has found so far: per zone and per pair of regions, how many keys are alike
 * and how many are not, and some of these by name, the worst first. Pure.
 *
 * A key counts once in each pair of regions, with the worst that is to be said of a copy in either:
 * foreign, different, behind, missing, in that order. With the policy `none` regions are strangers:
 * such a key counts in the zones of its region alone.
 */
#ifndef EVC_SWEEP_TALLY_H
#define EVC_SWEEP_TALLY_H

#include "survey/explain.h"
#include "sweep/copy_table.h"

enum {
    EVC_TALLY_SAMPLES_MAX = 20
};

struct evc_tally_zone {
    uint64_t states[EVC_COPY_STATE_MAX]; /* before any repair */
    uint64_t repaired, late, failed;     /* of what was not as it should be */
};

struct evc_tally_pair {
    uint64_t states[EVC_COPY_STATE_MAX];
};

struct evc_tally_sample {
    char key[EVC_KEY_LEN_MAX];
    uint8_t key_len;
    unsigned copy; /* the worst one */
    enum evc_copy_state state;
};

struct evc_tally {
    struct evc_copy_layout layout;
    uint64_t keys;       /* with policy none, in each region */
    uint64_t missing;    /* keys of which copies are missing, and nothing worse */
    uint64_t stale;      /* keys of which a copy is behind, different or foreign */
    uint64_t stale_left; /* the same after a repair; without one as many */
    uint64_t gone;       /* they had expired or were deleted when they were looked at */
    uint64_t unanswered; /* a node did not answer when they were looked at */
    struct evc_tally_zone zones[EVC_COPY_TABLE_COPIES_MAX];
    struct evc_tally_pair pairs[EVC_CONFIG_REGION_MAX][EVC_CONFIG_REGION_MAX]; /* [a][b], a < b */
    struct evc_tally_sample samples[EVC_TALLY_SAMPLES_MAX];
    unsigned sample_count;
};

/** How a key's copies were judged, by copy; those that were not asked are EVC_COPY_DRAINED. */
struct evc_tally_key {
    struct evc_slice key;
    enum evc_policy policy;
    uint8_t states[EVC_COPY_TABLE_COPIES_MAX]; /* enum evc_copy_state */
};

/** How bad an enum evc_copy_state is: 0, it is not, to 4, foreign. */
unsigned evc_tally_severity(unsigned state);

/** A key of the table that is no suspect. */
void evc_tally_entry(struct evc_tally *tally, const struct evc_copy_table *table,
                     const struct evc_copy_entry *entry);

/** A key that was looked at. */
void evc_tally_key(struct evc_tally *tally, const struct evc_tally_key *key);

/** The same key again, after a repair. late: regions, a bit each, that have decided: what
 * is missing there all the same is too old to be written where it may have been deleted. */
void evc_tally_repair(struct evc_tally *tally, const struct evc_tally_key *before,
                      const struct evc_tally_key *after, uint32_t late);

#endif
