/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relay works at: the repair of its own region, the shipment to each other one, and the
 * canaries of the others; what goes wrong with a key is said in the log.
 */
#include <stdlib.h>

#include "base/log.h"
#include "relay/state.h"

enum {
    WORK_RETRY_MIN_MS = 20,
    WORK_RETRY_MAX_MS = 2000,
    WORK_WINDOW_SLACK_US = 500 * 1000, /* clocks of the writers of a region, and their feeders */
    WORK_SETTLE_SLACK_US = 50 * 1000,
};

/** The partitions this relay has: those with p % relays == index. */
static unsigned
own_partitions(const struct evc_relay *relay, uint32_t *ret)
{
    unsigned count = 0;

    for (unsigned p = 0; p < relay->options.config->queue.partitions; p++) {
        if (p % relay->region->relays_count == relay->options.index) {
            ret[count++] = p;
        }
    }
    return count;
}

static int
open_group(struct evc_relay *relay, struct evc_group *group, unsigned region, struct evc_ship *ship,
           struct evc_error *error)
{
    uint32_t partitions[EVC_PARTITION_MAX];
    unsigned count = own_partitions(relay, partitions);

    return evc_group_open(group,
                          &(struct evc_group_options){
                              .loop = &relay->loop,
                              .queue = relay->queue,
                              .name = relay->options.config->regions[region].name,
                              .partitions = partitions,
                              .partition_count = count,
                              .ship = ship,
                              .repair = ship ? NULL : relay->repair,
                          },
                          error);
}

static void
on_repair_abandoned(void *ctx, struct evc_slice key, evc_version version)
{
    static struct evc_log_limit limit;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    (void)ctx;
    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_warn("a repair is given up: zones may differ until the key is written again",
                     "version=%016llx key=%s why=%s suppressed=%lu", (unsigned long long)version,
                     evc_log_quote(key, quoted), "\"a zone did not answer for too long\"",
                     suppressed);
    }
}

static void
on_too_far_ahead(void *ctx, struct evc_slice key, evc_version version)
{
    static struct evc_log_limit limit;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    (void)ctx;
    if (evc_log_allowed(&limit, &suppressed)) {
        evc_log_warn("a version is too far ahead: the clock of its writer is wrong",
                     "version=%016llx slot=%u key=%s suppressed=%lu", (unsigned long long)version,
                     evc_version_writer(version) & (EVC_VERSION_SLOT_MAX - 1),
                     evc_log_quote(key, quoted), suppressed);
    }
}

static int
start_repair(struct evc_relay *relay, struct evc_error *error)
{
    const struct evc_config *config = relay->options.config;
    uint32_t write_timeout_us = config->write_timeout_ms * 1000;
    int rc = evc_repair_create(evc_engine_port(relay->engine), &relay->clock, &relay->loop.now,
                               &relay->sink,
                               &(struct evc_repair_options){
                                   .items_max = EVC_REPAIR_ITEMS_MAX_DEFAULT,
                                   .recent_max = EVC_REPAIR_RECENT_MAX_DEFAULT,
                                   .window_us = write_timeout_us + WORK_WINDOW_SLACK_US,
                                   .settle_us = write_timeout_us + WORK_SETTLE_SLACK_US,
                                   .zone_timeout_us = write_timeout_us,
                                   .retry_min_ms = WORK_RETRY_MIN_MS,
                                   .retry_max_ms = WORK_RETRY_MAX_MS,
                                   .hold_ms = EVC_REPAIR_HOLD_MS_DEFAULT,
                                   .abandon_after_us = (uint64_t)config->abandon_after_s * 1000000,
                                   .tombstone_ttl_s = config->tombstone_ttl_s,
                                   .on_abandoned = on_repair_abandoned,
                                   .on_too_far_ahead = on_too_far_ahead,
                               },
                               &relay->repair);

    if (rc != EVC_OK) {
        return evc_error_set(error, rc, "out of memory");
    }
    return open_group(relay, &relay->repair_group, relay->options.region, NULL, error);
}

/** The batch names the event in the logs of all processes, the version in the receiver's too. */
static void
on_trouble(void *ctx, struct evc_slice key, const struct evc_trail_event *event, bool has_ended)
{
    static struct evc_log_limit late_limit, abandoned_limit, retry_limit;
    const struct evc_destination *destination = ctx;
    const struct evc_relay *relay = destination->relay;
    bool is_late = has_ended && event->outcome == EVC_OUTCOME_LATE;
    char quoted[EVC_LOG_QUOTE_BYTES];
    unsigned long suppressed;

    if (!evc_log_allowed(is_late     ? &late_limit
                         : has_ended ? &abandoned_limit
                                     : &retry_limit,
                         &suppressed)) {
        return;
    }
    evc_log(has_ended ? EVC_LOG_WARN : EVC_LOG_DEBUG,
            is_late     ? "an event came too late to be applied"
            : has_ended ? "an event is given up"
                        : "an event is tried again",
            "destination=%s batch=%u/%u/%llu version=%016llx key=%s attempts=%u suppressed=%lu",
            relay->options.config->regions[destination->region].name,
            evc_queue_partition(key, evc_queue_partitions(relay->queue)), (unsigned)event->slot,
            (unsigned long long)event->first_seq, (unsigned long long)event->version,
            evc_log_quote(key, quoted), (unsigned)event->attempts, suppressed);
}

static int
start_destination(struct evc_relay *relay, struct evc_destination *destination, unsigned region,
                  struct evc_error *error)
{
    const struct evc_config *config = relay->options.config;
    int rc;

    destination->relay = relay;
    destination->region = region;
    evc_link_init(&destination->link, &(struct evc_link_options){
                                          .loop = &relay->loop,
                                          .config = config,
                                          .source = relay->options.region,
                                          .destination = region,
                                          .relay_id = relay->id,
                                      });
    rc = evc_ship_create(evc_engine_port(relay->engine), &relay->loop.now, &relay->sink,
                         &destination->link.ship_link,
                         &(struct evc_ship_options){
                             .config = config,
                             .region = (uint8_t)relay->options.region,
                             .destination = (uint8_t)region,
                             .items_max = EVC_SHIP_ITEMS_MAX_DEFAULT,
                             .read_timeout_us = config->read_timeout_ms * 1000,
                             .retry_min_ms = WORK_RETRY_MIN_MS,
                             .retry_max_ms = WORK_RETRY_MAX_MS,
                             .hold_ms = EVC_SHIP_HOLD_MS_DEFAULT,
                             .abandon_after_us = (uint64_t)config->abandon_after_s * 1000000,
                             .tombstone_ttl_s = config->tombstone_ttl_s,
                             .drift_ms = config->drift_ms,
                             .trail_max = EVC_SHIP_TRAIL_MAX_DEFAULT,
                             .prefixes = &relay->prefixes,
                             .on_trouble = on_trouble,
                             .ctx = destination,
                         },
                         &destination->ship);
    if (rc != EVC_OK) {
        return evc_error_set(error, rc, "out of memory");
    }
    destination->link.ship = destination->ship;
    return open_group(relay, &destination->group, region, destination->ship, error);
}

static int
start_destinations(struct evc_relay *relay, struct evc_error *error)
{
    unsigned regions_count = relay->options.config->regions_count;

    relay->destinations = calloc(regions_count, sizeof(*relay->destinations));
    if (!relay->destinations) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (unsigned region = 0; region < regions_count; region++) {
        int rc;

        if (region == relay->options.region) {
            continue;
        }
        rc = start_destination(relay, &relay->destinations[relay->destination_count++], region,
                               error);
        if (rc != EVC_OK) {
            return rc;
        }
    }
    return EVC_OK;
}

static int64_t
source_ahead_us(void *ctx, unsigned source)
{
    const struct evc_relay *relay = ctx;
    struct evc_skew_sample sample;

    for (unsigned i = 0; i < relay->destination_count; i++) {
        if (relay->destinations[i].region == source &&
            evc_skew_get(&relay->destinations[i].link.skew, &sample)) {
            return sample.ahead_us;
        }
    }
    return 0;
}

/** One relay of the region reads the other regions' canaries. */
static int
start_canaries(struct evc_relay *relay, struct evc_error *error)
{
    if (relay->options.index != 0) {
        return EVC_OK;
    }
    if (evc_canary_watch_create(
            &(struct evc_canary_watch_options){
                .topology = relay->topology,
                .port = evc_engine_port(relay->engine),
                .now = &relay->loop.now,
                .ahead_us = source_ahead_us,
                .ctx = relay,
            },
            &relay->canaries) != EVC_OK) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    return EVC_OK;
}

int
evc_relay_start_work(struct evc_relay *relay, struct evc_error *error)
{
    int rc = start_repair(relay, error);

    rc = rc ? rc : start_destinations(relay, error);
    return rc ? rc : start_canaries(relay, error);
}
