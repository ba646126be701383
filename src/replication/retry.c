/* SPDX-License-Identifier: Apache-2.0 */
/* See retry.h. */
#include "replication/retry.h"

#include <stddef.h>

void
evc_retry_init(struct evc_retry *retry, uint32_t min_ms, uint32_t max_ms)
{
    retry->min_ms = min_ms;
    retry->max_ms = max_ms;
    for (unsigned i = 0; i < EVC_RETRY_STEPS; i++) {
        evc_list_init(&retry->steps[i]);
    }
}

void
evc_retry_wait(struct evc_retry *retry, struct evc_retry_link *link, uint64_t now_us)
{
    unsigned step = link->attempts < EVC_RETRY_STEPS ? link->attempts : EVC_RETRY_STEPS - 1;
    uint64_t delay_ms = (uint64_t)retry->min_ms << step;

    if (delay_ms > retry->max_ms) {
        delay_ms = retry->max_ms;
    }
    if (link->attempts < EVC_RETRY_STEPS) {
        link->attempts++;
    }
    link->due_us = now_us + delay_ms * 1000;
    evc_list_remove(&link->link);
    evc_list_push_back(&retry->steps[step], &link->link);
}

static struct evc_retry_link *
link_of(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct evc_retry_link, link);
}

struct evc_retry_link *
evc_retry_pop_due(struct evc_retry *retry, uint64_t now_us)
{
    for (unsigned i = 0; i < EVC_RETRY_STEPS; i++) {
        struct evc_list *step = &retry->steps[i];

        if (!evc_list_is_empty(step) && link_of(step->next)->due_us <= now_us) {
            return link_of(evc_list_pop_front(step));
        }
    }
    return NULL;
}

void
evc_retry_visit(const struct evc_retry *retry, void (*visit)(struct evc_list *link))
{
    for (unsigned i = 0; i < EVC_RETRY_STEPS; i++) {
        evc_list_visit(&retry->steps[i], visit);
    }
}

struct evc_retry_link *
evc_retry_pop_any(struct evc_retry *retry)
{
    for (unsigned i = 0; i < EVC_RETRY_STEPS; i++) {
        if (!evc_list_is_empty(&retry->steps[i])) {
            return link_of(evc_list_pop_front(&retry->steps[i]));
        }
    }
    return NULL;
}
