/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: zeroed at first, bounded, never asking for memory again. */
#include "unit.h"

#include <string.h>

#include "base/pool.h"

enum {
    LIMIT = 1000
};

struct object {
    void *first;
    char text[100];
};

static void
test_pool__up_to_the_limit__distinct_and_zero_then_null(void **state)
{
    struct evc_pool pool;
    static struct object *objects[LIMIT];
    static const struct object zero;

    (void)state;
    evc_pool_init(&pool, sizeof(struct object), LIMIT);
    assert_int_equal(pool.allocated, 0);
    for (int i = 0; i < LIMIT; i++) {
        objects[i] = evc_pool_borrow(&pool);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % 16, 0);
        assert_memory_equal(objects[i], &zero, sizeof(zero));
        memset(objects[i], i & 0xff, sizeof(*objects[i]));
    }
    assert_null(evc_pool_borrow(&pool));
    for (int i = 0; i < LIMIT; i++) {
        struct object expected;
        memset(&expected, i & 0xff, sizeof(expected));
        assert_memory_equal(objects[i], &expected, sizeof(expected));
        evc_pool_give_back(&pool, objects[i]);
    }
    assert_int_equal(pool.in_use, 0);
    evc_pool_finish(&pool);
}

static void
test_pool__give_back_and_borrow__same_object_with_its_bytes(void **state)
{
    struct evc_pool pool;
    struct object *object;

    (void)state;
    evc_pool_init(&pool, sizeof(struct object), 1);
    object = evc_pool_borrow(&pool);
    assert_non_null(object);
    strcpy(object->text, "kept");
    evc_pool_give_back(&pool, object);
    assert_ptr_equal(evc_pool_borrow(&pool), object);
    assert_string_equal(object->text, "kept");
    assert_null(object->first);
    evc_pool_give_back(&pool, object);
    evc_pool_finish(&pool);
}

static unsigned visits;

static void
visit(void *object)
{
    visits++;
    memset(object, 0xff, sizeof(struct object));
}

static void
test_pool__for_each_free__visits_the_free_ones_only(void **state)
{
    struct evc_pool pool;
    struct object *borrowed;

    (void)state;
    evc_pool_init(&pool, sizeof(struct object), 10);
    borrowed = evc_pool_borrow(&pool);
    visits = 0;
    evc_pool_for_each_free(&pool, visit);
    assert_int_equal(visits, 9);
    assert_int_equal(borrowed->text[0], 0);
    for (int i = 0; i < 9; i++) {
        assert_non_null(evc_pool_borrow(&pool));
    }
    assert_null(evc_pool_borrow(&pool));
    pool.in_use = 0; /* all at once: only finish looks */
    evc_pool_finish(&pool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool__up_to_the_limit__distinct_and_zero_then_null),
        cmocka_unit_test(test_pool__give_back_and_borrow__same_object_with_its_bytes),
        cmocka_unit_test(test_pool__for_each_free__visits_the_free_ones_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
