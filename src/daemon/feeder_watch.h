/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says in a daemon's log when its events do not get into the queue, once for each change: the queue
 * takes nothing, or takes again; journals were full, and events are lost. The feeder itself is
 * silent, because it also runs within other people's programs. Owner: one thread.
 */
#ifndef EVC_DAEMON_FEEDER_WATCH_H
#define EVC_DAEMON_FEEDER_WATCH_H

#include "queue/feeder.h"
#include "queue/journal.h"

enum {
    EVC_FEEDER_WATCH_MS = 1000 /* how often it looks */
};

/** Zero it to start. */
struct evc_feeder_watch {
    uint64_t due_us;
    uint64_t lost_total;
    bool is_stalled;
    bool has_looked; /* what was lost before this process is not its to tell */
};

/** Looks, when it is time. Takes the feeder's lock. now_us: monotonic. */
void evc_feeder_watch_tick(struct evc_feeder_watch *watch, struct evc_feeder *feeder,
                           struct evc_journal *const *journals, unsigned journal_count,
                           uint64_t now_us);

#endif
