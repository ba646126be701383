/* SPDX-License-Identifier: Apache-2.0 */
/* See trail.h. */
#include "replication/trail.h"

#include <stdlib.h>

int
evc_trail_init(struct evc_trail *trail, uint32_t events_max)
{
    *trail = (struct evc_trail){.events_max = events_max};
    if (events_max == 0) {
        return EVC_OK;
    }
    trail->events = calloc(events_max, sizeof(*trail->events));
    return trail->events ? EVC_OK : EVC_E_NOMEM;
}

void
evc_trail_finish(struct evc_trail *trail)
{
    free(trail->events);
    *trail = (struct evc_trail){0};
}

void
evc_trail_add(struct evc_trail *trail, const struct evc_trail_event *event)
{
    if (!trail->events) {
        return;
    }
    trail->events[trail->next] = *event;
    trail->next = trail->next + 1 < trail->events_max ? trail->next + 1 : 0;
    trail->remembered += trail->remembered < trail->events_max;
}

unsigned
evc_trail_find(const struct evc_trail *trail, uint64_t key_hash,
               struct evc_trail_event ret[EVC_TRAIL_FOUND_MAX])
{
    uint32_t at = trail->next;
    unsigned count = 0;

    for (uint32_t i = 0; i < trail->remembered && count < EVC_TRAIL_FOUND_MAX; i++) {
        at = (at > 0 ? at : trail->events_max) - 1;
        if (trail->events[at].key_hash == key_hash) {
            ret[count++] = trail->events[at];
        }
    }
    return count;
}
