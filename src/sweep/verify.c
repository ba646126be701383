/* SPDX-License-Identifier: Apache-2.0 */
/* See verify.h. */
#include "sweep/verify.h"

#include <assert.h>
#include <stdio.h>

#include "base/hash.h"
#include "topology/canary.h"

/* --- what is compared --- */

static bool
begins_with(struct evc_slice key, struct evc_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
}

/** Whether a key is wanted, of clients, and can be asked for. */
static bool
is_compared(const struct evc_verify *verify, struct evc_slice key)
{
    return begins_with(key, verify->options.prefix) && !evc_canary_is_key(key.ptr, key.len) &&
           !begins_with(key, EVC_SLICE(EVC_LEASE_PREFIX)) && evc_node_key_fits(key);
}

/** A tombstone's life is each zone's own: it is not compared. */
static struct evc_copy_item
item_of(const struct evc_verify *verify, const struct evc_node_dump_line *line)
{
    bool has_expiry = line->expiry_s >= 0 && line->client_flags != EVC_TOMBSTONE_FLAGS;

    return (struct evc_copy_item){
        .version = evc_sweep_version(verify->options.sweep, line->cas),
        .size = line->size,
        .expiry_s = has_expiry ? (uint32_t)line->expiry_s : 0,
        .flags = line->client_flags,
    };
}

struct place {
    uint64_t hash;
    enum evc_policy policy;
    unsigned region;
};

static struct place
place_of(const struct evc_verify *verify, struct evc_slice key, unsigned copy)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    struct place place = {
        .policy = evc_config_policy_of(sweep->config, key.ptr, key.len),
        .region = sweep->copies[copy].region,
    };

    place.hash = evc_copy_table_hash(key, place.policy, place.region);
    return place;
}

/* --- the first walk: into the table --- */

static void
give_up(struct evc_verify *verify, const char *why)
{
    verify->is_incomplete = true;
    if (verify->why[0] == '\0') {
        snprintf(verify->why, sizeof(verify->why), "%s", why);
    }
    verify->is_stopping = true;
    if (verify->is_walking) {
        evc_walks_stop(&verify->walks);
    }
}

static void
on_item_compare(void *ctx, unsigned copy, const struct evc_node_dump_line *line)
{
    struct evc_verify *verify = ctx;
    const struct evc_copy_item item = item_of(verify, line);
    struct place place;

    if (verify->is_stopping || !is_compared(verify, line->key)) {
        return;
    }
    place = place_of(verify, line->key, copy);
    while (evc_key_range_has(&verify->range, place.hash)) {
        int rc;

        rc = evc_copy_table_add(&verify->table, place.hash, place.policy, copy, &item);
        if (rc == EVC_OK) {
            return;
        }
        if (rc == EVC_E_NOMEM || !evc_key_range_halve(&verify->range)) {
            give_up(verify, "out of memory");
            return;
        }
        evc_copy_table_keep(&verify->table, &verify->range);
    }
}

/* --- the second walk: the keys of suspects --- */

static void
leave_if_done(struct evc_verify *verify)
{
    if (!verify->is_walking && verify->keys.count == 0 && verify->looks.in_flight == 0) {
        evc_sweep_leave(verify->options.sweep);
    }
}

static void
pump(struct evc_verify *verify)
{
    struct evc_queued_key key;

    if (verify->is_pumping) {
        return;
    }
    verify->is_pumping = true;
    while (evc_key_queue_peek(&verify->keys, &key)) {
        struct place place = place_of(verify, key.key, key.copy);

        if (!evc_looks_start(&verify->looks, key.key, place.policy, place.region)) {
            break;
        }
        evc_key_queue_drop(&verify->keys);
    }
    verify->is_pumping = false;
    leave_if_done(verify);
}

static void
on_look_room(void *ctx)
{
    pump(ctx);
}

/** Whether a suspect's key is to be learned from a copy in this round. */
static bool
is_told_by(const struct evc_verify *verify, const struct evc_copy_entry *entry, unsigned copy)
{
    bool is_first = copy == evc_copy_table_holder(&verify->table, entry);

    return verify->has_lost ? !is_first && (evc_copy_entry_is_newest(entry, copy) ||
                                            evc_copy_table_is_older(&verify->table, entry, copy))
                            : is_first;
}

static void
on_item_suspect(void *ctx, unsigned copy, const struct evc_node_dump_line *line)
{
    struct evc_verify *verify = ctx;
    struct place place = place_of(verify, line->key, copy);
    struct evc_copy_entry *entry = evc_copy_table_find(&verify->table, place.hash);
    const struct evc_queued_key key = {
        .key = line->key, .hash = place.hash, .copy = (uint16_t)copy};

    if (verify->is_stopping || !entry || entry->is_taken || !is_compared(verify, line->key) ||
        !evc_copy_table_is_suspect(&verify->table, entry) || !is_told_by(verify, entry, copy)) {
        return;
    }
    if (verify->skipped > 0 || !evc_key_queue_push(&verify->keys, &key)) {
        verify->skipped++; /* and all behind it: another walk will tell them */
        return;
    }
    entry->is_taken = true;
    if (verify->keys.count == 1 || verify->looks.asking < EVC_LOOKS_ASKING_MAX / 2) {
        pump(verify);
    }
}

/* --- phases --- */

static void
on_walked(void *ctx)
{
    struct evc_verify *verify = ctx;

    verify->is_walking = false;
    if (verify->walks.nodes_failed > 0 && !verify->is_stopping) {
        verify->has_silent = true;
        give_up(verify, verify->walks.why);
    }
    leave_if_done(verify);
}

static void
on_look(void *ctx)
{
    struct evc_verify *verify = ctx;

    evc_looks_on_look(&verify->looks);
}

static void
on_stop(void *ctx)
{
    struct evc_verify *verify = ctx;
    const struct evc_key_range nothing = {.first = 1, .last = 0};

    give_up(verify, verify->options.sweep->why);
    evc_key_queue_keep(&verify->keys, &nothing);
    evc_looks_stop(&verify->looks);
    leave_if_done(verify);
}

/** A walk over some copies, until everything it led to is over. */
static void
walk(struct evc_verify *verify, enum evc_verify_phase phase, const struct evc_copy_set *copies)
{
    verify->phase = phase;
    verify->walks.copies = *copies;
    verify->walks.on_item = phase == EVC_VERIFY_COMPARING ? on_item_compare : on_item_suspect;
    verify->is_walking = true;
    evc_walks_start(&verify->walks);
    while (verify->is_walking || verify->keys.count > 0 || verify->looks.in_flight > 0) {
        evc_sweep_run(verify->options.sweep);
    }
}

/** The copies to learn the keys of suspects from. False: there are none. */
static bool
find_holders(const struct evc_verify *verify, struct evc_copy_set *ret)
{
    bool has_any = false;

    *ret = (struct evc_copy_set){{0}};
    for (uint32_t i = 0; i < verify->table.count; i++) {
        const struct evc_copy_entry *entry = evc_copy_table_at(&verify->table, i);

        if (entry->is_taken || !evc_copy_table_is_suspect(&verify->table, entry)) {
            continue;
        }
        for (unsigned copy = 0; copy < verify->options.sweep->copy_count; copy++) {
            if (is_told_by(verify, entry, copy)) {
                evc_copy_set_add(ret, copy);
                has_any = true;
            }
        }
    }
    return has_any;
}

/** What is alike is counted; *ret the number of the others. */
static uint64_t
count_alike(struct evc_verify *verify)
{
    uint64_t suspects = 0;

    for (uint32_t i = 0; i < verify->table.count; i++) {
        const struct evc_copy_entry *entry = evc_copy_table_at(&verify->table, i);

        if (evc_copy_table_is_suspect(&verify->table, entry)) {
            suspects++;
        } else {
            evc_tally_entry(&verify->tally, &verify->table, entry);
        }
    }
    return suspects;
}

static void
look_at_suspects(struct evc_verify *verify)
{
    struct evc_copy_set holders;

    verify->looked_before = verify->looks.looked;
    verify->phase_started_us = verify->options.sweep->loop.now.mono_us;
    verify->has_lost = false;
    for (unsigned round = 0; !verify->is_stopping && find_holders(verify, &holders); round++) {
        verify->skipped = 0;
        walk(verify, EVC_VERIFY_LOOKING, &holders);
        if (verify->skipped == 0 && verify->has_lost) {
            break;
        }
        verify->has_lost |= verify->skipped == 0;
        if (round == EVC_VERIFY_ROUNDS_MAX) {
            give_up(verify, "too many keys differ for this memory");
        }
    }
    if (!verify->is_stopping) {
        verify->tally.gone += verify->suspects - (verify->looks.looked - verify->looked_before);
    }
}

static void
verify_all(struct evc_verify *verify)
{
    struct evc_sweep *sweep = verify->options.sweep;
    struct evc_copy_set all = {{0}};

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        evc_copy_set_add(&all, i);
        verify->expected += sweep->copies[i].items;
    }
    evc_moment_refresh(&sweep->loop.now);
    verify->started_us = sweep->loop.now.mono_us;
    evc_key_range_init(&verify->range);
    do {
        evc_copy_table_clear(&verify->table);
        verify->phase_started_us = sweep->loop.now.mono_us;
        verify->suspects = 0;
        walk(verify, EVC_VERIFY_COMPARING, &all);
        if (!verify->is_stopping) {
            verify->suspects = count_alike(verify);
            look_at_suspects(verify);
        }
    } while (!verify->is_stopping && evc_key_range_next(&verify->range));
    verify->ended_us = evc_clock_mono_us();
}

/* --- from outside --- */

static struct evc_copy_layout
layout_of(const struct evc_sweep *sweep)
{
    struct evc_copy_layout layout = {.copy_count = sweep->copy_count};

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        layout.region[i] = (uint8_t)sweep->copies[i].region;
        layout.is_counted[i] = sweep->copies[i].is_serving;
    }
    return layout;
}

int
evc_verify_run(struct evc_verify *verify, const struct evc_verify_options *options)
{
    struct evc_sweep *sweep = options->sweep;
    uint64_t lag_us = options->lag_ms * UINT64_C(1000);
    uint64_t queue_bytes = options->memory_bytes / EVC_VERIFY_QUEUE_SHARE;
    int rc;

    assert(options->memory_bytes >= EVC_VERIFY_MEMORY_BYTES_MIN);
    memset(verify, 0, sizeof(*verify));
    verify->options = *options;
    verify->tally.layout = layout_of(sweep);
    rc = evc_copy_table_init(&verify->table, &verify->tally.layout,
                             options->memory_bytes - queue_bytes);
    if (rc != EVC_OK) {
        return rc;
    }
    rc = evc_looks_init(&verify->looks, sweep, &verify->tally, lag_us, options->is_repair,
                        on_look_room, verify);
    if (rc != EVC_OK) {
        evc_copy_table_finish(&verify->table);
        return rc;
    }
    evc_key_queue_init(&verify->keys, queue_bytes);
    verify->walks.sweep = sweep;
    verify->walks.on_end = on_walked;
    verify->walks.ctx = verify;
    sweep->on_look = on_look;
    sweep->on_stop = on_stop;
    sweep->ctx = verify;
    verify_all(verify);
    evc_sweep_forget(sweep);
    evc_key_queue_finish(&verify->keys);
    evc_looks_finish(&verify->looks);
    evc_copy_table_finish(&verify->table);
    return EVC_OK;
}

bool
evc_verify_is_good(const struct evc_verify *verify)
{
    return verify->tally.stale_left == 0;
}
