/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached's stale, win and recache for clients: mg with N (vivify) or R (recache), md with I
 * (invalidate). The nodes' own marks cannot serve for it: every relay or repair that reads an item
 * would take its token, and they do not reach other zones and regions. So what is known is an item
 * beside the key, the lease, written like any other (all zones, all regions, versions decide):
 *
 *     \x01evc:lease:<128-bit hash of the key>  →  "<stale> <won>"
 *
 * stale is the version that md I has marked, won the one a token was given for; a missing key
 * stands for itself by its tombstone's version, or LEASE_NOTHING. Since they name versions, any new
 * write of the key ends both, and a lease that arrives elsewhere before its item says nothing yet.
 *
 *   mg: lease ─▶ item ─▶ nothing to win: answered with X and Z as they are
 *                   └─▶ claim: add or cas of the lease ─▶ stored: item again, answered with W
 *                                                   └─▶ someone else was first: answered with Z
 */
#include <stdio.h>

#include "base/decimal.h"
#include "base/hash.h"
#include "meta/wire.h"
#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

enum {
    LEASE_KEY_BYTES = 64,
    LEASE_VALUE_BYTES = 2 * EVC_DECIMAL_BYTES_MAX + 2,
    LEASE_TTL_MAX_S = 3600, /* a winner that never writes is replaced after so long at the latest */
};

/** A version no item has: the token for a key without an item or tombstone. */
#define LEASE_NOTHING UINT64_MAX

/* --- the lease item --- */

static struct evc_slice
key_of(const struct evc_exchange *exchange)
{
    return (struct evc_slice){.ptr = exchange->key, .len = exchange->key_len};
}

static struct evc_slice
lease_key(const struct evc_exchange *exchange, char space[LEASE_KEY_BYTES])
{
    uint64_t hash[2];
    int len;

    evc_hash_key_128(key_of(exchange), hash);
    len = snprintf(space, LEASE_KEY_BYTES, EVC_LEASE_PREFIX "%016llx%016llx",
                   (unsigned long long)hash[0], (unsigned long long)hash[1]);
    return (struct evc_slice){.ptr = space, .len = (size_t)len};
}

/** A value that is no lease counts as none. */
static void
parse_lease(struct evc_lease *lease, struct evc_slice value)
{
    struct evc_slice stale, won;

    if (!evc_wire_token(&value, &stale) || !evc_wire_token(&value, &won) ||
        !evc_decimal_parse_u64(stale, &lease->stale) || !evc_decimal_parse_u64(won, &lease->won)) {
        lease->stale = 0;
        lease->won = 0;
    }
}

/** Writes the lease: over the one that was read, or where there was none. */
static void
write_lease(struct evc_exchange *exchange, uint64_t stale, uint64_t won, int64_t exptime,
            enum evc_write_kind kind, evc_write_fn on_written)
{
    char key[LEASE_KEY_BYTES];
    char value[LEASE_VALUE_BYTES];
    int len = snprintf(value, sizeof(value), "%llu %llu", (unsigned long long)stale,
                       (unsigned long long)won);
    const struct evc_write_request write = {
        .kind = kind,
        .key = lease_key(exchange, key),
        .value = {.ptr = value, .len = (size_t)len},
        .exptime = exptime,
        .unique = kind == EVC_WRITE_CAS ? exchange->lease.cas : 0,
    };

    if (evc_write_start(exchange->service->writer, &write, on_written, exchange, 0) != EVC_OK) {
        on_written(exchange, 0, &(struct evc_write_answer){.result = EVC_WRITE_FAILED});
    }
}

/* --- mg --- */

/** How long a token is good for: as the item, or as N says, but not for ever. */
static int64_t
lease_exptime(const struct evc_exchange *exchange, bool is_hit, const struct evc_node_reply *item)
{
    int64_t ttl_s = is_hit ? item->ttl_s : exchange->lease.vivify;

    return ttl_s > 0 && ttl_s < LEASE_TTL_MAX_S ? ttl_s : LEASE_TTL_MAX_S;
}

/** Shows the marks in memcached's order. */
static void
mark(struct evc_meta_reply *meta, bool is_sent, bool is_stale, bool is_won)
{
    meta->mark_count = 0;
    if (is_sent) {
        meta->marks[meta->mark_count++] = 'Z';
    }
    if (is_stale) {
        meta->marks[meta->mark_count++] = 'X';
    }
    if (is_won) {
        meta->marks[meta->mark_count++] = 'W';
    }
}

static void
on_claimed(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_exchange *exchange = ctx;
    struct evc_lease *lease = &exchange->lease;

    (void)tag;
    /* Who cannot be told who won had better fetch the value himself. */
    lease->claim = answer->result == EVC_WRITE_NOT_STORED || answer->result == EVC_WRITE_EXISTS ||
                           answer->result == EVC_WRITE_NOT_FOUND
                       ? EVC_LEASE_LOST
                       : EVC_LEASE_WON;
    evc_command_read_leased_item(exchange);
}

/** Whether the exchange now waits for a claim; else *meta is marked. */
static bool
claims(struct evc_exchange *exchange, bool is_hit, const struct evc_node_reply *item)
{
    struct evc_lease *lease = &exchange->lease;
    uint64_t version = is_hit || item->is_tombstone ? item->cas : LEASE_NOTHING;
    bool is_stale = is_hit && lease->stale == version;
    bool is_due = !is_hit || is_stale ||
                  (lease->has_recache && item->ttl_s >= 0 && item->ttl_s < lease->recache);
    bool is_sent = lease->won == version;

    if (lease->claim == EVC_LEASE_UNTRIED && is_due && !is_sent) {
        write_lease(exchange, is_hit ? lease->stale : 0, version,
                    lease_exptime(exchange, is_hit, item),
                    lease->exists ? EVC_WRITE_CAS : EVC_WRITE_ADD, on_claimed);
        return true;
    }
    mark(&exchange->meta, is_sent || (lease->claim == EVC_LEASE_LOST && is_due), is_stale,
         lease->claim == EVC_LEASE_WON && is_due);
    return false;
}

/** What a miss with N is answered: an empty item, as memcached makes one. */
static struct evc_node_reply
placeholder(const struct evc_exchange *exchange)
{
    return (struct evc_node_reply){
        .value = EVC_SLICE(""),
        .ttl_s = exchange->lease.vivify == 0 ? -1 : exchange->lease.vivify,
    };
}

static void
on_item(void *ctx, const struct evc_read_answer *answer)
{
    struct evc_exchange *exchange = ctx;
    struct evc_node_reply empty;
    bool is_hit = answer->result == EVC_NODE_HIT;

    if ((!is_hit && (answer->result != EVC_NODE_MISS || !exchange->lease.has_vivify))) {
        evc_command_finish_read(exchange, answer->result, &answer->reply);
        return;
    }
    if (claims(exchange, is_hit, &answer->reply)) {
        return;
    }
    empty = placeholder(exchange);
    evc_command_finish_read(exchange, EVC_NODE_HIT, is_hit ? &answer->reply : &empty);
}

void
evc_command_read_leased_item(struct evc_exchange *exchange)
{
    uint16_t want = exchange->want | EVC_WANT_CAS | EVC_WANT_TTL;

    if (evc_read_start(exchange->service->reader, key_of(exchange), want, on_item, exchange) !=
        EVC_OK) {
        evc_command_finish_read(exchange, EVC_NODE_REFUSED, NULL);
    }
}

static void
on_lease(void *ctx, const struct evc_read_answer *answer)
{
    struct evc_exchange *exchange = ctx;
    struct evc_lease *lease = &exchange->lease;

    lease->exists = answer->result == EVC_NODE_HIT;
    if (lease->exists) {
        lease->cas = answer->reply.cas;
        parse_lease(lease, answer->reply.value);
    }
    evc_command_read_leased_item(exchange);
}

void
evc_command_take_lease(struct evc_exchange *exchange, const struct evc_request *request)
{
    exchange->lease = (struct evc_lease){
        .has_vivify = evc_request_flag(request, 'N') != NULL,
        .vivify = request->vivify,
        .has_recache = evc_request_flag(request, 'R') != NULL,
        .recache = request->recache,
    };
    exchange->is_leased = exchange->lease.has_vivify || exchange->lease.has_recache;
}

void
evc_command_read_leased(struct evc_exchange *exchange)
{
    char space[LEASE_KEY_BYTES];

    if (!exchange->decides && exchange->session) {
        evc_exchange_decides(exchange, key_of(exchange));
    }
    if (evc_read_start(exchange->service->reader, lease_key(exchange, space),
                       EVC_WANT_VALUE | EVC_WANT_CAS, on_lease, exchange) != EVC_OK) {
        evc_command_finish_read(exchange, EVC_NODE_REFUSED, NULL);
    }
}

/* --- md I --- */

static void
on_marked(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_exchange *exchange = ctx;

    (void)tag;
    evc_command_finish_write(exchange, answer->result == EVC_WRITE_STORED
                                           ? &(struct evc_write_answer){.result = EVC_WRITE_DELETED}
                                           : answer);
}

/** The item has a new version, with which no older cas goes through; now that is marked. */
static void
on_renewed(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_exchange *exchange = ctx;

    if (answer->result == EVC_WRITE_STORED || answer->result == EVC_WRITE_TOUCHED) {
        write_lease(exchange, answer->version, 0, LEASE_TTL_MAX_S, EVC_WRITE_SET, on_marked);
    } else if (answer->result == EVC_WRITE_NOT_STORED) {
        evc_command_finish_write(exchange,
                                 &(struct evc_write_answer){.result = EVC_WRITE_NOT_FOUND});
    } else {
        (void)tag;
        evc_command_finish_write(exchange, answer);
    }
}

void
evc_command_md_invalidate(struct evc_exchange *exchange, const struct evc_request *request)
{
    bool drops_value = evc_request_flag(request, 'x') != NULL;
    struct evc_write_request write = {
        .kind = EVC_WRITE_APPEND, /* of nothing: value, flags and expiry stay */
        .key = request->key,
        .unique = request->has_cas ? evc_command_unique(request) : 0,
        .client_flags = request->client_flags,
        .exptime = request->exptime,
    };

    if (drops_value) {
        write.kind = EVC_WRITE_REPLACE;
    } else if (evc_request_flag(request, 'T')) {
        write.kind = EVC_WRITE_TOUCH;
    }
    evc_command_write(exchange, &write, on_renewed);
}
