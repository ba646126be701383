/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event: what the queue carries for one write. Key and metadata, never the value.
 */
#ifndef EVC_QUEUE_EVENT_H
#define EVC_QUEUE_EVENT_H

#include <stdint.h>

#include "base/slice.h"
#include "base/version.h"

/** A key as memcached allows it. */
enum {
    EVC_EVENT_KEY_LEN_MAX = 250,
    EVC_EVENT_REGIONS_MAX = 16, /* what a version has room for */
};

enum evc_event_op {
    EVC_EVENT_SET = 0,
    EVC_EVENT_DELETE = 1,
};

/** Flags of an event. One with REPAIR is for the region's own relay only and is shipped nowhere. */
enum evc_event_flag {
    EVC_EVENT_REPAIR = 1 << 0, /* compare the key's zones and bring them to the newest */
    EVC_EVENT_UNKNOWN =
        1 << 1, /* with REPAIR: no zone acknowledged this version; it may exist nowhere */
    EVC_EVENT_RESHIP =
        1 << 2, /* with REPAIR: announce the result even if nothing was changed; without: an
                   echo, to be sent even if the same was sent a moment ago */
    EVC_EVENT_CARRIED =
        1 << 3, /* could not be settled when it came, and was put into the queue again, so that
                   the position moves on; for one destination, `only` */
};

struct evc_event {
    enum evc_event_op op;
    uint8_t flags;        /* enum evc_event_flag */
    struct evc_slice key; /* 1 to EVC_EVENT_KEY_LEN_MAX bytes */
    evc_version version;
    uint32_t expiry_s;   /* Unix seconds when the value expires, 0: never */
    uint64_t written_us; /* Unix microseconds at the writer when the write began: where lag starts;
                            CARRIED: since when attempts at the key fail */
    uint8_t only; /* CARRIED: the region it is for, below EVC_EVENT_REGIONS_MAX; its own region
                     with REPAIR */
};

/**
 * Where a rule puts the events it makes (echo, repair, reship, and the proxy's writes): the
 * journal in production. Copies the event. False when the journal is full: counted there as lost.
 */
struct evc_event_sink {
    bool (*append)(struct evc_event_sink *sink, const struct evc_event *event);
};

static inline bool
evc_event_sink_append(struct evc_event_sink *sink, const struct evc_event *event)
{
    return sink->append(sink, event);
}

#endif
