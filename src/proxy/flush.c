/* SPDX-License-Identifier: Apache-2.0 */
/* See flush.h. */
#include "proxy/flush.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "proxy/exchange.h"

static void begin(struct evc_flush *flush);
static void walk_node(struct evc_flush *flush);

void
evc_flush_init(struct evc_flush *flush, const struct evc_flush_options *options)
{
    *flush = (struct evc_flush){.options = *options};
    evc_list_init(&flush->waiting);
    evc_list_init(&flush->served);
}

/* --- the end --- */

static void
answer_all(struct evc_list *exchanges, struct evc_slice line)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(exchanges))) {
        evc_exchange_reply(EVC_CONTAINER_OF(link, struct evc_exchange, flush_link), line);
    }
}

static void
end_run(struct evc_flush *flush)
{
    bool is_good = flush->zones_walked > 0;
    char line[EVC_NODE_WALK_WHY_BYTES + 64];

    snprintf(line, sizeof(line), "SERVER_ERROR flush_all: %s\r\n", flush->why);
    flush->is_running = false;
    if (flush->why[0]) {
        evc_log_warn(is_good ? "a flush passed over a node" : "a flush failed", "why=\"%s\"",
                     flush->why);
    }
    answer_all(&flush->served, is_good ? EVC_SLICE("OK\r\n") : evc_slice_str(line));
    if (!evc_list_is_empty(&flush->waiting) && !flush->is_running && !flush->is_stopping) {
        begin(flush);
    }
}

/* --- deletes --- */

static void
go_on(struct evc_flush *flush)
{
    if (flush->is_walking) {
        if (flush->in_flight <= EVC_FLUSH_IN_FLIGHT_MAX / 2) {
            evc_node_walk_resume(&flush->walk);
        }
    } else if (flush->is_running && flush->in_flight == 0) {
        walk_node(flush);
    }
}

static void
on_deleted(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_flush *flush = ctx;

    (void)tag;
    flush->in_flight--;
    flush->deleted_total += answer->result == EVC_WRITE_DELETED;
    go_on(flush);
}

static bool
on_item(struct evc_node_walk *walk, const struct evc_node_dump_line *item)
{
    struct evc_flush *flush = walk->ctx;
    const struct evc_writer *writer = flush->options.writer;
    const struct evc_write_request request = {
        .kind = EVC_WRITE_DELETE,
        .key = item->key,
        .unique = item->cas,
        .is_local = !flush->options.is_everywhere,
    };

    if (evc_version_trusted(item->cas, writer->now->unix_us / 1000, writer->clock->drift_ms) >
        flush->before) {
        return true;
    }
    if (flush->in_flight >= EVC_FLUSH_IN_FLIGHT_MAX) {
        return false;
    }
    flush->in_flight++; /* before: it may end before evc_write_start returns */
    if (evc_write_start(flush->options.writer, &request, on_deleted, flush, 0) != EVC_OK) {
        flush->in_flight--;
        return false;
    }
    return true;
}

/* --- walking --- */

static void
on_walked(struct evc_node_walk *walk, const char *why)
{
    struct evc_flush *flush = walk->ctx;

    flush->is_walking = false;
    if (why) {
        flush->has_gap = true;
        snprintf(flush->why, sizeof(flush->why), "%s", why);
    }
    flush->node++;
    go_on(flush);
}

/** The next node, or the end. */
static void
walk_node(struct evc_flush *flush)
{
    const struct evc_topology *topology = flush->options.topology;

    if (flush->node == topology->zones[flush->zone].node_count) {
        flush->zones_walked += !flush->has_gap;
        flush->has_gap = false;
        flush->node = 0;
        flush->zone++;
    }
    if (flush->zone == topology->zone_count || flush->is_stopping) {
        end_run(flush);
        return;
    }
    flush->is_walking = true;
    flush->walk.on_item = on_item;
    flush->walk.on_end = on_walked;
    flush->walk.ctx = flush;
    evc_node_walk_start(&flush->walk, flush->options.loop,
                        &topology->zones[flush->zone].nodes[flush->node]);
}

static void
begin(struct evc_flush *flush)
{
    struct evc_writer *writer = flush->options.writer;
    struct evc_list *link;

    assert(!flush->is_running);
    while ((link = evc_list_pop_front(&flush->waiting))) {
        evc_list_push_back(&flush->served, link);
    }
    flush->is_running = true;
    flush->runs_total++;
    flush->zone = 0;
    flush->node = 0;
    flush->has_gap = false;
    flush->zones_walked = 0;
    flush->why[0] = '\0';
    flush->before = evc_version_clock_mint(writer->clock, writer->now->unix_us / 1000);
    walk_node(flush);
}

/* --- from outside --- */

void
evc_flush_start(struct evc_flush *flush, struct evc_exchange *exchange)
{
    atomic_store(&flush->options.schedule->due_us, 0);
    evc_list_push_back(&flush->waiting, &exchange->flush_link);
    if (flush->is_stopping || !flush->options.topology) {
        answer_all(&flush->waiting, EVC_SLICE("SERVER_ERROR flush_all: the proxy stops\r\n"));
    } else if (!flush->is_running) {
        begin(flush);
    }
}

void
evc_flush_schedule(struct evc_flush *flush, uint64_t at_us)
{
    atomic_store(&flush->options.schedule->due_us, at_us);
}

/** Whether the scheduled flush is due and falls to this worker. */
static bool
takes_scheduled(struct evc_flush *flush)
{
    atomic_uint_least64_t *shared = &flush->options.schedule->due_us;
    uint_least64_t due_us = atomic_load(shared);

    return due_us != 0 && flush->options.loop->now.mono_us >= due_us && !flush->is_running &&
           !flush->is_stopping && atomic_compare_exchange_strong(shared, &due_us, 0);
}

void
evc_flush_on_tick(struct evc_flush *flush)
{
    if (takes_scheduled(flush)) {
        begin(flush);
    }
    go_on(flush);
}

void
evc_flush_stop(struct evc_flush *flush)
{
    flush->is_stopping = true;
    answer_all(&flush->waiting, EVC_SLICE("SERVER_ERROR flush_all: the proxy stops\r\n"));
    if (flush->is_walking) {
        evc_node_walk_stop(&flush->walk, "the proxy stops");
    }
}

bool
evc_flush_is_idle(const struct evc_flush *flush)
{
    return !flush->is_running && flush->in_flight == 0;
}
