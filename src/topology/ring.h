/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ketama: 160 points per node on a ring of 32 bits, four from each MD5 of "<host>:<port>-<n>"; a
 * key belongs to the first point at or after its own place. Port-aware: two nodes of one host
 * differ. The same list of addresses gives the same ring in every process and every release.
 *
 * A key's place is not its MD5, as in the first Ketama, but XXH3: every request looks for a node,
 * and MD5 is a chain of 64 steps that wait for each other, a quarter of all the instructions of a
 * proxied request. Its high half, because the low bits choose the partition: the keys of a
 * partition are spread over all nodes.
 */
#ifndef EVC_TOPOLOGY_RING_H
#define EVC_TOPOLOGY_RING_H

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum {
    EVC_RING_POINTS_PER_NODE = 160
};

struct evc_ring; /* immutable after creation; any thread */

/** addresses: "host:port" texts. NULL without memory, or where OpenSSL has no MD5. */
struct evc_ring *evc_ring_create(const char *const *addresses, unsigned count);
void evc_ring_destroy(struct evc_ring *ring); /* accepts NULL */

/** The place on the ring of a key: the high 32 bits of evc_hash_key. */
uint32_t evc_ring_hash(struct evc_slice key);

/** The index of the node that has this place. */
unsigned evc_ring_find(const struct evc_ring *ring, uint32_t hash);

#endif
