/* SPDX-License-Identifier: Apache-2.0 */
/* The deadline wheel: nothing comes before its slot but far deadlines, nothing is ever lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/wheel.h"

enum {
    ITEMS = 5000,
};

struct item {
    struct evc_list link;
    uint64_t deadline_us;
    uint64_t came_us;
};

/** What an owner does: takes what is due, adds again what came before its time. */
static unsigned
expire(struct evc_wheel *wheel, uint64_t now_us)
{
    struct evc_list due;
    struct evc_list *link;
    unsigned count = 0;

    evc_wheel_take_due(wheel, now_us, &due);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        struct item *item = EVC_CONTAINER_OF(link, struct item, link);

        if (item->deadline_us > now_us) {
            evc_wheel_add(wheel, link, item->deadline_us);
        } else {
            assert_int_equal(item->came_us, 0);
            item->came_us = now_us;
            count++;
        }
    }
    return count;
}

static void
test_wheel__one_deadline__comes_at_the_first_tick_after_it(void **state)
{
    const struct {
        uint64_t start_us, deadline_us, last_early_us, due_us;
    } rows[] = {
        {1000000, 1000001, 1009999, 1010000}, {1000000, 1010000, 1009999, 1010000},
        {1000000, 1010001, 1019999, 1020000}, {1009999, 1010000, 1009999, 1010000},
        {0, 10240000, 10239999, 10240000}, /* as far as there are slots */
        {0, 60000000, 59999999, 60000000}, /* further */
        {1000000, 5, 1009999, 1010000},    /* long past: the next tick */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct evc_wheel wheel;
        struct item item = {.deadline_us = rows[i].deadline_us};

        evc_wheel_init(&wheel, rows[i].start_us);
        evc_wheel_add(&wheel, &item.link, item.deadline_us);
        for (uint64_t now = rows[i].start_us; now < rows[i].last_early_us; now += 10000) {
            assert_int_equal(expire(&wheel, now), 0);
        }
        assert_int_equal(expire(&wheel, rows[i].last_early_us), 0);
        assert_int_equal(expire(&wheel, rows[i].due_us), 1);
        assert_true(evc_list_is_empty(&item.link));
    }
}

static void
test_wheel__removed__never_comes(void **state)
{
    struct evc_wheel wheel;
    struct item item = {.deadline_us = 50000};

    (void)state;
    evc_wheel_init(&wheel, 0);
    evc_wheel_add(&wheel, &item.link, item.deadline_us);
    evc_list_remove(&item.link);
    assert_int_equal(expire(&wheel, 1000000), 0);
}

static void
test_wheel__random_deadlines_and_sleeps__each_comes_once_in_time(void **state)
{
    struct evc_wheel wheel;
    struct item *items = calloc(ITEMS, sizeof(*items));
    uint64_t now_us = 123456789;
    unsigned added = 0, came = 0;

    (void)state;
    srand(7);
    evc_wheel_init(&wheel, now_us);
    while (came < ITEMS) {
        for (unsigned i = 0; i < 20 && added < ITEMS; i++, added++) {
            items[added].deadline_us = now_us + 1 + (uint64_t)(rand() % 30000000);
            evc_wheel_add(&wheel, &items[added].link, items[added].deadline_us);
        }
        /* Mostly ticks, sometimes a sleep longer than the wheel goes round. */
        now_us += rand() % 500 == 0 ? 15000000 : 1 + (uint64_t)(rand() % 20000);
        came += expire(&wheel, now_us);
        for (unsigned i = 0; i < added; i++) {
            if (items[i].came_us == 0) {
                assert_true(items[i].deadline_us + EVC_WHEEL_TICK_US > now_us);
            } else {
                assert_true(items[i].came_us >= items[i].deadline_us);
            }
        }
    }
    free(items);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel__one_deadline__comes_at_the_first_tick_after_it),
        cmocka_unit_test(test_wheel__removed__never_comes),
        cmocka_unit_test(test_wheel__random_deadlines_and_sleeps__each_comes_once_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
