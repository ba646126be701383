/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time: a heap of calls to make, ordered by when. Two for the same microsecond are made in
 * the order they were asked for. Nothing is ever cancelled: who no longer wants a call recognises
 * that when it comes.
 */
#ifndef EVC_SIM_TIME_H
#define EVC_SIM_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*sim_call_fn)(void *ctx, uint64_t arg);

struct sim_call {
    uint64_t at_us;
    uint64_t order;
    sim_call_fn call;
    void *ctx;
    uint64_t arg;
};

struct sim_time {
    uint64_t now_us;
    uint64_t order;
    struct sim_call *heap;
    size_t count;
    size_t capacity;
};

void sim_time_init(struct sim_time *time);
void sim_time_finish(struct sim_time *time);

void sim_time_after(struct sim_time *time, uint64_t delay_us, sim_call_fn call, void *ctx,
                    uint64_t arg);

/** Moves to the next call and makes it. False: there is none. */
bool sim_time_step(struct sim_time *time);

#endif
