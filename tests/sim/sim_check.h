/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold when everything has come to rest:
 *   - nothing is under way anywhere: journals fed, queues consumed, operations answered;
 *   - copies: all zones of all regions hold the same of every key (a tombstone and a miss are the
 *     same);
 *   - nothing acknowledged is lost: no copy is older than an acknowledged write of its key;
 *   - nothing newer was replaced by something older, and no deleted key lives;
 *   - books: per source, group and partition, what was produced and what became of it are equal,
 *     and what is lost is what found no room in a journal.
 * A clock far ahead changes none of this, but that what it minted counts for nothing: every copy of
 * a key is the same, and what a good clock acknowledged after it is not lost.
 * A key that is not copied is the same in the zones of a region; one that is deleted abroad lives
 * in one region at most, where its newest was written; one that is left alone is never seen
 * elsewhere.
 * Of keys of which a node lost a copy, only counting is done: that is what a cache may do. So it is
 * of keys that a relay gave up: that must be in the books, and a node of theirs was away for long.
 */
#ifndef EVC_SIM_CHECK_H
#define EVC_SIM_CHECK_H

#include <stdbool.h>

struct sim_item;
struct sim_world;

/** Regions that share a key: all, or one where it is replicated nowhere. */
struct sim_scope {
    unsigned first, end;
};

/** Fails the world where something does not hold. */
void sim_check_all(struct sim_world *world);

/** The part of it that is about books; adds them up in the world. */
void sim_check_books(struct sim_world *world);

/** The part of it that is about INCR, DECR, APPEND and PREPEND: each had effect once, on what was
 * there. */
void sim_check_counting(struct sim_world *world);

/** The part of it that is about what is left of a key. */
void sim_check_newest(struct sim_world *world, unsigned key, struct sim_scope scope);

/** The newest any zone has of a key, tombstones included; NULL: nothing anywhere. */
const struct sim_item *sim_check_newest_copy(struct sim_world *world, unsigned key,
                                             struct sim_scope scope);

/** How many keys whose copies a node lost ended with two live values. */
unsigned sim_check_lossy_differences(struct sim_world *world);

#endif
