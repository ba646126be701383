/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of one size for one thread: allocated in slabs of many, kept on a free list for ever,
 * bounded. After warm-up borrowing costs no malloc. A new object is all zero; later it comes back
 * with whatever bytes it last held, but for the first pointer's worth, which is the pool's while
 * the object is free.
 */
#ifndef EVC_BASE_POOL_H
#define EVC_BASE_POOL_H

#include <stddef.h>

struct evc_pool {
    void *free_list;
    void *slabs;
    size_t object_bytes;
    size_t in_use;
    size_t allocated;
    size_t limit; /* the most objects that may exist */
};

/** object_bytes: at least sizeof(void *). limit: objects. Allocates nothing yet. */
void evc_pool_init(struct evc_pool *pool, size_t object_bytes, size_t limit);

/** Frees all slabs. Asserts that everything was given back. */
void evc_pool_finish(struct evc_pool *pool);

/** An object, or NULL when the limit is reached or memory is out. */
void *evc_pool_borrow(struct evc_pool *pool);

void evc_pool_give_back(struct evc_pool *pool, void *object);

/** Visits every object that is not borrowed (to free what pooled objects keep, before finish). */
void evc_pool_for_each_free(struct evc_pool *pool, void (*visit)(void *object));

#endif
