/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region's zones for the unit tests of rules: one item per zone (the tests use one key), executed
 * when the test says so, with a mood per zone. Not a simulation (tests/sim is); a way to lead one
 * rule into one situation.
 */
#ifndef FAKE_ZONES_H
#define FAKE_ZONES_H

#include "base/clock.h"
#include "base/list.h"
#include "meta/node_op.h"
#include "queue/event.h"

enum fake_mood {
    FAKE_ANSWERS,
    FAKE_REFUSES,        /* EVC_NODE_REFUSED, inside submit; also what waited */
    FAKE_LOSES,          /* EVC_NODE_UNKNOWN without effect */
    FAKE_LOSES_ANSWER,   /* EVC_NODE_UNKNOWN with effect */
    FAKE_REJECTS,        /* EVC_NODE_ERROR */
    FAKE_REJECTS_VALUES, /* the same, and what was there is gone; takes tombstones, and reads */
};

struct fake_zone {
    enum fake_mood mood;
    bool has_item;
    uint64_t cas;
    uint32_t client_flags;
    int64_t ttl_s; /* as stored; 0: never */
    char value[64];
    size_t value_len;
    unsigned writes; /* that took effect */
};

struct fake_zones {
    struct evc_node_port port;
    struct fake_zone zone[EVC_ZONE_MAX];
    struct evc_list waiting;
};

void fake_zones_init(struct fake_zones *zones, unsigned zone_count);

/** Executes the oldest waiting operation; false when none waits. */
bool fake_zones_step(struct fake_zones *zones);

/** Executes until nothing waits. */
void fake_zones_run(struct fake_zones *zones);

/** Puts an item into a zone. */
void fake_zone_put(struct fake_zone *zone, uint64_t cas, const char *value);
void fake_zone_put_tombstone(struct fake_zone *zone, uint64_t cas);
bool fake_zone_is_tombstone(const struct fake_zone *zone);

enum {
    FAKE_EVENTS_MAX = 64
};

/** A sink that keeps what rules append. */
struct fake_sink {
    struct evc_event_sink sink;
    unsigned count;
    struct evc_event events[FAKE_EVENTS_MAX]; /* keys not kept */
};

void fake_sink_init(struct fake_sink *sink);

/** How many kept events have exactly these flags and version. */
unsigned fake_sink_count(const struct fake_sink *sink, uint8_t flags, evc_version version);

#endif
