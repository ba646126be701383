/* SPDX-License-Identifier: Apache-2.0 */
/* See wheel.h. Slot t % EVC_WHEEL_SLOTS holds the deadlines that round up to tick t. */
#include "engine/wheel.h"

#include <assert.h>

void
evc_wheel_init(struct evc_wheel *wheel, uint64_t now_us)
{
    wheel->tick_done = now_us / EVC_WHEEL_TICK_US;
    for (unsigned i = 0; i < EVC_WHEEL_SLOTS; i++) {
        evc_list_init(&wheel->slots[i]);
    }
}

void
evc_wheel_add(struct evc_wheel *wheel, struct evc_list *link, uint64_t deadline_us)
{
    uint64_t tick = deadline_us / EVC_WHEEL_TICK_US + (deadline_us % EVC_WHEEL_TICK_US != 0);

    if (tick <= wheel->tick_done) {
        tick = wheel->tick_done + 1;
    } else if (tick >= wheel->tick_done + EVC_WHEEL_SLOTS) {
        tick = wheel->tick_done + EVC_WHEEL_SLOTS - 1;
    }
    evc_list_push_back(&wheel->slots[tick % EVC_WHEEL_SLOTS], link);
}

static void
append_all(struct evc_list *to, struct evc_list *from)
{
    if (evc_list_is_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    evc_list_init(from);
}

void
evc_wheel_take_due(struct evc_wheel *wheel, uint64_t now_us, struct evc_list *due)
{
    uint64_t tick_now = now_us / EVC_WHEEL_TICK_US;
    uint64_t count;

    evc_list_init(due);
    if (tick_now <= wheel->tick_done) {
        return;
    }
    count = tick_now - wheel->tick_done;
    if (count > EVC_WHEEL_SLOTS) {
        count = EVC_WHEEL_SLOTS; /* once around: after a long sleep everything is looked at */
    }
    for (uint64_t i = 1; i <= count; i++) {
        append_all(due, &wheel->slots[(wheel->tick_done + i) % EVC_WHEEL_SLOTS]);
    }
    wheel->tick_done = tick_now;
}
