/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a handle: configuration, topology, queue, a journal in a free slot, feeder,
 * background thread; what is opened first is closed last. Every thread is started with all signals
 * blocked, so that the application's handlers run in the application's threads, and a node that
 * goes away cannot raise SIGPIPE.
 */
#include "library/library.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/storage.h"
#include "library/queues.h"

/* --- errors --- */

static int
public_status(int status)
{
    switch ((enum evc_status)status) {
    case EVC_OK:
        return EVCACHE_OK;
    case EVC_E_CONFIG:
        return EVCACHE_E_CONFIG;
    case EVC_E_NOT_FOUND:
    case EVC_E_INVALID:
        return EVCACHE_E_INVALID;
    case EVC_E_NOMEM:
        return EVCACHE_E_NO_MEMORY;
    case EVC_E_BUSY:
        return EVCACHE_E_BUSY;
    case EVC_E_SYS:
    case EVC_E_CORRUPT:
    case EVC_E_AGAIN:
    case EVC_E_PARTIAL:
    case EVC_E_PROTO:
    case EVC_E_LIMIT:
    case EVC_E_FULL:
    case EVC_E_TIMEOUT:
    case EVC_E_CLOSED:
        break;
    }
    return EVCACHE_E_SYSTEM;
}

int
evc_library_error(const struct evc_error *error, evcache_error *ret)
{
    int status = public_status(error->status);

    static_assert(sizeof(ret->text) == sizeof(error->text), "a message fits as it is");
    if (ret) {
        ret->status = status;
        memcpy(ret->text, error->text, sizeof(ret->text));
    }
    return status;
}

/* --- the slot --- */

static int
check_options(const evcache *cache, const evcache_options *options, struct evc_error *error)
{
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0) {
            return evc_error_set(error, EVC_E_INVALID, "reserved options that are not zero");
        }
    }
    if (options->slot_first >= EVCACHE_CLIENT_SLOTS ||
        options->slot_count > EVCACHE_CLIENT_SLOTS - options->slot_first) {
        return evc_error_set(error, EVC_E_INVALID, "client slots %u to %u: there are 0 to %d only",
                             options->slot_first, options->slot_first + options->slot_count - 1,
                             EVCACHE_CLIENT_SLOTS - 1);
    }
    if (options->slot_count == 0 && evc_config_is_kafka(cache->config)) {
        return evc_error_set(error, EVC_E_INVALID,
                             "with queue.kind kafka processes of several machines share the client "
                             "slots: say which are this machine's (slot_first, slot_count)");
    }
    return EVC_OK;
}

static bool
has_left_events(const evcache *cache, unsigned slot)
{
    struct evc_journal_peek peek;

    return evc_storage_peek_journal(cache->config, cache->region, evc_config_client_slot(slot),
                                    &peek) == EVC_OK &&
           peek.stats.bytes_used > 0;
}

/** Takes the first journal of some slots that no process holds. EVC_E_BUSY: there is none. */
static int
take_slot(evcache *cache, unsigned first, unsigned count, bool only_with_events,
          struct evc_error *error)
{
    int status = EVC_E_BUSY;

    for (unsigned slot = first; slot < first + count && status == EVC_E_BUSY; slot++) {
        if (!only_with_events || has_left_events(cache, slot)) {
            cache->slot = slot;
            status =
                evc_storage_open_journal(cache->config, cache->region, evc_config_client_slot(slot),
                                         &cache->journal, &cache->replayed, error);
        }
    }
    return status;
}

/** A slot that a killed program has left with events in its journal goes first: they are waited
 * for, and nobody else would feed them. */
static int
open_journal(evcache *cache, const evcache_options *options, struct evc_error *error)
{
    unsigned first = options->slot_first;
    unsigned count = options->slot_count > 0 ? options->slot_count : EVCACHE_CLIENT_SLOTS - first;
    int status = take_slot(cache, first, count, true, error);

    if (status == EVC_E_BUSY) {
        status = take_slot(cache, first, count, false, error);
    }
    if (status == EVC_E_BUSY) {
        struct evc_error last = *error;

        return evc_error_set(error, EVC_E_BUSY,
                             "all %u client slots from %u on are taken; close a handle, or allow "
                             "more slots (the last: %.300s)",
                             count, first, last.text);
    }
    return status;
}

/* --- opening --- */

static int
open_parts(evcache *cache, const char *config_file, const char *region,
           const evcache_options *options, struct evc_error *error)
{
    int status = evc_config_load(config_file, &cache->config, error);

    if (status == EVC_OK) {
        status = evc_config_region_find(cache->config, region, &cache->region, error);
    }
    if (status == EVC_OK) {
        status = check_options(cache, options, error);
    }
    if (status == EVC_OK) {
        status = evc_topology_create(cache->config, cache->region, options->zone, &cache->topology,
                                     error);
    }
    if (status == EVC_OK) {
        status = evc_queues_take(cache->config, cache->region, &cache->queue, error);
    }
    if (status == EVC_OK) {
        status = open_journal(cache, options, error);
    }
    if (status == EVC_OK) {
        status = evc_feeder_create(cache->queue, cache->config->queue.partitions, &cache->journal,
                                   1, &cache->feeder, error);
    }
    return status == EVC_OK ? evc_library_start(cache, error) : status;
}

static void
close_parts(evcache *cache)
{
    evc_library_stop(cache);
    evc_feeder_destroy(cache->feeder, EVC_LIBRARY_FEED_MS_MAX);
    evc_journal_close(cache->journal);
    evc_queues_give_back(cache->queue);
    evc_topology_unref(cache->topology);
    evc_config_destroy(cache->config);
    pthread_mutex_destroy(&cache->lock);
    (void)sem_destroy(&cache->opened);
    free(cache);
}

int
evcache_open(const char *config_file, const char *region, const evcache_options *options,
             evcache **ret, evcache_error *error)
{
    static const evcache_options defaults;
    evcache *cache = calloc(1, sizeof(*cache));
    struct evc_error why = {.status = EVC_OK};
    sigset_t all, before;
    int status;

    if (!cache) {
        evc_error_set(&why, EVC_E_NOMEM, "out of memory");
        return evc_library_error(&why, error);
    }
    (void)pthread_mutex_init(&cache->lock, NULL); /* never fails on Linux */
    (void)sem_init(&cache->opened, 0, 0);         /* fails only for a value out of range */
    evc_list_init(&cache->submitted);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    status = open_parts(cache, config_file, region, options ? options : &defaults, &why);
    if (status != EVC_OK) {
        close_parts(cache); /* with SIGPIPE blocked: it may run the loop */
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != EVC_OK) {
        return evc_library_error(&why, error);
    }
    while (sem_wait(&cache->opened) != 0) {
        assert(errno == EINTR);
    }
    *ret = cache;
    return EVCACHE_OK;
}

int
evcache_close(evcache *cache)
{
    if (cache && atomic_load(&cache->inboxes) > 0) {
        return EVCACHE_E_BUSY;
    }
    if (cache) {
        close_parts(cache);
    }
    return EVCACHE_OK;
}

/* --- questions --- */

const char *
evcache_zone_name(const evcache *cache, unsigned zone)
{
    return zone < cache->topology->zone_count ? cache->topology->zones[zone].name : NULL;
}

struct stats_call {
    evcache *cache;
    evcache_stats *stats;
};

/** What only the background thread may look at. */
static void
look_at_stats(void *arg)
{
    const struct stats_call *call = arg;
    const evcache *cache = call->cache;

    for (unsigned i = 0; cache->engine && i < cache->topology->node_count; i++) {
        struct evc_engine_node_stats node;

        evc_engine_node_stats(cache->engine, i, &node);
        call->stats->nodes_up += node.state == EVC_NODE_STATE_UP;
    }
    call->stats->writes_in_flight = cache->writer.stats.in_flight;
    call->stats->zone_failures = cache->writer.stats.zone_failures_total;
    call->stats->repairs = cache->writer.stats.repairs_total;
}

int
evcache_get_stats(evcache *cache, evcache_stats *ret)
{
    struct stats_call call = {.cache = cache, .stats = ret};
    struct evc_journal_stats journal;
    struct evc_feeder_stats feeder;

    *ret = (evcache_stats){
        .zones = cache->topology->zone_count,
        .nodes = cache->topology->node_count,
        .slot = cache->slot,
        .calls_in_flight = atomic_load(&cache->calls_open),
        .events_replayed = cache->replayed,
    };
    evc_journal_stats(cache->journal, &journal);
    evc_feeder_stats(cache->feeder, &feeder);
    ret->events_waiting = journal.events_waiting;
    ret->events_lost = journal.lost_total;
    ret->is_queue_refusing = feeder.is_stalled;
    (void)snprintf(ret->queue_error, sizeof(ret->queue_error), "%s",
                   feeder.is_stalled ? feeder.last_error : "");
    return evc_loop_call(&cache->loop, look_at_stats, &call, EVC_LIBRARY_STATS_MS_MAX) == EVC_OK
               ? EVCACHE_OK
               : EVCACHE_E_TIMEOUT;
}
