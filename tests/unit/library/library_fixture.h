/* SPDX-License-Identifier: Apache-2.0 */
/* A region of two zones with a real memcached each, its configuration in a scratch directory. */
#ifndef EVC_TEST_LIBRARY_FIXTURE_H
#define EVC_TEST_LIBRARY_FIXTURE_H

#include <evcache/evcache.h>

#include "node_process.h"

enum {
    FIXTURE_ZONES = 2,
};

struct library_fixture {
    char directory[64];
    char config[128];
    struct node_process nodes[FIXTURE_ZONES];
    evcache *cache;
};

/** Starts the nodes, writes the configuration and opens the cache. Skips without a memcached. */
void library_fixture_start(struct library_fixture *fixture);

/** Closes the cache, stops the nodes, removes the directory. */
void library_fixture_finish(struct library_fixture *fixture);

/** Another handle on the same cache. */
evcache *library_fixture_open(const struct library_fixture *fixture);

#endif
