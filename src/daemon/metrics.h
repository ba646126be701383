/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of /metrics that every process of evcache has. Each function writes whole families
 * (base/metric.h), so each is called once per page. Durations are in seconds, sizes in bytes;
 * docs/operations.md has the table.
 */
#ifndef EVC_DAEMON_METRICS_H
#define EVC_DAEMON_METRICS_H

#include "base/metric.h"
#include "daemon/report.h"

/** evcache_build_info, evcache_process_…. */
void evc_metrics_process(struct evc_metric_page *page, const struct evc_report_identity *identity);

/** evcache_ready: the answer of /readyz. */
void evc_metrics_ready(struct evc_metric_page *page, const char *region, bool is_ready);

/** evcache_journal_…, per slot, and evcache_produced_events_total per partition. */
void evc_metrics_journals(struct evc_metric_page *page, const char *region,
                          const struct evc_journal_peek *journals, unsigned count,
                          unsigned partition_count);

/** evcache_feeder_… and evcache_queue_…. */
void evc_metrics_queue(struct evc_metric_page *page, const char *region, struct evc_feeder *feeder,
                       struct evc_queue *queue);

/** evcache_node_…, of the process's connections. stats: by node index. */
void evc_metrics_nodes(struct evc_metric_page *page, const struct evc_topology *topology,
                       const struct evc_engine_node_stats *stats);

/** evcache_loop_…. worker: the thread, "0" where there is one. Whole families of one thread. */
void evc_metrics_loop(struct evc_metric_page *page, const char *region,
                      const struct evc_latency *turns, uint64_t turn_busy_us_max);

/** The numbers a family has for a label's values, in the order of the enum that names them. */
void evc_metrics_by_name(struct evc_metric_page *page, const struct evc_metric *metric,
                         const char *region, const char *label, const char *const *names,
                         const uint64_t *values, unsigned count);

#endif
