/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See bench.h. The caller's thread leads: it moves the phase on when all threads are ready for the
 * next, tells of progress, and adds up when they have ended. Figures are each thread's own until
 * then; only counters for progress are shared.
 */
#include "bench/bench.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"

enum {
    LOOK_MS = 10, /* how often the leader looks */
};

/* --- a thread --- */

static void
start_filling(struct evc_bench_thread *thread, uint64_t now_us)
{
    for (unsigned i = 0; i < thread->client_count; i++) {
        struct evc_bench_client *client = &thread->clients[i];

        if (client->fill_next < client->fill_end) {
            evc_bench_client_start(client, now_us);
        } else {
            atomic_fetch_add(&thread->filled, 1);
        }
    }
}

static void
clear_figures(struct evc_bench_thread *thread)
{
    struct evc_bench_figures *figures = &thread->figures;

    memset(figures, 0, sizeof(*figures));
    evc_histogram_init(&figures->get_us);
    evc_histogram_init(&figures->set_us);
}

/** The leader has moved on. */
static void
on_phase(struct evc_bench_thread *thread, int phase)
{
    uint64_t now_us = thread->loop.now.mono_us;

    /* A short phase may be over before it was seen. */
    if (phase >= EVC_BENCH_WARMING && thread->phase_seen < EVC_BENCH_WARMING) {
        for (unsigned i = 0; i < thread->client_count; i++) {
            evc_bench_client_start(&thread->clients[i], now_us);
        }
    }
    thread->phase_seen = phase;
    if (phase == EVC_BENCH_FILLING) {
        start_filling(thread, now_us);
    } else if (phase == EVC_BENCH_MEASURING) {
        clear_figures(thread);
    } else if (phase == EVC_BENCH_DONE) {
        for (unsigned i = 0; i < thread->client_count; i++) {
            evc_stream_close(&thread->clients[i].stream, 0);
        }
    }
}

static bool
is_closed(const struct evc_bench_thread *thread)
{
    for (unsigned i = 0; i < thread->client_count; i++) {
        if (thread->clients[i].stream.state != EVC_STREAM_CLOSED) {
            return false;
        }
    }
    return true;
}

static void
send_due(struct evc_bench_thread *thread)
{
    uint64_t now_us = thread->loop.now.mono_us;

    for (unsigned i = 0; i < thread->client_count; i++) {
        evc_bench_client_send_due(&thread->clients[i], now_us);
    }
}

static void
look_round(struct evc_bench_thread *thread)
{
    int phase = atomic_load(thread->phase);

    if (phase != thread->phase_seen) {
        on_phase(thread, phase);
    }
    atomic_store_explicit(&thread->answered, thread->published_count, memory_order_relaxed);
    if (phase == EVC_BENCH_DONE && is_closed(thread)) {
        evc_loop_stop(&thread->loop);
    }
}

static void
on_tick(struct evc_loop_hook *hook)
{
    look_round(EVC_CONTAINER_OF(hook, struct evc_bench_thread, tick));
}

/** Open loop: what is due leaves about every millisecond. */
static void
on_pace(uv_timer_t *timer)
{
    struct evc_bench_thread *thread = timer->data;

    evc_loop_enter(&thread->loop);
    if (thread->phase_seen == EVC_BENCH_WARMING || thread->phase_seen == EVC_BENCH_MEASURING) {
        send_due(thread);
    }
    if (thread->phase_seen == EVC_BENCH_DONE && !uv_is_closing((uv_handle_t *)timer)) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void *
run_thread(void *arg)
{
    struct evc_bench_thread *thread = arg;
    uv_timer_t pace;

    pace.data = thread;
    if (thread->options->rate > 0) {
        uv_timer_init(&thread->loop.uv, &pace);
        uv_timer_start(&pace, on_pace, 1, 1);
    }
    evc_loop_run(&thread->loop);
    return NULL;
}

static void
divide_keys(struct evc_bench_thread *thread, unsigned first)
{
    const struct evc_bench_options *options = thread->options;

    for (unsigned i = 0; options->fills && i < thread->client_count; i++) {
        struct evc_bench_client *client = &thread->clients[i];
        unsigned __int128 keys = options->load.key_count;

        client->fill_next = (uint64_t)(keys * (first + i) / options->connections);
        client->fill_end = (uint64_t)(keys * (first + i + 1) / options->connections);
    }
}

/** first: how many clients the threads before have. */
static int
open_thread(struct evc_bench_thread *thread, unsigned index, unsigned first,
            struct evc_error *error)
{
    const struct evc_bench_options *options = thread->options;
    int rc = evc_loop_init(&thread->loop, error);

    if (rc != EVC_OK) {
        return rc;
    }
    thread->client_count =
        options->connections / options->threads + (index < options->connections % options->threads);
    thread->clients = calloc(thread->client_count, sizeof(*thread->clients));
    thread->value_bytes = malloc((size_t)options->load.value_max + 1);
    if (!thread->clients || !thread->value_bytes) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    memset(thread->value_bytes, 'v', options->load.value_max);
    evc_load_chooser_init(&thread->chooser, &options->load, options->seed + index);
    clear_figures(thread);
    divide_keys(thread, first);
    for (unsigned i = 0; i < thread->client_count; i++) {
        const struct sockaddr_storage *address =
            &options->addresses[(first + i) % options->address_count];

        if (evc_bench_client_open(&thread->clients[i], thread, (const struct sockaddr *)address) !=
            EVC_OK) {
            return evc_error_set(error, EVC_E_SYS,
                                 "connection %u: no socket could be made; see `ulimit -n`",
                                 first + i);
        }
    }
    thread->tick.call = on_tick;
    evc_loop_add_tick(&thread->loop, &thread->tick);
    return EVC_OK;
}

/* --- the leader --- */

struct leader {
    const struct evc_bench_options *options;
    struct evc_bench_thread *threads;
    unsigned open_count;
    atomic_int phase;
    uint64_t told_us, told_count;
};

static uint64_t
sum_answered(const struct leader *leader)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < leader->open_count; i++) {
        sum += atomic_load(&leader->threads[i].answered);
    }
    return sum;
}

static unsigned
sum_of(const struct leader *leader, size_t offset)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < leader->open_count; i++) {
        sum += atomic_load((atomic_uint *)(void *)((char *)&leader->threads[i] + offset));
    }
    return sum;
}

#define SUM(leader, member) sum_of((leader), offsetof(struct evc_bench_thread, member))

static void
tell_progress(struct leader *leader, const char *phase, uint64_t started_us)
{
    const struct evc_bench_options *options = leader->options;
    uint64_t now_us = evc_clock_mono_us();
    uint64_t count;

    if (!options->on_progress || now_us - leader->told_us < 1000000) {
        return;
    }
    count = sum_answered(leader);
    options->on_progress(options->ctx, phase, (double)(now_us - started_us) / 1e6,
                         (double)(count - leader->told_count) * 1e6 /
                             (double)(now_us - leader->told_us));
    leader->told_us = now_us;
    leader->told_count = count;
}

/** Waits until every connection has counted itself, or is lost. */
static int
wait_for_all(struct leader *leader, size_t offset, unsigned timeout_s, const char *phase,
             struct evc_error *error)
{
    uint64_t started_us = evc_clock_mono_us();

    while (sum_of(leader, offset) < leader->options->connections) {
        if (SUM(leader, lost) > 0) {
            return evc_error_set(error, EVC_E_SYS, "a connection was lost while %s", phase);
        }
        if (evc_clock_mono_us() - started_us > timeout_s * UINT64_C(1000000)) {
            return evc_error_set(error, EVC_E_TIMEOUT, "%s took longer than %u s", phase,
                                 timeout_s);
        }
        tell_progress(leader, phase, started_us);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    return EVC_OK;
}

static void
wait_ms(struct leader *leader, unsigned ms, const char *phase)
{
    uint64_t started_us = evc_clock_mono_us();
    uint64_t left_us;

    while ((left_us = evc_clock_mono_us() - started_us) < ms * UINT64_C(1000)) {
        uint64_t rest_us = ms * UINT64_C(1000) - left_us;
        long sleep_us = rest_us < LOOK_MS * 1000 ? (long)rest_us : LOOK_MS * 1000L;

        tell_progress(leader, phase, started_us);
        nanosleep(&(struct timespec){.tv_nsec = sleep_us * 1000}, NULL);
    }
}

static double
own_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void
tell_measure(const struct evc_bench_options *options, bool begins)
{
    if (options->on_measure) {
        options->on_measure(options->ctx, begins);
    }
}

static int
lead(struct leader *leader, struct evc_bench_result *ret, struct evc_error *error)
{
    const struct evc_bench_options *options = leader->options;
    uint64_t started_us;
    int rc;

    rc = wait_for_all(leader, offsetof(struct evc_bench_thread, up), EVC_BENCH_CONNECT_TIMEOUT_S,
                      "connecting", error);
    if (rc == EVC_OK && options->fills) {
        atomic_store(&leader->phase, EVC_BENCH_FILLING);
        rc = wait_for_all(leader, offsetof(struct evc_bench_thread, filled),
                          EVC_BENCH_FILL_TIMEOUT_S, "filling", error);
    }
    if (rc != EVC_OK) {
        return rc;
    }
    atomic_store(&leader->phase, EVC_BENCH_WARMING);
    wait_ms(leader, options->warmup_ms, "warming up");
    tell_measure(options, true);
    started_us = evc_clock_mono_us();
    ret->cpu_us = own_cpu_us();
    atomic_store(&leader->phase, EVC_BENCH_MEASURING);
    wait_ms(leader, options->duration_ms, "measuring");
    atomic_store(&leader->phase, EVC_BENCH_DONE);
    ret->seconds = (double)(evc_clock_mono_us() - started_us) / 1e6;
    ret->cpu_us = own_cpu_us() - ret->cpu_us;
    tell_measure(options, false);
    return EVC_OK;
}

static void
add_figures(struct evc_bench_figures *into, const struct evc_bench_figures *from)
{
    evc_histogram_merge(&into->get_us, &from->get_us);
    evc_histogram_merge(&into->set_us, &from->set_us);
    into->hits += from->hits;
    into->misses += from->misses;
    into->stored += from->stored;
    into->errors += from->errors;
    into->disconnects += from->disconnects;
    into->bytes_in += from->bytes_in;
    into->bytes_out += from->bytes_out;
    if (into->error[0] == '\0') {
        memcpy(into->error, from->error, sizeof(into->error));
    }
}

static void
close_thread(struct evc_bench_thread *thread)
{
    if (thread->has_id) {
        pthread_join(thread->id, NULL);
    }
    evc_loop_finish(&thread->loop);
    free(thread->clients);
    free(thread->value_bytes);
}

static int
open_all(struct leader *leader, struct evc_error *error)
{
    const struct evc_bench_options *options = leader->options;
    unsigned first = 0;
    int rc = EVC_OK;

    for (unsigned i = 0; rc == EVC_OK && i < options->threads; i++) {
        struct evc_bench_thread *thread = &leader->threads[i];

        thread->options = options;
        thread->phase = &leader->phase;
        rc = open_thread(thread, i, first, error);
        leader->open_count++;
        first += thread->client_count;
    }
    /* All of them run in any case: whoever has begun to connect is closed on his own loop. */
    for (unsigned i = 0; i < leader->open_count; i++) {
        struct evc_bench_thread *thread = &leader->threads[i];

        thread->has_id = pthread_create(&thread->id, NULL, run_thread, thread) == 0;
        if (!thread->has_id && rc == EVC_OK) {
            rc = evc_error_set(error, EVC_E_SYS, "thread %u could not be started", i);
        }
    }
    return rc;
}

int
evc_bench_run(const struct evc_bench_options *options, struct evc_bench_result *ret,
              struct evc_error *error)
{
    struct leader leader = {.options = options};
    int rc;

    assert(options->connections >= options->threads && options->threads >= 1);
    assert(options->depth >= 1 && options->depth <= EVC_BENCH_OUTSTANDING_MAX);
    memset(ret, 0, sizeof(*ret));
    evc_histogram_init(&ret->figures.get_us);
    evc_histogram_init(&ret->figures.set_us);
    leader.threads = calloc(options->threads, sizeof(*leader.threads));
    if (!leader.threads) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    leader.told_us = evc_clock_mono_us();
    rc = open_all(&leader, error);
    if (rc == EVC_OK) {
        rc = lead(&leader, ret, error);
    }
    atomic_store(&leader.phase, EVC_BENCH_DONE);
    for (unsigned i = 0; i < leader.open_count; i++) {
        close_thread(&leader.threads[i]);
        add_figures(&ret->figures, &leader.threads[i].figures);
    }
    free(leader.threads);
    if (rc != EVC_OK && ret->figures.error[0] != '\0') {
        char text[EVC_ERROR_TEXT_BYTES];

        memcpy(text, error->text, sizeof(text));
        return evc_error_set(error, rc, "%s: %s", text, ret->figures.error);
    }
    return rc;
}
