/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's /explain.json: what the shipment to each destination knows of one key. */
#include <inttypes.h>
#include <stdio.h>

#include "relay/state.h"

/** What an event asked for. */
static const char *
kind_str(const struct evc_trail_event *event)
{
    if (event->flags & EVC_EVENT_REPAIR) {
        return "repair";
    }
    if (event->flags & EVC_EVENT_RESHIP) {
        return "echo";
    }
    return event->op == EVC_EVENT_DELETE ? "delete" : "set";
}

/** version: in hex, as 64 bits are too many for some readers of JSON. */
static json_t *
event_json(const struct evc_trail_event *event)
{
    char version[20];

    snprintf(version, sizeof(version), "%016" PRIx64, event->version);
    return json_pack("{s:s, s:s, s:i, s:I, s:i}", "version", version, "kind", kind_str(event),
                     "slot", (int)event->slot, "first", (json_int_t)event->first_seq, "attempts",
                     (int)event->attempts);
}

static json_t *
ended_json(const struct evc_ship_account *account)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < account->event_count; i++) {
        const struct evc_trail_event *event = &account->events[i];
        json_t *object = event_json(event);

        (void)json_object_set_new(object, "outcome",
                                  json_string(evc_outcome_str((enum evc_outcome)event->outcome)));
        (void)evc_report_set(object, "ended_us", event->ended_us);
        (void)json_array_append_new(array, object);
    }
    return array;
}

static json_t *
under_way_json(const struct evc_ship_account *account)
{
    json_t *object;

    if (!account->is_under_way) {
        return json_null();
    }
    object = event_json(&account->current);
    (void)json_object_set_new(object, "state", json_string(account->state));
    (void)evc_report_set(object, "failing_us", account->failing_us);
    return object;
}

static bool
has_partition(const struct evc_group *group, uint32_t partition)
{
    for (unsigned i = 0; i < group->partition_count; i++) {
        if (group->partitions[i] == partition) {
            return true;
        }
    }
    return false;
}

static json_t *
destination_json(const struct evc_relay *relay, const struct evc_destination *destination,
                 struct evc_slice key, uint32_t partition)
{
    struct evc_ship_account account;

    evc_ship_explain(destination->ship, key, &account);
    return json_pack("{s:s, s:b, s:s, s:I, s:o, s:o}", "region",
                     relay->options.config->regions[destination->region].name, "has_partition",
                     (int)has_partition(&destination->group, partition), "link",
                     evc_link_state_str(destination->link.state), "remembered",
                     (json_int_t)account.remembered, "under_way", under_way_json(&account),
                     "events", ended_json(&account));
}

json_t *
evc_relay_explain(const struct evc_relay *relay, struct evc_slice key)
{
    unsigned partitions = evc_queue_partitions(relay->queue);
    uint32_t partition = evc_queue_partition(key, partitions);
    json_t *destinations = json_array();

    for (unsigned i = 0; i < relay->destination_count; i++) {
        (void)json_array_append_new(
            destinations, destination_json(relay, &relay->destinations[i], key, partition));
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:i, s:i, s:o}", "part", "relay", "cache",
                     relay->options.config->cache, "region", relay->region->name, "index",
                     (int)relay->options.index, "now_us", (json_int_t)relay->loop.now.unix_us,
                     "partition", (int)partition, "partitions", (int)partitions, "destinations",
                     destinations);
}
