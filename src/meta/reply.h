/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies to applications, composed as memcached composes them: VALUE lines of the classic protocol,
 * and meta replies with their return flags in the order the request asked for them.
 */
#ifndef EVC_META_REPLY_H
#define EVC_META_REPLY_H

#include "meta/request.h"

enum evc_meta_code {
    EVC_META_HD,
    EVC_META_NS,
    EVC_META_EX,
    EVC_META_NF,
    EVC_META_EN,
    EVC_META_CODE_MAX,
};

/** What a meta reply needs to know of its request, kept until the nodes have spoken. */
struct evc_meta_reply {
    enum evc_command command;
    bool is_quiet;
    uint8_t flag_count;
    char flags[EVC_REQUEST_META_FLAGS_MAX]; /* letters, in the request's order */
    struct evc_slice key;    /* as it was sent, to echo */
    struct evc_slice opaque;
};

enum { EVC_META_KEY_TEXT_MAX = EVC_KEY_LEN_MAX /* a key as it is sent, base64 or not */ };

/** Copies what is needed out of a meta request; the spaces outlive the reply. */
void evc_meta_reply_init(struct evc_meta_reply *meta, const struct evc_request *request,
                         char opaque_space[EVC_REQUEST_OPAQUE_MAX],
                         char key_space[EVC_META_KEY_TEXT_MAX]);

/** "VALUE <key> <flags> <bytes>[ <cas>]\r\n<value>\r\n". 0, EVC_E_LIMIT or EVC_E_NOMEM, as all below. */
EVC_MUST_USE int evc_reply_compose_value(struct evc_buf *out, struct evc_slice key,
                                         const struct evc_node_reply *reply, bool with_cas);

/** The reply to an mg that hit: VA with the value, or HD. */
EVC_MUST_USE int evc_meta_reply_compose_get(struct evc_buf *out,
                                            const struct evc_meta_reply *meta,
                                            const struct evc_node_reply *reply);

/** A reply without an item: the code, key and opaque. Nothing when the request was quiet about it. */
EVC_MUST_USE int evc_meta_reply_compose(struct evc_buf *out, const struct evc_meta_reply *meta,
                                        enum evc_meta_code code);

/** The reply to ms and md: version and value_len are what was stored, for the flags c and s. */
EVC_MUST_USE int evc_meta_reply_compose_write(struct evc_buf *out,
                                              const struct evc_meta_reply *meta,
                                              enum evc_meta_code code, evc_version version,
                                              uint32_t value_len);

#endif
