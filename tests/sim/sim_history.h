/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What really happened, as no process knows it: every write an application began, and every version
 * that ever reached a node with the content it had there. The checks compare the end with it.
 *
 * Invariant, checked as it happens: one version of a key never has two contents.
 */
#ifndef EVC_SIM_HISTORY_H
#define EVC_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/write.h"
#include "sim_node.h"

enum {
    SIM_WRITES_MAX = 64,
    SIM_VERSIONS_MAX = 1024,
};

struct sim_process;

struct sim_write {
    enum evc_write_kind kind;
    unsigned region, proxy, key;
    uint64_t started_us;
    bool is_rejected;           /* the application was told that the nodes will not take it */
    bool is_answered, is_acked; /* acked: the application was told that it took effect */
    evc_version version;        /* once answered */
    uint64_t delta;             /* INCR, DECR */
    char letter;                /* APPEND, PREPEND: what is added; no other write has it */
    bool is_created;            /* as answered: there was nothing to build on */
    uint64_t number;            /* INCR, DECR: as answered */
};

struct sim_version {
    unsigned key;
    evc_version version;
    uint32_t client_flags;
    size_t value_len;
    char value[SIM_VALUE_MAX];
    bool has_ttl;       /* and is no tombstone */
    uint32_t regions;   /* bits: where it was stored */
    uint64_t first_us;  /* when it first reached a node */
    uint64_t landed_us; /* when it last did by an unconditional write */
    bool has_over;      /* it first replaced a value: this */
    size_t over_len;
    char over[SIM_VALUE_MAX];
};

struct sim_history {
    struct sim_world *world;
    struct sim_write writes[SIM_WRITES_MAX];
    unsigned write_count;
    struct sim_version versions[SIM_VERSIONS_MAX];
    unsigned version_count;
    bool key_lost_content[SIM_KEY_MAX]; /* a node dropped a copy of it */
    uint64_t key_plain_us[SIM_KEY_MAX]; /* when it was last written past evcache, or 0 */
    bool key_untold[SIM_KEY_MAX];       /* an event of it found no room in a journal */
    bool key_refused[SIM_KEY_MAX];      /* a node would not take it */
    bool key_abandoned[SIM_KEY_MAX];    /* a relay gave up one of its events */
    uint64_t abandoned;                 /* events given up, by relays that were killed too */
};

void sim_history_init(struct sim_history *history, struct sim_world *world);

/** Writes are numbered from 0; the number is in the value. */
struct sim_write *sim_history_begin_write(struct sim_history *history);

/** over: what is being replaced, NULL for nothing. */
void sim_history_note_stored(struct sim_history *history, const struct sim_node *node,
                             const struct sim_command *command, const struct sim_item *over);
/** by: the relay, which has said so. */
void sim_history_note_abandoned(const struct sim_process *by, struct evc_slice key,
                                evc_version version);

void sim_history_note_lost(struct sim_history *history, const struct sim_node *node, unsigned key);

/** NULL: no node ever had it. */
const struct sim_version *sim_history_find(const struct sim_history *history, unsigned key,
                                           evc_version version);

/** The newest version a node of the region ever had of a key; 0: none. */
evc_version sim_history_newest(const struct sim_history *history, unsigned key, unsigned region);

bool sim_command_is_tombstone(const struct sim_command *command);
bool sim_version_is_tombstone(const struct sim_version *version);

/** Whether a relay minted it, for a restamp, not a writer. */
bool sim_version_is_restamp(evc_version version);

#endif
