/* SPDX-License-Identifier: Apache-2.0 */
/* Names of outcomes; see outcome.h. */
#include "replication/outcome.h"

#include <stddef.h>

static const char *const outcome_names[EVC_OUTCOME_MAX] = {
    [EVC_OUTCOME_APPLIED] = "applied",     [EVC_OUTCOME_IDENTICAL] = "identical",
    [EVC_OUTCOME_BEHIND] = "behind",       [EVC_OUTCOME_LATE] = "late",
    [EVC_OUTCOME_COALESCED] = "coalesced", [EVC_OUTCOME_FILTERED] = "filtered",
    [EVC_OUTCOME_EXPIRED] = "expired",     [EVC_OUTCOME_GONE] = "gone",
    [EVC_OUTCOME_ABANDONED] = "abandoned",
};

const char *
evc_outcome_str(enum evc_outcome outcome)
{
    return (size_t)outcome < EVC_OUTCOME_MAX ? outcome_names[outcome] : "unknown";
}
