/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of operations: a wheel of slots, one per tick of the loop, each a list of links that
 * are embedded in what they time. Adding and removing (evc_list_remove) cost the same whatever is
 * in it. It is coarse: a deadline is noticed at the first tick after it. Pure.
 */
#ifndef EVC_ENGINE_WHEEL_H
#define EVC_ENGINE_WHEEL_H

#include <stdint.h>

#include "base/list.h"

enum {
    EVC_WHEEL_TICK_US = 10000,
    EVC_WHEEL_SLOTS =
        1024, /* a deadline further off than these ticks is looked at before its time */
};

struct evc_wheel {
    uint64_t tick_done; /* slots up to this tick were taken */
    struct evc_list slots[EVC_WHEEL_SLOTS];
};

void evc_wheel_init(struct evc_wheel *wheel, uint64_t now_us);

/** link: on no list. Monotonic microseconds. */
void evc_wheel_add(struct evc_wheel *wheel, struct evc_list *link, uint64_t deadline_us);

/**
 * Moves to *due (initialised here) the links whose slots have come: in the order of their ticks,
 * and within one in the order they were added. Those of a far deadline may come before it; the
 * caller looks and adds them again.
 */
void evc_wheel_take_due(struct evc_wheel *wheel, uint64_t now_us, struct evc_list *due);

#endif
