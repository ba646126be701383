/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_load.h. */
#include "sim_load.h"

#include <stdio.h>
#include <string.h>

#include "sim_faults.h"
#include "sim_proxy.h"
#include "sim_world.h"

enum {
    MS = 1000,
    S = 1000 * 1000,
    AFTER_LAST_WRITE_US = 3 * S, /* faults go on for so long */
    BAD_CLOCK_US = 120 * S,
    COUNTING_CHANCE = 600,
    VIVIFIES_CHANCE = 300,
    DELTA_MAX = 20,
};

struct sim_process *
sim_load_any_proxy(struct sim_world *world)
{
    unsigned region = (unsigned)sim_random_below(&world->random, world->plan.region_count);

    return &world->regions[region]
                .proxies[sim_random_below(&world->random, world->plan.proxy_count)];
}

static enum evc_write_kind
any_kind(struct sim_random *random)
{
    static const enum evc_write_kind kinds[] = {
        EVC_WRITE_SET, EVC_WRITE_SET,     EVC_WRITE_SET,    EVC_WRITE_SET,
        EVC_WRITE_SET, EVC_WRITE_DELETE,  EVC_WRITE_DELETE, EVC_WRITE_TOUCH,
        EVC_WRITE_ADD, EVC_WRITE_REPLACE, EVC_WRITE_CAS,
    };

    return kinds[sim_random_below(random, sizeof(kinds) / sizeof(kinds[0]))];
}

static enum evc_write_kind
any_counting_kind(struct sim_random *random)
{
    static const enum evc_write_kind kinds[] = {EVC_WRITE_INCR, EVC_WRITE_INCR, EVC_WRITE_DECR,
                                                EVC_WRITE_APPEND, EVC_WRITE_PREPEND};

    return sim_random_chance(random, COUNTING_CHANCE)
               ? kinds[sim_random_below(random, sizeof(kinds) / sizeof(kinds[0]))]
               : any_kind(random);
}

/** What an application would have got with `gets` a moment ago. */
static uint64_t
seen_by_application(struct sim_world *world, const struct sim_process *process, unsigned key)
{
    struct sim_node *node =
        sim_world_node(world, process->region, process->port.port.local_zone, key);
    const struct sim_item *item = sim_node_item(node, key);

    return item ? item->cas : 1;
}

/** What it brings: a number where there is counting, a letter of its own to append. */
static size_t
compose_value(const struct sim_world *world, const struct sim_write *write, unsigned number,
              char ret[SIM_VALUE_MAX])
{
    switch (write->kind) {
    case EVC_WRITE_DELETE:
    case EVC_WRITE_TOUCH:
    case EVC_WRITE_INCR:
    case EVC_WRITE_DECR:
        return 0;
    case EVC_WRITE_APPEND:
    case EVC_WRITE_PREPEND:
        ret[0] = write->letter;
        return 1;
    case EVC_WRITE_SET:
    case EVC_WRITE_ADD:
    case EVC_WRITE_REPLACE:
    case EVC_WRITE_CAS:
    case EVC_WRITE_KIND_MAX:
        break;
    }
    return (size_t)snprintf(ret, SIM_VALUE_MAX,
                            sim_plan_has(&world->plan, SIM_THEME_COUNTING) ? "%u" : "w%u", number);
}

static void
enlarge_value(struct sim_world *world, const struct sim_write *write, size_t *len,
              char value[SIM_VALUE_MAX])
{
    bool is_letter = write->kind == EVC_WRITE_APPEND || write->kind == EVC_WRITE_PREPEND;

    if (*len > 0 && !is_letter && sim_plan_has(&world->plan, SIM_THEME_REFUSAL) &&
        sim_random_chance(&world->random, world->plan.large_chance)) {
        memset(value + *len, '.', SIM_VALUE_LARGE - *len);
        *len = SIM_VALUE_LARGE;
    }
}

void
sim_load_write(struct sim_world *world, struct sim_process *process, unsigned key,
               enum evc_write_kind kind)
{
    unsigned number = world->history.write_count;
    char value[SIM_VALUE_MAX];
    struct evc_write_request request = {.kind = kind, .key = sim_world_key(key)};
    struct sim_write *write;

    if (!process->is_alive) {
        return;
    }
    write = sim_history_begin_write(&world->history);
    *write = (struct sim_write){
        .kind = kind,
        .region = process->region,
        .proxy = process->index,
        .key = key,
        .started_us = world->time.now_us,
        .letter = (char)('A' + number),
    };
    if (kind != EVC_WRITE_DELETE && kind != EVC_WRITE_TOUCH) {
        request.value.len = compose_value(world, write, number, value);
        enlarge_value(world, write, &request.value.len, value);
        request.value.ptr = value;
        request.client_flags = number;
    }
    if (sim_plan_has(&world->plan, SIM_THEME_COUNTING)) {
        write->delta = request.delta = sim_random_between(&world->random, 1, DELTA_MAX);
        request.vivifies = sim_random_chance(&world->random, VIVIFIES_CHANCE);
        request.initial = number;
    }
    if (sim_random_chance(&world->random, world->plan.ttl_chance)) {
        request.exptime = world->plan.ttl_s;
    }
    request.unique = kind == EVC_WRITE_CAS ? seen_by_application(world, process, key) : 0;
    request.want_existed = sim_random_chance(&world->random, 500) && kind == EVC_WRITE_DELETE;
    sim_world_say(world, "%s: write %u begins, kind %d, key-%u", process->name, number, (int)kind,
                  key);
    sim_proxy_write(process, &request, number);
}

static void
on_write(void *ctx, uint64_t arg)
{
    struct sim_world *world = ctx;
    struct sim_process *process = sim_load_any_proxy(world);
    enum evc_write_kind kind = sim_plan_has(&world->plan, SIM_THEME_COUNTING)
                                   ? any_counting_kind(&world->random)
                                   : any_kind(&world->random);
    unsigned key = (unsigned)sim_random_below(&world->random, world->plan.key_count);

    (void)arg;
    sim_load_write(world, process, key, kind);
}

void
sim_load_schedule(struct sim_world *world)
{
    struct sim_plan *plan = &world->plan;
    uint64_t at_us = 10 * MS;

    for (unsigned i = 0; i < plan->write_count; i++) {
        sim_time_after(&world->time, at_us, on_write, world, 0);
        at_us += sim_random_below(&world->random, 2 * plan->write_gap_us);
    }
    /* Half of the seeds have all their faults among the writes, the others also behind them. */
    plan->faults_until_us = at_us + sim_random_spread(&world->random, 1 * MS, AFTER_LAST_WRITE_US);
    sim_faults_schedule(world);
    if (plan->has_bad_clock) {
        world->regions[0].proxies[0].skew_us = BAD_CLOCK_US;
    }
}
