/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See looks.h. A key's answers stay in its operations until it is asked again; the one explain is
 * filled from them whenever something is to be judged.
 */
#include "sweep/looks.h"

#include <assert.h>
#include <string.h>

#include "meta/expiry.h"

struct look {
    struct evc_looks *looks; /* first: the pool's link while the object is free */
    struct evc_list link;    /* paused or waiting */
    enum evc_policy policy;
    unsigned region; /* for policy none */
    unsigned pending;
    uint64_t lag_end_us, due_us;
    bool is_settled; /* by the first look; a repair leaves it so */
    evc_version settled[EVC_CONFIG_REGION_MAX];
    bool is_repaired; /* what follows is the look after */
    struct evc_tally_key before;
    /* being repaired */
    unsigned repairing; /* the region */
    uint32_t late;      /* regions, a bit each */
    evc_version wanted;
    uint32_t value_bytes; /* taken of EVC_LOOKS_VALUE_BYTES_MAX */
    struct evc_node_op read;
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
    struct evc_node_op ops[]; /* by copy */
};

static void ask(struct look *look);
static void repair_region(struct look *look);

static struct evc_slice
key_of(const struct look *look)
{
    return (struct evc_slice){.ptr = look->key, .len = look->key_len};
}

static bool
is_asked(const struct look *look, unsigned copy)
{
    return look->policy != EVC_POLICY_NONE ||
           look->looks->sweep->copies[copy].region == look->region;
}

/* --- judging --- */

/** What the copies have answered, judged. Valid until the next one is. */
static struct evc_explain *
judge(const struct look *look)
{
    struct evc_looks *looks = look->looks;

    looks->explain->policy = look->policy;
    memcpy(looks->explain->settled, look->settled, sizeof(look->settled));
    for (unsigned i = 0; i < looks->sweep->copy_count; i++) {
        struct evc_explain_copy *copy = &looks->explain->copies[looks->explain_index[i]];
        const struct evc_node_op *op = &look->ops[i];
        bool was_asked = is_asked(look, i);

        copy->is_counted = was_asked && looks->sweep->copies[i].is_serving;
        copy->has_answered =
            !was_asked || op->result == EVC_NODE_HIT || op->result == EVC_NODE_MISS;
        copy->is_found = was_asked && op->result == EVC_NODE_HIT;
        copy->reply = copy->is_found ? op->reply : (struct evc_node_reply){.ttl_s = -1};
        copy->reply.value = copy->reply.error = EVC_SLICE("");
        copy->version = copy->is_found ? evc_sweep_version(looks->sweep, op->reply.cas) : 0;
    }
    evc_explain_judge(looks->explain);
    return looks->explain;
}

/** What was judged last is what must have come everywhere by the next look. */
static void
settle(struct look *look)
{
    if (!look->is_settled) {
        evc_explain_settle(look->looks->explain);
        memcpy(look->settled, look->looks->explain->settled, sizeof(look->settled));
        look->is_settled = true;
    }
}

/** A tombstone that is behind is a miss to who reads, so it counts as one. */
static uint8_t
tally_state_of(const struct look *look, unsigned copy)
{
    const struct evc_looks *looks = look->looks;
    const struct evc_explain_copy *judged = &looks->explain->copies[looks->explain_index[copy]];

    if (!is_asked(look, copy)) {
        return EVC_COPY_DRAINED;
    }
    if (judged->state == EVC_COPY_BEHIND && judged->reply.is_tombstone) {
        return EVC_COPY_MISSING;
    }
    return (uint8_t)(judged->state == EVC_COPY_FOLLOWING ? EVC_COPY_NEWEST : judged->state);
}

static struct evc_tally_key
tally_key_of(const struct look *look)
{
    struct evc_tally_key key = {.key = key_of(look), .policy = look->policy};

    for (unsigned i = 0; i < look->looks->sweep->copy_count; i++) {
        key.states[i] = tally_state_of(look, i);
    }
    return key;
}

static bool
is_found_anywhere(const struct look *look)
{
    for (unsigned i = 0; i < look->looks->sweep->copy_count; i++) {
        if (is_asked(look, i) && look->ops[i].result == EVC_NODE_HIT) {
            return true;
        }
    }
    return false;
}

/* --- the end of one --- */

static void
end(struct look *look)
{
    struct evc_looks *looks = look->looks;

    looks->in_flight--;
    looks->looked++;
    evc_pool_give_back(&looks->pool, look);
    looks->on_room(looks->ctx);
}

static void
pause_look(struct look *look)
{
    look->due_us =
        look->looks->sweep->loop.now.mono_us + EVC_EXPLAIN_LOOK_PAUSE_MS * UINT64_C(1000);
    evc_list_push_back(&look->looks->paused, &look->link);
    look->looks->on_room(look->looks->ctx);
}

/** Remembers the first copy whose node has not answered. */
static void
note_silent(struct look *look)
{
    struct evc_looks *looks = look->looks;

    looks->tally->unanswered++;
    for (unsigned i = 0; looks->silent_copy == EVC_SWEEP_COPIES_MAX && i < looks->sweep->copy_count;
         i++) {
        if (looks->sweep->copies[i].is_serving && tally_state_of(look, i) == EVC_COPY_UNANSWERED) {
            looks->silent_copy = i;
        }
    }
}

/** All copies have answered, or will not. */
static void
on_all_asked(struct look *look)
{
    struct evc_looks *looks = look->looks;
    struct evc_explain *explain = judge(look);
    bool is_answered = evc_explain_unanswered(explain) == 0;
    bool differs = evc_explain_differing(explain) > 0;
    bool is_early = looks->sweep->loop.now.mono_us < look->lag_end_us;
    struct evc_tally_key key;

    looks->asking--;
    if (is_answered && differs && is_early && !looks->is_stopping) {
        settle(look);
        pause_look(look);
        return;
    }
    key = tally_key_of(look);
    if (!is_answered) {
        note_silent(look);
    }
    if (look->is_repaired) {
        evc_tally_repair(looks->tally, &look->before, &key, look->late);
        end(look);
    } else if (!is_answered) {
        end(look);
    } else if (!is_found_anywhere(look)) {
        looks->tally->gone++;
        end(look);
    } else if (differs && is_early) {
        end(look); /* stopped while a write may be on its way: nobody knows */
    } else {
        evc_tally_key(looks->tally, &key);
        if (differs && looks->is_repair && !looks->is_stopping) {
            look->before = key;
            look->repairing = 0;
            repair_region(look);
        } else {
            end(look);
        }
    }
}

/* --- asking --- */

static void
on_asked(struct evc_node_op *op)
{
    struct look *look = EVC_CONTAINER_OF(op - op->index, struct look, ops);

    assert(look->pending > 0);
    if (--look->pending == 0) {
        on_all_asked(look);
    }
}

static void
submit(struct look *look, unsigned copy, struct evc_node_op *op)
{
    struct evc_sweep *sweep = look->looks->sweep;

    op->zone = (uint8_t)sweep->copies[copy].port_zone;
    op->key = key_of(look);
    op->deadline_us = evc_sweep_deadline_us(sweep);
    evc_node_port_submit(evc_sweep_port(sweep, &sweep->copies[copy]), op);
}

/** What differs now may differ for as long as a write may be on its way. */
static void
ask_patiently(struct look *look)
{
    look->lag_end_us = look->looks->sweep->loop.now.mono_us + look->looks->lag_us;
    ask(look);
}

static void
ask(struct look *look)
{
    look->pending = 1;
    look->looks->asking++;
    for (unsigned i = 0; i < look->looks->sweep->copy_count; i++) {
        look->ops[i] = (struct evc_node_op){
            .verb = EVC_NODE_GET,
            .index = (uint8_t)i,
            .want = EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_SIZE | EVC_WANT_NO_BUMP,
            .on_done = on_asked,
        };
        if (is_asked(look, i)) {
            look->pending++;
            submit(look, i, &look->ops[i]);
        }
    }
    if (--look->pending == 0) {
        on_all_asked(look);
    }
}

/* --- repair --- */

static bool
has_repair_room(const struct evc_looks *looks)
{
    return looks->repairs < EVC_LOOKS_REPAIRS_MAX && looks->value_bytes < EVC_LOOKS_VALUE_BYTES_MAX;
}

/** A repair of one region is over: those that waited for room may begin. */
static void
give_up_room(struct look *look)
{
    struct evc_looks *looks = look->looks;
    struct evc_list *link;

    looks->repairs--;
    looks->value_bytes -= look->value_bytes;
    look->value_bytes = 0;
    if (looks->is_resuming) {
        return;
    }
    looks->is_resuming = true;
    while (has_repair_room(looks) && (link = evc_list_pop_front(&looks->waiting)) != NULL) {
        repair_region(EVC_CONTAINER_OF(link, struct look, link));
    }
    looks->is_resuming = false;
}

static void
on_applied(void *ctx, uint64_t tag, enum evc_apply_result result, evc_version newest)
{
    struct look *look = ctx;

    (void)tag;
    (void)newest; /* the look after sees it */
    /* Where the region has decided and a copy is missing all the same, it was too old for that. */
    look->late |= result <= EVC_APPLY_LATE ? 1U << look->repairing : 0;
    look->repairing++;
    give_up_room(look);
    repair_region(look);
}

static void
apply(struct look *look, const struct evc_node_reply *reply, struct evc_slice value)
{
    struct evc_looks *looks = look->looks;
    const struct evc_replica replica = {
        .key = key_of(look),
        .value = value,
        .client_flags = reply->client_flags,
        .ttl_s = evc_expiry_from_remaining(reply->ttl_s, looks->sweep->loop.now.unix_us),
        .version = look->wanted,
    };

    if (evc_apply_start(&looks->appliers[look->repairing], &replica, on_applied, look, 0) !=
        EVC_OK) {
        on_applied(look, 0, EVC_APPLY_FAILED, 0); /* without memory */
    }
}

static void
on_value(struct evc_node_op *op)
{
    struct look *look = EVC_CONTAINER_OF(op, struct look, read);

    if (op->result == EVC_NODE_HIT && op->reply.cas == look->wanted && op->reply.ttl_s != 0) {
        apply(look, &op->reply, op->reply.value);
    } else {
        on_applied(look, 0, EVC_APPLY_FAILED, 0); /* it has changed since: the look after tells */
    }
}

/** Whether a copy of the region is to be brought to what another has. */
static bool
is_to_be_repaired(const struct look *look, unsigned region)
{
    const struct evc_sweep *sweep = look->looks->sweep;

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        unsigned state = look->before.states[i];

        if (sweep->copies[i].region == region && sweep->copies[i].is_serving &&
            (state == EVC_COPY_BEHIND || state == EVC_COPY_MISSING || state == EVC_COPY_FOREIGN)) {
            return true;
        }
    }
    return false;
}

/** The copy of the sweep that one of explain's is. */
static unsigned
copy_of(const struct evc_looks *looks, const struct evc_explain_copy *copy)
{
    return evc_sweep_copy_find(looks->sweep, copy->region, copy->zone);
}

/** One region is brought to what it should have: its model, or with `invalidate` a tombstone. */
static void
repair_from(struct look *look, const struct evc_explain_copy *model)
{
    static const struct evc_node_reply tombstone = {.client_flags = EVC_TOMBSTONE_FLAGS};
    struct evc_looks *looks = look->looks;

    if (!has_repair_room(looks)) {
        evc_list_push_back(&looks->waiting, &look->link);
        return;
    }
    looks->repairs++;
    look->wanted = model->version;
    if (model->reply.is_tombstone ||
        (look->policy == EVC_POLICY_INVALIDATE && model->region != look->repairing)) {
        apply(look, &tombstone, EVC_SLICE(""));
        return;
    }
    look->value_bytes = model->reply.size;
    looks->value_bytes += look->value_bytes;
    look->read = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_NO_BUMP,
        .on_done = on_value,
    };
    submit(look, copy_of(looks, model), &look->read);
}

/** From look->repairing on, the next region that needs it; then the look after. */
static void
repair_region(struct look *look)
{
    struct evc_looks *looks = look->looks;

    for (; look->repairing < looks->sweep->config->regions_count; look->repairing++) {
        const struct evc_explain_copy *model;

        if (!is_to_be_repaired(look, look->repairing) || looks->is_stopping) {
            continue;
        }
        model = evc_explain_model(judge(look), look->repairing);
        if (model) {
            repair_from(look, model);
            return;
        }
    }
    look->is_repaired = true;
    ask_patiently(look);
}

/** What apply would announce to the region's relay: the sweep has no journal, and looks itself. */
static bool
ignore_event(struct evc_event_sink *sink, const struct evc_event *event)
{
    (void)sink;
    (void)event;
    return true;
}

/* --- from outside --- */

static void
init_appliers(struct evc_looks *looks)
{
    const struct evc_sweep *sweep = looks->sweep;

    looks->sink.append = ignore_event;
    evc_version_clock_init(&looks->clock, 0, sweep->config->drift_ms); /* it mints nothing */
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        unsigned region = sweep->copies[i].region;
        const struct evc_apply_options options = {
            .region = region,
            .zone_timeout_us = EVC_SWEEP_OP_TIMEOUT_US,
            .tombstone_ttl_s = sweep->config->tombstone_ttl_s,
        };

        if (!looks->appliers[region].port) {
            evc_applier_init(&looks->appliers[region], evc_sweep_port(sweep, &sweep->copies[i]),
                             &looks->clock, &sweep->loop.now, &looks->sink, &options);
        }
    }
}

/** Those of explain's copies that take no part are as if drained. */
static void
init_explain(struct evc_looks *looks)
{
    for (size_t i = 0; i < looks->explain->copy_count; i++) {
        struct evc_explain_copy *copy = &looks->explain->copies[i];
        unsigned own = copy_of(looks, copy);

        if (own == EVC_SWEEP_COPIES_MAX) {
            copy->address = NULL;
            copy->is_counted = false;
        } else {
            looks->explain_index[own] = i;
        }
    }
}

int
evc_looks_init(struct evc_looks *looks, struct evc_sweep *sweep, struct evc_tally *tally,
               uint64_t lag_us, bool is_repair, void (*on_room)(void *ctx), void *ctx)
{
    size_t look_bytes;

    *looks = (struct evc_looks){
        .sweep = sweep,
        .tally = tally,
        .lag_us = lag_us,
        .is_repair = is_repair,
        .on_room = on_room,
        .ctx = ctx,
        .silent_copy = EVC_SWEEP_COPIES_MAX,
        .explain = evc_explain_create(sweep->config, EVC_SLICE("-")), /* for any key */
    };
    if (!looks->explain) {
        return EVC_E_NOMEM;
    }
    look_bytes = sizeof(struct look) + sweep->copy_count * sizeof(struct evc_node_op);
    evc_pool_init(&looks->pool, look_bytes, EVC_LOOKS_BYTES_MAX / look_bytes);
    evc_list_init(&looks->paused);
    evc_list_init(&looks->waiting);
    init_explain(looks);
    init_appliers(looks);
    return EVC_OK;
}

void
evc_looks_finish(struct evc_looks *looks)
{
    for (unsigned i = 0; i < EVC_CONFIG_REGION_MAX; i++) {
        if (looks->appliers[i].port) {
            evc_applier_finish(&looks->appliers[i]);
        }
    }
    evc_pool_finish(&looks->pool);
    evc_explain_destroy(looks->explain);
    looks->explain = NULL;
}

bool
evc_looks_start(struct evc_looks *looks, struct evc_slice key, enum evc_policy policy,
                unsigned region)
{
    struct look *look = looks->asking < EVC_LOOKS_ASKING_MAX ? evc_pool_borrow(&looks->pool) : NULL;

    assert(key.len >= 1 && key.len <= EVC_KEY_LEN_MAX);
    if (!look) {
        return false;
    }
    look->looks = looks;
    evc_list_init(&look->link);
    look->policy = policy;
    look->region = region;
    look->is_settled = false;
    memset(look->settled, 0, sizeof(look->settled));
    look->is_repaired = false;
    look->late = 0;
    look->value_bytes = 0;
    look->key_len = (uint8_t)key.len;
    memcpy(look->key, key.ptr, key.len);
    looks->in_flight++;
    ask_patiently(look);
    return true;
}

void
evc_looks_on_look(struct evc_looks *looks)
{
    uint64_t now_us = looks->sweep->loop.now.mono_us;

    while (!evc_list_is_empty(&looks->paused)) {
        struct look *look = EVC_CONTAINER_OF(looks->paused.next, struct look, link);

        if (!looks->is_stopping &&
            (look->due_us > now_us || looks->asking >= EVC_LOOKS_ASKING_MAX)) {
            break;
        }
        evc_list_remove(&look->link);
        ask(look);
    }
}

void
evc_looks_stop(struct evc_looks *looks)
{
    looks->is_stopping = true;
    evc_looks_on_look(looks);
}
