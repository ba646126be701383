/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_journal.h. */
#include "sim_journal.h"

#include <inttypes.h>

#include "sim_memory.h"
#include "sim_world.h"

enum {
    FILL_MAX = 4096,
    CHURN_MAX = 700,
    ENTRY_BYTES_MAX = 64, /* of an event of ours */
    FULL_ENTRIES_MAX = 2, /* one that must fit, and a pad at the ring's end */
};

static struct sim_process *entered;

/** How many events it has ever had, and what room is left. */
static uint64_t
reserved(const struct sim_process *process, uint64_t *ret_left)
{
    struct evc_journal_stats stats;

    evc_journal_stats(process->journal, &stats);
    *ret_left = stats.bytes_max - stats.bytes_used;
    return stats.reserved_total;
}

/** An event of a key was to be reserved. */
static void
note_reserved(struct sim_process *process, unsigned key)
{
    struct sim_world *world = process->world;
    struct sim_journal *seen = &process->seen;
    unsigned partition = evc_queue_partition(sim_world_key(key), world->plan.partition_count);
    uint64_t left;
    uint64_t count = reserved(process, &left);

    if (count == seen->reserved) {
        world->not_fit[process->region][partition]++;
        world->history.key_untold[key] = true;
        sim_world_say(world, "%s: an event of key-%u does not fit", process->name, key);
        if (left >= (uint64_t)FULL_ENTRIES_MAX * ENTRY_BYTES_MAX) {
            sim_world_fail(world, SIM_FAILURE_BOOKS, "%s loses an event, with room for more",
                           process->name);
        }
    }
    seen->reserved = count;
}

static bool
append(struct evc_event_sink *sink, const struct evc_event *event)
{
    struct sim_process *process = entered;
    bool fits = process->seen.append(sink, event);

    note_reserved(process, sim_world_key_index(event->key));
    return fits;
}

void
sim_journal_open(struct sim_process *process)
{
    struct evc_event_sink *sink = evc_journal_sink(process->journal);

    process->seen.append = sink->append;
    sink->append = append;
    sim_journal_enter(process);
}

void
sim_journal_enter(struct sim_process *process)
{
    uint64_t left;

    entered = process;
    process->seen.reserved = reserved(process, &left);
}

void
sim_journal_note_command(struct sim_process *process, unsigned key, evc_version version)
{
    struct sim_journal *seen = &process->seen;

    if (process->kind == SIM_PROXY && version > seen->minted &&
        evc_version_writer(version) == process->clock.writer) {
        seen->minted = version;
        note_reserved(process, key);
    }
}

/* --- filling --- */

void
sim_journal_fill(struct sim_process *process, unsigned room)
{
    struct sim_world *world = process->world;
    struct sim_journal *seen = &process->seen;
    uint64_t left;

    if (!process->is_alive || seen->fill) {
        return;
    }
    seen->fill = sim_keep_alloc(FILL_MAX * sizeof(*seen->fill));
    seen->fill_count = 0;
    (void)reserved(process, &left);
    while (seen->fill_count < FILL_MAX &&
           left >= (uint64_t)(room + FULL_ENTRIES_MAX) * ENTRY_BYTES_MAX) {
        seen->fill[seen->fill_count++] = evc_journal_reserve(
            process->journal, &(struct evc_event){.key = sim_world_key(0), .version = 1});
        (void)reserved(process, &left);
    }
    sim_world_say(world, "%s: its journal is full but for %" PRIu64 " bytes", process->name, left);
}

void
sim_journal_empty(struct sim_process *process)
{
    struct sim_journal *seen = &process->seen;

    if (!seen->fill) {
        return;
    }
    for (unsigned i = 0; i < seen->fill_count; i++) {
        evc_journal_cancel(process->journal, seen->fill[i]);
        evc_journal_settle(process->journal, seen->fill[i]);
    }
    sim_keep_free(seen->fill);
    seen->fill = NULL;
    sim_world_say(process->world, "%s: its journal has room", process->name);
}

void
sim_journal_churn(struct sim_process *process)
{
    uint64_t left = 0;
    unsigned count = 0;

    (void)reserved(process, &left);
    while (count < CHURN_MAX && left >= (uint64_t)FULL_ENTRIES_MAX * ENTRY_BYTES_MAX) {
        evc_journal_pos pos = evc_journal_reserve(
            process->journal, &(struct evc_event){.key = sim_world_key(0), .version = 1});

        evc_journal_cancel(process->journal, pos);
        evc_journal_settle(process->journal, pos);
        (void)reserved(process, &left);
        count++;
    }
    sim_world_say(process->world, "%s: %u events of nothing go through its journal", process->name,
                  count);
}
