/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sim_memory.h. Every wrapped block has a header that is a link in its owner's list (or in
 * none: then it points to itself).
 */
#include "sim_memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_realloc(void *ptr, size_t bytes);
void __real_free(void *ptr);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *ptr, size_t bytes);
void __wrap_free(void *ptr);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

struct block {
    _Alignas(16) struct evc_list link;
    void *base; /* where the real block begins */
};

static struct sim_memory *owner;

void
sim_memory_init(struct sim_memory *memory)
{
    evc_list_init(&memory->blocks);
}

struct sim_memory *
sim_memory_enter(struct sim_memory *memory)
{
    struct sim_memory *before = owner;

    owner = memory;
    return before;
}

void
sim_memory_drop(struct sim_memory *memory)
{
    struct evc_list *link;

    while ((link = evc_list_pop_front(&memory->blocks))) {
        __real_free(EVC_CONTAINER_OF(link, struct block, link)->base);
    }
}

void *
sim_keep_realloc(void *ptr, size_t bytes)
{
    void *grown = __real_realloc(ptr, bytes);

    if (!grown) {
        (void)fputs("sim: out of memory\n", stderr);
        abort();
    }
    return grown;
}

void *
sim_keep_alloc(size_t bytes)
{
    return memset(sim_keep_realloc(NULL, bytes), 0, bytes);
}

void
sim_keep_free(void *ptr)
{
    __real_free(ptr);
}

/** The block before ptr belongs to whoever is entered. */
static void *
adopt(struct block *block, void *base)
{
    block->base = base;
    evc_list_init(&block->link);
    if (owner) {
        evc_list_push_back(&owner->blocks, &block->link);
    }
    return block + 1;
}

static struct block *
block_of(void *ptr)
{
    return (struct block *)ptr - 1;
}

void *
__wrap_malloc(size_t bytes)
{
    struct block *block = __real_malloc(sizeof(*block) + bytes);

    return block ? adopt(block, block) : NULL;
}

void *
__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    size_t head = (sizeof(struct block) + alignment - 1) / alignment * alignment;
    char *base = __real_aligned_alloc(alignment, head + bytes);

    return base ? adopt((struct block *)(void *)(base + head) - 1, base) : NULL;
}

void *
__wrap_calloc(size_t count, size_t bytes)
{
    void *ptr = bytes && count > SIZE_MAX / 2 / bytes ? NULL : __wrap_malloc(count * bytes);

    return ptr ? memset(ptr, 0, count * bytes) : NULL;
}

void *
__wrap_realloc(void *ptr, size_t bytes)
{
    struct evc_list *before;
    struct block *block;

    if (!ptr) {
        return __wrap_malloc(bytes);
    }
    assert(block_of(ptr)->base == block_of(ptr)); /* nobody grows an aligned block */
    before = block_of(ptr)->link.prev;
    before = before == &block_of(ptr)->link ? NULL : before;
    evc_list_remove(&block_of(ptr)->link);
    block = __real_realloc(block_of(ptr), sizeof(*block) + bytes);
    if (!block) {
        return NULL; /* ptr still lives, outside its owner's list: the process is about to fail */
    }
    block->base = block;
    evc_list_init(&block->link);
    if (before) {
        evc_list_push_back(before->next, &block->link);
    }
    return block + 1;
}

void
__wrap_free(void *ptr)
{
    if (ptr) {
        evc_list_remove(&block_of(ptr)->link);
        __real_free(block_of(ptr)->base);
    }
}
