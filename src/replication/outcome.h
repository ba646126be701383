/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an event ends at a destination. Every event ends in exactly one of these; the books
 * (books.h) add them up.
 */
#ifndef EVC_REPLICATION_OUTCOME_H
#define EVC_REPLICATION_OUTCOME_H

enum evc_outcome {
    EVC_OUTCOME_APPLIED,   /* written in the destination */
    EVC_OUTCOME_IDENTICAL, /* the destination had this very version */
    EVC_OUTCOME_BEHIND,    /* the destination had a newer one */
    EVC_OUTCOME_LATE,      /* missing there, and older than tombstones live: nobody knows if it was
                              deleted */
    EVC_OUTCOME_COALESCED, /* a newer event of its key speaks for it */
    EVC_OUTCOME_FILTERED,  /* not for this destination: policy none, or a repair request */
    EVC_OUTCOME_EXPIRED,   /* its time to live ran out on the way */
    EVC_OUTCOME_GONE,      /* the value was in no zone any more: sent as a delete */
    EVC_OUTCOME_ABANDONED, /* given up after abandon_after, or refused for its version's drift */
    EVC_OUTCOME_MAX,
};

/** "applied", … as shown by status and in metrics. */
const char *evc_outcome_str(enum evc_outcome outcome);

#endif
