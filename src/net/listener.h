/* SPDX-License-Identifier: Apache-2.0 */
/* A listening TCP socket with SO_REUSEPORT: one per worker on the same address. Owner: one loop. */
#ifndef EVC_NET_LISTENER_H
#define EVC_NET_LISTENER_H

#include "base/error.h"
#include "net/loop.h"

struct evc_listener {
    uv_tcp_t tcp;
    struct evc_loop *loop;
    /** A connection waits: take it with evc_stream_accept(…, (uv_stream_t *)&listener->tcp, …). */
    void (*on_connection)(struct evc_listener *listener);
    void (*on_closed)(struct evc_listener *listener); /* may be NULL */
};

/**
 * Binds and listens. EVC_E_SYS with a sentence naming address and cause ("127.0.0.1:11211: address
 * already in use; stop the process that has it or change `proxies:`").
 */
EVC_MUST_USE int evc_listener_open(struct evc_listener *listener, struct evc_loop *loop,
                                   const struct sockaddr *address,
                                   void (*on_connection)(struct evc_listener *listener),
                                   struct evc_error *error);

void evc_listener_close(struct evc_listener *listener);

/**
 * Whether an address can be bound exclusively now (without SO_REUSEPORT): used at start-up to refuse
 * a taken port although listeners share theirs. 0, or EVC_E_BUSY with a sentence.
 */
EVC_MUST_USE int evc_listener_probe(const struct sockaddr *address, struct evc_error *error);

#endif
