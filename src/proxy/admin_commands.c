/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands about the proxy itself and the whole region: version, verbosity, stats, mn, flush_all,
 * quit. `stats` uses memcached's names where the figure means the same, so that existing monitoring
 * reads it; its sums are over all workers of the process.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "meta/expiry.h"
#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

enum {
    STAT_LINE_BYTES = 512
};

/** Composes STAT lines; keeps the first failure, so that it is looked at once. */
struct stat_writer {
    struct evc_buf *out;
    int status;
};

/** Appends "STAT <name> <value>\r\n". */
__attribute__((format(printf, 3, 4))) static void
stat_text(struct stat_writer *writer, const char *name, const char *format, ...)
{
    char line[STAT_LINE_BYTES];
    char value[STAT_LINE_BYTES / 2];
    va_list args;

    if (writer->status != EVC_OK) {
        return;
    }
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "STAT %.200s %s\r\n", name, value);
    writer->status = evc_buf_append(writer->out, evc_slice_str(line));
}

struct stat_row {
    const char *name;
    uint64_t value;
};

static void
stat_rows(struct stat_writer *writer, const struct stat_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stat_text(writer, rows[i].name, "%" PRIu64, rows[i].value);
    }
}

static void
stats_process(const struct evc_service *service, const struct evc_totals *totals,
              struct stat_writer *writer)
{
    const struct evc_config *config = service->config;
    uint64_t now_us = service->loop->now.unix_us;
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    stat_text(writer, "pid", "%ld", (long)getpid());
    stat_text(writer, "uptime", "%" PRIu64, (now_us - totals->started_unix_us) / 1000000);
    stat_text(writer, "time", "%" PRIu64, now_us / 1000000);
    stat_text(writer, "version", "%s", EVC_VERSION);
    stat_text(writer, "pointer_size", "%zu", 8 * sizeof(void *));
    stat_text(writer, "rusage_user", "%ld.%06ld", (long)usage.ru_utime.tv_sec,
              (long)usage.ru_utime.tv_usec);
    stat_text(writer, "rusage_system", "%ld.%06ld", (long)usage.ru_stime.tv_sec,
              (long)usage.ru_stime.tv_usec);
    stat_text(writer, "cache", "%s", config->cache);
    stat_text(writer, "region", "%s", config->regions[service->region].name);
}

/** `stats`: memcached's general names first, then what only a proxy has. */
static void
stats_general(const struct evc_service *service, const struct evc_totals *totals,
              struct stat_writer *writer)
{
    const struct evc_counters *c = &totals->sum.counters;
    const struct evc_reader_stats *r = &totals->sum.reads;
    const struct evc_write_stats *w = &totals->sum.writes;
    const struct stat_row rows[] = {
        {"max_connections", service->config->connections_max},
        {"curr_connections", c->connections},
        {"total_connections", c->connections_total},
        {"rejected_connections", c->connections_rejected_total},
        {"slow_connections_closed", c->connections_slow_total},
        {"unfinished_connections_closed", c->connections_unfinished_total},
        {"cmd_get", c->cmd_get},
        {"cmd_set", c->cmd_set},
        {"cmd_delete", c->cmd_delete},
        {"cmd_touch", c->cmd_touch},
        {"cmd_flush", c->cmd_flush},
        {"cmd_meta", c->cmd_meta},
        {"get_hits", c->get_hits},
        {"get_misses", c->get_misses},
        {"get_errors", c->get_errors},
        {"get_fallbacks", r->fallbacks_total},
        {"get_hedges", r->hedges_total},
        {"get_hedges_won", r->hedges_won_total},
        {"get_hedges_capped", r->hedges_capped_total},
        {"get_hedge_delay_us", r->hedge_us},
        {"get_refills", r->refills_total},
        {"get_refills_skipped", r->refills_skipped_total},
        {"delete_hits", c->delete_hits},
        {"delete_misses", c->delete_misses},
        {"touch_hits", c->touch_hits},
        {"touch_misses", c->touch_misses},
        {"cas_hits", c->cas_hits},
        {"cas_misses", c->cas_misses},
        {"cas_badval", c->cas_badval},
        {"incr_hits", c->incr_hits},
        {"incr_misses", c->incr_misses},
        {"decr_hits", c->decr_hits},
        {"decr_misses", c->decr_misses},
        {"store_too_large", c->too_large},
        {"write_failures", w->result[EVC_WRITE_FAILED]},
        {"write_zone_failures", w->zone_failures_total},
        {"write_repairs_asked", w->repairs_total},
        {"writes_in_flight", w->in_flight},
        {"replicated_applied", totals->sum.applies.result[EVC_APPLY_APPLIED]},
        {"replicated_behind", totals->sum.applies.result[EVC_APPLY_BEHIND]},
        {"bad_requests", c->bad_requests},
        {"not_served", c->not_served},
        {"bytes_read", c->bytes_read},
        {"bytes_written", c->bytes_written},
        {"limit_value_bytes", service->config->value_len_max},
        {"threads", totals->worker_count},
    };

    stats_process(service, totals, writer);
    stat_rows(writer, rows, sizeof(rows) / sizeof(rows[0]));
}

static void
stats_settings(const struct evc_service *service, const struct evc_totals *totals,
               struct stat_writer *writer)
{
    const struct evc_config *config = service->config;
    const struct stat_row rows[] = {
        {"maxconns", config->connections_max},
        {"num_threads", totals->worker_count},
        {"item_size_max", config->value_len_max},
        {"zones", service->port->zone_count},
        {"zones_needed", evc_ack_zones(config->write_ack, evc_node_port_readable(service->port))},
        {"read_timeout_ms", config->read_timeout_ms},
        {"write_timeout_ms", config->write_timeout_ms},
        {"connect_timeout_ms", config->connect_timeout_ms},
        {"tombstone_ttl_s", config->tombstone_ttl_s},
        {"drift_ms", config->drift_ms},
        {"queue_partitions", config->queue.partitions},
        {"journal_bytes", config->journal.bytes},
    };

    stat_rows(writer, rows, sizeof(rows) / sizeof(rows[0]));
    stat_text(writer, "cas_enabled", "yes");
}

static void
stats_zones(const struct evc_service *service, const struct evc_totals *totals,
            struct stat_writer *writer)
{
    const struct evc_topology *topology = totals->topology;

    for (unsigned z = 0; topology && z < topology->zone_count; z++) {
        const struct evc_zone *zone = &topology->zones[z];
        unsigned up = 0;

        for (unsigned n = 0; n < zone->node_count; n++) {
            up += totals->nodes[zone->nodes[n].index].state == EVC_NODE_STATE_UP;
        }
        stat_text(writer, zone->name, "nodes=%u up=%u local=%s state=%s", zone->node_count, up,
                  z == service->port->local_zone ? "yes" : "no",
                  z < evc_node_port_readable(service->port) ? "serving" : "write_only");
    }
}

static void
stats_nodes(const struct evc_service *service, const struct evc_totals *totals,
            struct stat_writer *writer)
{
    const struct evc_topology *topology = totals->topology;

    (void)service;
    for (unsigned z = 0; topology && z < topology->zone_count; z++) {
        const struct evc_zone *zone = &topology->zones[z];

        for (unsigned n = 0; n < zone->node_count; n++) {
            const struct evc_engine_node_stats *node = &totals->nodes[zone->nodes[n].index];

            stat_text(writer, zone->nodes[n].text,
                      "zone=%s state=%s ops=%" PRIu64 " refused=%" PRIu64 " unknown=%" PRIu64
                      " reconnects=%" PRIu64,
                      zone->name, evc_node_state_str(node->state), node->ops_total,
                      node->refused_total, node->unknown_total, node->reconnects_total);
        }
    }
}

typedef void (*stats_fn)(const struct evc_service *service, const struct evc_totals *totals,
                         struct stat_writer *writer);

static const struct stats_kind {
    const char *name;
    stats_fn compose;
} stats_kinds[] = {
    {"", stats_general},
    {"settings", stats_settings},
    {"zones", stats_zones},
    {"nodes", stats_nodes},
};

static stats_fn
stats_find(struct evc_slice rest)
{
    struct evc_slice name = EVC_SLICE("");

    (void)evc_request_next_key(&rest, &name); /* without a word it stays empty: the general ones */
    for (size_t i = 0; i < sizeof(stats_kinds) / sizeof(stats_kinds[0]); i++) {
        if (evc_slice_equal(name, evc_slice_str(stats_kinds[i].name))) {
            return stats_kinds[i].compose;
        }
    }
    return NULL;
}

bool
evc_command_stats(struct evc_session *session, const struct evc_request *request)
{
    struct evc_service *service = session->service;
    stats_fn compose = stats_find(request->rest);
    struct evc_exchange *exchange;
    struct evc_totals totals;
    struct stat_writer writer = {.status = EVC_OK};

    if (!compose) {
        session->service->counters.bad_requests++;
        evc_session_answer(session, request, EVC_SLICE("ERROR\r\n"));
        return true;
    }
    exchange = evc_command_open(session, request);
    if (!exchange) {
        return true;
    }
    service->collector.collect(service->collector.ctx, service, &totals);
    writer.out = evc_exchange_begin(exchange);
    if (writer.out) {
        compose(service, &totals, &writer);
        if (writer.status == EVC_OK) {
            writer.status = evc_buf_append(writer.out, EVC_SLICE("END\r\n"));
        }
    }
    evc_exchange_end(exchange, writer.status);
    return true;
}

bool
evc_command_version(struct evc_session *session, const struct evc_request *request)
{
    evc_session_answer(session, request, EVC_SLICE("VERSION " EVC_PROXY_VERSION "\r\n"));
    return true;
}

/** memcached's verbosity is about its own log; clients only need the answer. */
bool
evc_command_verbosity(struct evc_session *session, const struct evc_request *request)
{
    evc_session_answer(session, request, EVC_SLICE("OK\r\n"));
    return true;
}

bool
evc_command_mn(struct evc_session *session, const struct evc_request *request)
{
    evc_session_answer(session, request, EVC_SLICE("MN\r\n"));
    return true;
}

bool
evc_command_flush_all(struct evc_session *session, const struct evc_request *request)
{
    struct evc_service *service = session->service;
    int64_t wait_s = 0; /* of a time that is over, too */
    struct evc_exchange *exchange;

    service->counters.cmd_flush++;
    if (service->config->flush_all == EVC_FLUSH_OFF) {
        evc_session_answer(session, request, EVC_SLICE("CLIENT_ERROR flush_all not allowed\r\n"));
        return true;
    }
    if (request->exptime > 0) {
        wait_s = evc_expiry_remaining_s(request->exptime, service->loop->now.unix_us);
    }
    if (wait_s > 0) { /* nobody waits for it */
        evc_flush_schedule(&service->flush,
                           service->loop->now.mono_us + (uint64_t)wait_s * 1000000);
        evc_session_answer(session, request, EVC_SLICE("OK\r\n"));
        return true;
    }
    exchange = evc_command_open(session, request);
    if (exchange) {
        exchange->is_silent = request->noreply;
        exchange->bars_session = true;
        session->is_barred = true;
        evc_flush_start(&service->flush, exchange);
    }
    return true;
}

bool
evc_command_quit(struct evc_session *session, const struct evc_request *request)
{
    (void)request;
    evc_session_leave(session);
    return true;
}
