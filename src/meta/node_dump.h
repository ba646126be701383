/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node has: memcached's `lru_crawler metadump hash`, a line per item without its value, and
 * END. Composed and parsed without sockets, resumable at any byte. The connection is used for
 * nothing else.
 */
#ifndef EVC_META_NODE_DUMP_H
#define EVC_META_NODE_DUMP_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "meta/node_op.h"

enum evc_node_dump_kind {
    EVC_NODE_DUMP_ITEM,
    EVC_NODE_DUMP_END,
    EVC_NODE_DUMP_BUSY,    /* another crawl, or its hash table grows: to be asked again */
    EVC_NODE_DUMP_REFUSED, /* it does not do this: see line */
};

struct evc_node_dump_line {
    enum evc_node_dump_kind kind;
    struct evc_slice key;  /* ITEM: decoded, a view of the state */
    uint64_t cas;          /* ITEM: raw */
    int64_t expiry_s;      /* ITEM: Unix seconds; -1: never */
    uint32_t size;         /* ITEM: of all it takes, its key and header too; 0: not told */
    uint32_t client_flags; /* ITEM: 0 where the node does not tell them */
    struct evc_slice line; /* REFUSED: what the node said; a view of the input */
};

struct evc_node_dump {
    size_t scanned; /* bytes of the current line already searched for its end */
    char key[EVC_KEY_LEN_MAX];
};

/** Appends the request. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_node_dump_compose(struct evc_buf *out);

/**
 * Takes one line from the front of input; zero the state to start. 0 with *ret and *ret_used;
 * EVC_E_AGAIN when it is not whole; EVC_E_PROTO when it can be none.
 */
EVC_MUST_USE int evc_node_dump_parse(struct evc_node_dump *state, struct evc_slice input,
                                     size_t *ret_used, struct evc_node_dump_line *ret);

#endif
