/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background thread's loop: what it does each turn and tick, and how it begins and ends. A
 * start that failed halfway ends like a stop: the loop runs, on the caller's thread, until
 * everything that was opened is closed.
 */
#include "library/library.h"

/* --- the loop --- */

static void
on_engine_closed(void *ctx)
{
    evcache *cache = ctx;

    cache->engine = NULL;
    evc_loop_remove_hook(&cache->turn);
    evc_loop_remove_hook(&cache->tick);
    evc_loop_stop(&cache->loop);
}

static bool
is_drained(const evcache *cache)
{
    return !cache->has_contexts ||
           (atomic_load(&cache->calls_open) == 0 && cache->reader.in_flight == 0 &&
            cache->writer.stats.in_flight == 0);
}

/** One step of the way from RUNNING to the end; called every tick. */
static void
step_towards_end(evcache *cache)
{
    uint64_t now_us = cache->loop.now.mono_us;

    switch (cache->state) {
    case EVC_LIBRARY_RUNNING:
        if (atomic_load(&cache->want_stop)) {
            cache->state = EVC_LIBRARY_DRAINING;
            cache->drain_until_us = now_us + EVC_LIBRARY_DRAIN_MS_MAX * UINT64_C(1000);
        }
        break;
    case EVC_LIBRARY_DRAINING:
        if (is_drained(cache) || now_us >= cache->drain_until_us) {
            cache->state = EVC_LIBRARY_DISCONNECTING;
            if (cache->engine) {
                evc_engine_close(cache->engine, on_engine_closed, cache);
            } else {
                on_engine_closed(cache);
            }
        }
        break;
    case EVC_LIBRARY_DISCONNECTING:
    case EVC_LIBRARY_STATE_MAX:
        break;
    }
}

static void
tell_opened(evcache *cache)
{
    bool is_ready = cache->engine && evc_engine_is_ready(cache->engine);

    if (!cache->has_told_opened &&
        (is_ready || cache->loop.now.mono_us >= cache->opening_until_us)) {
        cache->has_told_opened = true;
        (void)sem_post(&cache->opened); /* fails only when it overflows */
    }
}

static void
on_tick(struct evc_loop_hook *hook)
{
    evcache *cache = EVC_CONTAINER_OF(hook, evcache, tick);

    evc_reader_on_turn(&cache->reader);
    evc_library_end_overdue(cache);
    tell_opened(cache);
    step_towards_end(cache);
}

/** End of each turn: reads that are due for a second zone; the feeder's bell where something was
 * released. */
static void
on_turn(struct evc_loop_hook *hook)
{
    evcache *cache = EVC_CONTAINER_OF(hook, evcache, turn);
    uint64_t released = evc_journal_released_total(cache->journal);

    evc_reader_on_turn(&cache->reader);
    if (released != cache->released_seen) {
        cache->released_seen = released;
        evc_feeder_ring(cache->feeder);
    }
}

static void
on_bell(struct evc_loop_hook *hook)
{
    evc_library_take_submitted(EVC_CONTAINER_OF(hook, evcache, bell));
}

static void *
run(void *arg)
{
    evcache *cache = arg;

    evc_loop_run(&cache->loop);
    return NULL;
}

/* --- starting and stopping --- */

static void
start_contexts(evcache *cache)
{
    const struct evc_config *config = cache->config;
    unsigned slot = evc_config_client_slot(cache->slot);
    struct evc_node_port *port = evc_engine_port(cache->engine);
    const struct evc_reader_options read_options = evc_reader_options_of(config);
    const struct evc_write_options write_options = evc_write_options_of(config, port);

    evc_version_clock_init(&cache->clock, evc_version_writer_make(cache->region, slot),
                           config->drift_ms);
    evc_version_clock_keep(&cache->clock, evc_journal_clock_cell(cache->journal));
    evc_writer_init(&cache->writer, port, &cache->clock, &cache->loop.now, cache->journal,
                    &write_options);
    evc_reader_init(&cache->reader, port, &cache->loop.now, &read_options);
    evc_library_init_calls(cache);
    cache->has_contexts = true;
}

static int
start_loop(evcache *cache, struct evc_error *error)
{
    int status = evc_loop_init(&cache->loop, error);

    if (status != EVC_OK) {
        return status;
    }
    cache->has_loop = true;
    cache->bell.call = on_bell;
    cache->turn.call = on_turn;
    cache->tick.call = on_tick;
    evc_loop_set_bell(&cache->loop, &cache->bell);
    evc_loop_add_hook(&cache->loop, &cache->turn);
    evc_loop_add_tick(&cache->loop, &cache->tick);
    evc_wheel_init(&cache->deadlines, cache->loop.now.mono_us);
    cache->opening_until_us =
        cache->loop.now.mono_us + cache->config->connect_timeout_ms * UINT64_C(1000);
    return EVC_OK;
}

int
evc_library_start(evcache *cache, struct evc_error *error)
{
    const struct evc_engine_options options = {
        .connect_timeout_ms = cache->config->connect_timeout_ms,
    };
    int status = start_loop(cache, error);
    int rc;

    if (status == EVC_OK) {
        status = evc_engine_create(&cache->loop, cache->topology, &options, &cache->engine, error);
    }
    if (status != EVC_OK) {
        return status;
    }
    start_contexts(cache);
    rc = pthread_create(&cache->thread, NULL, run, cache);
    if (rc != 0) {
        return evc_error_sys(error, rc, "cannot start a thread");
    }
    cache->has_thread = true;
    return EVC_OK;
}

void
evc_library_stop(evcache *cache)
{
    atomic_store(&cache->want_stop, true);
    if (cache->has_thread) {
        pthread_join(cache->thread, NULL);
    } else if (cache->has_loop) {
        evc_loop_run(&cache->loop); /* closes what is open */
    }
    if (cache->has_contexts) {
        evc_reader_finish(&cache->reader);
        evc_writer_finish(&cache->writer);
        evc_pool_finish(&cache->calls);
    }
    if (cache->has_loop) {
        evc_loop_finish(&cache->loop);
    }
}
