/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of an application: requests in, replies out strictly in the order of the requests.
 *
 * Each request becomes an exchange at the end of the session's list and is answered whenever the
 * nodes have spoken. The reply of the first exchange of the list is composed straight into the
 * stream's output; those of others are staged (a short one within the exchange, a long one in
 * chunks) until their turn comes.
 *
 *   parsed ─▶ WAITING ─▶ (first of the list) composed into the output ─▶ given back
 *              ▲    ├──▶ (not first) STAGED ─▶ first: copied to the output ─▶ given back
 *              │    └──▶ (not first, no room) POSTPONED ─┐
 *              └──────────── first: read again ◀─────────┘
 *
 * So a client that reads slowly, or not at all, keeps a bounded piece of memory and nobody else
 * waiting: where the room for staged replies ends, what a read has found is dropped and read again
 * when it is the first.
 *
 * Back-pressure: parsing stops, and the input stays in the stream, while the session has
 * EVC_SESSION_EXCHANGES_MAX requests in progress, too many staged bytes, or output the client does
 * not take. Writes that decide in one zone first (add, replace, cas, touch, a conditional delete)
 * take two steps, so what follows on the same key of the same session waits for them: a client sees
 * its own writes in the order it sent them, as with memcached. A client that takes nothing for
 * EVC_SESSION_STALL_US, or leaves a request unfinished for EVC_SESSION_UNFINISHED_US, is closed:
 * what is kept for it would be kept for ever. When a client goes away its unanswered exchanges live
 * on without a session until the nodes have spoken.
 */
#ifndef EVC_PROXY_SESSION_H
#define EVC_PROXY_SESSION_H

#include "meta/request.h"
#include "net/listener.h"
#include "net/stream.h"
#include "proxy/service.h"

enum {
    EVC_SESSION_EXCHANGES_MAX = 1024,
    /* Beyond it no further request is parsed, and a value is not staged but read again. The short
     * answers of writes, some hundred bytes each, may still come on top. */
    EVC_SESSION_STAGED_BYTES_MAX = 4 * 1024 * 1024,
    EVC_SESSION_EXPECTED_BYTES_MAX = 4 * 1024 * 1024, /* the same, by the size of recent replies */
    EVC_SESSION_REPLY_BYTES_FIRST =
        64 * 1024, /* taken for that size until replies tell otherwise */
    EVC_SESSION_OUTPUT_PAUSE_BYTES = 1024 * 1024, /* the same for output the client has not taken */
    EVC_SESSION_STALL_US = 60 * 1000 * 1000,
    EVC_SESSION_UNFINISHED_US = 60 * 1000 * 1000, /* without input in the middle of a request */
    EVC_SESSION_KEY_BUCKETS =
        64, /* keys under decision are told apart by so many bits of their hash */
};

struct evc_session {
    struct evc_list link; /* service->sessions */
    struct evc_list starved_link;
    struct evc_service *service;
    struct evc_stream stream;
    struct evc_request_parser parser;
    struct evc_list exchanges; /* in the order of the requests */
    unsigned exchange_count;
    unsigned keys_taken; /* of the get at the front of the input, already exchanges */
    size_t staged_bytes;
    size_t reply_bytes;      /* of recent replies: at once as large as one, smaller by and by */
    unsigned deciding_count; /* exchanges that decide in one zone first, */
    uint16_t deciding[EVC_SESSION_KEY_BUCKETS]; /* by bucket of their key */
    uint64_t progress_us; /* when the client last took output, or had none to take */
    uint64_t progress_bytes;
    uint64_t input_us; /* when the client last sent something, or had finished its request */
    uint64_t input_bytes;
    struct evc_slice group_failure; /* of the get whose keys are leaving; a literal */
    bool is_refused;                /* over the bound of connections */
    bool is_parsing;
    bool is_advancing;
    bool is_paused;
    bool is_resuming;    /* kept input will be given at the next turn */
    bool is_half_closed; /* the client sends nothing more, and still reads */
    bool waits_for_key; /* the request at the front is about a key under decision, in this bucket */
    uint8_t waited_bucket;
    bool is_barred;       /* a flush_all is at work: what is behind it waits */
    bool waits_for_quiet; /* one is at the front of the input: it waits for what is before it */
    bool is_leaving;      /* no further request; closes when the last reply has left */
    bool is_closing;
};

/**
 * Takes the connection that waits at the listener; over the bound it is told so and closed. False:
 * no room even for that; the connection waits and must be asked for again.
 */
bool evc_session_accept(struct evc_service *service, struct evc_listener *listener);

/** Whether another request may be parsed now. */
bool evc_session_has_room(const struct evc_session *session);

/** Whether the client has left so much untaken that no reply may be added. */
bool evc_session_output_is_full(const struct evc_session *session);

/** Which of the EVC_SESSION_KEY_BUCKETS a key falls into. */
uint8_t evc_session_bucket(struct evc_slice key);

/** Whether a request about key may start now; false: an earlier one about it is being decided. */
bool evc_session_may_use(struct evc_session *session, struct evc_slice key);

/** Whether all earlier requests are answered; false: the one at the front waits for them. */
bool evc_session_is_quiet(struct evc_session *session);

/** The session's input is looked at again if there is room for requests. */
void evc_session_continue(struct evc_session *session);

/** Takes no further request and closes when those taken are answered. */
void evc_session_leave(struct evc_session *session);

/** The process stops: an idle session closes at once, another when what it asked is answered. */
void evc_session_drain(struct evc_session *session);

/** Closes at once; what the nodes still have goes on. reason: as evc_stream_close. */
void evc_session_close(struct evc_session *session, int reason);

/**
 * Closes a client that has not taken output for EVC_SESSION_STALL_US, or has not gone on with a
 * request for EVC_SESSION_UNFINISHED_US.
 */
void evc_session_check_progress(struct evc_session *session);

/** What is answered and next in line leaves; then the session closes or reads on, as is due. */
void evc_session_advance(struct evc_session *session);

/** Opens an exchange and answers it at once. Needs evc_session_has_room. */
void evc_session_answer(struct evc_session *session, const struct evc_request *request,
                        struct evc_slice line);

#endif
