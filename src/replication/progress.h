/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether most get on while some fail. What a dead node holds up may be given up for want of room
 * only then: where all fail, there is nobody to make room for, and what was only held up (a region
 * that is started, nodes that hang for a moment) would be lost.
 *
 * Most get on when attempts have been settled for EVC_PROGRESS_US without a gap. That is longer
 * than a failed one waits for its next turn, so by then each has had one.
 */
#ifndef EVC_REPLICATION_PROGRESS_H
#define EVC_REPLICATION_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    EVC_PROGRESS_US = 3 * 1000 * 1000,
    EVC_PROGRESS_GAP_US = 100 * 1000,
};

/** Times are monotonic, in microseconds. */
struct evc_progress {
    uint64_t since_us, last_us; /* the attempts without a gap that were settled last */
};

static inline void
evc_progress_init(struct evc_progress *progress, uint64_t now_us)
{
    *progress = (struct evc_progress){.since_us = now_us, .last_us = now_us};
}

/** An attempt was settled, whatever was found. */
static inline void
evc_progress_note(struct evc_progress *progress, uint64_t now_us)
{
    if (now_us - progress->last_us > EVC_PROGRESS_GAP_US) {
        progress->since_us = now_us;
    }
    progress->last_us = now_us;
}

static inline bool
evc_progress_is_made(const struct evc_progress *progress, uint64_t now_us)
{
    return now_us - progress->last_us <= EVC_PROGRESS_GAP_US &&
           progress->last_us - progress->since_us >= EVC_PROGRESS_US;
}

#endif
