/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs of objects and their free list. A slab is one allocation: a link to the slab before it,
 * then the objects. A free object's first pointer is the free list's link.
 */
#include "base/pool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/prefetch.h"

enum {
    SLAB_BYTES = 65536,     /* a slab is about this large, */
    SLAB_OBJECTS_MAX = 256, /* but has no more objects than this and at least one */
    FETCHED_BYTES = 384, /* of an object: what most of its users touch when they have borrowed it */
};

struct slab {
    struct slab *next;
    max_align_t objects[];
};

void
evc_pool_init(struct evc_pool *pool, size_t object_bytes, size_t limit)
{
    size_t align = sizeof(max_align_t) > 16 ? 16 : sizeof(max_align_t);

    assert(object_bytes >= sizeof(void *));
    assert(object_bytes <= SIZE_MAX / 2 / SLAB_OBJECTS_MAX);
    assert(limit > 0);
    *pool = (struct evc_pool){.object_bytes = (object_bytes + align - 1) / align * align,
                              .limit = limit};
}

void
evc_pool_finish(struct evc_pool *pool)
{
    struct slab *slab = pool->slabs;

    assert(pool->in_use == 0);
    while (slab != NULL) {
        struct slab *next = slab->next;
        free(slab);
        slab = next;
    }
    pool->slabs = NULL;
    pool->free_list = NULL;
    pool->allocated = 0;
}

static size_t
pool_slab_objects(const struct evc_pool *pool)
{
    size_t count = SLAB_BYTES / pool->object_bytes;

    if (count > SLAB_OBJECTS_MAX) {
        count = SLAB_OBJECTS_MAX;
    }
    if (count > pool->limit - pool->allocated) {
        count = pool->limit - pool->allocated;
    }
    return count > 0 ? count : 1;
}

static void
pool_push_free(struct evc_pool *pool, void *object)
{
    *(void **)object = pool->free_list;
    pool->free_list = object;
}

/* Puts one more slab's objects on the free list, if limit and memory allow. */
static void
pool_grow(struct evc_pool *pool)
{
    size_t count;
    struct slab *slab;

    if (pool->allocated >= pool->limit) {
        return;
    }
    count = pool_slab_objects(pool);
    slab = calloc(1, sizeof(*slab) + count * pool->object_bytes);
    if (slab == NULL) {
        return;
    }
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->allocated += count;
    while (count > 0) { /* from the end, so that they are borrowed in the order of memory */
        count--;
        pool_push_free(pool, (char *)slab->objects + count * pool->object_bytes);
    }
}

void *
evc_pool_borrow(struct evc_pool *pool)
{
    void *object;

    if (pool->free_list == NULL) {
        pool_grow(pool);
    }
    object = pool->free_list;
    if (object == NULL) {
        return NULL;
    }
    pool->free_list = *(void **)object;
    /* For whoever borrows next. */
    evc_prefetch(pool->free_list,
                 pool->object_bytes < FETCHED_BYTES ? pool->object_bytes : FETCHED_BYTES);
    *(void **)object = NULL;
    pool->in_use++;
    return object;
}

void
evc_pool_give_back(struct evc_pool *pool, void *object)
{
    assert(object != NULL);
    assert(pool->in_use > 0);
    pool->in_use--;
    pool_push_free(pool, object);
}

void
evc_pool_for_each_free(struct evc_pool *pool, void (*visit)(void *object))
{
    void *object = pool->free_list;

    while (object != NULL) {
        void *next = *(void **)object;
        /* The visitor sees its own object, and the list survives what it writes there. */
        *(void **)object = NULL;
        visit(object);
        *(void **)object = next;
        object = next;
    }
}
