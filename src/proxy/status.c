/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /status.json of a proxy, made on the HTTP thread from what the workers have published, the
 * journals' and the feeder's own figures. Also the sums behind the `stats` commands.
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/report.h"
#include "meta/replication.h"
#include "proxy/process.h"

/* --- sums --- */

static struct evc_worker *
worker_of_service(struct evc_proxy *proxy, const struct evc_service *service)
{
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        if (&proxy->workers[i].service == service) {
            return &proxy->workers[i];
        }
    }
    return NULL;
}

void
evc_proxy_sum(struct evc_proxy *proxy, struct evc_worker_figures *ret,
              struct evc_engine_node_stats *nodes, struct evc_engine_node_stats *scratch)
{
    unsigned node_count = proxy->topology->node_count;

    evc_figures_box_get(&proxy->workers[0].box, ret, nodes);
    for (unsigned i = 1; i < proxy->worker_count; i++) {
        struct evc_worker_figures figures;

        evc_figures_box_get(&proxy->workers[i].box, &figures, scratch);
        evc_figures_add(ret, &figures);
        for (unsigned n = 0; n < node_count; n++) {
            evc_node_figures_add(&nodes[n], &scratch[n]);
        }
    }
}

void
evc_proxy_collect(void *ctx, struct evc_service *service, struct evc_totals *ret)
{
    struct evc_proxy *proxy = ctx;
    struct evc_worker *worker = worker_of_service(proxy, service);
    struct evc_engine_node_stats *nodes = proxy->node_sums[worker->options.index];

    evc_worker_publish(worker);
    *ret = (struct evc_totals){
        .worker_count = proxy->worker_count,
        .topology = proxy->topology,
        .nodes = nodes,
        .started_unix_us = proxy->started_unix_us,
    };
    evc_proxy_sum(proxy, &ret->sum, nodes, nodes + proxy->topology->node_count);
}

bool
evc_proxy_is_ready(void *ctx)
{
    struct evc_proxy *proxy = ctx;

    for (unsigned i = 0; i < proxy->worker_count; i++) {
        struct evc_worker_figures figures;

        evc_figures_box_get(&proxy->workers[i].box, &figures, NULL);
        if (!figures.is_ready) {
            return false;
        }
    }
    return proxy->worker_count > 0;
}

/* --- JSON; a failed allocation inside leaves a member out, and the reader sees that --- */

static json_t *
writes_json(const struct evc_write_stats *stats)
{
    json_t *json = json_object();

    for (unsigned i = 0; i < EVC_WRITE_RESULT_MAX; i++) {
        (void)evc_report_set(json, evc_write_result_str((enum evc_write_result)i),
                             stats->result[i]);
    }
    (void)evc_report_set(json, "in_flight", stats->in_flight);
    (void)evc_report_set(json, "zone_failures", stats->zone_failures_total);
    (void)evc_report_set(json, "repairs", stats->repairs_total);
    (void)evc_report_set(json, "unknown", stats->unknown_total);
    (void)evc_report_set(json, "races", stats->races_total);
    return json;
}

static json_t *
reads_json(const struct evc_counters *counters, const struct evc_reader_stats *stats)
{
    json_t *json = json_object();

    (void)evc_report_set(json, "hits", counters->get_hits);
    (void)evc_report_set(json, "misses", counters->get_misses);
    (void)evc_report_set(json, "errors", counters->get_errors);
    (void)evc_report_set(json, "fallbacks", stats->fallbacks_total);
    (void)evc_report_set(json, "hedges", stats->hedges_total);
    (void)evc_report_set(json, "hedges_won", stats->hedges_won_total);
    (void)evc_report_set(json, "hedges_capped", stats->hedges_capped_total);
    (void)evc_report_set(json, "hedge_delay_us", stats->hedge_us);
    (void)evc_report_set(json, "refills", stats->refills_total);
    (void)evc_report_set(json, "refills_skipped", stats->refills_skipped_total);
    return json;
}

static json_t *
applies_json(const struct evc_apply_stats *stats)
{
    json_t *json = json_object();

    for (int i = 0; i < EVC_APPLY_RESULT_MAX; i++) {
        (void)evc_report_set(json, evc_apply_result_str((enum evc_apply_result)i),
                             stats->result[i]);
    }
    (void)evc_report_set(json, "races", stats->races_total);
    return json;
}

static void
put_figures(json_t *json, const struct evc_worker_figures *figures)
{
    const struct evc_counters *counters = &figures->counters;

    (void)evc_report_set(json, "connections", counters->connections);
    (void)evc_report_set(json, "connections_total", counters->connections_total);
    (void)evc_report_set(json, "connections_rejected", counters->connections_rejected_total);
    (void)evc_report_set(json, "connections_slow", counters->connections_slow_total);
    (void)evc_report_set(json, "connections_unfinished", counters->connections_unfinished_total);
    (void)evc_report_set(json, "receivers", counters->receivers);
    (void)evc_report_set(json, "receivers_refused", counters->receivers_refused_total);
    (void)evc_report_set(json, "receivers_silent", counters->receivers_silent_total);
    (void)json_object_set_new(json, "writes", writes_json(&figures->writes));
    (void)json_object_set_new(json, "reads", reads_json(counters, &figures->reads));
    (void)json_object_set_new(json, "canaries",
                              json_pack("{s:I, s:I, s:I, s:I}", "keys",
                                        (json_int_t)figures->canary.keys, "rounds",
                                        (json_int_t)figures->canary.rounds_total, "stored",
                                        (json_int_t)figures->canary.stored_total, "failed",
                                        (json_int_t)figures->canary.failed_total));
    (void)json_object_set_new(json, "applies", applies_json(&figures->applies));
    (void)evc_report_set(json, "echoes", figures->applies.echoes_total);
    (void)evc_report_set(json, "conflict_echoes", figures->applies.conflict_echoes_total);
    (void)evc_report_set(json, "repairs",
                         figures->writes.repairs_total + figures->applies.repairs_total);
    (void)evc_report_set(json, "clock_refused", figures->clock_refused);
    (void)evc_report_set(json, "clock_returned", figures->clock_returned);
    (void)evc_report_set(json, "bytes_read", counters->bytes_read);
    (void)evc_report_set(json, "bytes_written", counters->bytes_written);
    (void)evc_report_set(json, "replies_dropped", counters->staged_dropped);
    (void)evc_report_set(json, "replies_read_again", counters->read_again);
    (void)evc_report_set(json, "turn_busy_us_max", figures->turn_busy_us_max);
}

static json_t *
journal_json(const struct evc_journal_peek *journal)
{
    json_t *json = json_object();
    char producer[2 * sizeof(uint64_t) + 1];

    snprintf(producer, sizeof(producer), "%016llx", (unsigned long long)journal->producer);
    (void)evc_report_set(json, "slot", journal->slot);
    (void)evc_report_set(json, "pid", (uint64_t)journal->pid);
    (void)json_object_set_new(json, "producer", json_string(producer));
    (void)json_object_set_new(json, "journal", evc_report_journal(&journal->stats));
    return json;
}

/** One slot: a worker and its journal, or a journal whose worker is no longer configured. */
static json_t *
slot_json(struct evc_proxy *proxy, unsigned index, const struct evc_journal_peek *journal)
{
    json_t *json = journal_json(journal);

    if (index < proxy->worker_count) {
        struct evc_worker_figures figures;

        evc_figures_box_get(&proxy->workers[index].box, &figures, NULL);
        put_figures(json, &figures);
    }
    return json;
}

/** `workers`, `clients`, and the sums over their journals: `produced` per partition and
 * `lost_at_journal`. False without memory. */
static bool
put_slots(struct evc_proxy *proxy, json_t *json)
{
    unsigned partition_count = evc_queue_partitions(proxy->queue);
    unsigned count = 0;
    struct evc_journal_peek *journals = evc_proxy_journals(proxy, &count);
    uint64_t produced[EVC_PARTITION_MAX] = {0};
    json_t *workers = json_array(), *clients = json_array();
    uint64_t lost = 0;

    for (unsigned i = 0; journals && i < count; i++) {
        const struct evc_journal_stats *stats = &journals[i].stats;

        lost += stats->lost_total;
        for (unsigned p = 0; p < partition_count; p++) {
            produced[p] += stats->produced[p];
        }
        if (i < proxy->journal_count) {
            (void)json_array_append_new(workers, slot_json(proxy, i, &journals[i]));
        } else {
            (void)json_array_append_new(clients, journal_json(&journals[i]));
        }
    }
    (void)json_object_set_new(json, "workers", workers);
    (void)json_object_set_new(json, "clients", clients);
    (void)json_object_set_new(json, "produced", evc_report_produced(produced, partition_count));
    (void)evc_report_set(json, "lost_at_journal", lost);
    free(journals);
    return journals != NULL;
}

static json_t *
node_json(struct evc_proxy *proxy, const struct evc_node *node,
          const struct evc_engine_node_stats *stats)
{
    json_t *json = evc_report_node(proxy->topology, node, stats);
    struct evc_node_size size;

    if (evc_node_sizes_get(proxy->node_sizes, node->index, &size)) {
        (void)evc_report_set(json, "items", size.items);
        (void)evc_report_set(json, "bytes", size.bytes);
        (void)evc_report_set(json, "bytes_max", size.bytes_max);
        (void)evc_report_set(json, "evictions", size.evictions);
    }
    return json;
}

static json_t *
nodes_json(struct evc_proxy *proxy)
{
    const struct evc_topology *topology = proxy->topology;
    struct evc_engine_node_stats *nodes = calloc(2 * (size_t)topology->node_count, sizeof(*nodes));
    struct evc_worker_figures sum;
    json_t *json = json_array();

    if (!nodes) {
        return json;
    }
    evc_proxy_sum(proxy, &sum, nodes, nodes + topology->node_count);
    for (unsigned z = 0; z < topology->zone_count; z++) {
        for (unsigned n = 0; n < topology->zones[z].node_count; n++) {
            const struct evc_node *node = &topology->zones[z].nodes[n];

            (void)json_array_append_new(json, node_json(proxy, node, &nodes[node->index]));
        }
    }
    free(nodes);
    return json;
}

json_t *
evc_proxy_status(void *ctx)
{
    struct evc_proxy *proxy = ctx;
    json_t *json = evc_report_process(&(struct evc_report_identity){
        .part = "proxy",
        .config = proxy->options.config,
        .region = proxy->options.region,
        .index = proxy->options.index,
        .started_us = proxy->started_unix_us,
    });

    if (!json) {
        return NULL;
    }
    if (!put_slots(proxy, json)) {
        json_decref(json);
        return NULL;
    }
    (void)json_object_set_new(json, "feeder", evc_report_feeder(proxy->feeder));
    (void)json_object_set_new(json, "queue", evc_report_queue(proxy->queue));
    (void)json_object_set_new(json, "nodes", nodes_json(proxy));
    return json;
}
