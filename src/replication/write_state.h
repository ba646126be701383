/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One write on its way, between write.c (zones, journal, answer) and write_deciding.c (the kinds
 * that need to know the item first); not for anybody else.
 *
 * A write lives from evc_write_start until every zone it was sent to has answered or timed out;
 * `pending` counts what keeps it alive: operations on their way, a wait for its turn, and one hold
 * while operations are being submitted (a refused one ends inside submit).
 */
#ifndef EVC_REPLICATION_WRITE_STATE_H
#define EVC_REPLICATION_WRITE_STATE_H

#include "replication/decision.h"
#include "replication/write.h"

/** What a zone had of a key that is being deleted. */
enum evc_write_peek {
    EVC_WRITE_PEEK_ASKED, /* no answer yet */
    EVC_WRITE_PEEK_SILENT,
    EVC_WRITE_PEEK_NOTHING,
    EVC_WRITE_PEEK_TOMBSTONE,
    EVC_WRITE_PEEK_ITEM,
};

struct evc_write {
    struct evc_writer *writer; /* first: the pool's link while the object is free */
    evc_write_fn done;         /* NULL once answered */
    void *ctx;
    uint64_t tag;

    struct evc_write_request request; /* key is a view of the array below, value of brought */
    uint64_t deadline_us;
    unsigned pending;

    /* what is stored, and where it stands */
    bool is_tombstone;
    bool is_overtaken; /* a newer version of the key left before it did */
    uint32_t client_flags;
    int64_t exptime;
    evc_version version;
    evc_journal_pos journal_pos;
    unsigned stored, refused, unknown, rejected;
    unsigned acks, acks_to_go; /* of zones that are read: given, and still to come */
    bool existed_known, existed;
    enum evc_write_peek peeked[EVC_WRITE_LOOKS_MAX]; /* a delete's question to its first zones */
    unsigned peek_count;

    /* the deciding kinds */
    struct evc_list turn; /* writer->turns[…] */
    bool has_turn;
    bool is_decided; /* one zone has it, the others follow */
    unsigned races;
    unsigned zones_looked, zones_missing;
    uint8_t zones_refused;        /* bits: they could not take the deciding write */
    unsigned deciding_zone;       /* the first that answered; of meaning when zones_missing > 0 */
    struct evc_decision decision; /* with views of brought or made */
    uint8_t error_len;

    /* From here on nothing is cleared when the object is used again. */
    struct evc_buf brought; /* the request's value */
    struct evc_buf made;    /* the value a decision made of the item's */
    char key[EVC_KEY_LEN_MAX];
    char error[EVC_WRITE_ERROR_BYTES];
    struct evc_node_op look; /* the deciding read */
    struct evc_node_op peek[EVC_WRITE_LOOKS_MAX];
    struct evc_node_op zone_op[]; /* by zone */
};

/* --- write.c --- */

/** Gives the answer, unless it was given already. */
void evc_write_answer(struct evc_write *write, enum evc_write_result result);

/** Answers as soon as the outcome is certain, before the last zone has spoken. */
void evc_write_answer_if_certain(struct evc_write *write);

/** Mints the version and puts the event into the journal, before anything leaves. */
void evc_write_announce(struct evc_write *write);

/** What was announced did certainly not happen. */
void evc_write_withdraw(struct evc_write *write);

/** Whether this writer has minted no newer version for the key (or one of its slot) since. */
bool evc_write_is_newest(struct evc_write *write);

/** Keeps whoever asked up to date, until the answer. */
void evc_write_tell_zone(struct evc_write *write, unsigned zone, enum evc_write_zone state);

/** Counts what a zone said of the value that was sent to it. */
void evc_write_count_zone(struct evc_write *write, const struct evc_node_op *op);

struct evc_write *evc_write_of_zone_op(struct evc_node_op *op);

void evc_write_submit_zone(struct evc_write *write, unsigned zone, enum evc_node_verb verb,
                           uint64_t seen, struct evc_slice value,
                           void (*on_done)(struct evc_node_op *op));

/** SET in every zone, but for the one that has decided. */
void evc_write_send_to_zones(struct evc_write *write, struct evc_slice value);

void evc_write_submit_look(struct evc_write *write, unsigned zone, uint16_t want,
                           uint64_t deadline_us, void (*on_done)(struct evc_node_op *op));

/** One thing less keeps the write alive; the last one settles and frees it. */
void evc_write_give_up_hold(struct evc_write *write);

/* --- write_deciding.c --- */

/** Starts a write that needs to know the item first; takes its own hold. */
void evc_write_start_deciding(struct evc_write *write);

#endif
