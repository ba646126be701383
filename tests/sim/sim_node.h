/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memcached node: a table of items with memcached's semantics (expiry, CAS, add; an unconditional
 * write may well put an older version over a newer one), and its state. It executes commands in the
 * order they reach it; while it is frozen they wait, when it is dead connections break.
 */
#ifndef EVC_SIM_NODE_H
#define EVC_SIM_NODE_H

#include <stdbool.h>

#include "base/list.h"
#include "meta/node_op.h"

enum {
    SIM_ZONE_MAX = 3,
    SIM_NODES_PER_ZONE_MAX = 2,
    SIM_KEY_MAX = 3,
    SIM_VALUE_MAX = 32,
    SIM_VALUE_GROWN_MAX = 10, /* what append and prepend may make */
    SIM_VALUE_SMALL_MAX = 12, /* what a node that takes no large values takes */
    SIM_VALUE_LARGE = 20,
};

struct sim_world;
struct sim_request;

enum sim_node_state {
    SIM_NODE_UP,
    SIM_NODE_FROZEN, /* a stopped process: the kernel still takes what is sent */
    SIM_NODE_DEAD,   /* connections are refused */
};

struct sim_item {
    bool is_there;
    uint64_t cas;
    uint32_t client_flags;
    uint64_t expires_us; /* Unix, 0: never */
    size_t value_len;
    char value[SIM_VALUE_MAX];
};

struct sim_node {
    struct sim_world *world;
    unsigned region, zone, index;
    enum sim_node_state state;
    uint64_t away_since_us, away_us; /* when not UP; in all */
    struct sim_item items[SIM_KEY_MAX];
    uint64_t plain_cas;      /* the last one it gave itself */
    struct evc_list waiting; /* requests that arrived while it was frozen, in order */
};

/** A command as it travels: what matters of an evc_node_op, copied. */
struct sim_command {
    enum evc_node_verb verb;
    unsigned key;
    uint32_t client_flags;
    int64_t ttl_s;
    evc_version version;
    uint64_t seen;
    size_t value_len;
    char value[SIM_VALUE_MAX];
};

struct sim_answer {
    enum evc_node_result result;
    struct evc_node_reply reply; /* value points into bytes */
    char bytes[SIM_VALUE_MAX];
};

void sim_node_init(struct sim_node *node, struct sim_world *world, unsigned region, unsigned zone,
                   unsigned index);

/** Does it and fills *ret. by: the process that sent it, for the trace. */
void sim_node_execute(struct sim_node *node, const struct sim_command *command, const char *by,
                      struct sim_answer *ret);

/** What it has of a key now (NULL: nothing, or expired). A tombstone is something. */
const struct sim_item *sim_node_item(struct sim_node *node, unsigned key);

/** Whether it takes no large values. */
bool sim_node_is_small(const struct sim_node *node);

bool sim_item_is_tombstone(const struct sim_item *item);

/** A plain client's set, without E: the node numbers it itself. Nothing when it is not up. */
void sim_node_set_plain(struct sim_node *node, unsigned key, const char *value);

/* Faults. */
void sim_node_freeze(struct sim_node *node);
void sim_node_thaw(struct sim_node *node);
void sim_node_die(struct sim_node *node); /* its content is gone */
void sim_node_restart(struct sim_node *node);
void sim_node_evict(struct sim_node *node, unsigned key);

#endif
