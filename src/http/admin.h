/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin address of a process: HTTP on its own thread (libmicrohttpd), never on a worker's loop.
 * Serves GET /status.json, /metrics (Prometheus text), /healthz (the process lives) and /readyz (it
 * can do its work: 200, else 503), /explain.json?key=… where a process has it, the documents a
 * process adds, and for one that has the dashboard
 * its pages (pages.h); 404 and 405 otherwise, in JSON. What changes is made by the process's own
 * callbacks, on the HTTP thread. Below it the client of the tools and of `evcache up`.
 */
#ifndef EVC_HTTP_ADMIN_H
#define EVC_HTTP_ADMIN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/metric.h"
#include "base/slice.h"
#include "topology/config.h"

enum {
    EVC_ADMIN_CONNECTIONS_MAX = 64,          /* beyond it a connection waits to be accepted */
    EVC_ADMIN_CONNECTIONS_PER_PEER_MAX = 32, /* so that one that hangs leaves room for others */
    EVC_ADMIN_IDLE_TIMEOUT_S = 10,           /* a silent connection is closed */
    EVC_ADMIN_REQUEST_BYTES = 16 * 1024, /* memory of one connection: request line and headers */
    EVC_ADMIN_KEY_BYTES_MAX = 250,       /* what /explain.json takes: memcached's bound */
    EVC_ADMIN_EXPLAIN_PATH_BYTES = 3 * EVC_ADMIN_KEY_BYTES_MAX + 32,
};

/** A document a process adds to its admin address. */
struct evc_admin_document {
    const char *path;
    const char *type; /* Content-Type */
    /** A text from malloc (taken), or NULL: 503. HTTP thread. */
    char *(*make)(void *ctx);
};

struct evc_admin_handler {
    /** A new JSON object (the caller takes it), or NULL: 503. HTTP thread. */
    json_t *(*status)(void *ctx);
    /** Writes the families of /metrics. False: 503. NULL: there is no such path. HTTP thread. */
    bool (*metrics)(void *ctx, struct evc_metric_page *page);
    bool (*is_ready)(void *ctx); /* HTTP thread */
    /** What the process knows of a key of 1 to EVC_ADMIN_KEY_BYTES_MAX bytes; as status. NULL:
     * there is no such path. */
    json_t *(*explain)(void *ctx, struct evc_slice key);
    void *ctx;
    const struct evc_admin_document *documents; /* outlive the server; NULL with a count of 0 */
    size_t document_count;
    bool has_dashboard;
    const char *dashboard; /* NULL, or the host:port that has it: "/" is redirected there */
};

struct evc_admin;

/**
 * Binds and serves until evc_admin_stop; handler is copied. EVC_E_SYS with a sentence naming the
 * address when it is taken, EVC_E_CONFIG when it cannot be resolved.
 */
EVC_MUST_USE int evc_admin_start(const struct evc_address *address,
                                 const struct evc_admin_handler *handler, struct evc_admin **ret,
                                 struct evc_error *error);

/** Ends its thread; no callback runs afterwards. Accepts NULL. */
void evc_admin_stop(struct evc_admin *admin);

/**
 * The path that asks for a key, of up to EVC_ADMIN_KEY_BYTES_MAX bytes:
 * /explain.json?key=<percent-encoded>.
 */
void evc_admin_explain_path(struct evc_slice key, char path[EVC_ADMIN_EXPLAIN_PATH_BYTES]);

/**
 * GET path from a host:port, as JSON in *ret (the caller's). Blocking, bounded by timeout_ms. With
 * *error naming the address: EVC_E_CLOSED (nobody listens, or it hung up), EVC_E_TIMEOUT,
 * EVC_E_LIMIT (larger than EVC_HTTP_BODY_BYTES_MAX), EVC_E_BUSY (it answers 503: not ready),
 * EVC_E_PROTO (another status than 200, or no JSON).
 */
EVC_MUST_USE int evc_admin_get(const struct evc_address *address, const char *path,
                               unsigned timeout_ms, json_t **ret, struct evc_error *error);

#endif
