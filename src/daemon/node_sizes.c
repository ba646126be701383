/* SPDX-License-Identifier: Apache-2.0 */
/* See node_sizes.h. */
#include "daemon/node_sizes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "http/dial.h"

struct node_cell {
    bool is_known;
    struct evc_node_size size;
};

struct evc_node_sizes {
    struct evc_topology *topology;
    pthread_t thread;
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* is_stopping has changed */
    struct node_cell *cells; /* by node index; under lock */
};

/* --- one answer --- */

/** The number of a line `STAT <name> <number>`. */
static bool
stat_value(struct evc_slice line, const char *name, uint64_t *ret)
{
    static const char prefix[] = "STAT ";
    size_t prefix_len = sizeof(prefix) - 1, name_len = strlen(name);
    size_t start = prefix_len + name_len + 1;

    if (line.len <= start || memcmp(line.ptr, prefix, prefix_len) != 0 ||
        memcmp(line.ptr + prefix_len, name, name_len) != 0 || line.ptr[start - 1] != ' ') {
        return false;
    }
    return evc_decimal_parse_u64(
        (struct evc_slice){.ptr = line.ptr + start, .len = line.len - start}, ret);
}

int
evc_node_size_parse(struct evc_slice input, struct evc_node_size *ret)
{
    static const char end[] = "END";
    struct evc_node_size size = {0};
    unsigned found = 0;

    for (;;) {
        const char *stop = input.len > 0 ? memmem(input.ptr, input.len, "\r\n", 2) : NULL;
        if (stop == NULL) {
            return EVC_E_AGAIN;
        }
        struct evc_slice line = {.ptr = input.ptr, .len = (size_t)(stop - input.ptr)};
        if (line.len == sizeof(end) - 1 && memcmp(line.ptr, end, line.len) == 0) {
            break;
        }
        if (line.len < 5 || memcmp(line.ptr, "STAT ", 5) != 0) {
            return EVC_E_PROTO;
        }
        found |= stat_value(line, "curr_items", &size.items) ? 1U : 0;
        found |= stat_value(line, "bytes", &size.bytes) ? 2U : 0;
        found |= stat_value(line, "limit_maxbytes", &size.bytes_max) ? 4U : 0;
        found |= stat_value(line, "evictions", &size.evictions) ? 8U : 0;
        (void)stat_value(line, "time", &size.unix_s); /* nobody depends on it */
        input.ptr += line.len + 2;
        input.len -= line.len + 2;
    }
    if (found != 15) {
        return EVC_E_PROTO;
    }
    *ret = size;
    return 0;
}

bool
evc_node_size_ask(const struct evc_address *address, struct evc_node_size *ret)
{
    static const char request[] = "stats\r\n";
    struct evc_dial dial;
    struct evc_buf answer;
    int status = evc_dial_open(&dial, address, EVC_NODE_SIZES_TIMEOUT_MS, NULL);

    if (status != 0) {
        return false;
    }
    evc_buf_init(&answer, EVC_NODE_SIZES_ANSWER_BYTES_MAX);
    status =
        evc_dial_send(&dial, (struct evc_slice){.ptr = request, .len = sizeof(request) - 1}, NULL);
    while (status == 0) {
        status = evc_dial_receive(&dial, &answer, NULL);
        if (status == 0) {
            status = evc_node_size_parse(evc_buf_slice(&answer), ret);
            if (status != EVC_E_AGAIN) {
                break;
            }
            status = 0;
        }
    }
    evc_buf_finish(&answer);
    evc_dial_close(&dial);
    return status == 0;
}

/* --- the thread --- */

/** A topology's zones are the configuration's in another order, without the drained ones. */
static const struct evc_config_zone *
config_zone_find(const struct evc_topology *topology, const char *name)
{
    const struct evc_config_region *region = &topology->config->regions[topology->region];

    for (unsigned i = 0; i < region->zones_count; i++) {
        if (strcmp(region->zones[i].name, name) == 0) {
            return &region->zones[i];
        }
    }
    return NULL;
}

static void
ask_zone(struct evc_node_sizes *sizes, unsigned zone)
{
    const struct evc_topology *topology = sizes->topology;
    const struct evc_config_zone *config = config_zone_find(topology, topology->zones[zone].name);

    assert(config != NULL && config->nodes_count == topology->zones[zone].node_count);
    for (unsigned i = 0; i < config->nodes_count && !atomic_load(&sizes->is_stopping); i++) {
        struct node_cell cell = {0};

        cell.is_known = evc_node_size_ask(&config->nodes[i], &cell.size);
        pthread_mutex_lock(&sizes->lock);
        sizes->cells[topology->zones[zone].nodes[i].index] = cell;
        pthread_mutex_unlock(&sizes->lock);
    }
}

static void
sleep_until(struct evc_node_sizes *sizes, uint64_t mono_us)
{
    const struct timespec until = {.tv_sec = (time_t)(mono_us / 1000000),
                                   .tv_nsec = (long)(mono_us % 1000000) * 1000};
    int rc = 0;

    pthread_mutex_lock(&sizes->lock);
    while (!atomic_load(&sizes->is_stopping) && rc != ETIMEDOUT) {
        rc = pthread_cond_clockwait(&sizes->wake, &sizes->lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&sizes->lock);
}

static void *
run(void *arg)
{
    struct evc_node_sizes *sizes = arg;

    while (!atomic_load(&sizes->is_stopping)) {
        uint64_t start_us = evc_clock_mono_us();

        for (unsigned z = 0; z < sizes->topology->zone_count; z++) {
            ask_zone(sizes, z);
        }
        sleep_until(sizes, start_us + EVC_NODE_SIZES_PERIOD_MS * UINT64_C(1000));
    }
    return NULL;
}

static void
sizes_free(struct evc_node_sizes *sizes)
{
    pthread_cond_destroy(&sizes->wake);
    pthread_mutex_destroy(&sizes->lock);
    evc_topology_unref(sizes->topology);
    free(sizes->cells);
    free(sizes);
}

int
evc_node_sizes_start(struct evc_topology *topology, struct evc_node_sizes **ret,
                     struct evc_error *error)
{
    struct evc_node_sizes *sizes = calloc(1, sizeof(*sizes));

    if (sizes == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    pthread_mutex_init(&sizes->lock, NULL);
    pthread_cond_init(&sizes->wake, NULL);
    sizes->topology = evc_topology_ref(topology);
    sizes->cells = calloc(topology->node_count, sizeof(*sizes->cells));
    if (sizes->cells == NULL) {
        sizes_free(sizes);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    int rc = pthread_create(&sizes->thread, NULL, run, sizes);
    if (rc != 0) {
        sizes_free(sizes);
        return evc_error_sys(error, rc, "no thread to ask the nodes' sizes with");
    }
    *ret = sizes;
    return 0;
}

void
evc_node_sizes_stop(struct evc_node_sizes *sizes)
{
    if (sizes == NULL) {
        return;
    }
    pthread_mutex_lock(&sizes->lock);
    atomic_store(&sizes->is_stopping, true);
    pthread_cond_signal(&sizes->wake);
    pthread_mutex_unlock(&sizes->lock);
    (void)pthread_join(sizes->thread, NULL);
    sizes_free(sizes);
}

bool
evc_node_sizes_get(struct evc_node_sizes *sizes, unsigned node_index, struct evc_node_size *ret)
{
    pthread_mutex_lock(&sizes->lock);
    struct node_cell cell = sizes->cells[node_index];
    pthread_mutex_unlock(&sizes->lock);
    *ret = cell.size;
    return cell.is_known;
}
