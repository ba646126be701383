/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_proxy.h. */
#include "sim_proxy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim_world.h"

enum {
    WRITE_TIMEOUT_US = 500 * 1000,
    APPLY_TIMEOUT_US = 500 * 1000,
    GUESS_KEYS = 16,  /* few, so that some make room for others */
    GUESS_SCORE = 32, /* no time to learn: guesses from the start, right or wrong */
};

struct sim_proxy {
    struct evc_writer writer;
    struct evc_applier applier;
};

void
sim_proxy_start(struct sim_process *process)
{
    struct sim_world *world = process->world;
    struct sim_proxy *proxy = calloc(1, sizeof(*proxy));
    unsigned readable = evc_node_port_readable(&process->port.port);
    unsigned needed = world->plan.zones_needed;
    struct evc_write_options write = {
        .zones_needed = needed < readable ? needed : readable,
        .timeout_us = WRITE_TIMEOUT_US,
        .tombstone_ttl_s = world->plan.tombstone_ttl_s,
        .value_len_max = SIM_VALUE_GROWN_MAX,
        .rules_off = world->options.rules_off,
    };
    struct evc_apply_options apply = {
        .region = process->region,
        .zone_timeout_us = APPLY_TIMEOUT_US,
        .tombstone_ttl_s = world->plan.tombstone_ttl_s,
        .guess_keys = GUESS_KEYS,
        .rules_off = world->options.rules_off,
    };

    assert(proxy);
    process->proxy = proxy;
    evc_writer_init(&proxy->writer, &process->port.port, &process->clock, &process->moment,
                    process->journal, &write);
    evc_applier_init(&proxy->applier, &process->port.port, &process->clock, &process->moment,
                     evc_journal_sink(process->journal), &apply);
    memset(proxy->applier.guess.score, GUESS_SCORE, sizeof(proxy->applier.guess.score));
}

static bool
tells_of_effect(enum evc_write_result result, enum evc_write_kind kind)
{
    return result == EVC_WRITE_STORED || result == EVC_WRITE_DELETED ||
           result == EVC_WRITE_TOUCHED || result == EVC_WRITE_COUNTED ||
           (result == EVC_WRITE_NOT_FOUND && kind == EVC_WRITE_DELETE);
}

static void
on_written(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    static const char *const results[EVC_WRITE_RESULT_MAX] = {
        [EVC_WRITE_STORED] = "stored",   [EVC_WRITE_NOT_STORED] = "not stored",
        [EVC_WRITE_EXISTS] = "exists",   [EVC_WRITE_NOT_FOUND] = "not found",
        [EVC_WRITE_DELETED] = "deleted", [EVC_WRITE_TOUCHED] = "touched",
        [EVC_WRITE_COUNTED] = "counted", [EVC_WRITE_NON_NUMERIC] = "not a number",
        [EVC_WRITE_FAILED] = "failed",   [EVC_WRITE_REJECTED] = "rejected",
    };
    struct sim_process *process = ctx;
    struct sim_write *write = &process->world->history.writes[tag];

    write->is_answered = true;
    write->is_acked = tells_of_effect(answer->result, write->kind) && answer->version != 0;
    write->is_rejected = answer->result == EVC_WRITE_REJECTED && answer->version != 0;
    write->version = answer->version;
    write->is_created = answer->is_created;
    write->number = answer->number;
    sim_world_say(process->world, "%s: write %" PRIu64 " answered %s as %" PRIx64, process->name,
                  tag, results[answer->result], answer->version);
}

void
sim_proxy_write(struct sim_process *process, const struct evc_write_request *request,
                unsigned write)
{
    int rc;

    sim_process_enter(process);
    rc = evc_write_start(&process->proxy->writer, request, on_written, process, write);
    assert(rc == EVC_OK);
    sim_process_leave(process);
}

void
sim_proxy_apply(struct sim_process *process, const struct evc_replica *replica, evc_apply_fn done,
                void *ctx, uint64_t tag)
{
    int rc;

    sim_process_enter(process);
    rc = evc_apply_start(&process->proxy->applier, replica, done, ctx, tag);
    assert(rc == EVC_OK);
    sim_process_leave(process);
}

bool
sim_proxy_is_idle(const struct sim_process *process)
{
    const struct sim_proxy *proxy = process->proxy;

    return proxy->writer.stats.in_flight == 0 && proxy->applier.pool.in_use == 0;
}
