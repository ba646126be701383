/* SPDX-License-Identifier: Apache-2.0 */
/* See trail.h. A place is kept in order by moving its events, which is less than finding its
 * oldest.
 */
#include "replication/trail.h"

#include <stdlib.h>
#include <string.h>

struct evc_trail_place {
    struct evc_trail_event events[EVC_TRAIL_WAYS]; /* the latest first; version 0: none */
};

int
evc_trail_init(struct evc_trail *trail, uint32_t events_max)
{
    uint64_t places = 1;

    *trail = (struct evc_trail){0};
    if (events_max == 0) {
        return EVC_OK;
    }
    while (places * EVC_TRAIL_WAYS < events_max) {
        places *= 2;
    }
    trail->places = calloc(places, sizeof(*trail->places));
    trail->mask = places - 1;
    return trail->places ? EVC_OK : EVC_E_NOMEM;
}

void
evc_trail_finish(struct evc_trail *trail)
{
    free(trail->places);
    *trail = (struct evc_trail){0};
}

void
evc_trail_add(struct evc_trail *trail, const struct evc_trail_event *event)
{
    struct evc_trail_event *events;

    if (!trail->places) {
        return;
    }
    events = trail->places[event->key_hash & trail->mask].events;
    trail->remembered += events[EVC_TRAIL_WAYS - 1].version == 0;
    memmove(&events[1], &events[0], (EVC_TRAIL_WAYS - 1) * sizeof(*events));
    events[0] = *event;
}

unsigned
evc_trail_find(const struct evc_trail *trail, uint64_t key_hash,
               struct evc_trail_event ret[EVC_TRAIL_WAYS])
{
    const struct evc_trail_place *place;
    unsigned count = 0;

    if (!trail->places) {
        return 0;
    }
    place = &trail->places[key_hash & trail->mask];
    for (unsigned i = 0; i < EVC_TRAIL_WAYS; i++) {
        if (place->events[i].version != 0 && place->events[i].key_hash == key_hash) {
            ret[count++] = place->events[i];
        }
    }
    return count;
}
