/* SPDX-License-Identifier: Apache-2.0 */
/* See write.h. The life of a write: its zones, its entry in the journal, its answer. */
#include "replication/write_state.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/prefetch.h"
#include "meta/expiry.h"
#include "replication/rule.h"

static const char *const result_names[EVC_WRITE_RESULT_MAX] = {
    [EVC_WRITE_STORED] = "stored",   [EVC_WRITE_NOT_STORED] = "not_stored",
    [EVC_WRITE_EXISTS] = "exists",   [EVC_WRITE_NOT_FOUND] = "not_found",
    [EVC_WRITE_DELETED] = "deleted", [EVC_WRITE_TOUCHED] = "touched",
    [EVC_WRITE_COUNTED] = "counted", [EVC_WRITE_NON_NUMERIC] = "non_numeric",
    [EVC_WRITE_FAILED] = "failed",   [EVC_WRITE_REJECTED] = "rejected",
};

const char *
evc_write_result_str(enum evc_write_result result)
{
    return (unsigned)result < EVC_WRITE_RESULT_MAX ? result_names[result] : "invalid";
}

struct evc_write_options
evc_write_options_of(const struct evc_config *config, const struct evc_node_port *port)
{
    return (struct evc_write_options){
        .zones_needed = evc_ack_zones(config->write_ack, evc_node_port_readable(port)),
        .timeout_us = config->write_timeout_ms * 1000,
        .tombstone_ttl_s = config->tombstone_ttl_s,
        .value_len_max = config->value_len_max,
    };
}

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
    assert(options->zones_needed >= 1 && options->zones_needed <= evc_node_port_readable(port));

    *writer = (struct evc_writer){
        .port = port,
        .clock = clock,
        .now = now,
        .journal = journal,
        .options = *options,
    };
    for (unsigned i = 0; i < EVC_WRITE_TURN_SLOTS; i++) {
        evc_list_init(&writer->turns[i]);
    }
    evc_pool_init(&writer->pool, write_bytes(writer), EVC_WRITE_IN_FLIGHT_MAX);
}

static void
free_values(void *object)
{
    struct evc_write *write = object;

    evc_buf_finish(&write->brought);
    evc_buf_finish(&write->made);
}

void
evc_writer_finish(struct evc_writer *writer)
{
    assert(writer->stats.in_flight == 0);
    evc_pool_for_each_free(&writer->pool, free_values);
    evc_pool_finish(&writer->pool);
}

void
evc_write_answer(struct evc_write *write, enum evc_write_result result)
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
             .zones_stored = write->acks,
             .error = {.ptr = write->error, .len = write->error_len},
             .number = write->decision.number,
             .exptime = write->exptime,
             .made_len = (uint32_t)evc_buf_len(&write->made),
             .is_created = write->decision.is_created,
         });
}

static enum evc_write_result
success_of(const struct evc_write *write)
{
    switch (write->request.kind) {
    case EVC_WRITE_DELETE:
        return write->existed ? EVC_WRITE_DELETED : EVC_WRITE_NOT_FOUND;
    case EVC_WRITE_TOUCH:
        return EVC_WRITE_TOUCHED;
    case EVC_WRITE_INCR:
    case EVC_WRITE_DECR:
        return EVC_WRITE_COUNTED;
    case EVC_WRITE_SET:
    case EVC_WRITE_ADD:
    case EVC_WRITE_REPLACE:
    case EVC_WRITE_CAS:
    case EVC_WRITE_APPEND:
    case EVC_WRITE_PREPEND:
    case EVC_WRITE_KIND_MAX:
        break;
    }
    return EVC_WRITE_STORED;
}

void
evc_write_answer_if_certain(struct evc_write *write)
{
    unsigned needed = write->request.zones_needed;

    if (write->acks >= needed) {
        if (!write->request.want_existed || write->existed_known) {
            evc_write_answer(write, success_of(write));
        }
    } else if (write->acks + write->acks_to_go < needed) {
        evc_write_answer(write, write->rejected > 0 && write->stored == 0 ? EVC_WRITE_REJECTED
                                                                          : EVC_WRITE_FAILED);
    }
}

/** Field by field, where it is to be: every write passes here, and a copy would wait for them. */
static void
make_event(const struct evc_write *write, uint8_t flags, struct evc_event *ret)
{
    uint64_t unix_us = write->writer->now->unix_us;

    ret->op = write->is_tombstone ? EVC_EVENT_DELETE : EVC_EVENT_SET;
    ret->flags = flags;
    ret->key = write->request.key;
    ret->version = write->version;
    ret->expiry_s = write->is_tombstone ? 0 : evc_expiry_unix_s(write->exptime, unix_us);
    ret->written_us = unix_us;
    ret->only = 0;
}

/** Where the last version minted for the key is kept. */
static evc_version *
minted_slot(struct evc_write *write)
{
    return &write->writer->minted[evc_hash_key(write->request.key) % EVC_WRITE_MINTED_SLOTS];
}

void
evc_write_announce(struct evc_write *write)
{
    struct evc_writer *writer = write->writer;
    struct evc_event event;

    write->version = evc_version_clock_mint(writer->clock, writer->now->unix_us / 1000);
    *minted_slot(write) = write->version;
    if (write->request.is_local) {
        return; /* what is asked of the journal without a position is nothing */
    }
    make_event(write, 0, &event);
    write->journal_pos = evc_journal_reserve(writer->journal, &event);
    if (!EVC_RULE_IS_ON(writer->options, EVC_RULE_RELEASE)) {
        evc_journal_release(writer->journal, write->journal_pos);
    }
}

void
evc_write_tell_zone(struct evc_write *write, unsigned zone, enum evc_write_zone state)
{
    if (write->done && write->request.zones) {
        write->request.zones[zone] = (uint8_t)state;
    }
}

void
evc_write_withdraw(struct evc_write *write)
{
    evc_write_tell_zone(write, write->deciding_zone, EVC_WRITE_ZONE_NOT_ASKED);
    if (EVC_RULE_IS_ON(write->writer->options, EVC_RULE_RELEASE)) {
        evc_journal_cancel(write->writer->journal, write->journal_pos);
    }
    evc_journal_settle(write->writer->journal, write->journal_pos);
    write->journal_pos = EVC_JOURNAL_POS_NONE;
    write->version = 0;
}

bool
evc_write_is_newest(struct evc_write *write)
{
    return *minted_slot(write) == write->version;
}

static void
ask_for_repair(struct evc_write *write)
{
    struct evc_event event;

    make_event(write, EVC_EVENT_REPAIR, &event);
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
    struct evc_write_request request = {.kind = EVC_WRITE_DELETE, .key = write->request.key};

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
        if (write->rejected > 0 && write->request.kind != EVC_WRITE_DELETE) {
            delete_what_was_refused(write);
        }
    } else if (write->is_overtaken ||
               (write->refused + write->unknown + write->rejected > 0 && rule_failed)) {
        ask_for_repair(write);
    }
    evc_journal_settle(writer->journal, write->journal_pos);
}

static void
release_values(struct evc_write *write)
{
    evc_buf_clear(&write->brought);
    evc_buf_shrink(&write->brought, EVC_WRITE_VALUE_KEEP_BYTES);
    evc_buf_clear(&write->made);
    evc_buf_shrink(&write->made, EVC_WRITE_VALUE_KEEP_BYTES);
}

void
evc_write_give_up_hold(struct evc_write *write)
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
    release_values(write);
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

void
evc_write_count_zone(struct evc_write *write, const struct evc_node_op *op)
{
    struct evc_writer *writer = write->writer;

    if (op->zone < evc_node_port_readable(writer->port)) {
        write->acks_to_go--;
        write->acks += op->result == EVC_NODE_STORED;
    }
    if (op->result == EVC_NODE_STORED) {
        evc_write_tell_zone(write, op->zone, EVC_WRITE_ZONE_STORED);
        if (write->stored++ == 0 && EVC_RULE_IS_ON(writer->options, EVC_RULE_RELEASE)) {
            evc_journal_release(writer->journal, write->journal_pos);
        }
        return;
    }
    writer->stats.zone_failures_total++;
    if (op->result == EVC_NODE_REFUSED) {
        evc_write_tell_zone(write, op->zone, EVC_WRITE_ZONE_REFUSED);
        write->refused++;
    } else if (op->result == EVC_NODE_ERROR) {
        evc_write_tell_zone(write, op->zone, EVC_WRITE_ZONE_REJECTED);
        write->rejected++;
        keep_error(write, op->reply.error);
    } else {
        evc_write_tell_zone(write, op->zone, EVC_WRITE_ZONE_UNKNOWN);
        write->unknown++;
    }
}

struct evc_write *
evc_write_of_zone_op(struct evc_node_op *op)
{
    return EVC_CONTAINER_OF(op - op->zone, struct evc_write, zone_op);
}

static void
on_zone_done(struct evc_node_op *op)
{
    struct evc_write *write = evc_write_of_zone_op(op);

    evc_write_count_zone(write, op);
    evc_write_answer_if_certain(write);
    evc_write_give_up_hold(write);
}

void
evc_write_submit_zone(struct evc_write *write, unsigned zone, enum evc_node_verb verb,
                      uint64_t seen, struct evc_slice value,
                      void (*on_done)(struct evc_node_op *op))
{
    struct evc_writer *writer = write->writer;
    struct evc_node_op *op = &write->zone_op[zone];
    bool tombstone = write->is_tombstone;

    *op = (struct evc_node_op){
        .verb = verb,
        .zone = (uint8_t)zone,
        .key = write->request.key,
        .value = tombstone ? (struct evc_slice){.ptr = "", .len = 0} : value,
        .client_flags = tombstone ? EVC_TOMBSTONE_FLAGS : write->client_flags,
        .ttl_s = tombstone ? writer->options.tombstone_ttl_s : write->exptime,
        .version = write->version,
        .seen = seen,
        .deadline_us = write->deadline_us,
        .on_done = on_done,
    };
    write->pending++;
    evc_write_tell_zone(write, zone, EVC_WRITE_ZONE_WAITING);
    evc_node_port_submit(writer->port, op);
}

void
evc_write_send_to_zones(struct evc_write *write, struct evc_slice value)
{
    unsigned zone_count = write->writer->port->zone_count;

    for (unsigned zone = 0; zone < zone_count; zone++) {
        if (!write->is_decided || zone != write->deciding_zone) {
            evc_write_submit_zone(write, zone, EVC_NODE_SET, 0, value, on_zone_done);
        }
    }
}

void
evc_write_submit_look(struct evc_write *write, unsigned zone, uint16_t want, uint64_t deadline_us,
                      void (*on_done)(struct evc_node_op *op))
{
    write->look = (struct evc_node_op){
        .verb = EVC_NODE_GET,
        .zone = (uint8_t)zone,
        .want = want,
        .key = write->request.key,
        .deadline_us = deadline_us,
        .on_done = on_done,
    };
    write->pending++;
    evc_write_tell_zone(write, zone, EVC_WRITE_ZONE_WAITING);
    evc_node_port_submit(write->writer->port, &write->look);
}

/**
 * Whether a delete found something: what the first zone that has a trace of the key says. A zone
 * without one may have lost its memory, so the next is asked beside it.
 */
static void
conclude_peek(struct evc_write *write)
{
    bool has_answer = false;

    for (unsigned i = 0; !write->existed_known && i < write->peek_count; i++) {
        enum evc_write_peek peeked = write->peeked[i];

        if (peeked == EVC_WRITE_PEEK_ASKED) {
            return;
        }
        write->existed_known = peeked == EVC_WRITE_PEEK_ITEM || peeked == EVC_WRITE_PEEK_TOMBSTONE;
        write->existed = peeked == EVC_WRITE_PEEK_ITEM;
        has_answer |= peeked != EVC_WRITE_PEEK_SILENT;
    }
    if (!write->existed_known) {
        write->existed_known = true;
        write->existed = !has_answer; /* nobody knows; DELETED is what a client can act on */
    }
    evc_write_answer_if_certain(write);
}

static void
on_peeked(struct evc_node_op *op)
{
    struct evc_node_op *first = op - op->index;
    struct evc_write *write = EVC_CONTAINER_OF(first, struct evc_write, peek);
    enum evc_write_peek *peeked = &write->peeked[op - first];

    if (op->result == EVC_NODE_HIT) {
        *peeked = op->reply.is_tombstone ? EVC_WRITE_PEEK_TOMBSTONE : EVC_WRITE_PEEK_ITEM;
    } else {
        *peeked = op->result == EVC_NODE_MISS ? EVC_WRITE_PEEK_NOTHING : EVC_WRITE_PEEK_SILENT;
    }
    conclude_peek(write);
    evc_write_give_up_hold(write);
}

/**
 * Asked on the same connections, ahead of the tombstones, and awaited for an equal share of the
 * time: who has frozen shall not hold up what another zone knows until the time is over.
 */
static void
peek(struct evc_write *write)
{
    struct evc_node_port *port = write->writer->port;
    unsigned readable = evc_node_port_readable(port);
    uint64_t share_us;

    write->peek_count = readable < EVC_WRITE_LOOKS_MAX ? readable : EVC_WRITE_LOOKS_MAX;
    share_us = write->writer->options.timeout_us / write->peek_count;
    for (unsigned i = 0; i < write->peek_count; i++) {
        write->peek[i] = (struct evc_node_op){
            .verb = EVC_NODE_GET,
            .zone = (uint8_t)((port->local_zone + i) % readable),
            .index = (uint8_t)i,
            .want = EVC_WANT_FLAGS | EVC_WANT_SIZE | EVC_WANT_NO_BUMP,
            .key = write->request.key,
            .deadline_us = write->writer->now->mono_us + share_us,
            .on_done = on_peeked,
        };
        write->pending++;
        evc_node_port_submit(port, &write->peek[i]);
    }
}

static void
send_everywhere(struct evc_write *write)
{
    evc_write_announce(write);
    write->acks_to_go = evc_node_port_readable(write->writer->port);
    if (write->request.want_existed) {
        peek(write);
    } else {
        write->existed = true;
    }
    evc_write_send_to_zones(write, write->request.value); /* copied on the way out */
}

/* --- start --- */

static struct evc_write *
write_borrow(struct evc_writer *writer)
{
    struct evc_write *write = evc_pool_borrow(&writer->pool);

    if (!write) {
        return NULL;
    }
    if (write->brought.limit == 0) { /* a pooled object keeps its buffers' memory */
        evc_buf_init(&write->brought, EVC_VALUE_LEN_MAX);
        evc_buf_init(&write->made, EVC_VALUE_LEN_MAX);
    }
    memset(write, 0, offsetof(struct evc_write, brought));
    evc_prefetch(write->zone_op, sizeof(write->zone_op[0])); /* used when all is prepared */
    write->writer = writer;
    evc_list_init(&write->turn);
    writer->stats.in_flight++;
    return write;
}

/** The value has to outlive the call; then the item is looked at. */
static void
keep_and_decide(struct evc_write *write)
{
    if (evc_buf_append(&write->brought, write->request.value) != EVC_OK) {
        evc_write_answer(write, EVC_WRITE_FAILED);
        return;
    }
    write->request.value = evc_buf_slice(&write->brought);
    write->request.want_existed = false;
    evc_write_start_deciding(write);
}

int
evc_write_start(struct evc_writer *writer, const struct evc_write_request *request,
                evc_write_fn done, void *ctx, uint64_t tag)
{
    struct evc_write *write = write_borrow(writer);

    assert(request->key.len >= 1 && request->key.len <= EVC_KEY_LEN_MAX);
    assert(request->zones_needed <= evc_node_port_readable(writer->port));
    assert(!request->want_existed || request->kind == EVC_WRITE_DELETE);
    if (!write) {
        return EVC_E_FULL;
    }
    write->done = done;
    write->ctx = ctx;
    write->tag = tag;
    write->request = *request;
    write->request.key.ptr = write->key;
    if (request->zones_needed == 0) {
        write->request.zones_needed = writer->options.zones_needed;
    }
    if (request->zones) {
        memset(request->zones, EVC_WRITE_ZONE_NOT_ASKED, writer->port->zone_count);
    }
    memcpy(write->key, request->key.ptr, request->key.len);
    write->is_tombstone = request->kind == EVC_WRITE_DELETE ||
                          evc_expiry_is_over(request->exptime, writer->now->unix_us);
    write->client_flags = request->client_flags;
    write->exptime = request->exptime;
    write->deadline_us = writer->now->mono_us + writer->options.timeout_us;
    write->journal_pos = EVC_JOURNAL_POS_NONE;

    write->pending = 1;
    if (evc_decision_is_needed(request)) {
        keep_and_decide(write);
    } else {
        send_everywhere(write);
    }
    evc_write_give_up_hold(write);
    return EVC_OK;
}
