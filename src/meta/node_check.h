/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a node fit to hold versions? Asked once on every new connection, before any operation: its
 * version (the meta flag E came with 1.6.27) and whether it keeps CAS values at all (-C turns them
 * off). No sockets: the engine sends what is composed here and feeds back what the node says.
 *
 *     version\r\n stats settings\r\n  →  VERSION 1.6.38\r\n STAT … \r\n … END\r\n
 */
#ifndef EVC_META_NODE_CHECK_H
#define EVC_META_NODE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

enum {
    EVC_NODE_CHECK_LINES_MAX = 512, /* of an answer; memcached 1.6.38 has about 100 */
};

/** Zero it to start; one per connection. */
struct evc_node_check {
    /* the answer, complete when evc_node_check_parse has returned 0 */
    unsigned major, minor, patch;
    bool cas_enabled;
    /* internal */
    bool has_version;
    unsigned lines;
    size_t scanned;
};

/** Appends `version` and `stats settings`. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_node_check_compose(struct evc_buf *out);

/**
 * Takes what has arrived from the front of input, as many whole lines as there are; resumes at any
 * byte. *ret_used bytes are done with, whatever it returns. 0: the answer is complete. EVC_E_AGAIN:
 * more bytes are needed. EVC_E_PROTO: this is no memcached.
 */
EVC_MUST_USE int evc_node_check_parse(struct evc_node_check *check, struct evc_slice input,
                                      size_t *ret_used);

#endif
