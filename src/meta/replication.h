/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire between a relay and a receiver: memcached's meta protocol with a greeting. No sockets.
 *
 *   relay     hello 1 <cache> <source region> <relay id>\r\n
 *   receiver  HELLO 1 <cache> <region>\r\n          or  CLIENT_ERROR <why>\r\n and closes
 *   relay     ms <key> <len> [b] T<ttl> F<flags> E<version> O<opaque>\r\n<value>\r\n (pipelined; b:
 * the key is in base64, because it has blanks, newlines or NULs) receiver  HD O<opaque> P<outcome>
 * c<newest>\r\n      (in any order)
 *   relay     mn\r\n                         what time is it?
 *   receiver  MN <Unix microseconds>\r\n     (at once; one question at a time)
 *
 * Requests are read with meta/request.h. A tombstone travels as the item it is (node_op.h). Outcome
 * letters: a applied, i identical, b behind (c is the newer version there), l late, f failed (no
 * zone took it; try again), d refused (version beyond the drift bound), r rejected (nodes will not
 * take the value; a tombstone of its version is there instead).
 */
#ifndef EVC_META_REPLICATION_H
#define EVC_META_REPLICATION_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/version.h"
#include "meta/node_op.h"

enum {
    EVC_REPLICATION_PROTOCOL = 1
};

enum evc_apply_result {
    EVC_APPLY_APPLIED,
    EVC_APPLY_IDENTICAL,
    EVC_APPLY_BEHIND,
    EVC_APPLY_LATE,
    EVC_APPLY_FAILED,   /* no zone of the region could be brought to a decision: send it again */
    EVC_APPLY_DRIFT,    /* refused: the version lies beyond the drift bound */
    EVC_APPLY_REJECTED, /* the nodes will not take the value; a tombstone stands in its place */
    EVC_APPLY_RESULT_MAX,
};

const char *evc_apply_result_str(enum evc_apply_result result);

/** One replicated write. */
struct evc_replica {
    struct evc_slice key;
    struct evc_slice value; /* empty for a tombstone */
    uint32_t client_flags;  /* EVC_TOMBSTONE_FLAGS with an empty value: a delete */
    int64_t ttl_s;          /* remaining, 0: never expires */
    evc_version version;
    bool is_rejected; /* at the receiver: larger than it reads, the value is not here */
};

EVC_MUST_USE int evc_replication_compose_hello(struct evc_buf *out, struct evc_slice cache,
                                               struct evc_slice region, struct evc_slice relay);
EVC_MUST_USE int evc_replication_compose_welcome(struct evc_buf *out, struct evc_slice cache,
                                                 struct evc_slice region);
EVC_MUST_USE int evc_replication_compose_item(struct evc_buf *out,
                                              const struct evc_replica *replica, uint32_t opaque);
EVC_MUST_USE int evc_replication_compose_reply(struct evc_buf *out, uint32_t opaque,
                                               enum evc_apply_result result, evc_version newest);

EVC_MUST_USE int evc_replication_compose_clock(struct evc_buf *out, uint64_t unix_us);

/** What a relay reads: one line from the receiver. */
struct evc_replication_reply {
    bool is_welcome; /* HELLO: cache and region are set */
    bool is_error;   /* CLIENT_ERROR, SERVER_ERROR, ERROR: text is set */
    bool is_clock;   /* MN: unix_us is set */
    struct evc_slice cache, region, text;
    uint32_t opaque;
    enum evc_apply_result result;
    evc_version newest;
    uint64_t unix_us;
};

/** 0 and the bytes used; EVC_E_AGAIN without a whole line; EVC_E_PROTO. Views into input. */
EVC_MUST_USE int evc_replication_reply_parse(struct evc_slice input, size_t *ret_used,
                                             struct evc_replication_reply *ret);

/** Reads `1 <cache> <source region> <relay id>` (the rest of a hello). 0 or EVC_E_PROTO. */
EVC_MUST_USE int evc_replication_hello_parse(struct evc_slice rest, unsigned *ret_protocol,
                                             struct evc_slice *ret_cache,
                                             struct evc_slice *ret_region,
                                             struct evc_slice *ret_relay);

#endif
