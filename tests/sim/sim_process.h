/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a region: a proxy (with its receiver) or the relay. It has its own clock, memory,
 * connections and journal. A kill takes everything but the journal's file; a restart builds it
 * anew.
 *
 * Whoever calls production code of a process does so between sim_process_enter and
 * sim_process_leave.
 */
#ifndef EVC_SIM_PROCESS_H
#define EVC_SIM_PROCESS_H

#include "base/clock.h"
#include "base/version.h"
#include "queue/journal.h"
#include "sim_feeder.h"
#include "sim_journal.h"
#include "sim_memory.h"
#include "sim_port.h"

struct sim_world;
struct sim_proxy;
struct sim_relay;

enum sim_process_kind {
    SIM_PROXY,
    SIM_RELAY,
};

struct sim_process {
    struct sim_world *world;
    unsigned region, index, slot;
    enum sim_process_kind kind;
    char name[16];
    bool is_alive;
    uint64_t life;    /* counts starts: who remembers another one speaks of a dead process */
    int64_t skew_us;  /* of its wall clock */
    uint64_t mono_us; /* where its monotonic clock began */
    struct evc_moment moment;
    struct sim_memory memory;
    struct evc_version_clock clock;
    struct evc_journal *journal;
    struct sim_journal seen; /* of it */
    struct sim_port port;
    struct sim_feeder feeder;
    struct sim_proxy *proxy; /* in its own memory; by kind */
    struct sim_relay *relay;
};

void sim_process_init(struct sim_process *process, struct sim_world *world,
                      enum sim_process_kind kind, unsigned region, unsigned index);
void sim_process_start(struct sim_process *process);

/** As kill -9. */
void sim_process_kill(struct sim_process *process);

void sim_process_enter(struct sim_process *process);
void sim_process_leave(struct sim_process *process);

/** Whether it has nothing to do any more. */
bool sim_process_is_idle(struct sim_process *process);

#endif
