/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a process: counts its allocations in a file others can map, one 64-bit number at
 * <EVC_ALLOCATIONS>.<pid>. All threads, all libraries. Frees are not counted: what allocates
 * nothing frees nothing for long.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_ullong before_mapped;
static atomic_ullong *counter = &before_mapped;

__attribute__((constructor)) static void
map_counter(void)
{
    const char *prefix = getenv("EVC_ALLOCATIONS");
    char path[4096];

    if (prefix == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s.%d", prefix, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*counter)) < 0) {
        _exit(99);
    }
    void *mapped = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        _exit(99);
    }
    close(fd);
    counter = mapped;
}

static void
count(void)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *
malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *
calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *
realloc(void *memory, size_t size)
{
    count();
    return __libc_realloc(memory, size);
}

void *
memalign(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int
posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory == NULL ? 12 : 0; /* ENOMEM */
}
