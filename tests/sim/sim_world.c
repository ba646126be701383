/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_world.h. */
#include "sim_world.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim_check.h"
#include "sim_link.h"
#include "sim_load.h"
#include "sim_memory.h"
#include "topology/config.h"

/* --- keys, time, words --- */

struct evc_slice
sim_world_key(unsigned index)
{
    static const char *const keys[SIM_KEY_MAX] = {"key-0", "key-1", "key-2"};

    assert(index < SIM_KEY_MAX);
    return evc_slice_str(keys[index]);
}

unsigned
sim_world_key_index(struct evc_slice key)
{
    assert(key.len == 5 && key.ptr[4] >= '0' && key.ptr[4] < '0' + SIM_KEY_MAX);
    return (unsigned)(key.ptr[4] - '0');
}

struct sim_node *
sim_world_node(struct sim_world *world, unsigned region, unsigned zone, unsigned key)
{
    return &world->regions[region].nodes[zone][key % world->plan.nodes_per_zone];
}

uint64_t
sim_world_unix_us(const struct sim_world *world)
{
    return SIM_UNIX_START_US + world->time.now_us;
}

const char *
sim_failure_str(enum sim_failure failure)
{
    static const char *const names[SIM_FAILURE_MAX] = {
        [SIM_FAILURE_NONE] = "none",
        [SIM_FAILURE_REST] = "rest never comes",
        [SIM_FAILURE_COPIES] = "copies differ",
        [SIM_FAILURE_NEWEST] = "newest is lost",
        [SIM_FAILURE_CONTENTS] = "two contents",
        [SIM_FAILURE_COUNT] = "counted wrongly",
        [SIM_FAILURE_POLICY] = "policy is ignored",
        [SIM_FAILURE_PLAIN] = "version is none of ours",
        [SIM_FAILURE_REVIVED] = "delete is undone",
        [SIM_FAILURE_DRIFT] = "drift bound passed",
        [SIM_FAILURE_BOOKS] = "books are open",
        [SIM_FAILURE_RECORD] = "record is corrupt",
    };

    return names[failure];
}

void
sim_world_fail(struct sim_world *world, enum sim_failure failure, const char *format, ...)
{
    va_list args;

    if (world->failure != SIM_FAILURE_NONE) {
        return;
    }
    world->failure = failure;
    va_start(args, format);
    (void)vsnprintf(world->failure_text, sizeof(world->failure_text), format, args);
    va_end(args);
    sim_world_say(world, "FAILED: %s: %s", sim_failure_str(failure), world->failure_text);
}

void
sim_world_say(struct sim_world *world, const char *format, ...)
{
    va_list args;

    if (!world->options.is_tracing) {
        return;
    }
    (void)printf("%10.3f ms  ", (double)world->time.now_us / 1000);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
}

/* --- life --- */

static void
region_init(struct sim_world *world, unsigned index, const char *directory)
{
    struct sim_region *region = &world->regions[index];

    region->index = index;
    (void)snprintf(region->directory, sizeof(region->directory), "%s/%u", directory, index);
    for (unsigned zone = 0; zone < world->plan.zone_count; zone++) {
        for (unsigned i = 0; i < world->plan.nodes_per_zone; i++) {
            sim_node_init(&region->nodes[zone][i], world, index, zone, i);
        }
    }
    sim_queue_init(&region->queue, world, index);
    for (unsigned i = 0; i < world->plan.proxy_count; i++) {
        sim_process_init(&region->proxies[i], world, SIM_PROXY, index, i);
    }
    sim_process_init(&region->relay, world, SIM_RELAY, index, 0);
}

static void
policies_init(struct sim_world *world)
{
    static char prefixes[SIM_KEY_MAX][8] = {"key-0", "key-1", "key-2"};

    for (unsigned key = 0; key < SIM_KEY_MAX; key++) {
        world->policies[key] = (struct evc_config_policy){
            .prefix = prefixes[key],
            .replicate = world->plan.policies[key],
        };
    }
    world->config = (struct evc_config){
        .policies = world->policies,
        .policies_count = sim_plan_has(&world->plan, SIM_THEME_POLICIES) ? SIM_KEY_MAX : 0,
    };
}

static void
region_start(struct sim_region *region)
{
    for (unsigned i = 0; i < SIM_PROXY_MAX; i++) {
        if (region->proxies[i].world) {
            sim_process_start(&region->proxies[i]);
        }
    }
    sim_process_start(&region->relay);
}

struct sim_world *
sim_world_create(uint64_t seed, const struct sim_options *options, const char *directory)
{
    struct sim_world *world = sim_keep_alloc(sizeof(*world));

    world->seed = seed;
    world->options = *options;
    evc_list_init(&world->conns);
    evc_list_init(&world->requests);
    evc_list_init(&world->parcels);
    sim_time_init(&world->time);
    sim_random_init(&world->random, seed);
    sim_history_init(&world->history, world);
    sim_plan_draw(&world->plan, seed, options->themes, &world->random);
    world->plan.has_bad_clock = options->has_bad_clock;
    policies_init(world);
    for (unsigned i = 0; i < world->plan.region_count; i++) {
        region_init(world, i, directory);
    }
    sim_load_schedule(world);
    for (unsigned i = 0; i < world->plan.region_count; i++) {
        region_start(&world->regions[i]);
    }
    return world;
}

static void
process_finish(struct sim_process *process)
{
    char path[128];

    if (!process->world) {
        return;
    }
    if (process->is_alive) {
        evc_journal_close(process->journal);
    }
    sim_memory_drop(&process->memory);
    sim_keep_free(process->seen.fill);
    (void)snprintf(path, sizeof(path), "%s/slot-%04u.journal",
                   process->world->regions[process->region].directory, process->slot);
    (void)unlink(path);
}

void
sim_world_destroy(struct sim_world *world)
{
    for (unsigned region = 0; region < world->plan.region_count; region++) {
        for (unsigned i = 0; i < SIM_PROXY_MAX; i++) {
            process_finish(&world->regions[region].proxies[i]);
        }
        process_finish(&world->regions[region].relay);
        sim_queue_finish(&world->regions[region].queue);
    }
    sim_link_free_all(world);
    sim_port_free_all(world);
    sim_time_finish(&world->time);
    sim_keep_free(world);
}

bool
sim_world_run(struct sim_world *world)
{
    for (unsigned steps = 0; world->failure == SIM_FAILURE_NONE; steps++) {
        if (!sim_time_step(&world->time)) {
            sim_check_all(world);
            return world->failure == SIM_FAILURE_NONE;
        }
        if (steps > SIM_STEPS_MAX || world->time.now_us > SIM_REST_US_MAX) {
            sim_world_fail(world, SIM_FAILURE_REST, "not after %" PRIu64 " ms",
                           world->time.now_us / 1000);
        }
    }
    return false;
}
