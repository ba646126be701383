/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients are answered: memcached's VALUE lines, and the meta replies with the flags the
 * request asked for, in the order it asked, byte for byte as memcached puts them. No sockets; the
 * proxy composes into what it will send. Lines that never vary (STORED, END…) are literals of
 * whoever sends them.
 */
#ifndef EVC_META_REPLY_H
#define EVC_META_REPLY_H

#include "base/buf.h"
#include "base/slice.h"
#include "meta/node_op.h"
#include "meta/request.h"

enum {
    EVC_META_KEY_TEXT_MAX = EVC_KEY_LEN_MAX, /* a key as it is sent, base64 or not */
};

/**
 * Appends `VALUE <key> <flags> <bytes>[ <cas>]\r\n<data>\r\n` for a hit; reply has its value and
 * flags (and CAS). 0, EVC_E_LIMIT or EVC_E_NOMEM; whole or not at all.
 */
EVC_MUST_USE int evc_reply_compose_value(struct evc_buf *out, struct evc_slice key,
                                         const struct evc_node_reply *reply, bool with_cas);

enum evc_meta_code {
    EVC_META_HD, /* done; of a get: there, value not asked for */
    EVC_META_NS, /* not stored */
    EVC_META_EX, /* another CAS is there */
    EVC_META_NF, /* not found */
    EVC_META_EN, /* get: not there */
    EVC_META_CODE_MAX,
};

/** What a meta reply needs to know of its request, kept until the nodes have spoken. */
struct evc_meta_reply {
    bool is_quiet;
    bool is_base64; /* k is shown in base64, followed by b */
    bool has_value; /* v */
    uint8_t letter_count;
    uint8_t mark_count;
    char marks[3];                            /* of Z, X, W: shown behind the flags of a hit */
    char letters[EVC_REQUEST_META_FLAGS_MAX]; /* the flags a reply shows, in the request's order */
    struct evc_slice key;                     /* decoded */
    struct evc_slice opaque;                  /* without the O */
};

/** Copies what is needed out of a meta request; the spaces outlive the reply. */
void evc_meta_reply_init(struct evc_meta_reply *meta, const struct evc_request *request,
                         char opaque_space[EVC_REQUEST_OPAQUE_MAX],
                         char key_space[EVC_META_KEY_TEXT_MAX]);

/** Drops the flags that a reply to this command does not show; letters: those it does. */
void evc_meta_reply_keep(struct evc_meta_reply *meta, struct evc_slice letters);

/**
 * Appends a reply without item: the code, and O and k where asked for. A quiet request gets nothing
 * for HD and EN. 0, EVC_E_LIMIT or EVC_E_NOMEM; whole or not at all.
 */
EVC_MUST_USE int evc_meta_reply_compose(struct evc_buf *out, const struct evc_meta_reply *meta,
                                        enum evc_meta_code code);

/**
 * Appends what ms and md answer: O, k, c (the version where the code is HD, else 0, as memcached)
 * and s (value_len) where asked for. A quiet request gets nothing for HD. Statuses as above.
 */
EVC_MUST_USE int evc_meta_reply_compose_write(struct evc_buf *out,
                                              const struct evc_meta_reply *meta,
                                              enum evc_meta_code code, evc_version version,
                                              uint32_t value_len);

/** Appends what me answers to a hit; which slab class has it is not told (0). Statuses as above. */
EVC_MUST_USE int evc_meta_reply_compose_debug(struct evc_buf *out,
                                              const struct evc_meta_reply *meta,
                                              const struct evc_node_reply *reply);

/** Appends what mg answers to a hit: VA with the value, or HD, and the flags. Statuses as above. */
EVC_MUST_USE int evc_meta_reply_compose_get(struct evc_buf *out, const struct evc_meta_reply *meta,
                                            const struct evc_node_reply *reply);

#endif
