/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application's write: to every zone of the region at once, answered when enough of them have
 * it. Pure: effects through the port and the journal.
 *
 *   SET, DELETE   version ─▶ journal (PENDING) ─▶ SET in every zone ─▶ first STORED: release
 *                                                                 └─▶ enough STORED: answered
 *   the others decide in one zone, the local one, or the next when it does not answer:
 *       GET ─▶ decision.h ─▶ version above what was seen ─▶ journal ─▶ ADD or CAS there ─▶ STORED:
 *       release, then SET in the other zones; raced: decide again
 * Where the deciding zone has nothing, one more zone is asked before the item counts as missing: a
 * node that has just restarted must not make an add succeed over what everybody else still reads.
 * Deciding writes of one writer on one key take turns, so that they race only with other writers.
 *
 * Rules kept here: release; failed (a zone did not acknowledge: a repair event, UNKNOWN when none
 * did). A delete stores a tombstone with tombstone_ttl_s in every zone, also where the key is
 * missing; its answer (deleted or not found) is what the local zone held.
 *
 * A negative exptime, or one in the past, stores a tombstone: nobody will read the value, and a
 * tombstone keeps an older copy from surviving elsewhere. A value that a node answers with an error
 * (memcached then also drops what it had) is followed by a delete of the key everywhere.
 *
 * A deciding write leaves for the other zones a round trip later than its version was minted. When
 * this writer has minted a newer version of the key meanwhile, that may have been there already and
 * is buried: the write asks for repair (two writes crossed, and their writer is the same).
 *
 * After the answer the write goes on until every zone has answered or timed out.
 */
#ifndef EVC_REPLICATION_WRITE_H
#define EVC_REPLICATION_WRITE_H

#include "base/clock.h"
#include "base/list.h"
#include "base/pool.h"
#include "meta/node_op.h"
#include "queue/journal.h"
#include "topology/config.h"

enum {
    EVC_WRITE_RACES_MAX = 64,           /* decisions of one write before it fails */
    EVC_WRITE_IN_FLIGHT_MAX = 65536,    /* per context */
    EVC_WRITE_ERROR_BYTES = 128,        /* of a node's error line, kept for the answer */
    EVC_WRITE_VALUE_KEEP_BYTES = 16384, /* memory a pooled write keeps for values */
    EVC_WRITE_MINTED_SLOTS = 4096,      /* keys by hash; two in one slot cost a needless repair */
    EVC_WRITE_TURN_SLOTS = 4096,        /* keys by hash; two in one slot wait for each other */
    EVC_WRITE_LOOKS_MAX = 2,            /* zones that must have nothing before an item is missing */
};

enum evc_write_kind {
    EVC_WRITE_SET,
    EVC_WRITE_ADD,     /* only if missing (or deleted) */
    EVC_WRITE_REPLACE, /* only if there */
    EVC_WRITE_CAS,     /* only if the version there is `unique` */
    EVC_WRITE_DELETE,  /* unique != 0: only if the version there is `unique` */
    EVC_WRITE_TOUCH,   /* the same value and flags with a new expiry, as a new version */
    EVC_WRITE_APPEND,  /* flags and expiry stay */
    EVC_WRITE_PREPEND,
    EVC_WRITE_INCR, /* likewise; by delta, the value is a decimal number */
    EVC_WRITE_DECR,
    EVC_WRITE_KIND_MAX,
};

enum evc_write_result {
    EVC_WRITE_STORED,     /* SET, ADD, REPLACE, CAS, APPEND, PREPEND */
    EVC_WRITE_NOT_STORED, /* ADD: it is there. REPLACE, APPEND, PREPEND: it is not, or is too long
                           */
    EVC_WRITE_EXISTS,     /* with unique: another version is there */
    EVC_WRITE_NOT_FOUND,  /* CAS, TOUCH, INCR, DECR, DELETE: it is not there (a DELETE took effect
                             all the same) */
    EVC_WRITE_DELETED,
    EVC_WRITE_TOUCHED,
    EVC_WRITE_COUNTED,     /* INCR, DECR */
    EVC_WRITE_NON_NUMERIC, /* INCR, DECR: what is there is no number */
    EVC_WRITE_FAILED, /* fewer zones than asked for acknowledged in time; it may have had effect */
    EVC_WRITE_REJECTED, /* the nodes answered with an error: see answer.error */
    EVC_WRITE_RESULT_MAX,
};

const char *evc_write_result_str(enum evc_write_result result);

/** What a zone has said of a write so far. */
enum evc_write_zone {
    EVC_WRITE_ZONE_NOT_ASKED, /* to write; where the deciding kinds have looked, it has answered */
    EVC_WRITE_ZONE_WAITING,
    EVC_WRITE_ZONE_STORED,
    EVC_WRITE_ZONE_REFUSED,  /* never sent: certainly no effect */
    EVC_WRITE_ZONE_UNKNOWN,  /* sent, no answer: may have had effect, or have it yet */
    EVC_WRITE_ZONE_REJECTED, /* the node answered with an error */
    EVC_WRITE_ZONE_MAX,
};

struct evc_write_request {
    enum evc_write_kind kind;
    struct evc_slice key, value; /* copied where they must outlive the call */
    uint32_t client_flags;
    int64_t exptime;   /* memcached's; negative: expires at once */
    uint64_t unique;   /* raw CAS of the item as a client got it; 0: any. Not for SET and ADD */
    bool is_local;     /* DELETE: this region only, nothing is announced */
    bool want_existed; /* only DELETE: whether DELETED or NOT_FOUND matters (else DELETED) */
    uint64_t delta;    /* INCR, DECR */
    bool has_exptime;  /* INCR, DECR: exptime replaces the item's */
    bool vivifies; /* INCR, DECR, APPEND, PREPEND: make a missing item, of initial or value, with */
    int64_t vivify_exptime; /* memcached's, */
    uint64_t initial;       /* and INCR, DECR: with this number */
    unsigned zones_needed;  /* before the answer; 0: as the options say */
    uint8_t *zones; /* NULL, or zone_count of enum evc_write_zone, kept up to date until done */
};

struct evc_write_answer {
    enum evc_write_result result;
    evc_version version;    /* what was stored */
    unsigned zones_stored;  /* zones that had acknowledged when this was answered */
    struct evc_slice error; /* REJECTED: the node's line; valid during the call */
    uint64_t number;        /* COUNTED: the new one */
    int64_t exptime;        /* of what was stored, memcached's; relative to now up to 30 days */
    uint32_t made_len; /* bytes of the value that was made of the item, as APPEND does; else 0 */
    bool is_created;   /* APPEND…, INCR…: there was no item before */
};

typedef void (*evc_write_fn)(void *ctx, uint64_t tag, const struct evc_write_answer *answer);

struct evc_write_options {
    unsigned zones_needed; /* 1 to the number of zones that are read */
    uint32_t timeout_us;
    uint32_t tombstone_ttl_s;
    uint32_t value_len_max; /* what append and prepend may grow a value to */
    uint32_t rules_off;     /* test only: enum evc_rule bits that are switched off */
};

/** As the configuration says for writes through port. */
struct evc_write_options evc_write_options_of(const struct evc_config *config,
                                              const struct evc_node_port *port);

struct evc_write_stats {
    uint64_t result[EVC_WRITE_RESULT_MAX];
    uint64_t zone_failures_total, repairs_total, unknown_total, races_total, in_flight;
};

/** Context of one thread. */
struct evc_writer {
    struct evc_node_port *port;
    struct evc_version_clock *clock;
    const struct evc_moment *now;
    struct evc_journal *journal;
    struct evc_write_options options;
    struct evc_pool pool;
    struct evc_write_stats stats;
    evc_version minted[EVC_WRITE_MINTED_SLOTS];  /* the last for a key of that slot */
    struct evc_list turns[EVC_WRITE_TURN_SLOTS]; /* deciding writes; the first has its turn */
    struct evc_list *turns_passing; /* the slot whose turn is being passed on, or NULL */
};

void evc_writer_init(struct evc_writer *writer, struct evc_node_port *port,
                     struct evc_version_clock *clock, const struct evc_moment *now,
                     struct evc_journal *journal, const struct evc_write_options *options);
void evc_writer_finish(struct evc_writer *writer); /* nothing may be in flight */

/**
 * Starts one. done comes exactly once, possibly before this returns, possibly long before the write
 * leaves the context. EVC_E_FULL when EVC_WRITE_IN_FLIGHT_MAX are in flight.
 */
EVC_MUST_USE int evc_write_start(struct evc_writer *writer, const struct evc_write_request *request,
                                 evc_write_fn done, void *ctx, uint64_t tag);

#endif
