/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a proxy process together, waits for a signal, and takes it apart again. What is opened first
 * is closed last: topology, queue, journals, feeder, workers, admin address.
 */
#include "proxy/proxy.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/feeder_watch.h"
#include "daemon/storage.h"
#include "proxy/process.h"

enum {
    FILES_BESIDE_CONNECTIONS = 256, /* queue, journals, logs, admin, listeners */
};

/* --- queue, journals, feeder --- */

static int
open_journal(struct evc_proxy *proxy, unsigned slot, struct evc_error *error)
{
    uint64_t replayed = 0;
    struct evc_journal **journal = &proxy->journals[proxy->journal_count];
    int status = evc_storage_open_journal(proxy->options.config, proxy->options.region, slot,
                                          journal, &replayed, error);

    if (status == EVC_OK) {
        proxy->journal_count++;
        evc_storage_log_replay(*journal, replayed);
    }
    return status;
}

/**
 * A journal for each worker, and those that workers left which are no longer configured: what is in
 * them must still reach the queue, and their numbers belong to what this proxy has produced.
 */
static int
open_journals(struct evc_proxy *proxy, struct evc_error *error)
{
    const struct evc_config *config = proxy->options.config;
    unsigned region = proxy->options.region;
    int status = EVC_OK;

    for (unsigned i = 0; i < EVC_CONFIG_WORKER_MAX && status == EVC_OK; i++) {
        unsigned slot = evc_config_proxy_slot(proxy->options.index, i);

        if (i < config->workers || evc_storage_has_journal(config, region, slot)) {
            status = open_journal(proxy, slot, error);
        }
    }
    return status;
}

/* --- workers --- */

static int
resolve_own_addresses(const struct evc_proxy *proxy, struct sockaddr_storage *ret_clients,
                      struct sockaddr_storage *ret_relays, struct evc_error *error)
{
    unsigned index = proxy->options.index;
    int status = evc_address_resolve(&proxy->region->proxies[index], ret_clients, error);

    if (status == EVC_OK) {
        status = evc_address_resolve(&proxy->region->receivers[index], ret_relays, error);
    }
    /* The workers' listeners share their address, so a second process would not be noticed there.
     */
    if (status == EVC_OK) {
        status = evc_listener_probe((const struct sockaddr *)ret_clients, error);
    }
    if (status == EVC_OK) {
        status = evc_listener_probe((const struct sockaddr *)ret_relays, error);
    }
    return status;
}

static int
open_worker(struct evc_proxy *proxy, unsigned index, const struct sockaddr_storage *clients,
            const struct sockaddr_storage *relays, struct evc_error *error)
{
    size_t node_count = proxy->topology->node_count;
    int status;

    proxy->node_sums[index] = calloc(2 * node_count, sizeof(*proxy->node_sums[index]));
    if (!proxy->node_sums[index]) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    status = evc_worker_open(&proxy->workers[index],
                             &(struct evc_worker_options){
                                 .config = proxy->options.config,
                                 .topology = proxy->topology,
                                 .journal = proxy->journals[index],
                                 .feeder = proxy->feeder,
                                 .index = index,
                                 .has_canaries = index == 0 && proxy->options.index == 0,
                                 .slot = evc_config_proxy_slot(proxy->options.index, index),
                                 .client_address = (const struct sockaddr *)clients,
                                 .relay_address = (const struct sockaddr *)relays,
                                 .collector = {.collect = evc_proxy_collect, .ctx = proxy},
                                 .connections = &proxy->connections,
                                 .flush_schedule = &proxy->flush_schedule,
                             },
                             error);
    proxy->worker_count += status == EVC_OK;
    return status;
}

static int
start_workers(struct evc_proxy *proxy, struct evc_error *error)
{
    struct sockaddr_storage clients, relays;
    int status = resolve_own_addresses(proxy, &clients, &relays, error);

    for (unsigned i = 0; i < proxy->options.config->workers && status == EVC_OK; i++) {
        status = open_worker(proxy, i, &clients, &relays, error);
    }
    for (unsigned i = 0; i < proxy->worker_count && status == EVC_OK; i++) {
        status = evc_worker_run(&proxy->workers[i], error);
    }
    return status;
}

static void
stop_workers(struct evc_proxy *proxy)
{
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        evc_worker_stop(&proxy->workers[i]);
    }
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        evc_worker_close(&proxy->workers[i]);
    }
    for (unsigned i = 0; i < EVC_CONFIG_WORKER_MAX; i++) {
        free(proxy->node_sums[i]);
    }
}

/* --- the process --- */

static char *
cache_document(void *ctx)
{
    return evc_watch_survey_json(((struct evc_proxy *)ctx)->watch);
}

static char *
history_document(void *ctx)
{
    return evc_watch_history_json(((struct evc_proxy *)ctx)->watch);
}

/** What the dashboard is drawn from. */
static const struct evc_admin_document dashboard_documents[] = {
    {"/cache.json", "application/json", cache_document},
    {"/history.json", "application/json", history_document},
};

/** The region's first proxy watches the whole cache and has its dashboard; others point to it. */
static int
start_admin(struct evc_proxy *proxy, struct evc_error *error)
{
    bool is_first = proxy->options.index == 0;
    const struct evc_admin_handler handler = {
        .status = evc_proxy_status,
        .metrics = evc_proxy_metrics,
        .is_ready = evc_proxy_is_ready,
        .ctx = proxy,
        .documents = is_first ? dashboard_documents : NULL,
        .document_count =
            is_first ? sizeof(dashboard_documents) / sizeof(dashboard_documents[0]) : 0,
        .has_dashboard = is_first,
        .dashboard = is_first ? NULL : proxy->region->admins[0].text,
    };
    int status = evc_node_sizes_start(proxy->topology, &proxy->node_sizes, error);

    if (status == EVC_OK && is_first) {
        status = evc_watch_start(proxy->options.config, &proxy->watch, error);
    }
    return status == EVC_OK ? evc_admin_start(&proxy->region->admins[proxy->options.index],
                                              &handler, &proxy->admin, error)
                            : status;
}

static int
start(struct evc_proxy *proxy, struct evc_error *error)
{
    const struct evc_proxy_options *options = &proxy->options;
    int status = evc_topology_create(options->config, options->region, options->local_zone,
                                     &proxy->topology, error);

    if (status == EVC_OK) {
        status = evc_storage_open_queue(proxy->options.config, proxy->options.region, &proxy->queue,
                                        error);
    }
    if (status == EVC_OK) {
        status = open_journals(proxy, error);
    }
    if (status == EVC_OK) {
        status = evc_feeder_create(proxy->queue, options->config->queue.partitions, proxy->journals,
                                   proxy->journal_count, &proxy->feeder, error);
    }
    if (status == EVC_OK) {
        status = start_workers(proxy, error);
    }
    return status == EVC_OK ? start_admin(proxy, error) : status;
}

/** What could not be fed in time stays in the journals for the next process. */
static void
tell_what_is_left(const struct evc_proxy *proxy, uint64_t started_us, uint64_t drained_us)
{
    uint64_t waiting = 0;

    for (unsigned i = 0; i < proxy->journal_count; i++) {
        struct evc_journal_stats stats;

        evc_journal_stats(proxy->journals[i], &stats);
        waiting += stats.events_waiting;
    }
    evc_log_info("stopped", "drain_ms=%llu feed_ms=%llu events_left=%llu",
                 (unsigned long long)(drained_us - started_us) / 1000,
                 (unsigned long long)(evc_clock_mono_us() - drained_us) / 1000,
                 (unsigned long long)waiting);
}

/** Takes apart whatever start put together. */
static void
stop(struct evc_proxy *proxy)
{
    uint64_t started_us = evc_clock_mono_us();
    uint64_t drained_us;

    evc_admin_stop(proxy->admin);
    evc_watch_stop(proxy->watch);
    evc_node_sizes_stop(proxy->node_sizes);
    stop_workers(proxy);
    drained_us = evc_clock_mono_us();
    evc_feeder_destroy(proxy->feeder, EVC_PROXY_FEED_MS_MAX);
    if (proxy->worker_count > 0) {
        tell_what_is_left(proxy, started_us, drained_us);
    }
    for (unsigned i = 0; i < proxy->journal_count; i++) {
        evc_journal_close(proxy->journals[i]);
    }
    evc_queue_close(proxy->queue);
    evc_topology_unref(proxy->topology);
    free(proxy);
}

/** Room for as many files as connections may need; says so when the system gives less. */
static void
raise_file_limit(const struct evc_proxy *proxy)
{
    const struct evc_config *config = proxy->options.config;
    rlim_t wanted = (rlim_t)config->connections_max + FILES_BESIDE_CONNECTIONS +
                    (rlim_t)config->workers * proxy->topology->node_count;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        evc_log_warn("fewer files may be open than connections_max needs",
                     "wanted=%llu allowed=%llu", (unsigned long long)wanted,
                     (unsigned long long)limit.rlim_cur);
    }
}

/** Meanwhile this thread, which has nothing else to do, watches the feeder. */
static void
wait_for_signal(const struct evc_proxy *proxy, const sigset_t *signals)
{
    const struct timespec period = {.tv_sec = EVC_FEEDER_WATCH_MS / 1000,
                                    .tv_nsec = EVC_FEEDER_WATCH_MS % 1000 * 1000000L};
    struct evc_feeder_watch watch = {0};
    int number;

    while ((number = sigtimedwait(signals, NULL, &period)) < 0) {
        evc_feeder_watch_tick(&watch, proxy->feeder, proxy->journals, proxy->journal_count,
                              evc_clock_mono_us());
    }
    evc_log_info("stopping", "signal=%d", number);
}

int
evc_proxy_run(const struct evc_proxy_options *options, struct evc_error *error)
{
    struct evc_proxy *proxy = calloc(1, sizeof(*proxy));
    sigset_t signals, before;
    int status;

    if (!proxy) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    assert(options->region < options->config->regions_count);
    proxy->options = *options;
    proxy->region = &options->config->regions[options->region];
    proxy->started_unix_us = evc_clock_unix_us();
    assert(options->index < proxy->region->proxies_count);

    /* Blocked before the first thread starts, so that every thread inherits it and only
     * wait_for_signal takes them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    signal(SIGPIPE, SIG_IGN);

    status = start(proxy, error);
    if (status == EVC_OK) {
        raise_file_limit(proxy);
        evc_log_info("the proxy serves", "clients=%s relays=%s workers=%u",
                     proxy->region->proxies[options->index].text,
                     proxy->region->receivers[options->index].text, proxy->worker_count);
        wait_for_signal(proxy, &signals);
    }
    stop(proxy);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
