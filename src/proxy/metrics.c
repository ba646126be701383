/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics of a proxy, made on the HTTP thread from what the workers have published: sums over the
 * workers, because a worker is nothing an operator could act on.
 */
#include "daemon/metrics.h"

#include <stdlib.h>

#include "meta/replication.h"
#include "proxy/process.h"

/** A family that is one number. */
struct single {
    struct evc_metric metric;
    uint64_t value;
};

static void
put_singles(struct evc_metric_page *page, const char *region, const struct single *singles,
            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        evc_metric_family(page, &singles[i].metric);
        evc_metric_count(page, singles[i].value, "region", region, NULL);
    }
}

static void
put_connections(struct evc_metric_page *page, const char *region,
                const struct evc_counters *counters)
{
    static const char *const kinds[] = {"application", "relay"};
    static const char *const reasons[] = {"too_many", "slow", "unfinished", "relay_refused",
                                          "relay_silent"};

    evc_metrics_by_name(page,
                        &(struct evc_metric){"evcache_proxy_connections", EVC_METRIC_GAUGE,
                                             "Open connections, of applications and relays."},
                        region, "kind", kinds,
                        (uint64_t[]){counters->connections, counters->receivers}, 2);
    evc_metrics_by_name(page,
                        &(struct evc_metric){"evcache_proxy_connections_total", EVC_METRIC_COUNTER,
                                             "Connections accepted."},
                        region, "kind", kinds,
                        (uint64_t[]){counters->connections_total, counters->receivers_total}, 2);
    evc_metrics_by_name(
        page,
        &(struct evc_metric){"evcache_proxy_connections_closed_total", EVC_METRIC_COUNTER,
                             "Connections the proxy refused or closed: over the "
                             "bound, not reading, not finishing a request, not the replication "
                             "protocol, no greeting."},
        region, "reason", reasons,
        (uint64_t[]){counters->connections_rejected_total, counters->connections_slow_total,
                     counters->connections_unfinished_total, counters->receivers_refused_total,
                     counters->receivers_silent_total},
        sizeof(reasons) / sizeof(reasons[0]));
}

static void
put_requests(struct evc_metric_page *page, const char *region, const struct evc_counters *c)
{
    static const char *const commands[] = {"get", "set", "delete", "touch", "meta"};
    static const char *const refusals[] = {"bad_request", "not_served", "value_too_large"};
    static const struct {
        const char *command, *result;
        size_t offset;
    } results[] = {
        {"get", "hit", offsetof(struct evc_counters, get_hits)},
        {"get", "miss", offsetof(struct evc_counters, get_misses)},
        {"get", "error", offsetof(struct evc_counters, get_errors)},
        {"touch", "hit", offsetof(struct evc_counters, touch_hits)},
        {"touch", "miss", offsetof(struct evc_counters, touch_misses)},
        {"delete", "hit", offsetof(struct evc_counters, delete_hits)},
        {"delete", "miss", offsetof(struct evc_counters, delete_misses)},
        {"cas", "hit", offsetof(struct evc_counters, cas_hits)},
        {"cas", "miss", offsetof(struct evc_counters, cas_misses)},
        {"cas", "other_version", offsetof(struct evc_counters, cas_badval)},
        {"incr", "hit", offsetof(struct evc_counters, incr_hits)},
        {"incr", "miss", offsetof(struct evc_counters, incr_misses)},
        {"decr", "hit", offsetof(struct evc_counters, decr_hits)},
        {"decr", "miss", offsetof(struct evc_counters, decr_misses)},
    };

    evc_metrics_by_name(
        page,
        &(struct evc_metric){"evcache_proxy_requests_total", EVC_METRIC_COUNTER,
                             "Requests taken; each key of a get counts."},
        region, "command", commands,
        (uint64_t[]){c->cmd_get, c->cmd_set, c->cmd_delete, c->cmd_touch, c->cmd_meta}, 5);
    evc_metric_family(page, &(struct evc_metric){"evcache_proxy_results_total", EVC_METRIC_COUNTER,
                                                 "What applications were answered."});
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        evc_metric_count(page, *(const uint64_t *)((const char *)c + results[i].offset), "region",
                         region, "command", results[i].command, "result", results[i].result, NULL);
    }
    evc_metrics_by_name(
        page,
        &(struct evc_metric){"evcache_proxy_refused_requests_total", EVC_METRIC_COUNTER,
                             "Requests answered with an error of the request."},
        region, "reason", refusals, (uint64_t[]){c->bad_requests, c->not_served, c->too_large}, 3);
}

static void
put_reads_and_writes(struct evc_metric_page *page, const char *region,
                     const struct evc_worker_figures *sum)
{
    const struct evc_reader_stats *reads = &sum->reads;
    const struct evc_write_stats *writes = &sum->writes;
    const char *names[EVC_WRITE_RESULT_MAX];
    const struct single singles[] = {
        {{"evcache_proxy_fallbacks_total", EVC_METRIC_COUNTER,
          "Reads that asked a further zone after a miss or a failure."},
         reads->fallbacks_total},
        {{"evcache_proxy_hedges_total", EVC_METRIC_COUNTER,
          "Reads that asked a second zone because the first took long."},
         reads->hedges_total},
        {{"evcache_proxy_hedges_won_total", EVC_METRIC_COUNTER, "Hedges whose answer came first."},
         reads->hedges_won_total},
        {{"evcache_proxy_hedges_capped_total", EVC_METRIC_COUNTER,
          "Hedges left out: reads.hedge_percent was reached."},
         reads->hedges_capped_total},
        {{"evcache_proxy_refills_total", EVC_METRIC_COUNTER,
          "Values added to a zone that had missed them."},
         reads->refills_total},
        {{"evcache_proxy_refills_skipped_total", EVC_METRIC_COUNTER,
          "Refills left out: too many were in flight."},
         reads->refills_skipped_total},
        {{"evcache_proxy_writes_in_flight", EVC_METRIC_GAUGE,
          "Writes that not all zones have answered."},
         writes->in_flight},
        {{"evcache_proxy_zone_failures_total", EVC_METRIC_COUNTER,
          "Writes that one zone did not acknowledge, counted per zone."},
         writes->zone_failures_total},
        {{"evcache_proxy_unknown_writes_total", EVC_METRIC_COUNTER,
          "Writes that no zone acknowledged."},
         writes->unknown_total},
        {{"evcache_proxy_races_total", EVC_METRIC_COUNTER,
          "Deciding writes that lost a race and decided again."},
         writes->races_total},
    };

    for (unsigned i = 0; i < EVC_WRITE_RESULT_MAX; i++) {
        names[i] = evc_write_result_str((enum evc_write_result)i);
    }
    evc_metrics_by_name(page,
                        &(struct evc_metric){"evcache_proxy_writes_total", EVC_METRIC_COUNTER,
                                             "Writes of applications, by how they ended."},
                        region, "result", names, writes->result, EVC_WRITE_RESULT_MAX);
    put_singles(page, region, singles, sizeof(singles) / sizeof(singles[0]));
}

static void
put_applies(struct evc_metric_page *page, const char *region, const struct evc_worker_figures *sum)
{
    const struct evc_apply_stats *applies = &sum->applies;
    const char *names[EVC_APPLY_RESULT_MAX];
    const struct single singles[] = {
        {{"evcache_proxy_apply_races_total", EVC_METRIC_COUNTER,
          "Conditional writes that were tried again."},
         applies->races_total},
        {{"evcache_proxy_apply_guesses_total", EVC_METRIC_COUNTER,
          "Zones written in one round trip, over the version remembered."},
         applies->guesses_total},
        {{"evcache_proxy_apply_guesses_wrong_total", EVC_METRIC_COUNTER,
          "Of these, zones that had something else and were asked after all."},
         applies->guesses_wrong_total},
        {{"evcache_proxy_echoes_total", EVC_METRIC_COUNTER,
          "Events sent back because something newer was here."},
         applies->echoes_total},
        {{"evcache_proxy_conflict_echoes_total", EVC_METRIC_COUNTER,
          "Events sent because two regions wrote a key at once."},
         applies->conflict_echoes_total},
        {{"evcache_proxy_repairs_asked_total", EVC_METRIC_COUNTER,
          "Keys the relay was asked to bring to one version."},
         sum->writes.repairs_total + applies->repairs_total},
        {{"evcache_proxy_versions_refused_total", EVC_METRIC_COUNTER,
          "Versions further ahead than versions.drift: a clock is wrong."},
         sum->clock_refused},
        {{"evcache_proxy_clock_returns_total", EVC_METRIC_COUNTER,
          "Times the clock had been further ahead than versions.drift, and was mended."},
         sum->clock_returned},
        {{"evcache_proxy_received_bytes_total", EVC_METRIC_COUNTER,
          "Bytes from applications and relays."},
         sum->counters.bytes_read},
        {{"evcache_proxy_sent_bytes_total", EVC_METRIC_COUNTER,
          "Bytes to applications and relays."},
         sum->counters.bytes_written},
        {{"evcache_proxy_replies_dropped_total", EVC_METRIC_COUNTER,
          "Replies that became an error: no memory to keep them, or larger than may be sent."},
         sum->counters.staged_dropped},
        {{"evcache_proxy_replies_read_again_total", EVC_METRIC_COUNTER,
          "Values read a second time, having found no room to wait for their turn."},
         sum->counters.read_again},
    };

    for (unsigned i = 0; i < EVC_APPLY_RESULT_MAX; i++) {
        names[i] = evc_apply_result_str((enum evc_apply_result)i);
    }
    evc_metrics_by_name(page,
                        &(struct evc_metric){"evcache_proxy_applies_total", EVC_METRIC_COUNTER,
                                             "Replicated writes received, by outcome."},
                        region, "result", names, applies->result, EVC_APPLY_RESULT_MAX);
    put_singles(page, region, singles, sizeof(singles) / sizeof(singles[0]));
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_proxy_hedge_delay_seconds", EVC_METRIC_GAUGE,
                                           "After how long a read is hedged; 0: never."});
    evc_metric_us(page, (int64_t)sum->reads.hedge_us, "region", region, NULL);
}

static void
put_canaries(struct evc_metric_page *page, const char *region, const struct evc_canary_stats *stats)
{
    static const char *const results[] = {"stored", "failed"};

    evc_metrics_by_name(page,
                        &(struct evc_metric){"evcache_canary_writes_total", EVC_METRIC_COUNTER,
                                             "Canaries written by this process."},
                        region, "result", results,
                        (uint64_t[]){stats->stored_total, stats->failed_total}, 2);
}

static void
put_unexplained(struct evc_metric_page *page, const struct evc_survey *survey)
{
    const struct evc_config_region *regions = survey->config->regions;

    evc_metric_family(page, &(struct evc_metric){"evcache_unexplained_events", EVC_METRIC_GAUGE,
                                                 "What the books of a pair of regions cannot "
                                                 "explain, of the partitions that have settled."});
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = &survey->pairs[i];
        uint64_t unexplained = 0;

        for (unsigned p = 0; p < pair->partition_count; p++) {
            const struct evc_survey_cell *cell = &pair->cells[p];

            unexplained += cell->is_settled ? (uint64_t)llabs(cell->unexplained) : 0;
        }
        evc_metric_count(page, unexplained, "source", regions[pair->source].name, "destination",
                         regions[pair->destination].name, NULL);
    }
}

static void
put_readiness(struct evc_metric_page *page, const struct evc_survey *survey)
{
    const struct evc_config_region *regions = survey->config->regions;

    evc_metric_family(page, &(struct evc_metric){"evcache_failover_readiness", EVC_METRIC_GAUGE,
                                                 "0 to 100: may the destination take over the "
                                                 "source's applications now?"});
    for (size_t i = 0; i < survey->pair_count; i++) {
        const struct evc_survey_pair *pair = &survey->pairs[i];
        if (pair->source != pair->destination) {
            evc_metric_count(page, pair->readiness.score, "source", regions[pair->source].name,
                             "destination", regions[pair->destination].name, NULL);
        }
    }
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_failover_readiness_part", EVC_METRIC_GAUGE,
                                           "What it is the lowest of, 0 to 100 each."});
    for (size_t i = 0; i < survey->pair_count * EVC_READINESS_PART_MAX; i++) {
        const struct evc_survey_pair *pair = &survey->pairs[i / EVC_READINESS_PART_MAX];
        enum evc_readiness_part part = (enum evc_readiness_part)(i % EVC_READINESS_PART_MAX);
        if (pair->source != pair->destination) {
            evc_metric_count(page, pair->readiness.part[part], "source", regions[pair->source].name,
                             "destination", regions[pair->destination].name, "part",
                             evc_readiness_part_str(part), NULL);
        }
    }
}

/** ctx: the page. The families that only a proxy that watches the whole cache has. */
static void
put_survey(void *ctx, const struct evc_survey *survey)
{
    put_unexplained(ctx, survey);
    put_readiness(ctx, survey);
}

bool
evc_proxy_metrics(void *ctx, struct evc_metric_page *page)
{
    struct evc_proxy *proxy = ctx;
    const char *region = proxy->region->name;
    unsigned node_count = proxy->topology->node_count;
    struct evc_engine_node_stats *nodes = calloc(2 * (size_t)node_count, sizeof(*nodes));
    unsigned journal_count = 0;
    struct evc_journal_peek *journals = evc_proxy_journals(proxy, &journal_count);
    struct evc_worker_figures sum;

    if (!nodes || !journals) {
        free(nodes);
        free(journals);
        return false;
    }
    evc_proxy_sum(proxy, &sum, nodes, nodes + node_count);
    evc_metrics_process(page, &(struct evc_report_identity){
                                  .part = "proxy",
                                  .config = proxy->options.config,
                                  .region = proxy->options.region,
                                  .index = proxy->options.index,
                                  .started_us = proxy->started_unix_us,
                              });
    evc_metrics_ready(page, region, evc_proxy_is_ready(proxy));
    put_connections(page, region, &sum.counters);
    put_requests(page, region, &sum.counters);
    put_reads_and_writes(page, region, &sum);
    put_applies(page, region, &sum);
    put_canaries(page, region, &sum.canary);
    evc_metrics_loop(page, region, &sum.turns, sum.turn_busy_us_max);
    evc_metrics_nodes(page, proxy->topology, nodes);
    evc_metrics_journals(page, region, journals, journal_count, evc_queue_partitions(proxy->queue));
    evc_metrics_queue(page, region, proxy->feeder, proxy->queue);
    if (proxy->watch != NULL) {
        (void)evc_watch_view(proxy->watch, put_survey, page); /* nothing before the first look */
    }
    free(nodes);
    free(journals);
    return true;
}
