/* SPDX-License-Identifier: Apache-2.0 */
/* See feeder_watch.h. */
#include "daemon/feeder_watch.h"

#include "base/log.h"

static void
note_stall(struct evc_feeder_watch *watch, struct evc_feeder *feeder)
{
    struct evc_feeder_stats stats;
    char quoted[EVC_LOG_QUOTE_BYTES];

    evc_feeder_stats(feeder, &stats);
    if (stats.is_stalled == watch->is_stalled) {
        return;
    }
    watch->is_stalled = stats.is_stalled;
    if (stats.is_stalled) {
        evc_log_warn("the queue takes no events, the journals keep them", "why=%s",
                     evc_log_quote(evc_slice_str(stats.last_error), quoted));
    } else {
        evc_log_info("the queue takes events again", NULL);
    }
}

static void
note_lost(struct evc_feeder_watch *watch, struct evc_journal *const *journals,
          unsigned journal_count)
{
    uint64_t lost_total = 0;

    for (unsigned i = 0; i < journal_count; i++) {
        struct evc_journal_stats stats;

        evc_journal_stats(journals[i], &stats);
        lost_total += stats.lost_total;
    }
    if (watch->has_looked && lost_total > watch->lost_total) {
        evc_log_error("events are lost: a journal was full", "lost=%llu",
                      (unsigned long long)(lost_total - watch->lost_total));
    }
    watch->lost_total = lost_total;
    watch->has_looked = true;
}

void
evc_feeder_watch_tick(struct evc_feeder_watch *watch, struct evc_feeder *feeder,
                      struct evc_journal *const *journals, unsigned journal_count, uint64_t now_us)
{
    if (now_us < watch->due_us) {
        return;
    }
    watch->due_us = now_us + EVC_FEEDER_WATCH_MS * UINT64_C(1000);
    note_stall(watch, feeder);
    note_lost(watch, journals, journal_count);
}
