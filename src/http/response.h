/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an HTTP/1.1 response as the admin address sends it: a status line, headers, and a body
 * whose Content-Length is given. No sockets; what other servers may also send (chunks, a body up to
 * the end of the stream) is refused.
 */
#ifndef EVC_HTTP_RESPONSE_H
#define EVC_HTTP_RESPONSE_H

#include "base/slice.h"
#include "base/status.h"

enum {
    EVC_HTTP_HEAD_BYTES_MAX = 16 * 1024,
    EVC_HTTP_BODY_BYTES_MAX = 4 * 1024 * 1024,
};

struct evc_http_response {
    unsigned status;       /* 100 to 599 */
    struct evc_slice body; /* view into the input */
};

/**
 * Reads a response from the front of input, which is all bytes received so far. 0 with *ret;
 * EVC_E_AGAIN: more bytes are needed; EVC_E_LIMIT: head or body are larger than allowed;
 * EVC_E_PROTO: not a response this reads.
 */
EVC_MUST_USE int evc_http_response_parse(struct evc_slice input, struct evc_http_response *ret);

#endif
