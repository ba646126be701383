/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between loop.c and stream.c: what the loop has streams do at fixed points of its turn. Nobody
 * outside src/net includes it.
 */
#ifndef EVC_NET_TURN_H
#define EVC_NET_TURN_H

#include "net/loop.h"

/**
 * End of turn: one write for every stream that is dirty now. True when somebody was called
 * (on_drained), who may have left hooks or streams something to do.
 */
bool evc_streams_flush(struct evc_loop *loop);

/** Gives every stream that was resumed what it had kept. */
void evc_streams_give_kept(struct evc_loop *loop);

/** Every tick while a stream lingers or holds buffers. */
void evc_streams_on_tick(struct evc_loop_hook *hook);

#endif
