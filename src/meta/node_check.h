/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a node before it is trusted with operations: its version (flag E needs 1.6.27) and
 * whether CAS is on. No sockets: bytes out, bytes in.
 */
#ifndef EVC_META_NODE_CHECK_H
#define EVC_META_NODE_CHECK_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

struct evc_node_check {
    /* the answer, complete when evc_node_check_parse has returned 0 */
    unsigned major, minor, patch;
    bool cas_enabled;
    /* internal */
    bool has_version;
    size_t scanned;
};

/** Appends `version` and `stats settings`. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_node_check_compose(struct evc_buf *out);

/**
 * Takes what has arrived from the front of input; resumes at any byte (zero the struct to start).
 * *ret_used bytes are done with, whatever it returns. 0: the answer is complete. EVC_E_AGAIN: more bytes
 * are needed. EVC_E_PROTO: this is no memcached.
 */
EVC_MUST_USE int evc_node_check_parse(struct evc_node_check *check, struct evc_slice input,
                                      size_t *ret_used);

#endif
