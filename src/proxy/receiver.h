/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of another region's relay (meta/replication.h has the wire). Its writes are applied
 * conditionally in every zone and answered in whatever order they end.
 *
 *   GREETING ─hello, cache and region right─▶ OPEN ─▶ (peer closes, or one error line) ─▶ closed
 *
 * Back-pressure: reading stops while too many writes or bytes are in flight or too much output
 * waits. Few writes at a time are begun, which costs least, and more only beside those that a slow
 * node holds up. Anything that is not the protocol is answered with one line and the connection is
 * closed: a relay that is out of step would write values under wrong keys. The struct outlives its
 * connection until the last of its writes has ended.
 */
#ifndef EVC_PROXY_RECEIVER_H
#define EVC_PROXY_RECEIVER_H

#include "meta/request.h"
#include "net/listener.h"
#include "net/stream.h"
#include "proxy/service.h"

enum {
    EVC_RECEIVER_IN_FLIGHT_MAX = 8192,       /* writes of one connection */
    EVC_RECEIVER_NEW_MAX = 1024,             /* of those, not held up: as many as stay in a cache */
    EVC_RECEIVER_GREET_US = 5 * 1000 * 1000, /* a connection that has not greeted is closed */
    EVC_RECEIVER_HELD_UP_US = 50 * 1000,     /* a node that takes longer takes no other's room */
    EVC_RECEIVER_BYTES_MAX = 32 * 1024 * 1024, /* values of those */
    EVC_RECEIVER_OUTPUT_PAUSE_BYTES = 1024 * 1024,
    EVC_RECEIVER_VALUE_SLACK_BYTES = 1024 * 1024, /* taken beyond value_len_max, see receiver.c */
};

struct evc_receiver {
    struct evc_list link; /* service->receivers */
    struct evc_service *service;
    struct evc_stream stream;
    struct evc_request_parser parser;
    unsigned in_flight;
    unsigned held_up; /* of those, at most so many were in flight at looked_us already */
    uint64_t looked_us;
    uint64_t accepted_us;
    size_t in_flight_bytes;
    char source[EVC_CONFIG_NAME_LEN_MAX + 1]; /* the relay's region; empty before the greeting */
    bool is_paused;
    bool is_leaving; /* nothing more is read; closes when the last answer has left */
    bool is_closing;
    bool is_closed; /* the stream is gone, writes are still in flight */
};

/** Takes the connection that waits at the listener. False: no room; ask again later. */
bool evc_receiver_accept(struct evc_service *service, struct evc_listener *listener);

/** Reads on if there is room again. Once per turn for every receiver: room is shared. */
void evc_receiver_continue(struct evc_receiver *receiver);

/** Closes it when it has been open for EVC_RECEIVER_GREET_US without a greeting: what is connected
 * by mistake, or not at all any more, takes no relay's place. */
void evc_receiver_check_greeting(struct evc_receiver *receiver);

/** Takes nothing further and closes when everything is answered. */
void evc_receiver_leave(struct evc_receiver *receiver);

/** Closes at once. */
void evc_receiver_close(struct evc_receiver *receiver);

#endif
