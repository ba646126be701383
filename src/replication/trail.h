/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the latest events ended, found by key: what a relay can tell of a key afterwards. A ring of
 * fixed size in the order events ended, whose oldest makes room: to add is one write behind the
 * last one, every event pays it; to find looks through the ring, which only a person asks for. Keys
 * are told apart by their hash alone. Nothing is allocated after creation. Owner: the shipment's
 * thread.
 */
#ifndef EVC_REPLICATION_TRAIL_H
#define EVC_REPLICATION_TRAIL_H

#include "base/status.h"
#include "queue/event.h"

enum {
    EVC_TRAIL_FOUND_MAX = 4, /* events of one key that are found, at most */
};

/** One event. slot and first_seq name the batch it came in, within the key's partition. */
struct evc_trail_event {
    uint64_t key_hash; /* evc_hash_key */
    evc_version version;
    uint64_t first_seq;
    uint64_t ended_us; /* Unix */
    uint16_t slot;
    uint8_t op;       /* enum evc_event_op */
    uint8_t flags;    /* enum evc_event_flag */
    uint8_t outcome;  /* enum evc_outcome */
    uint8_t attempts; /* that failed before */
};

struct evc_trail {
    struct evc_trail_event *events; /* NULL: nothing is remembered */
    uint32_t events_max;
    uint32_t next;       /* the place of the next one */
    uint32_t remembered; /* events in the ring */
};

/** events_max: how many it holds; 0: none. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_trail_init(struct evc_trail *trail, uint32_t events_max);
void evc_trail_finish(struct evc_trail *trail); /* safe after a failed init */

void evc_trail_add(struct evc_trail *trail, const struct evc_trail_event *event);

/** The latest events of a key, the latest first; returns their number. */
unsigned evc_trail_find(const struct evc_trail *trail, uint64_t key_hash,
                        struct evc_trail_event ret[EVC_TRAIL_FOUND_MAX]);

#endif
