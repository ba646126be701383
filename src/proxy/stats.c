/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See stats.h. Counters are structs of uint64_t alone, so they are added as arrays: a new counter
 * needs no new line here.
 */
#include "proxy/stats.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct evc_counters) % sizeof(uint64_t) == 0, "counters only");
static_assert(sizeof(struct evc_reader_stats) % sizeof(uint64_t) == 0, "counters only");
static_assert(sizeof(struct evc_write_stats) % sizeof(uint64_t) == 0, "counters only");
static_assert(sizeof(struct evc_apply_stats) % sizeof(uint64_t) == 0, "counters only");

static_assert(sizeof(struct evc_canary_stats) % sizeof(uint64_t) == 0, "counters only");
static_assert(sizeof(struct evc_worker_figures) % sizeof(uint64_t) == 0, "whole words");

int
evc_figures_box_init(struct evc_figures_box *box, unsigned node_count)
{
    box->node_count = node_count;
    return evc_cell_init(&box->cell, sizeof(struct evc_worker_figures) +
                                         node_count * sizeof(struct evc_engine_node_stats));
}

void
evc_figures_box_finish(struct evc_figures_box *box)
{
    evc_cell_finish(&box->cell);
}

void
evc_figures_box_put(struct evc_figures_box *box, const struct evc_worker_figures *figures,
                    const struct evc_engine_node_stats *nodes)
{
    evc_cell_begin(&box->cell);
    evc_cell_put(&box->cell, 0, figures, sizeof(*figures));
    evc_cell_put(&box->cell, sizeof(*figures), nodes, box->node_count * sizeof(*nodes));
    evc_cell_end(&box->cell);
}

void
evc_figures_box_get(struct evc_figures_box *box, struct evc_worker_figures *ret,
                    struct evc_engine_node_stats *nodes)
{
    evc_cell_get(&box->cell, 0, ret, sizeof(*ret));
    if (nodes) {
        evc_cell_get(&box->cell, sizeof(*ret), nodes, box->node_count * sizeof(*nodes));
    }
}

/** Adds two structs of nothing but uint64_t. */
static void
add_cells(void *into, const void *from, size_t bytes)
{
    uint64_t *sum = into;
    const uint64_t *term = from;

    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        sum[i] += term[i];
    }
}

void
evc_figures_add(struct evc_worker_figures *into, const struct evc_worker_figures *from)
{
    uint64_t hedge_us;

    add_cells(&into->counters, &from->counters, sizeof(into->counters));
    hedge_us =
        into->reads.hedge_us > from->reads.hedge_us ? into->reads.hedge_us : from->reads.hedge_us;
    add_cells(&into->reads, &from->reads, sizeof(into->reads));
    into->reads.hedge_us = hedge_us;
    add_cells(&into->writes, &from->writes, sizeof(into->writes));
    add_cells(&into->applies, &from->applies, sizeof(into->applies));
    add_cells(&into->canary, &from->canary, sizeof(into->canary));
    into->clock_refused += from->clock_refused;
    into->clock_returned += from->clock_returned;
    if (from->turn_busy_us_max > into->turn_busy_us_max) {
        into->turn_busy_us_max = from->turn_busy_us_max;
    }
    evc_latency_add(&into->turns, &from->turns);
    into->is_ready = into->is_ready && from->is_ready;
}

void
evc_node_figures_add(struct evc_engine_node_stats *into, const struct evc_engine_node_stats *from)
{
    into->ops_total += from->ops_total;
    into->refused_total += from->refused_total;
    into->unknown_total += from->unknown_total;
    into->errors_total += from->errors_total;
    into->reconnects_total += from->reconnects_total;
    into->in_flight += from->in_flight;
    into->bytes_in += from->bytes_in;
    into->bytes_out += from->bytes_out;
    evc_latency_add(&into->answers, &from->answers);
    if (into->state == EVC_NODE_STATE_UP && from->state != EVC_NODE_STATE_UP) {
        into->state = from->state;
        memcpy(into->why, from->why, sizeof(into->why));
    }
}
