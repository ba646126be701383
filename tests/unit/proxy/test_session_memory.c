/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No memory is allocated per request once a connection has warmed up: the linker wraps malloc and
 * its kin, and the calls of the loop's thread are counted. The library of libuv is not wrapped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "front.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static atomic_ulong allocations;

void *
__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *
__wrap_realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(memory, size);
}

/** Every kind of request, short and staged replies, in one write. */
static const char block[] =
    "set a 0 0 10\r\n0123456789\r\nget a b a c\r\nmg a v t f O7\r\nadd a 0 0 1\r\n1\r\n"
    "touch a 100\r\ngets a\r\ndelete b\r\nms a 10 T0 c\r\n0123456789\r\nversion\r\n"
    "nonsense\r\nset a 0 0 10 noreply\r\n0123456789\r\nmn\r\n";

static void
exchange_blocks(int fd, unsigned count)
{
    char got[64 * 1024];

    for (unsigned i = 0; i < count; i++) {
        size_t len = 0;

        front_send(fd, block, strlen(block), false);
        do {
            len += front_receive(fd, got + len, 1);
        } while (len < 4 || memcmp(got + len - 4, "MN\r\n", 4) != 0);
    }
}

static void
test_session__after_warm_up__no_request_allocates(void **state)
{
    struct front *front = malloc(sizeof(*front));
    unsigned long before;
    int fd;

    (void)state;
    assert_non_null(front);
    front_start(front, 10, 64 * 1024);
    fd = front_dial(front->client_port);
    for (int pace = FRONT_AT_ONCE; pace <= FRONT_REVERSED; pace++) {
        front_set_pace(front, (enum front_pace)pace);
        exchange_blocks(fd, 50);
    }
    before = atomic_load(&allocations);
    for (int pace = FRONT_AT_ONCE; pace <= FRONT_REVERSED; pace++) {
        front_set_pace(front, (enum front_pace)pace);
        exchange_blocks(fd, 300);
    }
    assert_int_equal(atomic_load(&allocations), before);
    close(fd);
    front_stop(front);
    free(front);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session__after_warm_up__no_request_allocates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
