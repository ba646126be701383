/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sim_link.h. A parcel is one item on its way; it belongs to the world, as bytes in a network
 * do. A link belongs to its relay's memory, so a scheduled call names it by relay, life and region.
 */
#include "sim_link.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "sim_memory.h"
#include "sim_proxy.h"
#include "sim_relay.h"
#include "sim_world.h"

enum {
    CONNECT_US_MIN = 500,
    CONNECT_US_MAX = 3 * 1000 * 1000,
    BYTES_KEPT_CHANCE = 500, /* a lost connection's items that arrive all the same */
    LATE_US_MIN = 500 * 1000,
    LATE_US_MAX = 12 * 1000 * 1000,
    LATE_FACTOR = 8, /* how much longer an item may take when the link is not ordered */
    NAME_REGION_BITS = 3,
};

struct sim_parcel {
    struct evc_list link; /* the world's */
    struct sim_world *world;
    struct sim_process *relay; /* with life and epoch: who hears the answer */
    uint64_t relay_life, epoch;
    unsigned region;
    struct sim_process *receiver;
    uint64_t receiver_life;
    uint32_t opaque;
    bool is_copy; /* arrives a second time; nobody hears its answer */
    bool is_lost;
    bool is_applying; /* the receiver works on it */
    struct sim_command item;
    enum evc_apply_result result;
    evc_version newest;
};

static void
parcel_free(struct sim_parcel *parcel)
{
    evc_list_remove(&parcel->link);
    sim_keep_free(parcel);
}

/* --- naming a link in scheduled calls --- */

static uint64_t
link_name(const struct sim_link *link)
{
    return link->relay->life << NAME_REGION_BITS | link->region;
}

/** NULL: that relay is dead. */
static struct sim_link *
link_by_name(struct sim_process *relay, uint64_t name)
{
    if (!relay->is_alive || relay->life != name >> NAME_REGION_BITS) {
        return NULL;
    }
    return sim_relay_link(relay, name & ((1U << NAME_REGION_BITS) - 1));
}

/** The link a parcel came over, if that very connection still stands. */
static struct sim_link *
parcel_link(const struct sim_parcel *parcel)
{
    struct sim_link *link =
        link_by_name(parcel->relay, parcel->relay_life << NAME_REGION_BITS | parcel->region);

    return link && link->receiver && link->epoch == parcel->epoch && !parcel->is_copy ? link : NULL;
}

/* --- connecting and losing --- */

static void connect_later(struct sim_link *link);

static void
on_connect(void *ctx, uint64_t name)
{
    struct sim_link *link = link_by_name(ctx, name);
    struct sim_world *world;
    struct sim_process *receiver;

    if (!link || link->receiver) {
        return;
    }
    world = link->relay->world;
    receiver = &world->regions[link->region]
                    .proxies[sim_random_below(&world->random, world->plan.proxy_count)];
    if (!receiver->is_alive) {
        connect_later(link);
        return;
    }
    link->receiver = receiver;
    link->epoch++;
    link->in_flight = 0;
    link->has_refused = false;
    sim_world_say(world, "%s: connected to %s", link->relay->name, receiver->name);
    sim_process_enter(link->relay);
    evc_ship_on_link_ready(link->ship);
    sim_process_leave(link->relay);
}

static void
connect_later(struct sim_link *link)
{
    struct sim_world *world = link->relay->world;

    sim_time_after(&world->time, sim_random_spread(&world->random, CONNECT_US_MIN, CONNECT_US_MAX),
                   on_connect, link->relay, link_name(link));
}

static void
lose_parcels(struct sim_link *link)
{
    struct sim_world *world = link->relay->world;

    for (struct evc_list *at = world->parcels.next; at != &world->parcels; at = at->next) {
        struct sim_parcel *parcel = EVC_CONTAINER_OF(at, struct sim_parcel, link);

        if (parcel_link(parcel) == link) {
            parcel->is_lost = !sim_random_chance(&world->random, BYTES_KEPT_CHANCE);
        }
    }
}

static void
lose(struct sim_link *link)
{
    sim_world_say(link->relay->world, "%s: connection to %s is lost", link->relay->name,
                  link->receiver->name);
    lose_parcels(link);
    link->receiver = NULL;
    sim_process_enter(link->relay);
    evc_ship_on_link_lost(link->ship);
    sim_process_leave(link->relay);
    connect_later(link);
}

static void
on_loss(void *ctx, uint64_t name)
{
    struct sim_link *link = link_by_name(ctx, name);

    if (link && link->receiver) {
        lose(link);
    }
}

/* --- answers --- */

static void
hear_answer(struct sim_link *link, const struct sim_parcel *parcel)
{
    bool has_room = link->in_flight-- == link->relay->world->plan.link_window;

    sim_process_enter(link->relay);
    evc_ship_on_reply(link->ship, parcel->opaque, parcel->result, parcel->newest);
    if (has_room && link->has_refused) {
        link->has_refused = false;
        evc_ship_on_link_ready(link->ship);
    }
    sim_process_leave(link->relay);
}

static void
on_answer(void *ctx, uint64_t arg)
{
    struct sim_parcel *parcel = ctx;
    struct sim_link *link = parcel_link(parcel);

    (void)arg;
    if (link) {
        hear_answer(link, parcel);
    }
    parcel_free(parcel);
}

static void
on_applied(void *ctx, uint64_t tag, enum evc_apply_result result, evc_version newest)
{
    struct sim_parcel *parcel = ctx;
    struct sim_world *world = parcel->world;

    (void)tag;
    parcel->is_applying = false;
    parcel->result = result;
    parcel->newest = newest;
    sim_world_say(world, "%s: item key-%u %" PRIx64 " is %s, newest %" PRIx64,
                  parcel->receiver->name, parcel->item.key, parcel->item.version,
                  evc_apply_result_str(result), newest);
    sim_time_after(&world->time, sim_random_spread(&world->random, 20, world->plan.link_latency_us),
                   on_answer, parcel, 0);
}

/* --- items --- */

static void
on_arrival(void *ctx, uint64_t arg)
{
    struct sim_parcel *parcel = ctx;
    struct sim_process *receiver = parcel->receiver;

    (void)arg;
    if (parcel->is_lost || !receiver->is_alive || receiver->life != parcel->receiver_life) {
        parcel_free(parcel);
        return;
    }
    parcel->is_applying = true;
    sim_proxy_apply(receiver,
                    &(struct evc_replica){
                        .key = sim_world_key(parcel->item.key),
                        .value = {.ptr = parcel->item.value, .len = parcel->item.value_len},
                        .client_flags = parcel->item.client_flags,
                        .ttl_s = parcel->item.ttl_s,
                        .version = parcel->item.version,
                    },
                    on_applied, parcel, 0);
}

static struct sim_parcel *
parcel_create(const struct sim_link *link, const struct evc_replica *replica, uint32_t opaque)
{
    struct sim_parcel *parcel = sim_keep_alloc(sizeof(*parcel));

    assert(replica->value.len <= SIM_VALUE_MAX);
    *parcel = (struct sim_parcel){
        .world = link->relay->world,
        .relay = link->relay,
        .relay_life = link->relay->life,
        .epoch = link->epoch,
        .region = link->region,
        .receiver = link->receiver,
        .receiver_life = link->receiver->life,
        .opaque = opaque,
        .item =
            {
                .key = sim_world_key_index(replica->key),
                .client_flags = replica->client_flags,
                .ttl_s = replica->ttl_s,
                .version = replica->version,
                .value_len = replica->value.len,
            },
    };
    memcpy(parcel->item.value, replica->value.ptr, replica->value.len);
    evc_list_push_back(&parcel->world->parcels, &parcel->link);
    return parcel;
}

static uint64_t
travel_us(struct sim_link *link, bool is_copy)
{
    struct sim_world *world = link->relay->world;
    uint64_t now_us = world->time.now_us;
    uint64_t us = sim_random_spread(&world->random, 20, world->plan.link_latency_us);

    if (world->plan.parcel_late_chance > 0 && now_us < world->plan.faults_until_us &&
        sim_random_chance(&world->random, world->plan.parcel_late_chance)) {
        us += sim_random_spread(&world->random, LATE_US_MIN, LATE_US_MAX);
    }
    if (is_copy || !world->plan.is_link_ordered) {
        return us * sim_random_between(&world->random, 1, LATE_FACTOR);
    }
    link->arrives_us = now_us + us > link->arrives_us ? now_us + us : link->arrives_us + 1;
    return link->arrives_us - now_us;
}

static void
dispatch(struct sim_link *link, const struct evc_replica *replica, uint32_t opaque, bool is_copy)
{
    struct sim_parcel *parcel = parcel_create(link, replica, opaque);

    parcel->is_copy = is_copy;
    sim_time_after(&parcel->world->time, travel_us(link, is_copy), on_arrival, parcel, 0);
}

static bool
send_item(struct evc_ship_link *ship_link, const struct evc_replica *replica, uint32_t opaque)
{
    struct sim_link *link = EVC_CONTAINER_OF(ship_link, struct sim_link, link);
    struct sim_process *relay = link->relay;
    struct sim_world *world = relay->world;

    if (!link->receiver || link->in_flight >= world->plan.link_window) {
        link->has_refused = true;
        return false;
    }
    link->in_flight++;
    dispatch(link, replica, opaque, false);
    if (world->time.now_us >= world->plan.faults_until_us) {
        return true;
    }
    if (sim_random_chance(&world->random, world->plan.parcel_twice_chance)) {
        dispatch(link, replica, opaque, true);
    }
    if (sim_random_chance(&world->random, world->plan.parcel_lost_chance)) {
        sim_time_after(&world->time,
                       sim_random_below(&world->random, 2 * world->plan.link_latency_us), on_loss,
                       relay, link_name(link));
    }
    return true;
}

/* --- life --- */

void
sim_link_init(struct sim_link *link, struct sim_process *relay, unsigned region)
{
    *link = (struct sim_link){
        .link = {.send = send_item},
        .relay = relay,
        .region = region,
    };
    sim_time_after(&relay->world->time, CONNECT_US_MIN, on_connect, relay, link_name(link));
}

static void
forget_receiver(struct sim_process *relay, const struct sim_process *receiver)
{
    struct sim_link *link;

    if (!relay->is_alive) {
        return;
    }
    link = sim_relay_link(relay, receiver->region);
    if (link->receiver == receiver) {
        lose(link);
    }
}

/** What a receiver was working on when it died. */
static void
free_unfinished(struct sim_world *world, const struct sim_process *receiver)
{
    struct evc_list *next;

    for (struct evc_list *at = world->parcels.next; at != &world->parcels; at = next) {
        struct sim_parcel *parcel = EVC_CONTAINER_OF(at, struct sim_parcel, link);

        next = at->next;
        if (parcel->receiver == receiver && parcel->is_applying) {
            parcel_free(parcel);
        }
    }
}

void
sim_link_forget_process(struct sim_process *process)
{
    struct sim_world *world = process->world;

    free_unfinished(world, process);

    for (unsigned region = 0; region < world->plan.region_count; region++) {
        if (process->kind == SIM_PROXY && region != process->region) {
            forget_receiver(&world->regions[region].relay, process);
        }
    }
}

void
sim_link_free_all(struct sim_world *world)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(&world->parcels))) {
        sim_keep_free(EVC_CONTAINER_OF(link, struct sim_parcel, link));
    }
}
