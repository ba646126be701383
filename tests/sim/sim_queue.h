/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region's queue in memory, behind the same table of functions as the real ones (queue/queue.h).
 * It survives every process. One group per region: the destination's index, and the region's own
 * for repair.
 */
#ifndef EVC_SIM_QUEUE_H
#define EVC_SIM_QUEUE_H

#include "queue/queue.h"

struct sim_world;
struct sim_queue_partition;

struct sim_queue {
    struct evc_queue queue; /* first */
    struct sim_world *world;
    unsigned region;
    struct sim_queue_partition *partitions;
};

void sim_queue_init(struct sim_queue *queue, struct sim_world *world, unsigned region);
void sim_queue_finish(struct sim_queue *queue);

/** Until then it does not say of a partition's records that it has taken them. */
void sim_queue_stick(struct sim_queue *queue, unsigned partition, uint64_t until_us);

/** Its name as a group is "g<region>". */
void sim_queue_group_name(unsigned region, char ret[8]);

#endif
