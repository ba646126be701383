/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a simulated process, so that a kill can take it away: whatever production code
 * allocates while a process is entered belongs to that process. The program is linked with --wrap
 * for malloc, calloc, realloc, aligned_alloc and free, which lead here; the production object files
 * are untouched.
 *
 * The simulation itself keeps what must outlive processes through sim_keep_*.
 */
#ifndef EVC_SIM_MEMORY_H
#define EVC_SIM_MEMORY_H

#include <stddef.h>

#include "base/list.h"

struct sim_memory {
    struct evc_list blocks;
};

void sim_memory_init(struct sim_memory *memory);

/** From now on allocations belong to memory (NULL: to nobody). Returns who had them before. */
struct sim_memory *sim_memory_enter(struct sim_memory *memory);

/** Frees everything that belongs to it. */
void sim_memory_drop(struct sim_memory *memory);

/** As calloc, realloc and free, for the simulation's own; the program ends when there is no memory.
 */
void *sim_keep_alloc(size_t bytes);
void *sim_keep_realloc(void *ptr, size_t bytes);
void sim_keep_free(void *ptr);

#endif
