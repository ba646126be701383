/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key under repair, between repair.c (which keys, when, with what outcome) and repair_zones.c
 * (one attempt: what the zones have, what they are to have, writing it); not for anybody else.
 *
 * An item is on exactly one list: `settling` (in the order they become due), `retry` (a zone did
 * not answer) or `active` (operations on their way). An attempt begins with evc_repair_read_zones
 * and ends in evc_repair_retry_later or evc_repair_conclude.
 */
#ifndef EVC_REPLICATION_REPAIR_STATE_H
#define EVC_REPLICATION_REPAIR_STATE_H

#include "base/pool.h"
#include "replication/key_table.h"
#include "replication/progress.h"
#include "replication/recent.h"
#include "replication/repair.h"
#include "replication/retry.h"
#include "replication/rule.h"

enum evc_repair_state {
    EVC_REPAIR_SETTLING,
    EVC_REPAIR_RETRYING,
    EVC_REPAIR_READING,
    EVC_REPAIR_FETCHING, /* the value to copy, from the zone that has the newest */
    EVC_REPAIR_WRITING,
};

struct evc_repair_zone {
    struct evc_node_op op;
    enum evc_node_result result;
    struct evc_node_reply reply; /* of the read; its views are not used */
};

/** What the zones are brought to. */
struct evc_repair_goal {
    evc_version version;
    uint64_t source_cas; /* of the item in source_zone whose value is copied */
    uint8_t source_zone;
    bool is_tombstone;
    bool is_restamped;
    int64_t ttl_s; /* an exptime */
    uint32_t client_flags;
};

/** What events have said of a key. */
struct evc_repair_wish {
    evc_version known; /* the newest version known to have been written */
    uint32_t known_expiry_s;
    bool has_unknown; /* a write nobody acknowledged: what is found must be announced */
    bool want_reship;
};

struct evc_repair_item {
    struct evc_repair *repair; /* first: the pool's link while the object is free */
    struct evc_retry_link wait;
    enum evc_repair_state state;
    struct evc_batch *batch;      /* waits for this repair */
    struct evc_batch *next_batch; /* waits for the one after it: came while zones were read */
    struct evc_repair_wish wish;  /* what was known when the zones were read */
    struct evc_repair_wish asked; /* since then: counts when they are read again */
    bool has_changed;
    bool has_restamped;
    bool zone_failed; /* a zone did not answer in this attempt */
    bool look_again;  /* a zone did not answer in this repair: look a second time */
    bool has_raced;
    uint8_t rounds;
    unsigned pending;       /* operations on their way, and one hold while they are submitted */
    uint64_t first_us;      /* when the repair was asked for */
    uint64_t held_us;       /* since when the batch waits */
    uint64_t failed_us;     /* when an attempt first failed; 0: none has */
    uint64_t failed_for_us; /* for so long it had failed already when it was carried */
    struct evc_repair_goal goal;
    struct evc_key_entry key;
    struct evc_repair_zone zone[];
};

struct evc_repair {
    struct evc_node_port *port;
    struct evc_version_clock *clock;
    const struct evc_moment *now;
    struct evc_event_sink *sink;
    struct evc_repair_options options;
    struct evc_repair_stats stats;
    struct evc_recent *recent;
    struct evc_key_table table;
    struct evc_pool pool;
    struct evc_list settling;
    struct evc_list active;
    struct evc_retry retry;
    uint32_t active_count;
    uint32_t retrying_count;
    struct evc_progress progress; /* repairs that were concluded */
};

static inline bool
evc_repair_rule_is_on(const struct evc_repair_item *item, enum evc_rule rule)
{
    return EVC_RULE_IS_ON(item->repair->options, rule);
}

/** The only place where an item changes state. */
void evc_repair_set_state(struct evc_repair_item *item, enum evc_repair_state state);

/** An attempt. The item may be gone when this returns. */
void evc_repair_read_zones(struct evc_repair_item *item);

/** Tries again after a while, or gives up when that has gone on for too long. */
void evc_repair_retry_later(struct evc_repair_item *item);

/** All zones have the goal. */
void evc_repair_conclude(struct evc_repair_item *item);

/** A wish hears of a version, and of its expiry (Unix seconds, 0: never, or not known). */
void evc_repair_note_known(struct evc_repair_wish *wish, evc_version version, uint32_t expiry_s);

#endif
