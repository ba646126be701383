/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that wait for another attempt: one list per delay (each twice the one before, up to a
 * bound), so that every list is sorted by due time and nothing is searched. Intrusive, no
 * allocation. Pure.
 */
#ifndef EVC_REPLICATION_RETRY_H
#define EVC_REPLICATION_RETRY_H

#include <stdint.h>

#include "base/list.h"

enum {
    EVC_RETRY_STEPS = 8
};

/** Embed it. While the object waits nowhere, the link may stand on any list of its owner's. */
struct evc_retry_link {
    struct evc_list link;
    uint64_t due_us;
    uint8_t attempts; /* failures so far; set to 0 on success */
};

struct evc_retry {
    uint32_t min_ms, max_ms; /* immutable after init */
    struct evc_list steps[EVC_RETRY_STEPS];
};

void evc_retry_init(struct evc_retry *retry, uint32_t min_ms, uint32_t max_ms);

/** Takes the link off its list and lets it wait its next delay. */
void evc_retry_wait(struct evc_retry *retry, struct evc_retry_link *link, uint64_t now_us);

/** One that is due, on no list any more, or NULL. */
struct evc_retry_link *evc_retry_pop_due(struct evc_retry *retry, uint64_t now_us);

/** Calls visit for each that waits; it must not change the lists. */
void evc_retry_visit(const struct evc_retry *retry, void (*visit)(struct evc_list *link));

/** Any that waits, due or not, on no list any more, or NULL: to empty it. */
struct evc_retry_link *evc_retry_pop_any(struct evc_retry *retry);

#endif
