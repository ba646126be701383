/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inbox of libevcache on a libuv loop of the application's own: replies are handed out from the
 * loop's thread, as libuv's callbacks are. Everything is in this header; libevcache itself is not
 * built against the application's libuv.
 *
 *     evcache_uv adapter;
 *     evcache_uv_start(&adapter, loop, inbox);      evcache_start(inbox, EVCACHE_GET, ...);
 *     ...
 *     evcache_uv_stop(&adapter, on_stopped);        in on_stopped: evcache_inbox_close(inbox);
 */
#ifndef EVCACHE_UV_H
#define EVCACHE_UV_H

#include <evcache/evcache.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Lives until on_stopped is called; its fields are the adapter's. data is the application's. */
typedef struct evcache_uv {
    uv_poll_t poll;
    evcache_inbox *inbox;
    void (*on_stopped)(struct evcache_uv *adapter);
    void *data;
} evcache_uv;

static inline void
evcache_uv_on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an eventfd does not fail */
    (void)events;
    (void)evcache_inbox_dispatch(((evcache_uv *)poll->data)->inbox);
}

static inline void
evcache_uv_on_closed(uv_handle_t *handle)
{
    evcache_uv *adapter = (evcache_uv *)handle->data;

    if (adapter->on_stopped) {
        adapter->on_stopped(adapter);
    }
}

/**
 * From now on the loop hands out the inbox's replies. The loop's thread. The loop stays alive as
 * long as the adapter is started. 0 or libuv's error: then nothing has to be stopped.
 */
static inline int
evcache_uv_start(evcache_uv *adapter, uv_loop_t *loop, evcache_inbox *inbox)
{
    int status = uv_poll_init(loop, &adapter->poll, evcache_inbox_fd(inbox));

    if (status != 0) {
        return status;
    }
    adapter->inbox = inbox;
    adapter->poll.data = adapter;
    return uv_poll_start(&adapter->poll, UV_READABLE, evcache_uv_on_readable);
}

/**
 * Takes the inbox off the loop. on_stopped (may be NULL) comes from the loop when it is off; then
 * the inbox may be closed and the adapter freed. The loop's thread; a done function may call it.
 */
static inline void
evcache_uv_stop(evcache_uv *adapter, void (*on_stopped)(evcache_uv *adapter))
{
    adapter->on_stopped = on_stopped;
    uv_close((uv_handle_t *)&adapter->poll, evcache_uv_on_closed);
}

#ifdef __cplusplus
}
#endif

#endif
