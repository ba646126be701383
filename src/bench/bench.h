/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load generator for anything that speaks memcached's classic text protocol: threads with
 * connections of their own (client.h), a fill, a warm-up, and a measured time.
 *
 *   CONNECTING ─all up─▶ FILLING ─every key set─▶ WARMING ─▶ MEASURING ─▶ DONE
 */
#ifndef EVC_BENCH_BENCH_H
#define EVC_BENCH_BENCH_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"
#include "bench/client.h"
#include "bench/load.h"

enum {
    EVC_BENCH_ADDRESSES_MAX = 64,
    EVC_BENCH_CONNECTIONS_MAX = 100000,
    EVC_BENCH_THREADS_MAX = 64,
    EVC_BENCH_CONNECT_TIMEOUT_S = 10,
    EVC_BENCH_FILL_TIMEOUT_S = 3600,
};

struct evc_bench_options {
    struct evc_load load;
    const struct sockaddr_storage *addresses; /* connections go round them */
    unsigned address_count;
    unsigned connections; /* in all */
    unsigned threads;
    unsigned depth; /* closed loop: requests in one write, 1 to EVC_BENCH_OUTSTANDING_MAX */
    double rate;    /* open loop: requests a second in all; 0: closed */
    int64_t exptime;
    bool fills; /* sets every key once before */
    unsigned warmup_ms, duration_ms;
    uint64_t seed;
    /** Every second while it runs, from the caller's thread; may be NULL. */
    void (*on_progress)(void *ctx, const char *phase, double seconds, double rate);
    /** Right before and after what is measured; may be NULL. */
    void (*on_measure)(void *ctx, bool begins);
    void *ctx;
};

struct evc_bench_result {
    struct evc_bench_figures figures;
    double seconds; /* measured */
    double cpu_us;  /* of this process, in that time */
};

/**
 * Runs it all. 0, or a status with *error: nobody listens, connections were lost before the
 * measured time, out of memory. Errors within the measured time are in the figures.
 */
EVC_MUST_USE int evc_bench_run(const struct evc_bench_options *options,
                               struct evc_bench_result *ret, struct evc_error *error);

/* --- for client.c --- */

enum evc_bench_phase {
    EVC_BENCH_CONNECTING,
    EVC_BENCH_FILLING,
    EVC_BENCH_WARMING,
    EVC_BENCH_MEASURING,
    EVC_BENCH_DONE,
};

struct evc_bench_thread {
    const struct evc_bench_options *options;
    atomic_int *phase; /* of all threads */
    struct evc_loop loop;
    struct evc_loop_hook tick;
    struct evc_load_chooser chooser;
    struct evc_bench_client *clients;
    unsigned client_count;
    char *value_bytes; /* what values are cut from */
    struct evc_bench_figures figures;
    uint64_t published_count; /* requests answered, for the progress line */
    atomic_ullong answered;   /* the same, for other threads */
    atomic_uint up, filled, lost;
    int phase_seen;
    pthread_t id;
    bool has_id;
};

#endif
