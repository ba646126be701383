/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: libmicrohttpd with one thread of its own, which polls and answers. The listening
 * socket is made here and not by the library, so that a taken port is reported with its cause.
 *
 * Every request is answered at its first callback, before any body: only GET is served, and
 * refusing a request with a body closes its connection, so nobody can make this thread read for
 * ever.
 */
#include "http/admin.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/pages.h"
#include "topology/topology.h"

enum {
    ADMIN_LISTEN_BACKLOG = 64,
    LOCATION_BYTES = 512, /* host names are shorter than 256 */
};

struct evc_admin {
    struct MHD_Daemon *daemon;
    struct evc_admin_handler handler; /* immutable */
};

/** One path: makes a JSON body and its status code. A NULL body stands for 503. */
struct admin_route {
    const char *path;
    json_t *(*respond)(const struct evc_admin_handler *handler, unsigned *ret_code);
};

static const char metrics_path[] = "/metrics";
static const char explain_path[] = "/explain.json";
static const char type_of_json[] = "application/json";
static const char type_of_metrics[] = "text/plain; version=0.0.4; charset=utf-8";

static json_t *
respond_status(const struct evc_admin_handler *handler, unsigned *ret_code)
{
    *ret_code = MHD_HTTP_OK;
    return handler->status(handler->ctx);
}

static json_t *
respond_healthz(const struct evc_admin_handler *handler, unsigned *ret_code)
{
    (void)handler;
    *ret_code = MHD_HTTP_OK;
    return json_pack("{s:b}", "alive", 1);
}

static json_t *
respond_readyz(const struct evc_admin_handler *handler, unsigned *ret_code)
{
    bool is_ready = handler->is_ready(handler->ctx);

    *ret_code = is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    return json_pack("{s:b}", "ready", (int)is_ready);
}

static const struct admin_route route_table[] = {
    {"/status.json", respond_status},
    {"/healthz", respond_healthz},
    {"/readyz", respond_readyz},
};

static const struct admin_route *
route_find(const char *path)
{
    for (size_t i = 0; i < sizeof(route_table) / sizeof(route_table[0]); i++) {
        if (strcmp(route_table[i].path, path) == 0) {
            return &route_table[i];
        }
    }
    return NULL;
}

/** What only pages need, harmless elsewhere: nothing is loaded from, or framed by, anybody else. */
static const char content_security[] = "default-src 'self'; img-src 'self' data:; "
                                       "frame-ancestors 'none'; form-action 'none'";

/** Queues a response (taken; NULL: the connection is closed) with its headers. */
static enum MHD_Result
send_response(struct MHD_Connection *connection, unsigned code, struct MHD_Response *response,
              const char *type)
{
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "Content-Security-Policy", content_security);
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(response, "Allow", "GET");
    }
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/** text: from malloc, taken. */
static enum MHD_Result
send_text(struct MHD_Connection *connection, unsigned code, char *text, const char *type)
{
    struct MHD_Response *response =
        text != NULL ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE)
                     : NULL;

    if (response == NULL) {
        free(text);
    }
    return send_response(connection, code, response, type);
}

/** body: taken; may be NULL, an empty object then. */
static enum MHD_Result
send_json(struct MHD_Connection *connection, unsigned code, json_t *body)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : strdup("{}");

    json_decref(body);
    return send_text(connection, code, text, type_of_json);
}

static enum MHD_Result
send_metrics(struct MHD_Connection *connection, const struct evc_admin_handler *handler)
{
    struct evc_metric_page page;
    enum MHD_Result result;

    evc_metric_page_init(&page);
    if (!handler->metrics(handler->ctx, &page) || page.is_cut) {
        result = send_json(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                           json_pack("{s:s}", "error", "there are no metrics now"));
    } else {
        struct evc_slice text = evc_buf_slice(&page.out);
        char *copy = malloc(text.len + 1);

        result = MHD_NO;
        if (copy != NULL) {
            memcpy(copy, text.ptr, text.len);
            copy[text.len] = '\0';
            result = send_text(connection, MHD_HTTP_OK, copy, type_of_metrics);
        }
    }
    evc_metric_page_finish(&page);
    return result;
}

static enum MHD_Result
send_explain(struct MHD_Connection *connection, const struct evc_admin_handler *handler)
{
    struct evc_slice key = {.ptr = NULL, .len = 0};
    json_t *body;

    if (MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "key", 3, &key.ptr,
                                      &key.len) != MHD_YES ||
        key.ptr == NULL || key.len == 0 || key.len > EVC_ADMIN_KEY_BYTES_MAX) {
        return send_json(connection, MHD_HTTP_BAD_REQUEST,
                         json_pack("{s:s}", "error", "?key= is to name a key of 1 to 250 bytes"));
    }
    body = handler->explain(handler->ctx, key);
    return send_json(connection, body != NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, body);
}

static enum MHD_Result
send_page(struct MHD_Connection *connection, const struct evc_page *page)
{
    /* The library only reads a persistent buffer. */
    void *bytes = (void *)(uintptr_t)page->bytes;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page->len, bytes, MHD_RESPMEM_PERSISTENT);

    return send_response(connection, MHD_HTTP_OK, response, page->type);
}

static enum MHD_Result
send_redirect(struct MHD_Connection *connection, const char *host_port)
{
    char location[LOCATION_BYTES];
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);

    snprintf(location, sizeof(location), "http://%s/", host_port);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "Location", location);
    }
    return send_response(connection, MHD_HTTP_FOUND, response, "text/plain");
}

/** What this process adds to the routes of all. False: it has nothing there. */
static bool
send_own(const struct evc_admin_handler *handler, struct MHD_Connection *connection,
         const char *path, enum MHD_Result *ret)
{
    for (size_t i = 0; i < handler->document_count; i++) {
        const struct evc_admin_document *document = &handler->documents[i];
        if (strcmp(document->path, path) == 0) {
            char *text = document->make(handler->ctx);
            *ret = text != NULL ? send_text(connection, MHD_HTTP_OK, text, document->type)
                                : send_json(connection, MHD_HTTP_SERVICE_UNAVAILABLE, NULL);
            return true;
        }
    }
    for (size_t i = 0; handler->has_dashboard && i < evc_pages_count; i++) {
        if (strcmp(evc_pages[i].path, path) == 0) {
            *ret = send_page(connection, &evc_pages[i]);
            return true;
        }
    }
    if (handler->dashboard != NULL && strcmp(path, "/") == 0) {
        *ret = send_redirect(connection, handler->dashboard);
        return true;
    }
    return false;
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *connection, const char *path, const char *method,
           const char *http_version, const char *upload, size_t *upload_len, void **request_ctx)
{
    struct evc_admin *admin = ctx;

    (void)http_version;
    (void)upload;
    (void)upload_len;
    (void)request_ctx;
    if (strcmp(method, "GET") != 0) {
        return send_json(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                         json_pack("{s:s}", "error", "only GET is served"));
    }
    if (strcmp(path, metrics_path) == 0 && admin->handler.metrics != NULL) {
        return send_metrics(connection, &admin->handler);
    }
    if (strcmp(path, explain_path) == 0 && admin->handler.explain != NULL) {
        return send_explain(connection, &admin->handler);
    }
    enum MHD_Result result;
    if (send_own(&admin->handler, connection, path, &result)) {
        return result;
    }
    const struct admin_route *route = route_find(path);
    if (route == NULL) {
        return send_json(connection, MHD_HTTP_NOT_FOUND,
                         json_pack("{s:s}", "error", "no such path"));
    }
    unsigned code;
    json_t *body = route->respond(&admin->handler, &code);
    return send_json(connection, body != NULL ? code : MHD_HTTP_SERVICE_UNAVAILABLE, body);
}

/** A listening socket, or -1 with *error. */
static int
listen_open(const struct evc_address *address, struct evc_error *error)
{
    struct sockaddr_storage storage;
    int one = 1;

    if (evc_address_resolve(address, &storage, error) != 0) {
        return -1;
    }
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        evc_error_sys(error, errno, "admin address %s: no socket", address->text);
        return -1;
    }
    /* REUSEADDR lets a restarted process bind while old connections linger; it shares nothing. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    socklen_t len = storage.ss_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                                  : (socklen_t)sizeof(struct sockaddr_in);
    if (bind(fd, (const struct sockaddr *)&storage, len) != 0 ||
        listen(fd, ADMIN_LISTEN_BACKLOG) != 0) {
        evc_error_sys(error, errno, "admin address %s cannot be served", address->text);
        close(fd);
        return -1;
    }
    return fd;
}

int
evc_admin_start(const struct evc_address *address, const struct evc_admin_handler *handler,
                struct evc_admin **ret, struct evc_error *error)
{
    assert(handler->status != NULL && handler->is_ready != NULL);
    struct evc_admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "admin address: out of memory");
    }
    admin->handler = *handler;
    int fd = listen_open(address, error);
    if (fd < 0) {
        free(admin);
        return error != NULL ? error->status : EVC_E_SYS;
    }
    admin->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, on_request, admin, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)EVC_ADMIN_CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)EVC_ADMIN_CONNECTIONS_PER_PEER_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)EVC_ADMIN_IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)EVC_ADMIN_REQUEST_BYTES, MHD_OPTION_END);
    if (admin->daemon == NULL) {
        close(fd);
        free(admin);
        return evc_error_set(error, EVC_E_SYS, "admin address %s: the HTTP thread cannot start",
                             address->text);
    }
    *ret = admin;
    return 0;
}

void
evc_admin_stop(struct evc_admin *admin)
{
    if (admin == NULL) {
        return;
    }
    MHD_stop_daemon(admin->daemon); /* closes the listening socket too */
    free(admin);
}
