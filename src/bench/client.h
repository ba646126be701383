/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of a benchmark, to anything that speaks memcached's classic text protocol.
 *
 * Closed loop: `depth` requests leave in one write, and the next when all are answered. Open loop:
 * requests leave when they are due, whatever is unanswered, and a latency counts from the time the
 * request was due, so that a server that stalls is charged for what would have come meanwhile. At
 * most EVC_BENCH_OUTSTANDING_MAX are unanswered; what is due beyond that waits, and counts from its
 * time all the same.
 *
 * Replies are only scanned for their ends; a value is skipped by its length. Owner: one thread.
 */
#ifndef EVC_BENCH_CLIENT_H
#define EVC_BENCH_CLIENT_H

#include "base/histogram.h"
#include "bench/load.h"
#include "net/stream.h"

enum {
    EVC_BENCH_OUTSTANDING_MAX = 1024, /* requests; a power of two */
    EVC_BENCH_INPUT_BYTES_MAX = 1024 * 1024,
    EVC_BENCH_OUTPUT_BYTES_MAX = 64 * 1024 * 1024,
    EVC_BENCH_ERROR_BYTES = 128,
};

/** What clients of a thread count together. */
struct evc_bench_figures {
    struct evc_histogram get_us, set_us;
    uint64_t hits, misses, stored;
    uint64_t errors;      /* replies that are none of the expected */
    uint64_t disconnects; /* connections lost while running */
    uint64_t bytes_in, bytes_out;
    char error[EVC_BENCH_ERROR_BYTES]; /* the first of either kind */
};

struct evc_bench_thread;

struct evc_bench_request {
    uint64_t due_us;
    bool is_get;
};

struct evc_bench_client {
    struct evc_bench_thread *thread;
    struct evc_stream stream;
    struct evc_bench_request requests[EVC_BENCH_OUTSTANDING_MAX];
    uint32_t head, tail;          /* count up for ever; sent and unanswered */
    uint64_t skip;                /* bytes of a value still to come */
    bool has_value;               /* a VALUE was seen, its END is to come */
    uint64_t next_due_us;         /* open loop */
    uint64_t fill_next, fill_end; /* keys to be set once, before anything is measured */
    bool is_up;
};

/** Connects. The client outlives its stream. */
EVC_MUST_USE int evc_bench_client_open(struct evc_bench_client *client,
                                       struct evc_bench_thread *thread,
                                       const struct sockaddr *address);

/** Sends what is due (open loop). Every turn. */
void evc_bench_client_send_due(struct evc_bench_client *client, uint64_t now_us);

/** Begins the closed loop, or the schedule of the open one. */
void evc_bench_client_start(struct evc_bench_client *client, uint64_t now_us);

#endif
