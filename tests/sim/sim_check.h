/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold when everything has come to rest:
 *   - nothing is under way anywhere: journals fed, queues consumed, operations answered;
 *   - copies: all zones of all regions hold the same of every key (a tombstone and a miss are the
 * same);
 *   - nothing acknowledged is lost: no copy is older than an acknowledged write of its key;
 *   - nothing newer was replaced by something older, and no deleted key lives;
 *   - books: per source, group and partition, what was produced and what became of it are equal.
 * A clock far ahead changes none of this, but that what it minted counts for nothing: every copy of
 * a key is the same, and what a good clock acknowledged after it is not lost.
 * Of keys of which a node lost a copy, only counting is done: that is what a cache may do.
 */
#ifndef EVC_SIM_CHECK_H
#define EVC_SIM_CHECK_H

#include <stdbool.h>

struct sim_world;

/** Fails the world where something does not hold. */
void sim_check_all(struct sim_world *world);

/** The part of it that is about books; adds them up in the world. */
void sim_check_books(struct sim_world *world);

/** The part of it that is about INCR, DECR, APPEND and PREPEND: each had effect once, on what was
 * there. */
void sim_check_counting(struct sim_world *world);

/** How many keys whose copies a node lost ended with two live values. */
unsigned sim_check_lossy_differences(struct sim_world *world);

#endif
