/* SPDX-License-Identifier: Apache-2.0 */
/* A listening TCP socket with SO_REUSEPORT: one per worker on the same address. Owner: one loop. */
#ifndef EVC_NET_LISTENER_H
#define EVC_NET_LISTENER_H

#include "base/error.h"
#include "net/loop.h"

enum {
    EVC_LISTENER_BACKLOG = 1024, /* connections the kernel holds before they are accepted */
    EVC_ADDRESS_TEXT_BYTES = 64, /* "[<IPv6>]:<port>" and NUL */
};

struct evc_listener {
    uv_tcp_t tcp;
    struct evc_loop *loop;
    /** A connection waits: take it with evc_stream_accept(…, (uv_stream_t *)&listener->tcp, …). The
     * next is announced only when it was taken. */
    void (*on_connection)(struct evc_listener *listener);
    void (*on_closed)(struct evc_listener *listener); /* may be NULL; set it after opening */
};

/**
 * Binds and listens. EVC_E_SYS with a sentence naming address and cause ("127.0.0.1:11211: address
 * already in use; stop the process that has it or change the address in the configuration"): then
 * the listener is not open and its memory the caller's.
 */
EVC_MUST_USE int evc_listener_open(struct evc_listener *listener, struct evc_loop *loop,
                                   const struct sockaddr *address,
                                   void (*on_connection)(struct evc_listener *listener),
                                   struct evc_error *error);

/** Stops listening; connections that were not taken are dropped. on_closed comes later. */
void evc_listener_close(struct evc_listener *listener);

/**
 * Whether an address can be bound exclusively now (without SO_REUSEPORT): used at start-up to
 * refuse a taken port although listeners share theirs. 0, or EVC_E_BUSY with a sentence; EVC_E_SYS
 * when it cannot be bound for another reason.
 */
EVC_MUST_USE int evc_listener_probe(const struct sockaddr *address, struct evc_error *error);

/** The address a listener is bound to; useful where it asked the kernel for a port. 0 or E_SYS. */
EVC_MUST_USE int evc_listener_address(const struct evc_listener *listener,
                                      struct sockaddr_storage *ret);

#endif
