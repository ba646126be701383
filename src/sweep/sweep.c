/* SPDX-License-Identifier: Apache-2.0 */
/* See sweep.h. One timer does all that is not an answer's business: it looks whether nodes are up,
 * tells of progress, and ends what takes too long. */
#include "sweep/sweep.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/node_sizes.h"

/* --- the end comes early --- */

static void
stop(struct evc_sweep *sweep, const char *why)
{
    if (sweep->is_stopped) {
        return;
    }
    sweep->is_stopped = true;
    sweep->why = why;
    if (sweep->is_connecting) {
        evc_sweep_leave(sweep);
    } else if (sweep->on_stop) {
        sweep->on_stop(sweep->ctx);
    }
}

static void
on_signal(uv_signal_t *handle, int number)
{
    struct evc_sweep *sweep = handle->data;

    evc_loop_enter(&sweep->loop);
    stop(sweep, number == SIGINT ? "interrupted" : "terminated");
}

/* --- nodes --- */

/** Whether all nodes are up; reports the first that is not. */
static bool
is_ready(const struct evc_sweep *sweep, struct evc_error *error)
{
    char name[EVC_SWEEP_NAME_BYTES], why[sizeof(((struct evc_engine_node_stats *)0)->why)];
    unsigned silent = 0;

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        const struct evc_sweep_copy *copy = &sweep->copies[i];

        for (unsigned n = 0; n < copy->nodes->node_count; n++) {
            struct evc_engine_node_stats stats;

            evc_engine_node_stats(sweep->regions[copy->region].engine, copy->nodes->nodes[n].index,
                                  &stats);
            if (stats.state != EVC_NODE_STATE_UP && silent++ == 0) {
                evc_sweep_copy_name(sweep, copy, name);
                snprintf(why, sizeof(why), "%s", stats.why);
                if (why[0] == '\0') {
                    snprintf(why, sizeof(why), "%s: it says nothing", copy->nodes->nodes[n].text);
                }
            }
        }
    }
    if (silent > 1) {
        evc_error_set(error, EVC_E_TIMEOUT, "%u nodes do not answer, the first in %s: %s", silent,
                      name, why);
    } else if (silent == 1) {
        evc_error_set(error, EVC_E_TIMEOUT, "a node of %s does not answer: %s", name, why);
    }
    return silent == 0;
}

static void
on_timer(uv_timer_t *timer)
{
    struct evc_sweep *sweep = timer->data;
    uint64_t now_us;

    evc_loop_enter(&sweep->loop);
    now_us = sweep->loop.now.mono_us;
    if (sweep->is_connecting) {
        if (is_ready(sweep, NULL) || now_us >= sweep->connect_until_us) {
            evc_sweep_leave(sweep);
        }
        return;
    }
    if (now_us - sweep->started_us >= EVC_SWEEP_RUN_MAX_S * UINT64_C(1000000)) {
        stop(sweep, "out of time");
    }
    if (sweep->on_look) {
        sweep->on_look(sweep->ctx);
    }
    if (sweep->on_progress && now_us - sweep->told_us >= EVC_SWEEP_PROGRESS_US) {
        sweep->told_us = now_us;
        sweep->on_progress(sweep->ctx);
    }
}

/** What nodes say of the time, against this machine's. */
struct clocks {
    unsigned told, ahead; /* nodes; of these: by more than the drift bound */
    const char *first;    /* of those ahead */
    uint64_t first_ahead_s;
};

static void
note_clock(struct clocks *clocks, const struct evc_address *node, uint64_t unix_s,
           const struct evc_sweep *sweep)
{
    uint64_t own_s = evc_clock_unix_us() / 1000000;

    clocks->told += unix_s != 0;
    if (unix_s <= own_s + sweep->config->drift_ms / 1000) {
        return;
    }
    if (clocks->ahead++ == 0) {
        clocks->first = node->text;
        clocks->first_ahead_s = unix_s - own_s;
    }
}

/** Asks every node what it has and what time it is. */
static int
take_stock(struct evc_sweep *sweep, struct evc_error *error)
{
    struct clocks clocks = {0};

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        struct evc_sweep_copy *copy = &sweep->copies[i];
        const struct evc_config_zone *zone =
            &sweep->config->regions[copy->region].zones[copy->zone];

        for (unsigned n = 0; n < zone->nodes_count; n++) {
            struct evc_node_size size;

            if (evc_node_size_ask(&zone->nodes[n], &size)) {
                copy->items += size.items;
                note_clock(&clocks, &zone->nodes[n], size.unix_s, sweep);
            }
        }
    }
    if (2 * clocks.ahead > clocks.told) {
        return evc_error_set(error, EVC_E_INVALID,
                             "this machine's clock is %" PRIu64 " s behind that of %s, and behind "
                             "%u of %u nodes: mend it, or run this elsewhere",
                             clocks.first_ahead_s, clocks.first, clocks.ahead, clocks.told);
    }
    return EVC_OK;
}

int
evc_sweep_connect(struct evc_sweep *sweep, struct evc_error *error)
{
    const struct evc_engine_options options = {.connect_timeout_ms =
                                                   sweep->config->connect_timeout_ms};

    for (unsigned r = 0; r < sweep->config->regions_count; r++) {
        struct evc_sweep_region *region = &sweep->regions[r];

        if (region->topology) {
            int rc =
                evc_engine_create(&sweep->loop, region->topology, &options, &region->engine, error);

            if (rc != EVC_OK) {
                return rc;
            }
        }
    }
    sweep->connect_until_us = sweep->loop.now.mono_us + EVC_SWEEP_CONNECT_MS * UINT64_C(1000);
    sweep->is_connecting = true;
    if (!sweep->is_stopped) {
        evc_loop_run(&sweep->loop);
    }
    sweep->is_connecting = false;
    if (sweep->is_stopped) {
        return evc_error_set(error, EVC_E_CLOSED, "%s", sweep->why);
    }
    return is_ready(sweep, error) ? take_stock(sweep, error) : EVC_E_TIMEOUT;
}

/* --- zones --- */

static int
add_region(struct evc_sweep *sweep, unsigned region, struct evc_error *error)
{
    return sweep->regions[region].topology
               ? EVC_OK
               : evc_topology_create(sweep->config, region, NULL, &sweep->regions[region].topology,
                                     error);
}

unsigned
evc_sweep_copy_find(const struct evc_sweep *sweep, unsigned region, unsigned zone)
{
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        if (sweep->copies[i].region == region && sweep->copies[i].zone == zone) {
            return i;
        }
    }
    return EVC_SWEEP_COPIES_MAX;
}

int
evc_sweep_add_zone(struct evc_sweep *sweep, unsigned region, unsigned zone, struct evc_error *error)
{
    const struct evc_config_zone *config = &sweep->config->regions[region].zones[zone];
    const struct evc_topology *topology;
    int rc;

    if (config->state == EVC_ZONE_DRAINED) {
        return evc_error_set(error, EVC_E_CONFIG, "%s is drained", config->name);
    }
    if (evc_sweep_copy_find(sweep, region, zone) != EVC_SWEEP_COPIES_MAX) {
        return EVC_OK;
    }
    rc = add_region(sweep, region, error);
    if (rc != EVC_OK) {
        return rc;
    }
    topology = sweep->regions[region].topology;
    for (unsigned i = 0; i < topology->zone_count; i++) {
        if (strcmp(topology->zones[i].name, config->name) == 0) {
            assert(sweep->copy_count < EVC_SWEEP_COPIES_MAX);
            sweep->copies[sweep->copy_count++] = (struct evc_sweep_copy){
                .region = region,
                .zone = zone,
                .nodes = &topology->zones[i],
                .port_zone = i,
                .is_serving = config->state == EVC_ZONE_SERVING,
            };
        }
    }
    return EVC_OK;
}

struct evc_node_port *
evc_sweep_port(const struct evc_sweep *sweep, const struct evc_sweep_copy *copy)
{
    return evc_engine_port(sweep->regions[copy->region].engine);
}

const char *
evc_sweep_copy_name(const struct evc_sweep *sweep, const struct evc_sweep_copy *copy, char *text)
{
    const struct evc_config_region *region = &sweep->config->regions[copy->region];

    snprintf(text, EVC_SWEEP_NAME_BYTES, "%s/%s", region->name, region->zones[copy->zone].name);
    return text;
}

evc_version
evc_sweep_version(const struct evc_sweep *sweep, uint64_t cas)
{
    return evc_version_trusted(cas, sweep->loop.now.unix_us / 1000, sweep->config->drift_ms);
}

uint64_t
evc_sweep_deadline_us(const struct evc_sweep *sweep)
{
    return sweep->loop.now.mono_us + EVC_SWEEP_OP_TIMEOUT_US;
}

/* --- from start to end --- */

int
evc_sweep_init(struct evc_sweep *sweep, const struct evc_config *config, struct evc_error *error)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    int rc;

    *sweep = (struct evc_sweep){.config = config};
    rc = evc_loop_init(&sweep->loop, error);
    if (rc != EVC_OK) {
        return rc;
    }
    for (unsigned i = 0; i < 2; i++) {
        uv_signal_init(&sweep->loop.uv, &sweep->signals[i]);
        sweep->signals[i].data = sweep;
        uv_signal_start(&sweep->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&sweep->loop.uv, &sweep->timer);
    sweep->timer.data = sweep;
    uv_timer_start(&sweep->timer, on_timer, EVC_SWEEP_LOOK_MS, EVC_SWEEP_LOOK_MS);
    sweep->started_us = sweep->loop.now.mono_us;
    return EVC_OK;
}

void
evc_sweep_run(struct evc_sweep *sweep)
{
    if (sweep->is_stopped && sweep->on_stop) {
        sweep->on_stop(sweep->ctx);
    }
    evc_loop_run(&sweep->loop);
}

void
evc_sweep_leave(struct evc_sweep *sweep)
{
    evc_loop_stop(&sweep->loop);
}

void
evc_sweep_forget(struct evc_sweep *sweep)
{
    sweep->on_progress = NULL;
    sweep->on_look = NULL;
    sweep->on_stop = NULL;
    sweep->ctx = NULL;
}

static void
on_engine_closed(void *ctx)
{
    struct evc_sweep_region *region = ctx;

    region->is_closed = true;
    evc_sweep_leave(region->sweep);
}

void
evc_sweep_finish(struct evc_sweep *sweep)
{
    for (unsigned r = 0; r < EVC_CONFIG_REGION_MAX; r++) {
        struct evc_sweep_region *region = &sweep->regions[r];

        if (region->engine) {
            region->sweep = sweep;
            evc_engine_close(region->engine, on_engine_closed, region);
            while (!region->is_closed) {
                evc_loop_run(&sweep->loop);
            }
        }
        evc_topology_unref(region->topology);
    }
    for (unsigned i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&sweep->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&sweep->timer, NULL);
    evc_loop_finish(&sweep->loop);
}
