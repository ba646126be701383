/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_zones.h. */
#include "fake_zones.h"

#include <assert.h>
#include <string.h>

static void
read_item(const struct fake_zone *zone, struct evc_node_op *op)
{
    if (!zone->has_item) {
        op->result = EVC_NODE_MISS;
        return;
    }
    op->result = EVC_NODE_HIT;
    op->reply = (struct evc_node_reply){
        .value = {.ptr = zone->value, .len = zone->value_len},
        .cas = zone->cas,
        .ttl_s = zone->ttl_s == 0 ? -1 : zone->ttl_s,
        .client_flags = zone->client_flags,
        .size = (uint32_t)zone->value_len,
        .is_tombstone = fake_zone_is_tombstone(zone),
    };
}

static void
write_item(struct fake_zone *zone, struct evc_node_op *op)
{
    if (op->verb == EVC_NODE_ADD && zone->has_item) {
        op->result = EVC_NODE_NOT_STORED;
        return;
    }
    if (op->verb == EVC_NODE_CAS && (!zone->has_item || zone->cas != op->seen)) {
        op->result = zone->has_item ? EVC_NODE_EXISTS : EVC_NODE_MISS;
        return;
    }
    assert(op->value.len <= sizeof(zone->value));
    zone->has_item = true;
    zone->cas = op->version;
    zone->client_flags = op->client_flags;
    zone->ttl_s = op->ttl_s;
    zone->value_len = op->value.len;
    memcpy(zone->value, op->value.ptr, op->value.len);
    zone->writes++;
    op->result = EVC_NODE_STORED;
}

static void
execute(struct fake_zone *zone, struct evc_node_op *op)
{
    op->reply = (struct evc_node_reply){0};
    if (zone->mood == FAKE_REJECTS_VALUES && op->verb != EVC_NODE_GET && op->value.len > 0) {
        zone->has_item = false;
        op->result = EVC_NODE_ERROR;
        op->reply.error = EVC_SLICE("SERVER_ERROR object too large for cache");
        return;
    }
    if (zone->mood == FAKE_ANSWERS || zone->mood == FAKE_LOSES_ANSWER ||
        zone->mood == FAKE_REJECTS_VALUES) {
        if (op->verb == EVC_NODE_GET) {
            read_item(zone, op);
        } else {
            write_item(zone, op);
        }
    }
    if (zone->mood == FAKE_REFUSES) {
        op->result = EVC_NODE_REFUSED; /* it was still waiting to be sent */
    }
    if (zone->mood == FAKE_LOSES || zone->mood == FAKE_LOSES_ANSWER) {
        op->result = EVC_NODE_UNKNOWN;
    } else if (zone->mood == FAKE_REJECTS) {
        op->result = EVC_NODE_ERROR;
        op->reply.error = EVC_SLICE("SERVER_ERROR out of memory storing object");
    }
}

/* The copies of key and value that submit promises; one key, few operations at once. */
struct waiting_op {
    struct evc_node_op *op;
    char key[EVC_KEY_LEN_MAX];
    char value[64];
};

static struct waiting_op ops[256];

static void
submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct fake_zones *zones = EVC_CONTAINER_OF(port, struct fake_zones, port);

    assert(op->zone < port->zone_count);
    if (zones->zone[op->zone].mood == FAKE_REFUSES) {
        op->result = EVC_NODE_REFUSED;
        op->on_done(op);
        return;
    }
    for (unsigned i = 0; i < 256; i++) {
        if (!ops[i].op) {
            ops[i].op = op;
            memcpy(ops[i].key, op->key.ptr, op->key.len);
            op->key.ptr = ops[i].key;
            if (op->verb != EVC_NODE_GET && op->value.len > 0) {
                memcpy(ops[i].value, op->value.ptr, op->value.len);
                op->value.ptr = ops[i].value;
            }
            op->executor = &ops[i];
            evc_list_push_back(&zones->waiting, &op->link);
            return;
        }
    }
    assert(false); /* too many operations for the fake */
}

void
fake_zones_init(struct fake_zones *zones, unsigned zone_count)
{
    *zones = (struct fake_zones){.port = {.submit = submit, .zone_count = zone_count}};
    evc_list_init(&zones->waiting);
    memset(ops, 0, sizeof(ops));
}

bool
fake_zones_step(struct fake_zones *zones)
{
    struct evc_list *link = evc_list_pop_front(&zones->waiting);
    struct evc_node_op *op;

    if (!link) {
        return false;
    }
    op = EVC_CONTAINER_OF(link, struct evc_node_op, link);
    execute(&zones->zone[op->zone], op);
    ((struct waiting_op *)op->executor)->op = NULL;
    op->on_done(op);
    return true;
}

void
fake_zones_run(struct fake_zones *zones)
{
    while (fake_zones_step(zones)) {
    }
}

void
fake_zone_put(struct fake_zone *zone, uint64_t cas, const char *value)
{
    zone->has_item = true;
    zone->cas = cas;
    zone->client_flags = 0;
    zone->ttl_s = 0;
    zone->value_len = strlen(value);
    memcpy(zone->value, value, zone->value_len);
}

void
fake_zone_put_tombstone(struct fake_zone *zone, uint64_t cas)
{
    fake_zone_put(zone, cas, "");
    zone->client_flags = EVC_TOMBSTONE_FLAGS;
}

bool
fake_zone_is_tombstone(const struct fake_zone *zone)
{
    return zone->has_item && zone->value_len == 0 && zone->client_flags == EVC_TOMBSTONE_FLAGS;
}

static bool
keep(struct evc_event_sink *sink, const struct evc_event *event)
{
    struct fake_sink *fake = EVC_CONTAINER_OF(sink, struct fake_sink, sink);

    assert(fake->count < FAKE_EVENTS_MAX);
    fake->events[fake->count] = *event;
    fake->events[fake->count++].key = (struct evc_slice){0};
    return true;
}

void
fake_sink_init(struct fake_sink *sink)
{
    *sink = (struct fake_sink){.sink = {.append = keep}};
}

unsigned
fake_sink_count(const struct fake_sink *sink, uint8_t flags, evc_version version)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sink->count; i++) {
        count += sink->events[i].flags == flags && sink->events[i].version == version;
    }
    return count;
}
