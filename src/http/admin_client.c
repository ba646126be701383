/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GET of one JSON document: a new connection each time, closed afterwards. Whoever asks often
 * asks for much at once, so keeping connections would buy nothing.
 */
#include <assert.h>
#include <stdio.h>

#include "http/admin.h"
#include "http/dial.h"
#include "http/response.h"

enum {
    REQUEST_BYTES_MAX = EVC_ADMIN_EXPLAIN_PATH_BYTES + 512
};

void
evc_admin_explain_path(struct evc_slice key, char path[EVC_ADMIN_EXPLAIN_PATH_BYTES])
{
    int len = snprintf(path, EVC_ADMIN_EXPLAIN_PATH_BYTES, "/explain.json?key=");

    assert(key.len <= EVC_ADMIN_KEY_BYTES_MAX);
    for (size_t i = 0; i < key.len; i++) {
        len += snprintf(path + len, EVC_ADMIN_EXPLAIN_PATH_BYTES - (size_t)len, "%%%02X",
                        (unsigned char)key.ptr[i]);
    }
}

static int
send_request(struct evc_dial *dial, const char *path, struct evc_error *error)
{
    char request[REQUEST_BYTES_MAX];
    int len = snprintf(request, sizeof(request),
                       "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
                       dial->peer->text);

    if (len < 0 || (size_t)len >= sizeof(request)) {
        return evc_error_set(error, EVC_E_LIMIT, "the path '%.64s…' is too long", path);
    }
    return evc_dial_send(dial, (struct evc_slice){.ptr = request, .len = (size_t)len}, error);
}

static int
receive_response(struct evc_dial *dial, struct evc_buf *input, struct evc_http_response *ret,
                 struct evc_error *error)
{
    for (;;) {
        int status = evc_http_response_parse(evc_buf_slice(input), ret);
        if (status == EVC_E_LIMIT) {
            return evc_error_set(error, status, "%s answers more than %d bytes", dial->peer->text,
                                 EVC_HTTP_BODY_BYTES_MAX);
        }
        if (status == EVC_E_PROTO) {
            return evc_error_set(error, status, "%s does not answer as an evcache admin address",
                                 dial->peer->text);
        }
        if (status == 0) {
            return 0;
        }
        status = evc_dial_receive(dial, input, error);
        if (status != 0) {
            return status;
        }
    }
}

static int
parse_body(const struct evc_address *address, const char *path,
           const struct evc_http_response *response, json_t **ret, struct evc_error *error)
{
    json_error_t json_error;

    if (response->status == 503) {
        return evc_error_set(error, EVC_E_BUSY, "%s is not ready", address->text);
    }
    if (response->status != 200) {
        return evc_error_set(error, EVC_E_PROTO, "%s answers %u to %s", address->text,
                             response->status, path);
    }
    json_t *document = json_loadb(response->body.ptr, response->body.len, 0, &json_error);
    if (document == NULL) {
        return evc_error_set(error, EVC_E_PROTO, "%s answers no JSON to %s: %s", address->text,
                             path, json_error.text);
    }
    *ret = document;
    return 0;
}

int
evc_admin_get(const struct evc_address *address, const char *path, unsigned timeout_ms,
              json_t **ret, struct evc_error *error)
{
    struct evc_dial dial;
    struct evc_buf input;
    struct evc_http_response response;
    int status = evc_dial_open(&dial, address, timeout_ms, error);

    if (status != 0) {
        return status;
    }
    evc_buf_init(&input, EVC_HTTP_HEAD_BYTES_MAX + EVC_HTTP_BODY_BYTES_MAX);
    status = send_request(&dial, path, error);
    if (status == 0) {
        status = receive_response(&dial, &input, &response, error);
    }
    if (status == 0) {
        status = parse_body(address, path, &response, ret, error);
    }
    evc_buf_finish(&input);
    evc_dial_close(&dial);
    return status;
}
