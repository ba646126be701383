/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One simulated global cache: everything a seed makes. All parts reach each other through here, and
 * cross from one process to another only through sim_time_after, never by a direct call.
 *
 *   load ─▶ proxies ─▶ ports ─▶ nodes            queue ◀─ feeder ◀─ journals of proxies and relay
 *              ▲                                   └▶ relay ─▶ link ─▶ another region's proxy
 */
#ifndef EVC_SIM_WORLD_H
#define EVC_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "replication/books.h"
#include "sim_history.h"
#include "sim_node.h"
#include "sim_plan.h"
#include "sim_process.h"
#include "sim_queue.h"
#include "sim_random.h"
#include "sim_time.h"

enum {
    SIM_REGION_MAX = 3,
    SIM_PROXY_MAX = 2,
    SIM_PARTITION_MAX = 2,
    SIM_FAILURE_BYTES = 512,
    SIM_STEPS_MAX = 4 * 1000 * 1000,
};

/** Virtual time starts here: 2026-01-01 00:00 UTC, Unix microseconds. */
#define SIM_UNIX_START_US UINT64_C(1767225600000000)
/** By then everything must have come to rest. */
#define SIM_REST_US_MAX (UINT64_C(600) * 1000 * 1000)

/** What can fail; sim_failure_str has the words. */
enum sim_failure {
    SIM_FAILURE_NONE,
    SIM_FAILURE_REST,     /* it never comes, or something is left over */
    SIM_FAILURE_COPIES,   /* differ */
    SIM_FAILURE_NEWEST,   /* what was acknowledged is not what is left */
    SIM_FAILURE_CONTENTS, /* one version has two */
    SIM_FAILURE_COUNT,    /* of something appended or counted: not once, or not on what was there */
    SIM_FAILURE_POLICY,   /* something came to a region that should not */
    SIM_FAILURE_PLAIN,    /* a value without a version was passed on as it is */
    SIM_FAILURE_REVIVED,  /* a deleted value lives again */
    SIM_FAILURE_DRIFT,    /* a version beyond the bound got in */
    SIM_FAILURE_BOOKS,    /* do not close */
    SIM_FAILURE_RECORD,   /* is corrupt */
    SIM_FAILURE_MAX,
};

const char *sim_failure_str(enum sim_failure failure);

struct sim_options {
    uint32_t rules_off;
    uint32_t themes; /* that every seed has */
    bool has_bad_clock;
    bool is_tracing;
};

struct sim_region {
    unsigned index;
    struct sim_node nodes[SIM_ZONE_MAX][SIM_NODES_PER_ZONE_MAX];
    struct sim_queue queue;
    struct sim_process proxies[SIM_PROXY_MAX];
    struct sim_process relay;
    char directory[64]; /* of the journals */
};

struct sim_world {
    uint64_t seed;
    struct sim_options options;
    struct sim_random random;
    struct sim_time time;
    struct sim_plan plan;
    struct sim_history history;
    struct evc_config_policy policies[SIM_KEY_MAX];
    struct evc_config config; /* the policies, if there are any */
    struct sim_region regions[SIM_REGION_MAX];
    struct evc_list conns;    /* every connection to a node there ever was */
    struct evc_list requests; /* on their way */
    struct evc_list parcels;  /* items between regions, on their way or being applied */
    uint64_t request_ids;
    struct sim_process *feeding;                         /* whose round appends to a queue now */
    unsigned plain_count;                                /* writes past evcache */
    uint64_t not_fit[SIM_REGION_MAX][SIM_PARTITION_MAX]; /* events that found no room */
    uint64_t kill_count, relay_kill_count;
    uint64_t refed_count;                 /* events a kill made a feeder feed twice */
    bool has_lost_content;                /* some node lost an item it had */
    struct evc_books_totals books;        /* of all groups, once checked */
    enum sim_failure failure;             /* the first */
    char failure_text[SIM_FAILURE_BYTES]; /* of it */
};

/** Builds the world of a seed; directory is where journals go. */
struct sim_world *sim_world_create(uint64_t seed, const struct sim_options *options,
                                   const char *directory);
void sim_world_destroy(struct sim_world *world);

/** Lets it run until nothing moves. False: it never came to rest, or a check failed on the way. */
bool sim_world_run(struct sim_world *world);

/** The first failure is kept. */
void sim_world_fail(struct sim_world *world, enum sim_failure failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** A line of the trace. */
void sim_world_say(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Keys are "key-0", "key-1", …. */
struct evc_slice sim_world_key(unsigned index);
unsigned sim_world_key_index(struct evc_slice key);

/** The node of a zone that has a key. */
struct sim_node *sim_world_node(struct sim_world *world, unsigned region, unsigned zone,
                                unsigned key);

/** The real time, which no simulated process knows, in Unix microseconds. */
uint64_t sim_world_unix_us(const struct sim_world *world);

#endif
