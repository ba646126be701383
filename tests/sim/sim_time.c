/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_time.h: a binary heap in an array. */
#include "sim_time.h"

#include "sim_memory.h"

void
sim_time_init(struct sim_time *time)
{
    *time = (struct sim_time){0};
}

void
sim_time_finish(struct sim_time *time)
{
    sim_keep_free(time->heap);
    sim_time_init(time);
}

static bool
is_before(const struct sim_call *a, const struct sim_call *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void
sift_up(struct sim_time *time, size_t at, const struct sim_call *call)
{
    while (at > 0 && is_before(call, &time->heap[(at - 1) / 2])) {
        time->heap[at] = time->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    time->heap[at] = *call;
}

static void
sift_down(struct sim_time *time, const struct sim_call *call)
{
    size_t at = 0;

    for (size_t child = 1; child < time->count; child = 2 * at + 1) {
        if (child + 1 < time->count && is_before(&time->heap[child + 1], &time->heap[child])) {
            child++;
        }
        if (!is_before(&time->heap[child], call)) {
            break;
        }
        time->heap[at] = time->heap[child];
        at = child;
    }
    time->heap[at] = *call;
}

void
sim_time_after(struct sim_time *time, uint64_t delay_us, sim_call_fn call, void *ctx, uint64_t arg)
{
    struct sim_call what = {
        .at_us = time->now_us + delay_us,
        .order = time->order++,
        .call = call,
        .ctx = ctx,
        .arg = arg,
    };

    if (time->count == time->capacity) {
        time->capacity = time->capacity ? time->capacity * 2 : 256;
        time->heap = sim_keep_realloc(time->heap, time->capacity * sizeof(*time->heap));
    }
    sift_up(time, time->count++, &what);
}

bool
sim_time_step(struct sim_time *time)
{
    struct sim_call next;

    if (time->count == 0) {
        return false;
    }
    next = time->heap[0];
    time->count--;
    if (time->count > 0) {
        struct sim_call last = time->heap[time->count];

        sift_down(time, &last);
    }
    time->now_us = next.at_us;
    next.call(next.ctx, next.arg);
    return true;
}
