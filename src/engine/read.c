/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See read.h. A read lives until both of its operations have ended: the slower zone of a hedged
 * read is awaited after the answer was given, because its being overdue is what tells that its node
 * is silent.
 */
#include "engine/read.h"

#include <assert.h>
#include <string.h>

#include "meta/expiry.h"

enum {
    HEDGE_COST = 100 /* in evc_reader.hedge_credit */
};

struct evc_read {
    struct evc_reader *reader; /* first: the pool's link while the object is free */
    evc_read_fn done;          /* NULL once answered */
    void *ctx;
    uint8_t *zones;       /* whoever asked is told; or NULL */
    struct evc_list link; /* reader->unhedged */
    uint64_t started_us;
    uint64_t deadline_us;
    uint16_t want;
    uint8_t zones_asked;
    uint8_t zones_missing;    /* bits */
    uint8_t holds;            /* operations out, and callbacks that go on with the read */
    bool is_asked, is_hedged; /* whether the operations below are out */
    bool was_hedged;
    uint8_t key_len;
    struct evc_node_op op;    /* asks one zone after the other */
    struct evc_node_op hedge; /* asks one beside it */
    char key[EVC_KEY_LEN_MAX];
};

/** What a reply must tell for its item to be stored elsewhere. */
#define REFILL_WANT (EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL)

struct evc_refill {
    struct evc_reader *reader; /* first, as above */
    struct evc_node_op op;
};

struct evc_reader_options
evc_reader_options_of(const struct evc_config *config)
{
    return (struct evc_reader_options){
        .timeout_us = config->read_timeout_ms * 1000,
        .hedge_us = config->read_hedge_ms == EVC_CONFIG_HEDGE_MEASURED
                        ? EVC_READ_HEDGE_MEASURED
                        : config->read_hedge_ms * 1000,
        .hedge_percent = config->read_hedge_percent,
        .refills = config->read_refills,
    };
}

void
evc_reader_init(struct evc_reader *reader, struct evc_node_port *port, const struct evc_moment *now,
                const struct evc_reader_options *options)
{
    assert(port->zone_count > 0 && port->zone_count <= EVC_ZONE_MAX);
    assert(port->local_zone < evc_node_port_readable(port));
    assert(options->hedge_percent <= 100);

    *reader = (struct evc_reader){.port = port, .now = now, .options = *options};
    evc_pool_init(&reader->reads, sizeof(struct evc_read), EVC_READS_MAX);
    evc_pool_init(&reader->refills, sizeof(struct evc_refill), EVC_READ_REFILLS_MAX);
    evc_list_init(&reader->unhedged);
    evc_histogram_init(&reader->first_us);
    /* Measured: until there is something to conclude from, hedging waits. */
    if (options->hedge_us != EVC_READ_HEDGE_MEASURED && evc_node_port_readable(port) > 1) {
        reader->hedge_us = options->hedge_us;
    }
    reader->stats.hedge_us = reader->hedge_us;
}

void
evc_reader_finish(struct evc_reader *reader)
{
    assert(reader->in_flight == 0);
    evc_pool_finish(&reader->reads);
    evc_pool_finish(&reader->refills);
}

/* --- refill --- */

static void
on_refilled(struct evc_node_op *op)
{
    struct evc_refill *refill = EVC_CONTAINER_OF(op, struct evc_refill, op);
    struct evc_reader *reader = refill->reader;

    reader->stats.refills_total += op->result == EVC_NODE_STORED;
    reader->in_flight--;
    evc_pool_give_back(&reader->refills, refill);
}

static void
refill_zone(struct evc_reader *reader, unsigned zone, struct evc_slice key,
            const struct evc_node_reply *found)
{
    struct evc_refill *refill = evc_pool_borrow(&reader->refills);

    if (!refill) {
        reader->stats.refills_skipped_total++;
        return;
    }
    refill->reader = reader;
    refill->op = (struct evc_node_op){
        .verb = EVC_NODE_ADD,
        .zone = (uint8_t)zone,
        .key = key,
        .value = found->value,
        .client_flags = found->client_flags,
        .ttl_s = evc_expiry_from_remaining(found->ttl_s, reader->now->unix_us),
        .version = found->cas,
        .deadline_us = reader->now->mono_us + reader->options.timeout_us,
        .on_done = on_refilled,
    };
    reader->in_flight++;
    evc_node_port_submit(reader->port, &refill->op);
}

static void
refill(struct evc_read *read, const struct evc_node_op *hit)
{
    struct evc_reader *reader = read->reader;

    if (!reader->options.refills || (hit->want & REFILL_WANT) != REFILL_WANT) {
        return;
    }
    for (unsigned zone = 0; zone < reader->port->zone_count; zone++) {
        if (read->zones_missing >> zone & 1) {
            refill_zone(reader, zone, hit->key, &hit->reply);
        }
    }
}

/* --- hedging --- */

/** The delay that the next reads wait is that of 95 % of the last ones. */
static void
measure(struct evc_reader *reader)
{
    uint64_t now_us = reader->now->mono_us;

    if (reader->options.hedge_us != EVC_READ_HEDGE_MEASURED ||
        evc_node_port_readable(reader->port) == 1 ||
        now_us - reader->measured_us < EVC_READ_MEASURE_US) {
        return;
    }
    reader->measured_us = now_us;
    if (reader->first_us.count >= EVC_READ_MEASURE_COUNT_MIN) {
        uint64_t p95_us = evc_histogram_quantile(&reader->first_us, 0.95);

        reader->hedge_us =
            p95_us > EVC_READ_HEDGE_MIN_US ? (uint32_t)p95_us : EVC_READ_HEDGE_MIN_US;
        reader->stats.hedge_us = reader->hedge_us;
        evc_histogram_init(&reader->first_us);
    }
}

static void
earn_hedges(struct evc_reader *reader)
{
    if (reader->hedge_credit < EVC_READ_HEDGE_BURST * HEDGE_COST) {
        reader->hedge_credit += reader->options.hedge_percent;
    }
}

static bool
pay_hedge(struct evc_reader *reader)
{
    if (reader->hedge_credit < HEDGE_COST) {
        reader->stats.hedges_capped_total++;
        return false;
    }
    reader->hedge_credit -= HEDGE_COST;
    reader->stats.hedges_total++;
    return true;
}

/* --- asking zones --- */

static void
tell_zone(struct evc_read *read, unsigned zone, unsigned said)
{
    if (read->zones) {
        read->zones[zone] = (uint8_t)said;
    }
}

/** Asks the next zone with op, which is not out. */
static void
ask(struct evc_read *read, struct evc_node_op *op, void (*on_done)(struct evc_node_op *op))
{
    const struct evc_reader *reader = read->reader;
    const struct evc_node_port *port = reader->port;
    uint64_t now_us = reader->now->mono_us;
    uint64_t left_us = read->deadline_us > now_us ? read->deadline_us - now_us : 0;
    unsigned readable = evc_node_port_readable(port);
    unsigned zones_left = readable - read->zones_asked;
    unsigned want = read->want | EVC_WANT_FLAGS | EVC_WANT_SIZE;

    assert(zones_left > 0);
    if (read->zones_asked > 0 && reader->options.refills) {
        want |= EVC_WANT_CAS | EVC_WANT_TTL; /* a value that was not asked for is not fetched */
    }
    *op = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)((port->local_zone + read->zones_asked) % readable),
        .want = (uint16_t)want,
        .key = {.ptr = read->key, .len = read->key_len},
        .deadline_us = now_us + left_us / zones_left,
        .on_done = on_done,
    };
    tell_zone(read, op->zone, EVC_READ_ZONE_WAITING);
    read->zones_asked++;
    read->holds++;
    evc_node_port_submit(reader->port, op); /* the read may be gone when this returns */
}

static void
give_answer(struct evc_read *read, enum evc_node_result result, const struct evc_node_reply *reply)
{
    evc_read_fn done = read->done;

    evc_list_remove(&read->link);
    read->done = NULL;
    read->zones = NULL;
    read->reader->stats.fallbacks_total += read->zones_asked > 1U + read->was_hedged;
    done(read->ctx, &(struct evc_read_answer){
                        .result = result,
                        .reply = *reply,
                        .zones_asked = read->zones_asked,
                    });
}

static void on_op_done(struct evc_node_op *op);

/** A zone had nothing, or did not say: whoever is still asked, or the next one, may. */
static void
go_on(struct evc_read *read, const struct evc_node_op *op)
{
    const struct evc_reader *reader = read->reader;

    if (read->is_asked || read->is_hedged) {
        return;
    }
    if (read->zones_asked < evc_node_port_readable(reader->port) &&
        reader->now->mono_us < read->deadline_us) {
        read->is_asked = true;
        ask(read, &read->op, on_op_done);
    } else {
        give_answer(read, read->zones_missing != 0 ? EVC_NODE_MISS : op->result, &op->reply);
    }
}

static void
give_up_hold(struct evc_read *read)
{
    struct evc_reader *reader = read->reader;

    assert(read->holds > 0);
    if (--read->holds == 0) {
        assert(!read->done);
        reader->in_flight--;
        evc_pool_give_back(&reader->reads, read);
    }
}

/** What one zone said, to a read that is not answered yet. */
static void
take(struct evc_read *read, const struct evc_node_op *op)
{
    bool is_tombstone = op->result == EVC_NODE_HIT && op->reply.is_tombstone;

    tell_zone(read, op->zone, is_tombstone ? EVC_NODE_MISS : op->result);
    if (op->result == EVC_NODE_MISS) {
        read->zones_missing |= (uint8_t)(1U << op->zone);
    }
    if (op->result != EVC_NODE_HIT) {
        go_on(read, op);
        return;
    }
    if (!is_tombstone) {
        refill(read, op);
    }
    give_answer(read, is_tombstone ? EVC_NODE_MISS : EVC_NODE_HIT, &op->reply);
}

static void
on_op_done(struct evc_node_op *op)
{
    struct evc_read *read = EVC_CONTAINER_OF(op, struct evc_read, op);
    struct evc_reader *reader = read->reader;

    read->is_asked = false;
    if (op->zone == reader->port->local_zone && op->result != EVC_NODE_REFUSED) {
        evc_histogram_record(&reader->first_us, reader->now->mono_us - read->started_us);
    }
    if (read->done) {
        take(read, op);
    }
    give_up_hold(read);
}

static void
on_hedge_done(struct evc_node_op *op)
{
    struct evc_read *read = EVC_CONTAINER_OF(op, struct evc_read, hedge);

    read->is_hedged = false;
    if (read->done) {
        read->reader->stats.hedges_won_total += op->result == EVC_NODE_HIT;
        take(read, op);
    }
    give_up_hold(read);
}

/* --- the owner's calls --- */

void
evc_reader_on_turn(struct evc_reader *reader)
{
    uint64_t now_us = reader->now->mono_us;

    measure(reader);
    while (reader->hedge_us != 0 && !evc_list_is_empty(&reader->unhedged)) {
        struct evc_read *read = EVC_CONTAINER_OF(reader->unhedged.next, struct evc_read, link);

        if (now_us - read->started_us < reader->hedge_us) {
            break;
        }
        evc_list_remove(&read->link);
        if (read->zones_asked == 1 && pay_hedge(reader)) {
            read->is_hedged = true;
            read->was_hedged = true;
            ask(read, &read->hedge, on_hedge_done);
        }
    }
}

int
evc_read_start(struct evc_reader *reader, struct evc_slice key, uint16_t want, evc_read_fn done,
               void *ctx)
{
    return evc_read_start_told(reader, key, want, NULL, done, ctx);
}

int
evc_read_start_told(struct evc_reader *reader, struct evc_slice key, uint16_t want, uint8_t *zones,
                    evc_read_fn done, void *ctx)
{
    struct evc_read *read = evc_pool_borrow(&reader->reads);

    assert(key.len > 0 && key.len <= EVC_KEY_LEN_MAX);
    if (!read) {
        return EVC_E_FULL;
    }
    read->reader = reader;
    read->done = done;
    read->ctx = ctx;
    read->zones = zones;
    if (zones) {
        memset(zones, EVC_READ_ZONE_NOT_ASKED, reader->port->zone_count);
    }
    read->started_us = reader->now->mono_us;
    read->deadline_us = read->started_us + reader->options.timeout_us;
    read->want = want;
    read->zones_asked = 0;
    read->zones_missing = 0;
    read->holds = 0;
    read->is_asked = true;
    read->is_hedged = false;
    read->was_hedged = false;
    read->key_len = (uint8_t)key.len;
    memcpy(read->key, key.ptr, key.len);
    reader->in_flight++;
    evc_list_init(&read->link);
    if (reader->hedge_us != 0) {
        evc_list_push_back(&reader->unhedged, &read->link);
    }
    earn_hedges(reader);
    ask(read, &read->op, on_op_done);
    return EVC_OK;
}
