/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link to one destination: a persistent connection to one of its receivers, over which a
 * shipment's items leave pipelined and answers come back in any order (meta/replication.h). Knows
 * the wire, not the rules.
 *
 *   DOWN ─▶ CONNECTING ─▶ GREETING (hello, HELLO: the right cache and region) ─▶ UP
 *    ▲  back-off, the next receiver of the list ◀── closed, refused, silent for EVC_LINK_SILENCE_MS
 *
 * Owner: one loop.
 */
#ifndef EVC_RELAY_LINK_H
#define EVC_RELAY_LINK_H

#include "base/backoff.h"
#include "base/skew.h"
#include "net/stream.h"
#include "replication/ship.h"
#include "topology/config.h"

enum {
    EVC_LINK_OUTPUT_PAUSE_BYTES = 4 * 1024 * 1024, /* waiting for the peer: no further items */
    EVC_LINK_SILENCE_MS = 10000,                   /* items on their way and not one answer */
    EVC_LINK_GREETING_MS = 2000,
    EVC_LINK_CLOCK_MS = 1000, /* how often the receiver is asked for its time */
    EVC_LINK_BACKOFF_MIN_MS = 50,
    EVC_LINK_BACKOFF_MAX_MS = 2000,
};

enum evc_link_state {
    EVC_LINK_DOWN,
    EVC_LINK_CONNECTING,
    EVC_LINK_GREETING,
    EVC_LINK_UP,
    EVC_LINK_STATE_MAX,
};

const char *evc_link_state_str(enum evc_link_state state);

struct evc_link {
    struct evc_ship_link ship_link; /* what the shipment sends through */
    struct evc_loop *loop;
    const struct evc_config *config;
    unsigned source, destination; /* region indexes */
    const char *relay_id;
    struct evc_ship *ship; /* told of answers, losses and room */
    struct evc_stream stream;
    struct evc_loop_hook tick;
    struct evc_backoff backoff;
    enum evc_link_state state;
    unsigned receiver; /* of the destination's list, used next */
    uint64_t due_us;   /* DOWN: when to try; CONNECTING, GREETING: when to give up */
    uint64_t heard_us; /* when the last answer came, or the first item left */
    uint64_t on_their_way;
    uint64_t connects_total;
    struct evc_skew skew;    /* of the receiver's clock */
    uint64_t clock_due_us;   /* monotonic */
    uint64_t clock_asked_us; /* Unix; 0: no question is on its way */
    bool is_full;            /* an item was refused for want of room */
    bool is_closing;
    char why[EVC_ERROR_TEXT_BYTES]; /* why it is not UP */
};

struct evc_link_options {
    struct evc_loop *loop;
    const struct evc_config *config;
    unsigned source, destination;
    const char *relay_id; /* without blanks; outlives the link */
};

/** Connects at the next tick. ship is set by the caller before the loop runs. */
void evc_link_init(struct evc_link *link, const struct evc_link_options *options);

/** Closes for good; the memory may go when the loop has ended. */
void evc_link_close(struct evc_link *link);

#endif
