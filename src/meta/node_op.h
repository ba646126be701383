/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation on one node: what is asked, how it reads on the wire (meta protocol), and what the
 * node's answer means. No sockets: the engine puts composed bytes on connections and feeds replies
 * back, the simulation executes operations on a table. Everybody who touches a node speaks through
 * this struct.
 *
 * On the wire:
 *   GET   mg <key> v f c t [u]                value, client flags, CAS, time to live (what `want`
 * asks) SET   ms <key> <len> T<ttl> F<flags> E<version> ADD   ms <key> <len> T<ttl> F<flags>
 * E<version> ME CAS   ms <key> <len> T<ttl> F<flags> E<version> C<seen>
 *
 * A tombstone is an item with an empty value and the client flags EVC_TOMBSTONE_FLAGS: one `ms` in
 * every form (set, add, cas), so a delete is a write like any other and needs no second command on
 * a missing key. Clients may not store that combination.
 */
#ifndef EVC_META_NODE_OP_H
#define EVC_META_NODE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/version.h"

enum {
    EVC_KEY_LEN_MAX = 250,
    EVC_VALUE_LEN_MAX_DEFAULT = 1024 * 1024,
    EVC_VALUE_LEN_MAX = 1024 * 1024 * 1024, /* memcached's own bound for -I */
    EVC_ZONE_MAX = 8,                       /* zones of a region */
    EVC_TTL_DELTA_MAX_S = 2592000,          /* memcached: a larger exptime is a Unix time */
};

#define EVC_TOMBSTONE_FLAGS UINT32_C(0xE7CADEAD)

/** What the keys of leases begin with (proxy/lease_commands.c): items of ours, not of clients. */
#define EVC_LEASE_PREFIX                                                                           \
    "\x01"                                                                                         \
    "evc:lease:"

enum evc_node_verb {
    EVC_NODE_GET,
    EVC_NODE_SET, /* unconditional */
    EVC_NODE_ADD, /* only where the key is missing */
    EVC_NODE_CAS, /* only over exactly `seen` */
    EVC_NODE_VERB_MAX,
};

/** What a GET wants back; each costs bytes on the wire. */
enum evc_node_want {
    EVC_WANT_VALUE = 1 << 0,
    EVC_WANT_FLAGS = 1 << 1, /* always asked when tombstones matter, i.e. everywhere */
    EVC_WANT_CAS = 1 << 2,
    EVC_WANT_TTL = 1 << 3,
    EVC_WANT_SIZE = 1 << 4,        /* implied by VALUE, and by FLAGS (to know a tombstone) */
    EVC_WANT_NO_BUMP = 1 << 5,     /* `u`: do not count as an access (relay, repair, receiver) */
    EVC_WANT_HIT_BEFORE = 1 << 6,  /* `h` */
    EVC_WANT_LAST_ACCESS = 1 << 7, /* `l` */
};

enum evc_node_result {
    EVC_NODE_HIT,        /* GET: found, see reply (a tombstone is a hit with reply.is_tombstone) */
    EVC_NODE_MISS,       /* GET: not there. CAS: NF, the item went away */
    EVC_NODE_STORED,     /* SET, ADD, CAS: done */
    EVC_NODE_NOT_STORED, /* ADD: NS, something is there */
    EVC_NODE_EXISTS,     /* CAS: EX, something else is there */
    EVC_NODE_REFUSED,    /* never sent (node down, queue full): certainly no effect */
    EVC_NODE_UNKNOWN, /* sent, no answer (timeout, connection lost): may have had effect, or have it
                         yet */
    EVC_NODE_ERROR,   /* the node answered with an error, e.g. object too large: no new value stored
                       */
    EVC_NODE_RESULT_MAX,
};

const char *evc_node_result_str(enum evc_node_result result);

/** Whether the node gave an answer that says what it holds or did. */
static inline bool
evc_node_result_is_answer(enum evc_node_result result)
{
    return result <= EVC_NODE_EXISTS;
}

struct evc_node_reply {
    struct evc_slice value; /* view, valid during on_done only */
    struct evc_slice error; /* EVC_NODE_ERROR: the node's line without CRLF; valid during on_done */
    uint64_t cas;           /* raw; pass back as `seen`. evc_version_from_cas() gives the version */
    int64_t ttl_s;          /* remaining seconds, -1: never expires */
    uint32_t client_flags;
    uint32_t size; /* bytes of the value, also when the value itself was not asked for */
    uint32_t last_access_s;
    bool hit_before;
    bool is_tombstone; /* EVC_TOMBSTONE_FLAGS and size 0 */
};

struct evc_node_op {
    /* set by the submitter; key and value need live only until submit returns (they are copied) */
    enum evc_node_verb verb;
    uint8_t zone;         /* index within the region */
    uint8_t index;        /* the submitter's own: which of several it is */
    uint16_t want;        /* enum evc_node_want, GET only */
    struct evc_slice key; /* 1 to EVC_KEY_LEN_MAX bytes; any byte that base64 keys may bring */
    struct evc_slice value;
    uint32_t client_flags;
    int64_t ttl_s; /* as memcached's exptime: 0 never, <= 30 days relative, else Unix seconds */
    evc_version version;  /* what a write stores */
    uint64_t seen;        /* CAS: the raw CAS that must be there */
    uint64_t deadline_us; /* monotonic; on_done has come by then */
    /**
     * Called exactly once for every submitted operation, from the loop, possibly before submit
     * returns (EVC_NODE_REFUSED). The op is the submitter's again when it is called and may be
     * submitted anew from within.
     */
    void (*on_done)(struct evc_node_op *op);

    /* the answer */
    enum evc_node_result result;
    struct evc_node_reply reply;

    /* the executor's, while submitted */
    struct evc_list link;
    uint64_t sent_us;
    void *executor;
};

/**
 * Somewhere operations are executed: the region's nodes as seen by one thread. The engine in
 * production, a table of items in the simulation.
 */
struct evc_node_port {
    /** Takes the op until op->on_done. Never fails: what cannot be sent ends as EVC_NODE_REFUSED.
     */
    void (*submit)(struct evc_node_port *port, struct evc_node_op *op);
    unsigned zone_count; /* 1 to EVC_ZONE_MAX */
    unsigned local_zone; /* the one to read first */
    /** The last ones of the zones are written to, but not read: they are being filled. */
    unsigned write_only_count;
};

/** Zones 0 to this are read, and count as having acknowledged a write. At least 1. */
static inline unsigned
evc_node_port_readable(const struct evc_node_port *port)
{
    return port->zone_count - port->write_only_count;
}

static inline void
evc_node_port_submit(struct evc_node_port *port, struct evc_node_op *op)
{
    port->submit(port, op);
}

/**
 * Whether operations on a key of a legal length can be composed: one with blanks, newlines,
 * carriage returns or NULs goes in base64, where it must not be longer than EVC_KEY_LEN_MAX either.
 */
bool evc_node_key_fits(struct evc_slice key);

/**
 * Appends the request to out, whole or not at all. 0, EVC_E_LIMIT or EVC_E_NOMEM. A key that goes
 * in base64 (evc_node_key_fits) and is too long for it: EVC_E_INVALID. A client can send only one
 * such key, with a carriage return in it.
 */
EVC_MUST_USE int evc_node_op_compose(const struct evc_node_op *op, struct evc_buf *out);

/**
 * Whether a reply can be the answer to op: a node that is out of step, or is no memcached, must not
 * pass an empty value off as a hit.
 */
static inline bool
evc_node_reply_answers(const struct evc_node_op *op, enum evc_node_result result,
                       const struct evc_node_reply *reply)
{
    bool has_value = reply->value.ptr != NULL; /* also one of no bytes */

    if (op->verb != EVC_NODE_GET) {
        return result != EVC_NODE_HIT;
    }
    return result == EVC_NODE_HIT ? has_value == ((op->want & EVC_WANT_VALUE) != 0)
                                  : result == EVC_NODE_MISS || result == EVC_NODE_ERROR;
}

/** How many bytes of an upcoming reply are needed before it can be taken, as far as known. */
struct evc_node_parse {
    size_t scanned; /* line bytes already searched for the end of line; reset by a complete reply */
    size_t needed;  /* total bytes this reply will take once its line is known, else 0 */
};

/**
 * Takes one reply from the front of input. Resumes: call again with more bytes and the same state.
 * Returns 0 and the bytes used in *ret_used, with *ret_result and *ret_reply filled (views into
 * input); EVC_E_AGAIN when the reply is not complete; EVC_E_PROTO when it can be no reply (the
 * connection is out of step and must be closed). The verb decides what HD, NS and NF mean; a reply
 * to an operation that was given up is parsed with any verb and thrown away.
 */
EVC_MUST_USE int evc_node_reply_parse(struct evc_node_parse *state, enum evc_node_verb verb,
                                      struct evc_slice input, size_t *ret_used,
                                      enum evc_node_result *ret_result,
                                      struct evc_node_reply *ret_reply);

#endif
