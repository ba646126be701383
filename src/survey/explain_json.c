/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key as `evcache explain --json` prints it. An allocation that fails leaves its member out.
 */
#include <inttypes.h>
#include <stdio.h>

#include "meta/base64.h"
#include "survey/explain.h"

static const char *
item_str(const struct evc_explain_copy *copy)
{
    return !copy->is_found ? "absent" : copy->reply.is_tombstone ? "tombstone" : "value";
}

/** As text: JSON's readers do not all take 64 bits. null for 0. */
static json_t *
version_json(const struct evc_config *config, evc_version version)
{
    char text[20], writer[EVC_EXPLAIN_WRITER_BYTES];

    if (version == 0) {
        return json_null();
    }
    snprintf(text, sizeof(text), "%016" PRIx64, version);
    return json_pack("{s:s, s:I, s:s, s:i}", "hex", text, "unix_ms",
                     (json_int_t)evc_version_unix_ms(version), "writer",
                     evc_explain_writer(config, version, writer), "slot",
                     (int)(evc_version_writer(version) & (EVC_VERSION_SLOT_MAX - 1)));
}

/** What is there; members of what is not are null. */
static void
add_item(const struct evc_explain *explain, const struct evc_explain_copy *copy, json_t *object)
{
    const struct evc_node_reply *reply = &copy->reply;
    bool is_found = copy->is_found;
    json_t *item = json_pack(
        "{s:o, s:o, s:o, s:o, s:o}", "version", version_json(explain->config, copy->version), "cas",
        is_found ? json_integer((json_int_t)reply->cas) : json_null(), "size",
        is_found ? json_integer(reply->size) : json_null(), "flags",
        is_found ? json_integer(reply->client_flags) : json_null(), "ttl_s",
        is_found && reply->ttl_s >= 0 ? json_integer(reply->ttl_s) : json_null());

    (void)json_object_update_new(object, item);
}

static json_t *
copy_json(const struct evc_explain *explain, const struct evc_explain_copy *copy)
{
    static const char *const zone_states[] = {
        [EVC_ZONE_SERVING] = "serving",
        [EVC_ZONE_WRITE_ONLY] = "write_only",
        [EVC_ZONE_DRAINED] = "drained",
    };
    const struct evc_config_region *region = &explain->config->regions[copy->region];
    const struct evc_config_zone *zone = &region->zones[copy->zone];
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s?, s:b, s:s?, s:s?, s:s, s:b, s:I, s:s?}", "region", region->name,
        "zone", zone->name, "zone_state", zone_states[zone->state], "node",
        copy->address != NULL ? copy->address->text : NULL, "answered", (int)copy->has_answered,
        "why", copy->why[0] != '\0' ? copy->why : NULL, "item",
        copy->has_answered ? item_str(copy) : NULL, "state", evc_copy_state_str(copy->state),
        "counted", (int)copy->is_counted, "behind_ms", (json_int_t)copy->behind_ms, "difference",
        copy->difference[0] != '\0' ? copy->difference : NULL);

    add_item(explain, copy, object);
    return object;
}

static json_t *
event_json(const struct evc_explain *explain, const struct evc_explain_way *way,
           const struct evc_explain_event *event)
{
    char batch[64];

    snprintf(batch, sizeof(batch), "%u/%u/%" PRIu64, way->partition, event->slot, event->first);
    return json_pack("{s:b, s:s, s:s, s:o, s:I, s:i, s:s}", "under_way", (int)event->is_under_way,
                     "kind", event->kind, "outcome", event->outcome, "version",
                     version_json(explain->config, event->version), "age_us",
                     (json_int_t)event->age_us, "attempts", (int)event->attempts, "batch", batch);
}

static json_t *
way_json(const struct evc_explain *explain, const struct evc_explain_way *way)
{
    json_t *events = json_array();

    for (unsigned i = 0; i < way->event_count; i++) {
        (void)json_array_append_new(events, event_json(explain, way, &way->events[i]));
    }
    return json_pack("{s:s, s:s, s:b, s:i, s:i, s:I, s:o}", "source",
                     explain->config->regions[way->source].name, "destination",
                     explain->config->regions[way->destination].name, "known", (int)way->is_known,
                     "partition", (int)way->partition, "partitions", (int)way->partitions,
                     "remembered", (json_int_t)way->remembered, "events", events);
}

static json_t *
relay_json(const struct evc_explain *explain, const struct evc_explain_relay *relay)
{
    const struct evc_config_region *region = &explain->config->regions[relay->region];

    return json_pack("{s:s, s:i, s:s, s:b, s:s?}", "region", region->name, "index",
                     (int)relay->index, "address", region->relays[relay->index].text, "answered",
                     (int)relay->has_answered, "why", relay->why[0] != '\0' ? relay->why : NULL);
}

json_t *
evc_explain_json(const struct evc_explain *explain)
{
    char base64[EVC_KEY_LEN_MAX * 2];
    size_t base64_len = evc_base64_encode(explain->key, base64);
    json_t *key = json_stringn(explain->key.ptr, explain->key.len);
    json_t *copies = json_array(), *ways = json_array(), *relays = json_array();

    for (size_t i = 0; i < explain->copy_count; i++) {
        (void)json_array_append_new(copies, copy_json(explain, &explain->copies[i]));
    }
    for (size_t i = 0; i < explain->way_count; i++) {
        (void)json_array_append_new(ways, way_json(explain, &explain->ways[i]));
    }
    for (size_t i = 0; i < explain->relay_count; i++) {
        (void)json_array_append_new(relays, relay_json(explain, &explain->relays[i]));
    }
    return json_pack("{s:s, s:I, s:o, s:s%, s:s, s:i, s:i, s:b, s:i, s:i, s:i, s:o, s:o, s:o, s:o}",
                     "cache", explain->config->cache, "unix_us", (json_int_t)explain->unix_us,
                     "key", key != NULL ? key : json_null(), "key_base64", base64, base64_len,
                     "policy", evc_explain_policy_str(explain->policy), "partition",
                     (int)explain->partition, "partitions", (int)explain->config->queue.partitions,
                     "alike", evc_explain_differing(explain) + evc_explain_unanswered(explain) == 0,
                     "counted", (int)evc_explain_counted(explain), "differing",
                     (int)evc_explain_differing(explain), "unanswered",
                     (int)evc_explain_unanswered(explain), "newest",
                     version_json(explain->config, explain->newest), "copies", copies, "ways", ways,
                     "relays", relays);
}
