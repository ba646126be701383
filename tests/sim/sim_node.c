/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_node.h. What commands do is memcached 1.6.38's protocol.txt § meta get, meta set. */
#include "sim_node.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "sim_port.h"
#include "sim_world.h"

void
sim_node_init(struct sim_node *node, struct sim_world *world, unsigned region, unsigned zone,
              unsigned index)
{
    *node = (struct sim_node){.world = world, .region = region, .zone = zone, .index = index};
    evc_list_init(&node->waiting);
}

bool
sim_item_is_tombstone(const struct sim_item *item)
{
    return item->client_flags == EVC_TOMBSTONE_FLAGS && item->value_len == 0;
}

static struct sim_item *
item_now(struct sim_node *node, unsigned key)
{
    struct sim_item *item = &node->items[key];

    assert(key < SIM_KEY_MAX);
    if (item->is_there && item->expires_us != 0 &&
        item->expires_us <= sim_world_unix_us(node->world)) {
        item->is_there = false;
    }
    return item->is_there ? item : NULL;
}

const struct sim_item *
sim_node_item(struct sim_node *node, unsigned key)
{
    return item_now(node, key);
}

/** A node counts in whole seconds: an item lives up to a second less than asked for. */
static uint64_t
expires_us(const struct sim_node *node, int64_t ttl_s)
{
    uint64_t now_s = sim_world_unix_us(node->world) / 1000000;

    assert(ttl_s >= 0);
    if (ttl_s == 0) {
        return 0;
    }
    return (ttl_s > EVC_TTL_DELTA_MAX_S ? (uint64_t)ttl_s : now_s + (uint64_t)ttl_s) * 1000000;
}

static void
get(struct sim_node *node, unsigned key, struct sim_answer *ret)
{
    const struct sim_item *item = item_now(node, key);

    if (!item) {
        ret->result = EVC_NODE_MISS;
        return;
    }
    ret->result = EVC_NODE_HIT;
    memcpy(ret->bytes, item->value, item->value_len);
    ret->reply = (struct evc_node_reply){
        .value = {.ptr = ret->bytes, .len = item->value_len},
        .cas = item->cas,
        .ttl_s = -1,
        .client_flags = item->client_flags,
        .size = (uint32_t)item->value_len,
        .is_tombstone = sim_item_is_tombstone(item),
    };
    if (item->expires_us != 0) {
        uint64_t now_s = sim_world_unix_us(node->world) / 1000000;

        ret->reply.ttl_s = (int64_t)(item->expires_us / 1000000 - now_s);
    }
}

static enum evc_node_result
may_store(const struct sim_item *item, const struct sim_command *command)
{
    switch (command->verb) {
    case EVC_NODE_SET:
        return EVC_NODE_STORED;
    case EVC_NODE_ADD:
        return item ? EVC_NODE_NOT_STORED : EVC_NODE_STORED;
    case EVC_NODE_CAS:
        if (!item) {
            return EVC_NODE_MISS;
        }
        return item->cas == command->seen ? EVC_NODE_STORED : EVC_NODE_EXISTS;
    case EVC_NODE_GET:
    case EVC_NODE_VERB_MAX:
        break;
    }
    assert(false && "a command that stores nothing");
    return EVC_NODE_ERROR;
}

bool
sim_node_is_small(const struct sim_node *node)
{
    const struct sim_plan *plan = &node->world->plan;

    return sim_plan_has(plan, SIM_THEME_REFUSAL) && node->region == plan->small_region &&
           (plan->small_zone == SIM_ZONE_MAX || plan->small_zone == node->zone);
}

static void
lose_item(struct sim_node *node, unsigned key)
{
    if (item_now(node, key)) {
        node->items[key].is_there = false;
        sim_history_note_lost(&node->world->history, node, key);
    }
}

/** memcached has then dropped what it had, whatever the condition (tried with 1.6.38): something
 * newer too, which is lost as by eviction. */
static void
refuse(struct sim_node *node, const struct sim_command *command, struct sim_answer *ret)
{
    const struct sim_item *item = item_now(node, command->key);

    ret->result = EVC_NODE_ERROR;
    ret->reply.error = EVC_SLICE("SERVER_ERROR object too large for cache");
    if (item && item->cas > command->version) {
        lose_item(node, command->key);
    }
    node->items[command->key].is_there = false;
    node->world->history.key_refused[command->key] = true;
}

static void
store(struct sim_node *node, const struct sim_command *command)
{
    struct sim_item *item = &node->items[command->key];

    sim_history_note_stored(&node->world->history, node, command, item_now(node, command->key));
    *item = (struct sim_item){
        .is_there = true,
        .cas = command->version,
        .client_flags = command->client_flags,
        .expires_us = expires_us(node, command->ttl_s),
        .value_len = command->value_len,
    };
    memcpy(item->value, command->value, command->value_len);
}

void
sim_node_execute(struct sim_node *node, const struct sim_command *command, const char *by,
                 struct sim_answer *ret)
{
    static const char *const verbs[EVC_NODE_VERB_MAX] = {"get", "set", "add", "cas"};
    const struct sim_item *item = item_now(node, command->key);
    evc_version before = item ? item->cas : 0;

    *ret = (struct sim_answer){0};
    if (command->verb == EVC_NODE_GET) {
        get(node, command->key, ret);
    } else if (command->value_len > SIM_VALUE_SMALL_MAX && sim_node_is_small(node)) {
        refuse(node, command, ret);
    } else {
        ret->result = may_store(item, command);
        if (ret->result == EVC_NODE_STORED) {
            store(node, command);
        }
    }
    if (node->world->options.is_tracing) {
        sim_world_say(node->world,
                      "node r%u z%u n%u: %s %s key-%u %" PRIx64 " '%.*s' over %" PRIx64 ": %s",
                      node->region, node->zone, node->index, by, verbs[command->verb], command->key,
                      command->version, (int)command->value_len, command->value, before,
                      evc_node_result_str(ret->result));
    }
}

void
sim_node_set_plain(struct sim_node *node, unsigned key, const char *value)
{
    struct sim_item *item = &node->items[key];

    if (node->state != SIM_NODE_UP) {
        return;
    }
    *item = (struct sim_item){
        .is_there = true,
        .cas = ++node->plain_cas,
        .value_len = strlen(value),
    };
    memcpy(item->value, value, item->value_len);
    node->world->history.key_plain_us[key] = node->world->time.now_us;
    sim_world_say(node->world, "node r%u z%u n%u: a plain client sets key-%u '%s' as %" PRIx64,
                  node->region, node->zone, node->index, key, value, item->cas);
}

static void
come_back(struct sim_node *node)
{
    node->state = SIM_NODE_UP;
    node->away_us += node->world->time.now_us - node->away_since_us;
}

void
sim_node_freeze(struct sim_node *node)
{
    if (node->state == SIM_NODE_UP) {
        sim_world_say(node->world, "node r%u z%u n%u: freezes", node->region, node->zone,
                      node->index);
        node->state = SIM_NODE_FROZEN;
        node->away_since_us = node->world->time.now_us;
    }
}

void
sim_node_thaw(struct sim_node *node)
{
    struct evc_list *link;

    if (node->state != SIM_NODE_FROZEN) {
        return;
    }
    sim_world_say(node->world, "node r%u z%u n%u: thaws", node->region, node->zone, node->index);
    come_back(node);
    while ((link = evc_list_pop_front(&node->waiting))) {
        sim_request_arrive(EVC_CONTAINER_OF(link, struct sim_request, wait_link));
    }
}

void
sim_node_die(struct sim_node *node)
{
    struct evc_list *link;

    sim_world_say(node->world, "node r%u z%u n%u: dies", node->region, node->zone, node->index);
    if (node->state == SIM_NODE_UP) {
        node->away_since_us = node->world->time.now_us;
    }
    node->state = SIM_NODE_DEAD;
    node->plain_cas = 0;
    for (unsigned key = 0; key < SIM_KEY_MAX; key++) {
        lose_item(node, key);
    }
    while ((link = evc_list_pop_front(&node->waiting))) {
        sim_request_arrive(EVC_CONTAINER_OF(link, struct sim_request, wait_link));
    }
    sim_port_break_node(node);
}

void
sim_node_restart(struct sim_node *node)
{
    if (node->state == SIM_NODE_DEAD) {
        sim_world_say(node->world, "node r%u z%u n%u: is back, empty", node->region, node->zone,
                      node->index);
        come_back(node);
    }
}

void
sim_node_evict(struct sim_node *node, unsigned key)
{
    sim_world_say(node->world, "node r%u z%u n%u: evicts key-%u", node->region, node->zone,
                  node->index, key);
    lose_item(node, key);
}
