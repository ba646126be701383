/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's journal as the simulation sees it: how many events found no room, counted apart from
 * production, and the filler that takes the room away for a while.
 *
 * Between two looks at it exactly one event is to be reserved: a sink is called for one, or a
 * writer sends a version it has not sent before. Where there is none, it found no room.
 */
#ifndef EVC_SIM_JOURNAL_H
#define EVC_SIM_JOURNAL_H

#include "base/version.h"
#include "queue/event.h"
#include "queue/journal.h"

struct sim_process;

struct sim_journal {
    struct sim_process *process;
    bool (*append)(struct evc_event_sink *sink, const struct evc_event *event); /* production's */
    uint64_t reserved;     /* events, when last looked at */
    evc_version minted;    /* the newest version its writer has sent */
    evc_journal_pos *fill; /* entries that stand for nothing */
    unsigned fill_count;
};

/** Takes over the sink of a journal just opened. */
void sim_journal_open(struct sim_process *process);

/** The process is entered. */
void sim_journal_enter(struct sim_process *process);

/** A write command leaves for a node. */
void sim_journal_note_command(struct sim_process *process, unsigned key, evc_version version);

/** Fills it up but for so many events. Nothing if it is full already. */
void sim_journal_fill(struct sim_process *process, unsigned room);

/** Puts events in that stand for nothing and are over at once, for as long as there is room, half a
 * ring at most: what waits before them has to move. */
void sim_journal_churn(struct sim_process *process);

/** Empties it again; before a kill, too, so that a filler is never fed. */
void sim_journal_empty(struct sim_process *process);

#endif
