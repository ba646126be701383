/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See warm.h. An item is borrowed when its key leaves the queue and given back with its outcome;
 * `pending` counts its operations that are out, and one hold while they are being submitted.
 */
#include "sweep/warm.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "meta/expiry.h"
#include "topology/canary.h"

enum {
    SIZE_UNKNOWN_BYTES = 1024, /* assumed, where a node does not tell sizes */
};

struct warm_item {
    struct evc_warm *warm; /* first: the pool's link while the object is free */
    struct evc_node_op read;
    struct evc_node_op targets[EVC_ZONE_MAX]; /* asks, then adds */
    bool is_missing[EVC_ZONE_MAX];            /* where it is to be added */
    unsigned pending, added, failed;
    uint32_t size;
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
};

static void pump(struct evc_warm *warm);

const char *
evc_warm_outcome_str(enum evc_warm_outcome outcome)
{
    static const char *const names[EVC_WARM_OUTCOME_MAX] = {
        [EVC_WARM_ADDED] = "added",          [EVC_WARM_THERE] = "already there",
        [EVC_WARM_GONE] = "expired or gone", [EVC_WARM_FOREIGN] = "foreign",
        [EVC_WARM_FILTERED] = "filtered",    [EVC_WARM_FAILED] = "failed",
    };

    assert(outcome < EVC_WARM_OUTCOME_MAX);
    return names[outcome];
}

static const struct evc_sweep_copy *
copy_at(const struct evc_warm *warm, unsigned copy)
{
    return &warm->options.sweep->copies[copy];
}

/* --- an item ends --- */

static void
leave_if_done(struct evc_warm *warm)
{
    if (!warm->is_walking && warm->keys.count == 0 && warm->in_flight == 0) {
        evc_sweep_leave(warm->options.sweep);
    }
}

static void
end(struct warm_item *item, enum evc_warm_outcome outcome)
{
    struct evc_warm *warm = item->warm;

    warm->outcomes[outcome]++;
    warm->in_flight--;
    warm->in_flight_bytes -= item->size;
    evc_pool_give_back(&warm->pool, item);
    pump(warm);
}

/** An operation without the answer it needs; the first one is told. */
static void
note_failure(struct warm_item *item, unsigned copy, const struct evc_node_op *op)
{
    struct evc_warm *warm = item->warm;
    char name[EVC_SWEEP_NAME_BYTES];
    bool is_answer = op->result == EVC_NODE_ERROR;

    item->failed++;
    warm->has_silent |= !is_answer;
    if (warm->why[0] == '\0') {
        snprintf(warm->why, sizeof(warm->why), "%s: %.*s",
                 evc_sweep_copy_name(warm->options.sweep, copy_at(warm, copy), name),
                 is_answer ? (int)op->reply.error.len : (int)sizeof("a node does not answer") - 1,
                 is_answer ? op->reply.error.ptr : "a node does not answer");
    }
}

/* --- operations --- */

static void
submit(struct warm_item *item, unsigned copy, struct evc_node_op *op)
{
    struct evc_sweep *sweep = item->warm->options.sweep;

    op->zone = (uint8_t)copy_at(item->warm, copy)->port_zone;
    op->key = (struct evc_slice){.ptr = item->key, .len = item->key_len};
    op->deadline_us = evc_sweep_deadline_us(sweep);
    item->pending++;
    evc_node_port_submit(evc_sweep_port(sweep, copy_at(item->warm, copy)), op);
}

static struct warm_item *
item_of_target(struct evc_node_op *op)
{
    return EVC_CONTAINER_OF(op - op->index, struct warm_item, targets);
}

static void
conclude(struct warm_item *item)
{
    assert(item->pending > 0);
    if (--item->pending == 0) {
        end(item, item->failed > 0  ? EVC_WARM_FAILED
                  : item->added > 0 ? EVC_WARM_ADDED
                                    : EVC_WARM_THERE);
    }
}

static void
on_added(struct evc_node_op *op)
{
    struct warm_item *item = item_of_target(op);

    if (op->result == EVC_NODE_STORED) {
        item->added++;
        item->warm->bytes_added += op->value.len;
    } else if (op->result != EVC_NODE_NOT_STORED) {
        note_failure(item, item->warm->targets[op->index], op);
    }
    conclude(item);
}

/** The item as it was read goes to every target that lacks it. */
static void
add_to_targets(struct warm_item *item, const struct evc_node_reply *reply)
{
    struct evc_warm *warm = item->warm;

    item->pending = 1;
    for (unsigned i = 0; i < warm->target_count; i++) {
        if (!item->is_missing[i]) {
            continue;
        }
        item->targets[i] = (struct evc_node_op){
            .verb = EVC_NODE_ADD,
            .index = (uint8_t)i,
            .value = reply->value,
            .client_flags = reply->client_flags,
            .ttl_s = evc_expiry_from_remaining(reply->ttl_s, warm->options.sweep->loop.now.unix_us),
            .version = reply->cas,
            .on_done = on_added,
        };
        submit(item, warm->targets[i], &item->targets[i]);
    }
    conclude(item);
}

static void
on_read(struct evc_node_op *op)
{
    struct warm_item *item = EVC_CONTAINER_OF(op, struct warm_item, read);
    struct evc_warm *warm = item->warm;

    if (op->result == EVC_NODE_MISS || (op->result == EVC_NODE_HIT && op->reply.ttl_s == 0)) {
        end(item, EVC_WARM_GONE);
    } else if (op->result != EVC_NODE_HIT) {
        note_failure(item, warm->source, op);
        end(item, EVC_WARM_FAILED);
    } else if (evc_sweep_version(warm->options.sweep, op->reply.cas) == 0) {
        end(item, EVC_WARM_FOREIGN);
    } else {
        add_to_targets(item, &op->reply);
    }
}

static void
read_source(struct warm_item *item)
{
    item->pending = 0; /* on_read goes by the answer alone */
    item->read = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_NO_BUMP,
        .on_done = on_read,
    };
    submit(item, item->warm->source, &item->read);
}

static void
on_all_asked(struct warm_item *item)
{
    bool is_missing = false;

    for (unsigned i = 0; i < item->warm->target_count; i++) {
        is_missing |= item->is_missing[i];
    }
    if (is_missing && !item->warm->options.is_dry_run) {
        read_source(item);
    } else {
        end(item, item->failed > 0 ? EVC_WARM_FAILED
                  : is_missing     ? EVC_WARM_ADDED
                                   : EVC_WARM_THERE);
    }
}

static void
on_asked(struct evc_node_op *op)
{
    struct warm_item *item = item_of_target(op);

    item->is_missing[op->index] = op->result == EVC_NODE_MISS;
    if (op->result != EVC_NODE_HIT && op->result != EVC_NODE_MISS) {
        note_failure(item, item->warm->targets[op->index], op);
    }
    if (--item->pending == 0) {
        on_all_asked(item);
    }
}

static void
ask_targets(struct warm_item *item)
{
    item->pending = 1;
    for (unsigned i = 0; i < item->warm->target_count; i++) {
        item->targets[i] = (struct evc_node_op){
            .verb = EVC_NODE_GET,
            .index = (uint8_t)i,
            .want = EVC_WANT_CAS | EVC_WANT_NO_BUMP,
            .on_done = on_asked,
        };
        submit(item, item->warm->targets[i], &item->targets[i]);
    }
    if (--item->pending == 0) {
        on_all_asked(item);
    }
}

/* --- from the queue --- */

static bool
is_filtered(const struct evc_warm *warm, struct evc_slice key)
{
    const struct evc_config *config = warm->options.sweep->config;

    return warm->options.is_abroad &&
           (evc_canary_is_key(key.ptr, key.len) ||
            evc_config_policy_of(config, key.ptr, key.len) != EVC_POLICY_COPY);
}

/** One item more at the rate. What was missed for long, because there was nothing to do or the
 * process was stopped, is not made up for. */
static void
take_turn(struct evc_warm *warm)
{
    uint64_t now_us = warm->options.sweep->loop.now.mono_us;
    uint64_t earliest_ns = (now_us - EVC_WARM_CATCH_UP_US) * 1000;

    if (warm->options.rate > 0) {
        warm->due_ns = warm->due_ns > earliest_ns ? warm->due_ns : earliest_ns;
        warm->due_ns += UINT64_C(1000000000) / warm->options.rate;
    }
}

static void
start_item(struct evc_warm *warm, const struct evc_queued_key *key)
{
    struct warm_item *item = evc_pool_borrow(&warm->pool);

    if (!item) {
        warm->outcomes[EVC_WARM_FAILED]++;
        if (warm->why[0] == '\0') {
            snprintf(warm->why, sizeof(warm->why), "out of memory");
        }
        evc_key_queue_drop(&warm->keys);
        return;
    }
    item->warm = warm;
    item->added = item->failed = 0;
    item->size = key->size;
    item->key_len = (uint8_t)key->key.len;
    memcpy(item->key, key->key.ptr, key->key.len);
    warm->in_flight++;
    warm->in_flight_bytes += key->size;
    evc_key_queue_drop(&warm->keys);
    take_turn(warm);
    ask_targets(item);
}

static bool
has_room(const struct evc_warm *warm, const struct evc_queued_key *key)
{
    return warm->in_flight < EVC_WARM_IN_FLIGHT_MAX &&
           (warm->in_flight == 0 || warm->in_flight_bytes + key->size <= EVC_WARM_BYTES_MAX) &&
           warm->due_ns <= warm->options.sweep->loop.now.mono_us * 1000;
}

/** Starts what there is room for. What ends within it is seen by its own loop. */
static void
pump(struct evc_warm *warm)
{
    struct evc_queued_key key;

    if (warm->is_pumping) {
        return;
    }
    warm->is_pumping = true;
    while (evc_key_queue_peek(&warm->keys, &key)) {
        bool is_foreign = key.copy == EVC_WARM_FOREIGN;

        if (is_foreign || is_filtered(warm, key.key)) {
            warm->outcomes[is_foreign ? EVC_WARM_FOREIGN : EVC_WARM_FILTERED]++;
            evc_key_queue_drop(&warm->keys);
        } else if (has_room(warm, &key)) {
            start_item(warm, &key);
        } else {
            break;
        }
    }
    warm->is_pumping = false;
    leave_if_done(warm);
}

/* --- the walk --- */

/** What no key may wait for any more comes in a later pass. */
static void
put_off(struct evc_warm *warm)
{
    uint64_t count = warm->keys.count;

    if (evc_key_range_halve(&warm->range)) {
        evc_key_queue_keep(&warm->keys, &warm->range);
        warm->seen -= count - warm->keys.count;
    }
}

/** Whether it can be none of ours: see evc_node_key_fits, too. */
static bool
is_foreign(const struct evc_warm *warm, const struct evc_node_dump_line *line)
{
    return evc_sweep_version(warm->options.sweep, line->cas) == 0 || !evc_node_key_fits(line->key);
}

static void
on_item(void *ctx, unsigned copy, const struct evc_node_dump_line *line)
{
    struct evc_warm *warm = ctx;
    const struct evc_queued_key key = {
        .key = line->key,
        .hash = evc_hash_key(line->key),
        .size = line->size > 0 ? line->size : SIZE_UNKNOWN_BYTES,
        .copy = is_foreign(warm, line) ? EVC_WARM_FOREIGN : EVC_WARM_ADDED,
    };

    (void)copy;
    while (!warm->is_stopping && evc_key_range_has(&warm->range, key.hash)) {
        if (evc_key_queue_push(&warm->keys, &key)) {
            warm->seen++;
            break;
        }
        put_off(warm);
    }
    if (warm->in_flight < EVC_WARM_IN_FLIGHT_MAX / 2) {
        pump(warm);
    }
}

static void
on_walked(void *ctx)
{
    struct evc_warm *warm = ctx;

    warm->is_walking = false;
    if (warm->walks.nodes_failed > 0 && !warm->is_stopping) {
        warm->is_incomplete = warm->has_silent = true;
        if (warm->why[0] == '\0') {
            snprintf(warm->why, sizeof(warm->why), "%s", warm->walks.why);
        }
    }
    leave_if_done(warm);
}

static void
on_look(void *ctx)
{
    pump(ctx);
}

static void
on_stop(void *ctx)
{
    struct evc_warm *warm = ctx;
    const struct evc_key_range nothing = {.first = 1, .last = 0};

    warm->is_stopping = warm->is_incomplete = true;
    warm->seen -= warm->keys.count;
    evc_key_queue_keep(&warm->keys, &nothing);
    if (warm->is_walking) {
        evc_walks_stop(&warm->walks);
    }
    leave_if_done(warm);
}

/* --- the run --- */

/** One source, in as many passes as it takes. */
static void
warm_from(struct evc_warm *warm, unsigned source)
{
    struct evc_walks *walks = &warm->walks;

    warm->source = source;
    walks->copies = (struct evc_copy_set){{0}};
    evc_copy_set_add(&walks->copies, source);
    evc_key_range_init(&warm->range);
    do {
        warm->is_walking = true;
        evc_walks_start(walks);
        while (warm->is_walking || warm->keys.count > 0 || warm->in_flight > 0) {
            evc_sweep_run(warm->options.sweep);
        }
    } while (!warm->is_incomplete && evc_key_range_next(&warm->range));
}

void
evc_warm_run(struct evc_warm *warm, const struct evc_warm_options *options)
{
    struct evc_sweep *sweep = options->sweep;

    *warm = (struct evc_warm){.options = *options};
    warm->walks.sweep = sweep;
    warm->walks.on_item = on_item;
    warm->walks.on_end = on_walked;
    warm->walks.ctx = warm;
    sweep->on_look = on_look;
    sweep->on_stop = on_stop;
    sweep->ctx = warm;
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        if (evc_copy_set_has(&options->targets, i)) {
            assert(warm->target_count < EVC_ZONE_MAX);
            warm->targets[warm->target_count++] = i;
        }
        if (evc_copy_set_has(&options->sources, i)) {
            warm->expected += sweep->copies[i].items;
        }
    }
    evc_key_queue_init(&warm->keys, EVC_WARM_KEYS_BYTES_MAX);
    evc_pool_init(&warm->pool, sizeof(struct warm_item), EVC_WARM_IN_FLIGHT_MAX);
    evc_moment_refresh(&sweep->loop.now);
    warm->started_us = sweep->loop.now.mono_us;
    warm->due_ns = warm->started_us * 1000;
    for (unsigned i = 0; i < sweep->copy_count && !warm->is_incomplete; i++) {
        if (evc_copy_set_has(&options->sources, i)) {
            warm_from(warm, i);
        }
    }
    warm->ended_us = evc_clock_mono_us();
    evc_pool_finish(&warm->pool);
    evc_key_queue_finish(&warm->keys);
    evc_sweep_forget(sweep);
}
