/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which canaries a region writes for another: keys chosen so that every node of every zone of the
 * destination, and every partition of the queue, has at least one. Both regions work the same plan
 * out from the configuration, so nothing has to be told.
 *
 *     __evcache:canary:<source>:<destination>:<zone>:<number>
 *
 * The value is `<Unix microseconds when it was written> <round>`. The prefix is reserved: policies
 * do not apply to it. Pure.
 */
#ifndef EVC_TOPOLOGY_CANARY_H
#define EVC_TOPOLOGY_CANARY_H

#include "base/slice.h"
#include "base/status.h"
#include "topology/config.h"

#define EVC_CANARY_PREFIX "__evcache:canary:"

enum {
    EVC_CANARY_KEY_BYTES = 251,
    EVC_CANARY_TRIES_MAX = 65536, /* keys looked at for one zone; what is not found has no canary */
};

struct evc_canary_key {
    char text[EVC_CANARY_KEY_BYTES];
    unsigned zone; /* of the destination, index in the configuration */
    unsigned node; /* index in that zone: the node that has the key */
    unsigned partition;
};

struct evc_canary_plan {
    struct evc_canary_key *keys;
    unsigned count;
};

/** Every canary of source for destination; drained zones have none. 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_canary_plan_make(const struct evc_config *config, unsigned source,
                                      unsigned destination, struct evc_canary_plan *ret);
void evc_canary_plan_finish(struct evc_canary_plan *plan); /* accepts one that is all zero */

bool evc_canary_is_key(const char *key, size_t key_len);

#endif
