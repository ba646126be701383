/* SPDX-License-Identifier: Apache-2.0 */
/* See ring.h. Finding a node is a binary search over the sorted points. */
#include "topology/ring.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
    RING_MD5_BYTES = 16,
    RING_POINTS_PER_DIGEST = 4,
    RING_POINT_TEXT_BYTES = 512,
};

struct ring_point {
    uint32_t hash;
    uint32_t node;
};

struct evc_ring {
    unsigned point_count;
    struct ring_point points[];
};

static uint32_t
point_of(const unsigned char *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static int
compare_points(const void *a, const void *b)
{
    const struct ring_point *left = a;
    const struct ring_point *right = b;

    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->node < right->node ? -1 : left->node > right->node;
}

/** False without memory. */
static bool
add_node(struct evc_ring *ring, const EVP_MD *md5, unsigned node, const char *address)
{
    for (unsigned i = 0; i < EVC_RING_POINTS_PER_NODE / RING_POINTS_PER_DIGEST; i++) {
        unsigned char out[RING_MD5_BYTES];
        char text[RING_POINT_TEXT_BYTES];
        int len = snprintf(text, sizeof(text), "%s-%u", address, i);

        assert(len > 0 && len < (int)sizeof(text));
        if (EVP_Digest(text, (size_t)len, out, NULL, md5, NULL) != 1) {
            return false;
        }
        for (unsigned j = 0; j < RING_POINTS_PER_DIGEST; j++) {
            ring->points[ring->point_count++] =
                (struct ring_point){.hash = point_of(out + j * 4), .node = node};
        }
    }
    return true;
}

static bool
add_nodes(struct evc_ring *ring, const char *const *addresses, unsigned count)
{
    /* Also where only approved ciphers may be used: nothing here is secret. */
    EVP_MD *md5 = EVP_MD_fetch(NULL, "MD5", "-fips");
    bool is_done = md5 != NULL;

    for (unsigned i = 0; is_done && i < count; i++) {
        is_done = add_node(ring, md5, i, addresses[i]);
    }
    EVP_MD_free(md5);
    return is_done;
}

struct evc_ring *
evc_ring_create(const char *const *addresses, unsigned count)
{
    struct evc_ring *ring;

    assert(count > 0);
    ring = calloc(1, sizeof(*ring) +
                         (size_t)count * EVC_RING_POINTS_PER_NODE * sizeof(ring->points[0]));
    if (!ring) {
        return NULL;
    }
    if (!add_nodes(ring, addresses, count)) {
        evc_ring_destroy(ring);
        return NULL;
    }
    qsort(ring->points, ring->point_count, sizeof(ring->points[0]), compare_points);
    return ring;
}

void
evc_ring_destroy(struct evc_ring *ring)
{
    free(ring);
}

uint32_t
evc_ring_hash(struct evc_slice key)
{
    return (uint32_t)(evc_hash_key(key) >> 32);
}

unsigned
evc_ring_find(const struct evc_ring *ring, uint32_t hash)
{
    unsigned low = 0, high = ring->point_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (ring->points[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return ring->points[low == ring->point_count ? 0 : low].node;
}
