/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange: one request of a client (of a get: one key) and its reply. It keeps the reply's
 * place in the order of its session while the nodes are asked, and the reply itself when it is
 * ready too early.
 *
 * Invariant: an exchange that the nodes still have (WAITING) is never given back; when its client
 * goes away it only loses its session. Owner: one loop.
 */
#ifndef EVC_PROXY_EXCHANGE_H
#define EVC_PROXY_EXCHANGE_H

#include "meta/reply.h"
#include "meta/request.h"
#include "proxy/service.h"

struct evc_session;

enum {
    EVC_EXCHANGE_INLINE_BYTES = 96,
};

/** What a client that fetches missing and stale values may know; see lease_commands.c. */
struct evc_lease {
    uint64_t stale, won; /* versions */
    uint64_t cas;        /* of the lease item */
    bool exists;
    bool has_vivify, has_recache;
    int64_t vivify, recache;
    enum {
        EVC_LEASE_UNTRIED,
        EVC_LEASE_WON,
        EVC_LEASE_LOST
    } claim;
};

enum evc_exchange_state {
    EVC_EXCHANGE_WAITING,
    EVC_EXCHANGE_STAGED,
    EVC_EXCHANGE_POSTPONED /* there was no room to keep what was read: read again in its turn */
};

struct evc_exchange {
    struct evc_list link;
    struct evc_list flush_link; /* while a flush_all waits */
    struct evc_service *service;
    struct evc_session *session; /* NULL: the client is gone */
    enum evc_exchange_state state;
    enum evc_command command;
    bool decides; /* counted in session->deciding[bucket] */
    uint8_t bucket;
    bool is_leased;           /* mg with N or R; see lease */
    bool bars_session;        /* nothing behind it starts before it is answered */
    bool is_read;             /* what it answers can be read again */
    bool is_read_again;       /* and is: it has been counted before */
    bool is_silent;           /* noreply: nothing is answered */
    bool closes_group;        /* the last key of a get: END, or the group's failure, follows */
    bool is_direct;           /* between begin and end: composed into the stream's output */
    size_t mark;              /* between begin and end: length of the output before */
    struct evc_slice failure; /* of one key of a get; a literal */
    /* staged */
    struct evc_chunk *chunks, *chunks_last;
    uint32_t inline_len;
    char inline_bytes[EVC_EXCHANGE_INLINE_BYTES];
    /* what the reply needs to know of the request */
    struct evc_meta_reply meta; /* with views of the two below */
    char opaque[EVC_REQUEST_OPAQUE_MAX];
    char raw_key[EVC_META_KEY_TEXT_MAX];
    uint32_t value_len;
    bool has_cas;
    bool counts_down;       /* decr, ma MD */
    uint16_t want;          /* enum evc_node_want */
    struct evc_lease lease; /* mg N, mg R */
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
};

/** A new exchange at the end of the session's list; NULL when the pool is empty (nothing happened).
 */
struct evc_exchange *evc_exchange_open(struct evc_session *session,
                                       const struct evc_request *request);

/**
 * Where the exchange's reply is to be composed, or NULL when nobody is to get one. Composing is
 * followed by evc_exchange_end in any case; nothing else of the session may be called in between.
 */
struct evc_buf *evc_exchange_begin(struct evc_exchange *exchange);

/**
 * The exchange is answered by what was composed since evc_exchange_begin (status: what composing
 * returned). It may be gone when this returns.
 */
void evc_exchange_end(struct evc_exchange *exchange, int status);

/** Both, for a reply that is there already. */
void evc_exchange_reply(struct evc_exchange *exchange, struct evc_slice line);

/** Copies the key, for the reply and for what is asked of the nodes later. */
void evc_exchange_keep_key(struct evc_exchange *exchange, struct evc_slice key);

/** The exchange is one that decides: later requests about its key wait until it is answered. */
void evc_exchange_decides(struct evc_exchange *exchange, struct evc_slice key);

/**
 * Copies the reply of the session's first exchange to its output, if it is ready and there is room;
 * or reads it again, if there was none before. False: nothing has changed.
 */
bool evc_exchange_send_next(struct evc_session *session);

/** The session is gone: answered exchanges go with it, those the nodes have live on alone. */
void evc_exchange_abandon_all(struct evc_session *session);

#endif
