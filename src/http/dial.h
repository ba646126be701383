/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking TCP conversation with a deadline: for the command line and tests, which ask one
 * process after another and have nothing else to do meanwhile. Never for the data path.
 */
#ifndef EVC_HTTP_DIAL_H
#define EVC_HTTP_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "topology/config.h"

struct evc_dial {
    const struct evc_address *peer; /* outlives the conversation; named in errors */
    uint64_t deadline_us;           /* monotonic */
    int fd;
};

/**
 * Connects. All calls below keep its deadline. EVC_E_CLOSED (refused), EVC_E_TIMEOUT, EVC_E_CONFIG
 * (no such host) or EVC_E_SYS; *error names the address.
 */
EVC_MUST_USE int evc_dial_open(struct evc_dial *dial, const struct evc_address *peer,
                               unsigned timeout_ms, struct evc_error *error);

/** Sends all of it. EVC_E_CLOSED, EVC_E_TIMEOUT or EVC_E_SYS. */
EVC_MUST_USE int evc_dial_send(struct evc_dial *dial, struct evc_slice bytes,
                               struct evc_error *error);

/**
 * Appends what has arrived to into, waiting for at least one byte. 0; EVC_E_CLOSED at the end of
 * the stream; EVC_E_TIMEOUT; EVC_E_LIMIT when into is at its bound; EVC_E_SYS.
 */
EVC_MUST_USE int evc_dial_receive(struct evc_dial *dial, struct evc_buf *into,
                                  struct evc_error *error);

void evc_dial_close(struct evc_dial *dial);

#endif
