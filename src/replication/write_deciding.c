/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes that need to know the item: they look, decide (decision.h), and write conditionally in
 * one zone; the outcome there is what the other zones receive. See write.h.
 *
 *   turn ─▶ look at the local zone, and at one more where that has nothing ─▶ decide
 *     ─▶ ADD or CAS in the first zone that answered ─▶ STORED: SET in the others, next turn
 *     ▲                                         └─▶ raced ─┐
 *     └────────────────────────────────────────────────────┘
 *
 * Every look may take an equal share of the time that is left, so that a zone that has just frozen
 * leaves some to the others and to the write itself.
 */
#include <assert.h>

#include "base/hash.h"
#include "replication/write_state.h"

static void look(struct evc_write *write);

/* --- turns --- */

static struct evc_list *
turns_of(struct evc_write *write)
{
    return &write->writer->turns[evc_hash_key(write->request.key) % EVC_WRITE_TURN_SLOTS];
}

static void
begin_turn(struct evc_write *write)
{
    write->has_turn = true;
    look(write);
}

/**
 * The write has decided, or never will: the next of its slot begins. One that ends at once (its
 * node is down) comes back here, where the loop further up goes on instead of nesting.
 */
static void
end_turn(struct evc_write *write)
{
    struct evc_writer *writer = write->writer;
    struct evc_list *turns = turns_of(write);
    struct evc_list *outer = writer->turns_passing;

    evc_list_remove(&write->turn);
    write->has_turn = false;
    if (outer == turns) {
        return;
    }
    writer->turns_passing = turns;
    while (!evc_list_is_empty(turns)) {
        struct evc_write *next = EVC_CONTAINER_OF(turns->next, struct evc_write, turn);

        if (next->has_turn) {
            break;
        }
        begin_turn(next);
        evc_write_give_up_hold(next); /* of the wait */
    }
    writer->turns_passing = outer;
}

static void
end_with(struct evc_write *write, enum evc_write_result result)
{
    evc_write_answer(write, result);
    end_turn(write);
}

/* --- the conditional write --- */

static void
look_again(struct evc_write *write)
{
    write->zones_looked = 0;
    write->zones_missing = 0;
    look(write);
}

static void
on_deciding_write(struct evc_node_op *op)
{
    struct evc_write *write = evc_write_of_zone_op(op);

    switch (op->result) {
    case EVC_NODE_STORED:
        write->is_decided = true;
        write->is_overtaken = !evc_write_is_newest(write);
        write->existed = true;
        write->acks_to_go = evc_node_port_readable(write->writer->port);
        evc_write_count_zone(write, op);
        evc_write_answer_if_certain(write);
        evc_write_send_to_zones(write, write->decision.value);
        end_turn(write);
        break;
    case EVC_NODE_EXISTS:
    case EVC_NODE_NOT_STORED:
    case EVC_NODE_MISS:
        evc_write_withdraw(write);
        write->writer->stats.races_total++;
        if (++write->races > EVC_WRITE_RACES_MAX) {
            end_with(write, EVC_WRITE_FAILED);
        } else {
            look_again(write);
        }
        break;
    case EVC_NODE_REFUSED:
        evc_write_withdraw(write);
        evc_write_tell_zone(write, op->zone, EVC_WRITE_ZONE_REFUSED);
        write->zones_refused |= (uint8_t)(1 << op->zone); /* another has to decide */
        look_again(write);
        break;
    case EVC_NODE_ERROR:
        write->acks_to_go = 1;
        evc_write_count_zone(write, op);
        end_with(write, EVC_WRITE_REJECTED);
        break;
    case EVC_NODE_UNKNOWN:
    case EVC_NODE_HIT:
    case EVC_NODE_RESULT_MAX:
        write->acks_to_go = 1;
        evc_write_count_zone(write, op);
        end_with(write, EVC_WRITE_FAILED);
        break;
    }
    evc_write_give_up_hold(write);
}

/** seen: the raw CAS of what the deciding zone holds, NULL where it has nothing. */
static void
write_decision(struct evc_write *write, const uint64_t *seen, uint64_t found_cas)
{
    struct evc_writer *writer = write->writer;

    /* A version beyond the drift bound teaches the clock nothing; the write goes over it all the
     * same. */
    (void)evc_version_clock_observe(writer->clock, evc_version_from_cas(found_cas),
                                    writer->now->unix_us / 1000);
    write->is_tombstone = write->decision.is_tombstone;
    write->client_flags = write->decision.client_flags;
    write->exptime = write->decision.exptime;
    evc_write_announce(write);
    evc_write_submit_zone(write, write->deciding_zone, seen ? EVC_NODE_CAS : EVC_NODE_ADD,
                          seen ? *seen : 0, write->decision.value, on_deciding_write);
}

/** found: what the last zone looked at has; NULL when none of those asked has anything. */
static void
decide(struct evc_write *write, const struct evc_node_reply *found)
{
    const struct evc_writer *writer = write->writer;
    bool is_live = found && !found->is_tombstone;
    bool is_there = found && write->zones_missing == 0;
    int rc = evc_decide(&write->request, is_live ? found : NULL, writer->now->unix_us,
                        writer->options.value_len_max, &write->made, &write->decision);

    if (rc != EVC_OK) {
        end_with(write, EVC_WRITE_FAILED);
    } else if (!write->decision.goes_ahead) {
        end_with(write, write->decision.result);
    } else {
        write_decision(write, is_there ? &found->cas : NULL, found ? found->cas : 0);
    }
}

/* --- looking --- */

/** What a look leaves to be told of its zone, where nothing is written to it later. */
static enum evc_write_zone
zone_after_look(enum evc_node_result result)
{
    switch (result) {
    case EVC_NODE_REFUSED:
        return EVC_WRITE_ZONE_REFUSED;
    case EVC_NODE_UNKNOWN:
        return EVC_WRITE_ZONE_UNKNOWN;
    case EVC_NODE_ERROR:
        return EVC_WRITE_ZONE_REJECTED;
    case EVC_NODE_HIT:
    case EVC_NODE_MISS:
    case EVC_NODE_STORED:
    case EVC_NODE_NOT_STORED:
    case EVC_NODE_EXISTS:
    case EVC_NODE_RESULT_MAX:
        break;
    }
    return EVC_WRITE_ZONE_NOT_ASKED;
}

static void
on_look(struct evc_node_op *op)
{
    struct evc_write *write = EVC_CONTAINER_OF(op, struct evc_write, look);
    bool has_answer = op->result == EVC_NODE_HIT || op->result == EVC_NODE_MISS;

    evc_write_tell_zone(write, op->zone, zone_after_look(op->result));
    write->zones_looked++;
    if (has_answer && write->zones_missing == 0) {
        write->deciding_zone = op->zone;
    }
    write->zones_missing += op->result == EVC_NODE_MISS;
    if (op->result == EVC_NODE_HIT) {
        decide(write, &op->reply);
    } else {
        look(write);
    }
    evc_write_give_up_hold(write);
}

/** Looks at the next zone, or decides with what is known. */
static void
look(struct evc_write *write)
{
    const struct evc_node_port *port = write->writer->port;
    uint64_t now_us = write->writer->now->mono_us;
    uint64_t left_us = write->deadline_us > now_us ? write->deadline_us - now_us : 0;
    unsigned readable = evc_node_port_readable(port);
    unsigned zone = (port->local_zone + write->zones_looked) % readable;

    while (write->zones_looked < readable && write->zones_refused >> zone & 1) {
        write->zones_looked++;
        zone = (zone + 1) % readable;
    }
    if (write->zones_looked < readable && write->zones_missing < EVC_WRITE_LOOKS_MAX) {
        unsigned shares = readable - write->zones_looked + 1; /* one is for the write */

        evc_write_submit_look(write, zone, evc_decision_want(&write->request),
                              now_us + left_us / shares, on_look);
    } else if (write->zones_missing > 0) {
        decide(write, NULL);
    } else {
        end_with(write, EVC_WRITE_FAILED);
    }
}

void
evc_write_start_deciding(struct evc_write *write)
{
    struct evc_list *turns = turns_of(write);
    bool is_first = evc_list_is_empty(turns);

    evc_list_push_back(turns, &write->turn);
    if (is_first) {
        begin_turn(write);
    } else {
        write->pending++; /* until its turn */
    }
}
