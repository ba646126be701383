/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See write.h. One struct evc_write lives from evc_write_start until every zone it was sent to has
 * answered or timed out; `pending` counts what keeps it alive: operations on their way, and one
 * hold while operations are being submitted (a refused one ends inside submit).
 */
#include "replication/write.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "meta/expiry.h"
#include "replication/rule.h"

struct evc_write {
    struct evc_writer *writer; /* first: the pool's link while the object is free */
    evc_write_fn done;         /* NULL once answered */
    void *ctx;
    uint64_t tag;

    enum evc_write_kind kind;
    bool is_tombstone;
    bool want_existed;
    bool existed_known, existed;
    bool is_decided;   /* the deciding kinds: one zone has it, the others follow */
    bool is_overtaken; /* a newer version of the key left before it did */
    uint8_t key_len;
    uint32_t client_flags;
    int64_t exptime;
    uint64_t unique;
    uint64_t deadline_us;
    evc_version version;
    evc_journal_pos journal_pos;

    unsigned pending;
    unsigned stored, refused, unknown, rejected;
    unsigned zones_to_go; /* zones that may still acknowledge */
    unsigned races;
    unsigned deciding_zone, zones_tried;

    char key[EVC_KEY_LEN_MAX];
    char error[EVC_WRITE_ERROR_BYTES];
    uint8_t error_len;
    struct evc_buf value;
    struct evc_node_op look;      /* the deciding or peeking read */
    struct evc_node_op zone_op[]; /* by zone */
};

static void decide(struct evc_write *write);

static size_t
write_bytes(const struct evc_writer *writer)
{
    return sizeof(struct evc_write) + writer->port->zone_count * sizeof(struct evc_node_op);
}

void
evc_writer_init(struct evc_writer *writer, struct evc_node_port *port,
                struct evc_version_clock *clock, const struct evc_moment *now,
                struct evc_journal *journal, const struct evc_write_options *options)
{
    assert(port->zone_count >= 1 && port->zone_count <= EVC_ZONE_MAX);
    assert(options->zones_needed >= 1 && options->zones_needed <= port->zone_count);

    *writer = (struct evc_writer){
        .port = port,
        .clock = clock,
        .now = now,
        .journal = journal,
        .options = *options,
    };
    evc_pool_init(&writer->pool, write_bytes(writer), EVC_WRITE_IN_FLIGHT_MAX);
}

static void
free_value(void *object)
{
    evc_buf_finish(&((struct evc_write *)object)->value);
}

void
evc_writer_finish(struct evc_writer *writer)
{
    assert(writer->stats.in_flight == 0);
    evc_pool_for_each_free(&writer->pool, free_value);
    evc_pool_finish(&writer->pool);
}

static struct evc_slice
write_key(const struct evc_write *write)
{
    return (struct evc_slice){.ptr = write->key, .len = write->key_len};
}

static void
answer(struct evc_write *write, enum evc_write_result result)
{
    evc_write_fn done = write->done;

    if (!done) {
        return;
    }
    write->done = NULL;
    write->writer->stats.result[result]++;
    done(write->ctx, write->tag,
         &(struct evc_write_answer){
             .result = result,
             .version = write->version,
             .zones_stored = write->stored,
             .error = {.ptr = write->error, .len = write->error_len},
         });
}

static enum evc_write_result
success_of(const struct evc_write *write)
{
    switch (write->kind) {
    case EVC_WRITE_DELETE:
        return write->existed ? EVC_WRITE_DELETED : EVC_WRITE_NOT_FOUND;
    case EVC_WRITE_TOUCH:
        return EVC_WRITE_TOUCHED;
    case EVC_WRITE_SET:
    case EVC_WRITE_ADD:
    case EVC_WRITE_REPLACE:
    case EVC_WRITE_CAS:
    case EVC_WRITE_KIND_MAX:
        break;
    }
    return EVC_WRITE_STORED;
}

/** Answers as soon as the outcome is certain, before the last zone has spoken. */
static void
answer_if_certain(struct evc_write *write)
{
    unsigned needed = write->writer->options.zones_needed;

    if (write->stored >= needed) {
        if (!write->want_existed || write->existed_known) {
            answer(write, success_of(write));
        }
    } else if (write->stored + write->zones_to_go < needed) {
        answer(write,
               write->rejected > 0 && write->stored == 0 ? EVC_WRITE_REJECTED : EVC_WRITE_FAILED);
    }
}

static struct evc_event
event_of(const struct evc_write *write)
{
    uint64_t unix_us = write->writer->now->unix_us;

    return (struct evc_event){
        .op = write->is_tombstone ? EVC_EVENT_DELETE : EVC_EVENT_SET,
        .key = write_key(write),
        .version = write->version,
        .expiry_s = write->is_tombstone ? 0 : evc_expiry_unix_s(write->exptime, unix_us),
        .written_us = unix_us,
    };
}

/** Where the last version minted for the key is kept. */
static evc_version *
minted_slot(struct evc_write *write)
{
    return &write->writer->minted[evc_hash_key(write_key(write)) % EVC_WRITE_MINTED_SLOTS];
}

/** Mints the version and puts the event into the journal, before anything leaves. */
static void
announce(struct evc_write *write)
{
    struct evc_writer *writer = write->writer;
    struct evc_event event;

    write->version = evc_version_clock_mint(writer->clock, writer->now->unix_us / 1000);
    *minted_slot(write) = write->version;
    event = event_of(write);
    write->journal_pos = evc_journal_reserve(writer->journal, &event);
    if (!EVC_RULE_IS_ON(writer->options, EVC_RULE_RELEASE)) {
        evc_journal_release(writer->journal, write->journal_pos);
    }
}

static void
ask_for_repair(struct evc_write *write)
{
    struct evc_event event = event_of(write);

    event.flags = EVC_EVENT_REPAIR;
    write->writer->stats.repairs_total++;
    /* A full journal counts the event as lost; there is no better place to say so. */
    (void)evc_event_sink_append(evc_journal_sink(write->writer->journal), &event);
}

static void
ignore_answer(void *ctx, uint64_t tag, const struct evc_write_answer *given)
{
    (void)ctx;
    (void)tag;
    (void)given;
}

/** A node that refuses a value drops the one it had; the delete makes that true everywhere. */
static void
delete_what_was_refused(struct evc_write *write)
{
    struct evc_write_request request = {.kind = EVC_WRITE_DELETE, .key = write_key(write)};

    if (evc_write_start(write->writer, &request, ignore_answer, NULL, 0) != EVC_OK) {
        write->writer->stats.unknown_total++;
    }
}

/** Every zone has spoken: settles the journal's entry and asks for repair where a zone failed. */
static void
settle(struct evc_write *write)
{
    struct evc_writer *writer = write->writer;
    bool rule_failed = EVC_RULE_IS_ON(writer->options, EVC_RULE_FAILED);

    if (write->stored == 0) {
        if (!EVC_RULE_IS_ON(writer->options, EVC_RULE_RELEASE)) {
            ask_for_repair(write); /* the event itself has left long ago */
        } else if (write->unknown > 0 && rule_failed) {
            writer->stats.unknown_total++;
            evc_journal_release_unknown(writer->journal, write->journal_pos);
        } else {
            evc_journal_cancel(writer->journal, write->journal_pos);
        }
        if (write->rejected > 0 && write->kind != EVC_WRITE_DELETE) {
            delete_what_was_refused(write);
        }
    } else if (write->is_overtaken ||
               (write->refused + write->unknown + write->rejected > 0 && rule_failed)) {
        ask_for_repair(write);
    }
    evc_journal_settle(writer->journal, write->journal_pos);
}

static void
give_up_hold(struct evc_write *write)
{
    struct evc_writer *writer = write->writer;

    assert(write->pending > 0);
    if (--write->pending > 0) {
        return;
    }
    if (write->version != 0) {
        settle(write);
    }
    assert(!write->done);
    evc_buf_clear(&write->value);
    evc_buf_shrink(&write->value, EVC_WRITE_VALUE_KEEP_BYTES);
    writer->stats.in_flight--;
    evc_pool_give_back(&writer->pool, write);
}

static void
keep_error(struct evc_write *write, struct evc_slice error)
{
    if (write->error_len == 0) {
        size_t len = error.len < sizeof(write->error) ? error.len : sizeof(write->error);

        memcpy(write->error, error.ptr, len);
        write->error_len = (uint8_t)len;
    }
}

/** Counts what a zone said of the value that was sent to it. */
static void
count_zone(struct evc_write *write, const struct evc_node_op *op)
{
    struct evc_writer *writer = write->writer;

    write->zones_to_go--;
    if (op->result == EVC_NODE_STORED) {
        if (write->stored++ == 0 && EVC_RULE_IS_ON(writer->options, EVC_RULE_RELEASE)) {
            evc_journal_release(writer->journal, write->journal_pos);
        }
        return;
    }
    writer->stats.zone_failures_total++;
    if (op->result == EVC_NODE_REFUSED) {
        write->refused++;
    } else if (op->result == EVC_NODE_ERROR) {
        write->rejected++;
        keep_error(write, op->reply.error);
    } else {
        write->unknown++;
    }
}

static struct evc_write *
write_of_zone_op(struct evc_node_op *op)
{
    return EVC_CONTAINER_OF(op - op->zone, struct evc_write, zone_op);
}

static void
on_zone_done(struct evc_node_op *op)
{
    struct evc_write *write = write_of_zone_op(op);

    count_zone(write, op);
    answer_if_certain(write);
    give_up_hold(write);
}

static void
submit_zone(struct evc_write *write, unsigned zone, enum evc_node_verb verb, uint64_t seen,
            struct evc_slice value, void (*on_done)(struct evc_node_op *op))
{
    struct evc_writer *writer = write->writer;
    struct evc_node_op *op = &write->zone_op[zone];
    bool tombstone = write->is_tombstone;

    *op = (struct evc_node_op){
        .verb = verb,
        .zone = (uint8_t)zone,
        .key = write_key(write),
        .value = tombstone ? (struct evc_slice){.ptr = "", .len = 0} : value,
        .client_flags = tombstone ? EVC_TOMBSTONE_FLAGS : write->client_flags,
        .ttl_s = tombstone ? writer->options.tombstone_ttl_s : write->exptime,
        .version = write->version,
        .seen = seen,
        .deadline_us = write->deadline_us,
        .on_done = on_done,
    };
    write->pending++;
    evc_node_port_submit(writer->port, op);
}

static void
send_to_zones(struct evc_write *write, struct evc_slice value)
{
    unsigned zone_count = write->writer->port->zone_count;

    for (unsigned zone = 0; zone < zone_count; zone++) {
        if (!write->is_decided || zone != write->deciding_zone) {
            submit_zone(write, zone, EVC_NODE_SET, 0, value, on_zone_done);
        }
    }
}

static void
submit_look(struct evc_write *write, unsigned zone, uint16_t want,
            void (*on_done)(struct evc_node_op *op))
{
    write->look = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)zone,
        .want = want,
        .key = write_key(write),
        .deadline_us = write->deadline_us,
        .on_done = on_done,
    };
    write->pending++;
    evc_node_port_submit(write->writer->port, &write->look);
}

/** A delete's question whether there was anything; asked on the same connection, ahead of the
 * tombstone. */
static void
on_existed(struct evc_node_op *op)
{
    struct evc_write *write = EVC_CONTAINER_OF(op, struct evc_write, look);

    write->existed_known = true;
    /* Without an answer nobody knows; DELETED is what a client can act on. */
    write->existed =
        op->result == EVC_NODE_HIT ? !op->reply.is_tombstone : op->result != EVC_NODE_MISS;
    answer_if_certain(write);
    give_up_hold(write);
}

static void
send_everywhere(struct evc_write *write, struct evc_slice value)
{
    announce(write);
    write->zones_to_go = write->writer->port->zone_count;
    if (write->want_existed) {
        submit_look(write, write->writer->port->local_zone, EVC_WANT_FLAGS | EVC_WANT_SIZE,
                    on_existed);
    } else {
        write->existed = true;
    }
    send_to_zones(write, value);
}

/* --- the kinds that decide in one zone first --- */

static bool
decides(const struct evc_write_request *request)
{
    return request->kind == EVC_WRITE_ADD || request->kind == EVC_WRITE_REPLACE ||
           request->kind == EVC_WRITE_CAS || request->kind == EVC_WRITE_TOUCH ||
           (request->kind == EVC_WRITE_DELETE && request->unique != 0);
}

/** The next zone decides, or nobody is left to. */
static void
decide_elsewhere(struct evc_write *write)
{
    unsigned zone_count = write->writer->port->zone_count;

    write->zones_tried++;
    if (write->zones_tried >= zone_count) {
        answer(write, EVC_WRITE_FAILED);
        return;
    }
    write->deciding_zone = (write->deciding_zone + 1) % zone_count;
    decide(write);
}

/** What was announced did certainly not happen. */
static void
withdraw(struct evc_write *write)
{
    if (EVC_RULE_IS_ON(write->writer->options, EVC_RULE_RELEASE)) {
        evc_journal_cancel(write->writer->journal, write->journal_pos);
    }
    evc_journal_settle(write->writer->journal, write->journal_pos);
    write->journal_pos = EVC_JOURNAL_POS_NONE;
    write->version = 0;
}

static void
on_deciding_write(struct evc_node_op *op)
{
    struct evc_write *write = write_of_zone_op(op);

    switch (op->result) {
    case EVC_NODE_STORED:
        write->is_decided = true;
        write->is_overtaken = *minted_slot(write) != write->version;
        write->existed = true;
        write->zones_to_go = write->writer->port->zone_count;
        count_zone(write, op);
        answer_if_certain(write);
        send_to_zones(write, evc_buf_slice(&write->value));
        break;
    case EVC_NODE_EXISTS:
    case EVC_NODE_NOT_STORED:
    case EVC_NODE_MISS:
        withdraw(write);
        write->writer->stats.races_total++;
        if (++write->races > EVC_WRITE_RACES_MAX) {
            answer(write, EVC_WRITE_FAILED);
        } else {
            decide(write);
        }
        break;
    case EVC_NODE_REFUSED:
        withdraw(write);
        decide_elsewhere(write);
        break;
    case EVC_NODE_ERROR:
        write->zones_to_go = 1;
        count_zone(write, op);
        answer(write, EVC_WRITE_REJECTED);
        break;
    case EVC_NODE_UNKNOWN:
    case EVC_NODE_HIT:
    case EVC_NODE_RESULT_MAX:
        write->zones_to_go = 1;
        count_zone(write, op);
        answer(write, EVC_WRITE_FAILED);
        break;
    }
    give_up_hold(write);
}

/** Whether the write goes ahead over what the deciding zone holds; if not, *ret is the answer. */
static bool
goes_ahead(const struct evc_write *write, const struct evc_node_op *look,
           enum evc_write_result *ret)
{
    bool is_live = look->result == EVC_NODE_HIT && !look->reply.is_tombstone;

    switch (write->kind) {
    case EVC_WRITE_ADD:
        *ret = EVC_WRITE_NOT_STORED;
        return !is_live;
    case EVC_WRITE_REPLACE:
        *ret = EVC_WRITE_NOT_STORED;
        return is_live;
    case EVC_WRITE_CAS:
    case EVC_WRITE_DELETE:
        *ret = is_live ? EVC_WRITE_EXISTS : EVC_WRITE_NOT_FOUND;
        return is_live && look->reply.cas == write->unique;
    case EVC_WRITE_TOUCH:
        *ret = EVC_WRITE_NOT_FOUND;
        return is_live;
    case EVC_WRITE_SET:
    case EVC_WRITE_KIND_MAX:
        break;
    }
    assert(false); /* a kind that does not decide */
    return false;
}

static void
write_where_decided(struct evc_write *write, const struct evc_node_op *look)
{
    bool is_missing = look->result == EVC_NODE_MISS;

    /* A version beyond the drift bound teaches the clock nothing; the write goes over it all the
     * same. */
    (void)evc_version_clock_observe(write->writer->clock, evc_version_from_cas(look->reply.cas),
                                    write->writer->now->unix_us / 1000);
    announce(write);
    submit_zone(write, write->deciding_zone, is_missing ? EVC_NODE_ADD : EVC_NODE_CAS,
                look->reply.cas, evc_buf_slice(&write->value), on_deciding_write);
}

static void
on_look(struct evc_node_op *op)
{
    struct evc_write *write = EVC_CONTAINER_OF(op, struct evc_write, look);
    enum evc_write_result result = EVC_WRITE_FAILED;

    if (op->result != EVC_NODE_HIT && op->result != EVC_NODE_MISS) {
        decide_elsewhere(write);
    } else if (!goes_ahead(write, op, &result)) {
        answer(write, result);
    } else {
        bool has_value = true;

        if (op->result == EVC_NODE_MISS) {
            op->reply.cas = 0;
        }
        if (write->kind == EVC_WRITE_TOUCH) {
            write->client_flags = op->reply.client_flags;
            evc_buf_clear(&write->value);
            has_value = evc_buf_append(&write->value, op->reply.value) == EVC_OK;
        }
        if (has_value) {
            write_where_decided(write, op);
        } else {
            answer(write, EVC_WRITE_FAILED);
        }
    }
    give_up_hold(write);
}

static void
decide(struct evc_write *write)
{
    uint16_t want = EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_CAS;

    if (write->kind == EVC_WRITE_TOUCH) {
        want |= EVC_WANT_VALUE;
    }
    submit_look(write, write->deciding_zone, want, on_look);
}

/* --- start --- */

static struct evc_write *
write_borrow(struct evc_writer *writer)
{
    struct evc_write *write = evc_pool_borrow(&writer->pool);
    struct evc_buf value;

    if (!write) {
        return NULL;
    }
    value = write->value; /* a pooled object keeps its buffer's memory */
    if (value.limit == 0) {
        evc_buf_init(&value, EVC_VALUE_LEN_MAX);
    }
    memset(write, 0, sizeof(*write));
    write->value = value;
    write->writer = writer;
    writer->stats.in_flight++;
    return write;
}

int
evc_write_start(struct evc_writer *writer, const struct evc_write_request *request,
                evc_write_fn done, void *ctx, uint64_t tag)
{
    struct evc_write *write = write_borrow(writer);

    assert(request->key.len >= 1 && request->key.len <= EVC_KEY_LEN_MAX);
    if (!write) {
        return EVC_E_FULL;
    }
    write->done = done;
    write->ctx = ctx;
    write->tag = tag;
    write->kind = request->kind;
    write->is_tombstone = request->kind == EVC_WRITE_DELETE ||
                          evc_expiry_is_over(request->exptime, writer->now->unix_us);
    write->want_existed = request->kind == EVC_WRITE_DELETE && request->want_existed;
    write->key_len = (uint8_t)request->key.len;
    memcpy(write->key, request->key.ptr, request->key.len);
    write->client_flags = request->client_flags;
    write->exptime = request->exptime;
    write->unique = request->unique;
    write->deadline_us = writer->now->mono_us + writer->options.timeout_us;
    write->journal_pos = EVC_JOURNAL_POS_NONE;
    write->deciding_zone = writer->port->local_zone;

    write->pending = 1;
    if (!decides(request)) {
        send_everywhere(write, request->value);
    } else if (evc_buf_append(&write->value, request->value) == EVC_OK) {
        write->want_existed = false;
        decide(write);
    } else {
        answer(write, EVC_WRITE_FAILED);
    }
    give_up_hold(write);
    return EVC_OK;
}
