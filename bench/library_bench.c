/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call of libevcache takes and costs, against a cache that runs: one by one, from several
 * threads, many at once, and asynchronous with a window; and, to compare, gets one by one through a
 * proxy of the region. bench/library starts the cache for it.
 *
 *     library_bench CONFIG REGION PROXY_HOST PROXY_PORT [COUNT]
 */
#include <arpa/inet.h>
#include <evcache/evcache.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/histogram.h"

enum {
    KEYS = 10000,
    VALUE_BYTES = 100,
    THREADS = 4,
    MANY = 100,
    WINDOW = 1000,
};

static char keys[KEYS][24];
static char value[VALUE_BYTES];

struct bench {
    evcache *cache;
    unsigned count;
    unsigned failed;
    struct evc_histogram latency_us;
};

static uint64_t
cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static evcache_request
request_of(unsigned number)
{
    return (evcache_request){
        .key = evcache_str(keys[number % KEYS]),
        .value = {.ptr = value, .len = sizeof(value)},
        .ttl_s = 600,
    };
}

/* --- the ways to call --- */

static void
set_one_by_one(struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        evcache_request request = request_of(i);
        uint64_t start_us = evc_clock_mono_us();

        bench->failed += evcache_set(bench->cache, &request, NULL) != EVCACHE_OK;
        evc_histogram_record(&bench->latency_us, evc_clock_mono_us() - start_us);
    }
}

static void
get_one_by_one(struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        evcache_request request = request_of(i);
        evcache_reply *reply = NULL;
        uint64_t start_us = evc_clock_mono_us();

        bench->failed += evcache_get(bench->cache, &request, &reply) != EVCACHE_OK;
        evc_histogram_record(&bench->latency_us, evc_clock_mono_us() - start_us);
        evcache_reply_free(reply);
    }
}

static void *
get_in_thread(void *arg)
{
    get_one_by_one(arg);
    return NULL;
}

static void
get_from_threads(struct bench *bench)
{
    struct bench parts[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        parts[i] = (struct bench){.cache = bench->cache, .count = bench->count / THREADS};
        evc_histogram_init(&parts[i].latency_us);
        if (pthread_create(&threads[i], NULL, get_in_thread, &parts[i]) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bench->failed += parts[i].failed;
        evc_histogram_merge(&bench->latency_us, &parts[i].latency_us);
    }
}

static void
get_many(struct bench *bench)
{
    evcache_request requests[MANY];
    evcache_reply *replies[MANY];

    for (unsigned i = 0; i < bench->count; i += MANY) {
        uint64_t start_us = evc_clock_mono_us();

        for (unsigned k = 0; k < MANY; k++) {
            requests[k] = request_of(i + k);
        }
        bench->failed += MANY - (unsigned)evcache_get_many(bench->cache, requests, MANY, replies);
        evc_histogram_record(&bench->latency_us, evc_clock_mono_us() - start_us);
        for (unsigned k = 0; k < MANY; k++) {
            evcache_reply_free(replies[k]);
        }
    }
}

/* --- asynchronous --- */

struct window {
    struct bench *bench;
    evcache_inbox *inbox;
    enum evcache_op op;
    unsigned started, answered;
};

static void on_reply(void *ctx, evcache_reply *reply);

static void
start_next(struct window *window)
{
    evcache_request request = request_of(window->started++);

    if (evcache_start(window->inbox, window->op, &request, on_reply, window) != EVCACHE_OK) {
        abort();
    }
}

static void
on_reply(void *ctx, evcache_reply *reply)
{
    struct window *window = ctx;

    window->answered++;
    window->bench->failed += evcache_reply_status(reply) != EVCACHE_OK;
    evcache_reply_free(reply);
    if (window->started < window->bench->count) {
        start_next(window);
    }
}

static void
run_window(struct bench *bench, enum evcache_op op)
{
    struct window window = {.bench = bench, .op = op};

    if (evcache_inbox_open(bench->cache, &window.inbox, NULL) != EVCACHE_OK) {
        abort();
    }
    while (window.started < WINDOW && window.started < bench->count) {
        start_next(&window);
    }
    while (window.answered < bench->count) {
        struct pollfd readable = {.fd = evcache_inbox_fd(window.inbox), .events = POLLIN};

        (void)poll(&readable, 1, -1);
        evcache_inbox_dispatch(window.inbox);
    }
    evcache_inbox_close(window.inbox);
}

static void
set_in_a_window(struct bench *bench)
{
    run_window(bench, EVCACHE_SET);
}

static void
get_in_a_window(struct bench *bench)
{
    run_window(bench, EVCACHE_GET);
}

/* --- through the proxy --- */

static int proxy_fd = -1;

static void
connect_proxy(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int one = 1;

    proxy_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(proxy_fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "no proxy at %s:%s\n", host, port);
        exit(1);
    }
    (void)setsockopt(proxy_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static bool
get_through_proxy(const char *key)
{
    char bytes[512];
    size_t len = 0;
    int line = snprintf(bytes, sizeof(bytes), "get %s\r\n", key);

    if (write(proxy_fd, bytes, (size_t)line) != line) {
        return false;
    }
    while (len < 5 || memcmp(bytes + len - 5, "END\r\n", 5) != 0) {
        ssize_t more = read(proxy_fd, bytes + len, sizeof(bytes) - len);

        if (more <= 0) {
            return false;
        }
        len += (size_t)more;
    }
    return len > 5;
}

static void
get_one_by_one_through_proxy(struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        uint64_t start_us = evc_clock_mono_us();

        bench->failed += !get_through_proxy(keys[i % KEYS]);
        evc_histogram_record(&bench->latency_us, evc_clock_mono_us() - start_us);
    }
}

/* --- running --- */

static void
measure(evcache *cache, const char *name, unsigned count, void (*work)(struct bench *bench))
{
    struct bench bench = {.cache = cache, .count = count};
    uint64_t start_us = evc_clock_mono_us();
    uint64_t start_cpu_us = cpu_us();
    uint64_t took_us, cpu;

    evc_histogram_init(&bench.latency_us);
    work(&bench);
    took_us = evc_clock_mono_us() - start_us;
    cpu = cpu_us() - start_cpu_us;
    printf("%-36s %9.0f/s  cpu %6.2f us", name, count * 1e6 / (double)took_us, (double)cpu / count);
    if (bench.latency_us.count > 0) {
        printf("  p50 %5llu us  p99 %6llu us",
               (unsigned long long)evc_histogram_quantile(&bench.latency_us, 0.5),
               (unsigned long long)evc_histogram_quantile(&bench.latency_us, 0.99));
    }
    printf("  failed %u\n", bench.failed);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    unsigned count = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 20000;
    evcache_error error;
    evcache *cache;

    if (argc < 5) {
        fprintf(stderr, "usage: %s CONFIG REGION PROXY_HOST PROXY_PORT [COUNT]\n", argv[0]);
        return 2;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "bench:%u", i);
    }
    memset(value, 'v', sizeof(value));
    connect_proxy(argv[3], argv[4]);
    if (evcache_open(argv[1], argv[2], NULL, &cache, &error) != EVCACHE_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    measure(cache, "set, a window of 1000", KEYS > count ? KEYS : count, set_in_a_window);
    measure(cache, "get, a window of 1000", count * 10, get_in_a_window);
    measure(cache, "get, 100 at once", count * 10, get_many);
    measure(cache, "set, one by one", count, set_one_by_one);
    measure(cache, "get, one by one", count, get_one_by_one);
    measure(cache, "get, one by one from 4 threads", count, get_from_threads);
    measure(cache, "get, one by one through the proxy", count, get_one_by_one_through_proxy);
    evcache_close(cache);
    close(proxy_fd);
    return 0;
}
