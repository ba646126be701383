/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sequence at a time over a connection to memcached and one to the proxy: what is composed
 * leaves in pieces of random size, what comes back is kept until both have answered the whole
 * batch, and is compared then. Several lanes run beside each other in one thread, driven by poll().
 *
 *   composed ─▶ SENDING and receiving ─▶ both answered ─▶ compared ─▶ composed …
 */
#ifndef EVC_DIFF_LANE_H
#define EVC_DIFF_LANE_H

#include <netinet/in.h>
#include <poll.h>

#include "generate.h"

enum {
    DIFF_ANSWER_LIMIT_S =
        30, /* for a batch; far more than any takes, unless an answer is missing */
};

struct diff_side {
    int fd; /* -1: not connected */
    struct evc_buf in;
    size_t sent;
    size_t scanned;     /* bytes of in that were cut into whole replies */
    unsigned sentinels; /* among them */
    bool is_at_end;     /* it hung up */
};

struct diff_lane {
    struct diff_sequence sequence;
    struct sim_random pieces; /* apart from the sequence's, which must not depend on timing */
    unsigned piece_max;
    struct diff_side sides[DIFF_SIDES];
    bool is_last_batch;
    bool is_running;
    uint64_t began_s;
    uint64_t replies; /* compared */
};

void diff_lane_init(struct diff_lane *lane);
void diff_lane_finish(struct diff_lane *lane);

/** Connects and composes the first batch. The lane must not be running. */
void diff_lane_start(struct diff_lane *lane, const struct diff_options *options, uint64_t number,
                     const struct sockaddr_in addresses[DIFF_SIDES]);

/** What to wait for. */
void diff_lane_poll(const struct diff_lane *lane, struct pollfd polls[DIFF_SIDES]);

/**
 * Sends and receives what can be; compares when both have answered. False: the answers differ, or
 * one is missing, and why has been printed.
 */
bool diff_lane_step(struct diff_lane *lane, const struct pollfd polls[DIFF_SIDES]);

#endif
