/* SPDX-License-Identifier: Apache-2.0 */
/* See read.h. Each zone gets its share of the time that is left, so that a silent one leaves some
 * to the others. */
#include "engine/read.h"

#include <assert.h>
#include <string.h>

static void try_zone(struct evc_read *read);

static void
finish(struct evc_read *read, enum evc_node_result result)
{
    read->result = result;
    read->on_done(read); /* the memory may be gone when this returns */
}

static void
on_zone_done(struct evc_node_op *op)
{
    struct evc_read *read = EVC_CONTAINER_OF(op, struct evc_read, op);

    read->zones_tried++;
    read->had_miss |= op->result == EVC_NODE_MISS;
    if (op->result == EVC_NODE_HIT) {
        finish(read, op->reply.is_tombstone ? EVC_NODE_MISS : EVC_NODE_HIT);
    } else if (read->zones_tried < read->port->zone_count &&
               read->now->mono_us < read->deadline_us) {
        try_zone(read);
    } else {
        finish(read, read->had_miss ? EVC_NODE_MISS : op->result);
    }
}

static void
try_zone(struct evc_read *read)
{
    const struct evc_node_port *port = read->port;
    uint64_t now_us = read->now->mono_us;
    uint64_t left_us = read->deadline_us > now_us ? read->deadline_us - now_us : 0;

    read->op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)((port->local_zone + read->zones_tried) % port->zone_count),
        .want = (uint16_t)(read->want | EVC_WANT_FLAGS | EVC_WANT_SIZE),
        .key = {.ptr = read->key, .len = read->key_len},
        .deadline_us = now_us + left_us / (port->zone_count - read->zones_tried),
        .on_done = on_zone_done,
    };
    evc_node_port_submit(read->port, &read->op);
}

void
evc_read_start(struct evc_read *read, struct evc_node_port *port, const struct evc_moment *now,
               struct evc_slice key)
{
    assert(key.len > 0 && key.len <= EVC_KEY_LEN_MAX);
    assert(port->zone_count > 0 && port->local_zone < port->zone_count);
    read->port = port;
    read->now = now;
    read->deadline_us = now->mono_us + read->timeout_us;
    read->zones_tried = 0;
    read->had_miss = false;
    read->key_len = (uint8_t)key.len;
    memcpy(read->key, key.ptr, key.len);
    try_zone(read);
}
