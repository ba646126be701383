/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which prefixes of keys most events have that are shipped, and about how many bytes their values
 * take: a Space-Saving sketch. It has EVC_PREFIX_TOP_COUNTERS counters, whatever the number of
 * prefixes; one that has none takes over the counter that is lowest.
 *
 * - Looked at is one event in EVC_PREFIX_TOP_GAP on average, at gaps that vary (so that keys which
 *   come in turn are met alike), and it stands for that many.
 * - What is told of a prefix was counted since it had its counter: never more than was seen of it,
 *   and less by at most 1 / EVC_PREFIX_TOP_COUNTERS of all that was seen. So every prefix with a
 *   larger share is told.
 * - It tells of now: all counts are halved every EVC_PREFIX_TOP_HALVE_US, and so is the time they
 *   stand for, which is 15 to 30 s after the first half minute. What has stopped is forgotten.
 *
 * Nothing is allocated. Pure: the caller has the (monotonic) clock. Owner: one thread.
 */
#ifndef EVC_REPLICATION_PREFIX_TOP_H
#define EVC_REPLICATION_PREFIX_TOP_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    EVC_PREFIX_BYTES_MAX = 32, /* of a prefix; the rest of a longer one is cut off */
    EVC_PREFIX_TOP_COUNTERS = 64,
    EVC_PREFIX_TOP_GAP = 16,
    EVC_PREFIX_TOP_HALVE_US = 15 * 1000 * 1000,
};

struct evc_prefix_counter {
    uint64_t events; /* 0: free */
    uint64_t error;  /* of those, at most so many were others' */
    uint64_t bytes;
    uint8_t len;
    char text[EVC_PREFIX_BYTES_MAX];
};

struct evc_prefix_top {
    uint32_t event_gap, send_gap; /* until the next that is looked at; 1: it is the next */
    uint64_t random;
    uint64_t events, bytes; /* all that was seen */
    uint64_t halved_us;     /* when counts were halved last */
    double seconds;         /* what counts stood for then */
    uint64_t hashes[EVC_PREFIX_TOP_COUNTERS];
    struct evc_prefix_counter counters[EVC_PREFIX_TOP_COUNTERS];
};

/** One prefix, or all. */
struct evc_prefix_rate {
    struct evc_slice prefix; /* until the sketch changes */
    double events;           /* a second */
    double bytes;            /* of values sent, a second */
};

struct evc_prefix_rates {
    struct evc_prefix_rate all;
    unsigned count;
    struct evc_prefix_rate top[EVC_PREFIX_TOP_COUNTERS]; /* the most events first */
};

/**
 * How long a key's prefix is: up to and with the first ':', '/' or '|'; without one, up to and with
 * the first '.', '_', '-' or '#', or up to the first digit, whichever is first; without any, the
 * key. Those a key begins with do not count. 0: the key begins with a digit and has none of ":/|".
 */
size_t evc_prefix_len(struct evc_slice key);

void evc_prefix_top_init(struct evc_prefix_top *top, uint64_t now_us);

void evc_prefix_top_see_event(struct evc_prefix_top *top, struct evc_slice key, uint64_t now_us);
void evc_prefix_top_see_send(struct evc_prefix_top *top, struct evc_slice key, size_t bytes,
                             uint64_t now_us);

/** An event of a key is shipped. */
static inline void
evc_prefix_top_event(struct evc_prefix_top *top, struct evc_slice key, uint64_t now_us)
{
    if (--top->event_gap == 0) {
        evc_prefix_top_see_event(top, key, now_us);
    }
}

/** A key's value leaves. */
static inline void
evc_prefix_top_send(struct evc_prefix_top *top, struct evc_slice key, size_t bytes, uint64_t now_us)
{
    if (--top->send_gap == 0) {
        evc_prefix_top_see_send(top, key, bytes, now_us);
    }
}

void evc_prefix_top_rates(struct evc_prefix_top *top, uint64_t now_us,
                          struct evc_prefix_rates *ret);

#endif
