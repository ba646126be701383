/* SPDX-License-Identifier: Apache-2.0 */
/* See node_walk.h. */
#include "engine/node_walk.h"

#include <assert.h>
#include <stdio.h>

static struct evc_node_walk *
walk_of(struct evc_stream *stream)
{
    return EVC_CONTAINER_OF(stream, struct evc_node_walk, stream);
}

/** Remembers the first reason and closes; on_end follows when all is closed. */
static void
end(struct evc_node_walk *walk, const char *why)
{
    if (walk->is_over) {
        return;
    }
    walk->is_over = true;
    if (why) {
        snprintf(walk->why, sizeof(walk->why), "%s: %s", walk->node->text, why);
    }
    evc_stream_close(&walk->stream, 0);
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct evc_node_walk *walk = EVC_CONTAINER_OF(handle, struct evc_node_walk, timer);

    evc_loop_enter(walk->loop);
    walk->on_end(walk, walk->why[0] ? walk->why : NULL); /* the memory may be gone now */
}

static void
on_closed(struct evc_stream *stream, int reason)
{
    struct evc_node_walk *walk = walk_of(stream);

    if (!walk->is_over) {
        walk->is_over = true;
        snprintf(walk->why, sizeof(walk->why), "%s: %s", walk->node->text,
                 reason == UV_EOF ? "the node closed the connection" : uv_strerror(reason));
    }
    uv_close((uv_handle_t *)&walk->timer, on_timer_closed);
}

static void
ask(struct evc_node_walk *walk)
{
    if (evc_node_dump_compose(evc_stream_output(&walk->stream)) != EVC_OK) {
        end(walk, "out of memory");
    } else {
        evc_stream_flush_later(&walk->stream);
    }
}

static void
on_connected(struct evc_stream *stream, int status)
{
    struct evc_node_walk *walk = walk_of(stream);

    if (status == 0 && !walk->is_over) {
        ask(walk);
    }
}

/** Every EVC_NODE_WALK_LOOK_MS: a busy node is asked again, a silent one given up. */
static void
on_timer(uv_timer_t *timer)
{
    struct evc_node_walk *walk = EVC_CONTAINER_OF(timer, struct evc_node_walk, timer);
    uint64_t now_us;

    evc_loop_enter(walk->loop);
    now_us = walk->loop->now.mono_us;
    if (walk->is_over) {
        return;
    }
    if (walk->is_busy) {
        walk->is_busy = false;
        ask(walk);
    }
    /* When we were held up ourselves, what the node has said meanwhile is yet to be read. */
    if (walk->is_paused || now_us - walk->looked_us >= EVC_NODE_WALK_SILENT_MS * UINT64_C(500)) {
        walk->heard_us = now_us;
    } else if (now_us - walk->heard_us >= EVC_NODE_WALK_SILENT_MS * UINT64_C(1000)) {
        end(walk, "the node is silent");
    }
    walk->looked_us = now_us;
}

static void
ask_later(struct evc_node_walk *walk)
{
    walk->is_busy = true;
    if (++walk->busy_count > EVC_NODE_WALK_BUSY_MAX) {
        end(walk, "the node is busy with another crawl of its items, or with its hash table");
    }
}

/** False: nothing more is to be read now. */
static bool
take_line(struct evc_node_walk *walk, const struct evc_node_dump_line *line)
{
    char text[EVC_NODE_WALK_WHY_BYTES / 2];

    switch (line->kind) {
    case EVC_NODE_DUMP_ITEM:
        if (!walk->on_item(walk, line)) {
            walk->is_paused = !walk->is_over;
            return false;
        }
        return !walk->is_over;
    case EVC_NODE_DUMP_BUSY:
        ask_later(walk);
        return !walk->is_over;
    case EVC_NODE_DUMP_REFUSED:
        snprintf(text, sizeof(text), "cannot list its items: %.*s", (int)line->line.len,
                 line->line.ptr);
        end(walk, text);
        return false;
    case EVC_NODE_DUMP_END:
        break;
    }
    end(walk, NULL);
    return false;
}

static size_t
on_data(struct evc_stream *stream, char *data, size_t len)
{
    struct evc_node_walk *walk = walk_of(stream);
    size_t used = 0;

    walk->heard_us = walk->loop->now.mono_us;
    while (used < len && !walk->is_over) {
        struct evc_slice input = {.ptr = data + used, .len = len - used};
        struct evc_node_dump_line line;
        size_t line_len;
        int status = evc_node_dump_parse(&walk->dump, input, &line_len, &line);

        if (status == EVC_E_AGAIN) {
            return used;
        }
        if (status != EVC_OK) {
            end(walk, "what it lists is not what memcached lists");
            break;
        }
        if (!take_line(walk, &line)) {
            if (walk->is_paused) {
                evc_stream_pause(stream);
                return used; /* the same line comes again */
            }
            break;
        }
        used += line_len;
    }
    return walk->is_over ? len : used;
}

static const struct evc_stream_handler stream_handler = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_closed = on_closed,
};

void
evc_node_walk_start(struct evc_node_walk *walk, struct evc_loop *loop, const struct evc_node *node)
{
    walk->loop = loop;
    walk->node = node;
    walk->dump = (struct evc_node_dump){.scanned = 0};
    walk->busy_count = 0;
    walk->is_paused = false;
    walk->is_over = false;
    walk->why[0] = '\0';
    walk->stream.state = EVC_STREAM_CLOSED;
    walk->is_busy = false;
    walk->heard_us = walk->looked_us = loop->now.mono_us;
    uv_timer_init(&loop->uv, &walk->timer);
    uv_timer_start(&walk->timer, on_timer, EVC_NODE_WALK_LOOK_MS, EVC_NODE_WALK_LOOK_MS);
    if (evc_stream_connect(&walk->stream, loop, (const struct sockaddr *)&node->address,
                           EVC_NODE_WALK_INPUT_BYTES_MAX, EVC_NODE_WALK_OUTPUT_BYTES_MAX,
                           &stream_handler) != EVC_OK) {
        walk->is_over = true;
        snprintf(walk->why, sizeof(walk->why), "%s: no socket could be made", node->text);
        uv_close((uv_handle_t *)&walk->timer, on_timer_closed);
    }
}

void
evc_node_walk_resume(struct evc_node_walk *walk)
{
    if (walk->is_paused && !walk->is_over) {
        walk->is_paused = false;
        evc_stream_resume(&walk->stream);
    }
}

void
evc_node_walk_stop(struct evc_node_walk *walk, const char *why)
{
    end(walk, why);
}
