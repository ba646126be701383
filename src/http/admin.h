/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin address of a process: HTTP on its own thread (libmicrohttpd), never on a worker's loop.
 * Serves GET /status.json, /healthz (the process lives) and /readyz (it can do its work); 404 and 405
 * otherwise. Bodies are made by the process's own callbacks, on the HTTP thread.
 */
#ifndef EVC_HTTP_ADMIN_H
#define EVC_HTTP_ADMIN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "topology/config.h"

struct evc_admin_handler {
    /** A new JSON object (the caller takes it), or NULL: 503. HTTP thread. */
    json_t *(*status)(void *ctx);
    bool (*is_ready)(void *ctx);
    void *ctx;
};

struct evc_admin;

/** Binds and serves. EVC_E_SYS with a sentence naming the address when it is taken. */
EVC_MUST_USE int evc_admin_start(const struct evc_address *address,
                                 const struct evc_admin_handler *handler, struct evc_admin **ret,
                                 struct evc_error *error);
void evc_admin_stop(struct evc_admin *admin); /* accepts NULL */

/**
 * GET path from a host:port, as JSON. Blocking, bounded by timeout_ms. EVC_E_CLOSED, EVC_E_TIMEOUT or
 * EVC_E_PROTO with *error naming the address.
 */
EVC_MUST_USE int evc_admin_get(const struct evc_address *address, const char *path,
                               unsigned timeout_ms, json_t **ret, struct evc_error *error);

#endif
