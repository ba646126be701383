/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one key of the region: the local zone first, another zone on a miss or an error, at most
 * once each. A tombstone is a definite miss and ends the search. A zone may take its equal share of
 * the time that is left, so that a silent one leaves some to the others. Pure: effects go through
 * the port.
 */
#ifndef EVC_ENGINE_READ_H
#define EVC_ENGINE_READ_H

#include "base/clock.h"
#include "meta/node_op.h"

struct evc_read {
    /* set by the caller */
    uint16_t want;       /* enum evc_node_want; FLAGS and SIZE are added */
    uint32_t timeout_us; /* for the whole read, over all zones */
    void (*on_done)(struct evc_read *read);
    void *ctx;
    /* result, valid during on_done: HIT (op.reply), MISS (a tombstone: op.reply.is_tombstone), or
     * the last zone's failure */
    enum evc_node_result result;
    /* internal */
    struct evc_node_op op;
    struct evc_node_port *port;
    const struct evc_moment *now;
    uint64_t deadline_us;
    uint8_t zones_tried;
    bool had_miss; /* some zone said MISS: then the result is MISS, not a failure */
    uint8_t key_len;
    char key[EVC_KEY_LEN_MAX];
};

/** Starts; on_done may come before it returns. key is copied. */
void evc_read_start(struct evc_read *read, struct evc_node_port *port, const struct evc_moment *now,
                    struct evc_slice key);

#endif
