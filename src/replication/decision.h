/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a write that depends on the item makes of it: whether add, replace, cas, touch, append,
 * prepend, incr, decr or a conditional delete goes ahead over what was found, and what it then
 * stores. memcached's own rules, applied once, in the zone that decides; the result is a plain
 * value that the other zones and regions receive, so nothing is ever counted or appended twice.
 * Pure: no clock, no effects.
 */
#ifndef EVC_REPLICATION_DECISION_H
#define EVC_REPLICATION_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "replication/write.h"

/** What is to be stored, or why nothing is. */
struct evc_decision {
    bool goes_ahead;
    enum evc_write_result result; /* of a write that does not go ahead */
    bool is_tombstone;            /* an exptime in the past, or a delete: nothing is left to read */
    bool is_created;              /* INCR, DECR, APPEND, PREPEND: there was no item before */
    uint32_t client_flags;
    int64_t exptime;        /* memcached's */
    uint64_t number;        /* INCR, DECR: the new one */
    struct evc_slice value; /* view of the request's value or of space */
};

/** Whether a write has to know the item first. */
bool evc_decision_is_needed(const struct evc_write_request *request);

/** What to ask of the item for it: enum evc_node_want. */
uint16_t evc_decision_want(const struct evc_write_request *request);

/**
 * Decides. item: what the deciding zone holds, NULL for nothing or a tombstone. unix_us: now.
 * value_len_max: what append and prepend may grow to. space is emptied and filled; *ret is valid
 * until it changes. 0, or EVC_E_NOMEM and EVC_E_LIMIT when space cannot hold the value.
 */
EVC_MUST_USE int evc_decide(const struct evc_write_request *request,
                            const struct evc_node_reply *item, uint64_t unix_us,
                            size_t value_len_max, struct evc_buf *space, struct evc_decision *ret);

#endif
