/* SPDX-License-Identifier: Apache-2.0 */
/* See walks.h. */
#include "sweep/walks.h"

#include <stdio.h>

static void start_more(struct evc_walks *walks);

static bool
on_item(struct evc_node_walk *walk, const struct evc_node_dump_line *item)
{
    const struct evc_walks_one *one = EVC_CONTAINER_OF(walk, struct evc_walks_one, walk);

    one->walks->items++;
    one->walks->on_item(one->walks->ctx, one->copy, item);
    return true;
}

static void
on_walk_end(struct evc_node_walk *walk, const char *why)
{
    struct evc_walks_one *one = EVC_CONTAINER_OF(walk, struct evc_walks_one, walk);
    struct evc_walks *walks = one->walks;

    one->is_busy = false;
    walks->running--;
    if (why && walks->nodes_failed++ == 0) {
        snprintf(walks->why, sizeof(walks->why), "%s", why);
    }
    start_more(walks);
}

static struct evc_walks_one *
find_free(struct evc_walks *walks)
{
    for (unsigned i = 0; i < EVC_WALKS_MAX; i++) {
        if (!walks->ones[i].is_busy) {
            return &walks->ones[i];
        }
    }
    return NULL;
}

/** The next node to be walked; NULL: there is none. *ret_copy: whose it is. */
static const struct evc_node *
take_node(struct evc_walks *walks, unsigned *ret_copy)
{
    const struct evc_sweep *sweep = walks->sweep;

    for (; walks->copy < sweep->copy_count; walks->copy++, walks->node = 0) {
        const struct evc_zone *zone = sweep->copies[walks->copy].nodes;

        if (evc_copy_set_has(&walks->copies, walks->copy) && walks->node < zone->node_count) {
            *ret_copy = walks->copy;
            return &zone->nodes[walks->node++];
        }
    }
    return NULL;
}

static void
start_more(struct evc_walks *walks)
{
    struct evc_walks_one *one;

    while (!walks->is_stopping && (one = find_free(walks)) != NULL) {
        const struct evc_node *node = take_node(walks, &one->copy);

        if (!node) {
            break;
        }
        one->walks = walks;
        one->is_busy = true;
        one->walk.on_item = on_item;
        one->walk.on_end = on_walk_end;
        walks->running++;
        evc_node_walk_start(&one->walk, &walks->sweep->loop, node);
    }
    if (walks->running == 0) {
        walks->on_end(walks->ctx);
    }
}

void
evc_walks_start(struct evc_walks *walks)
{
    walks->items = 0;
    walks->nodes_failed = 0;
    walks->why[0] = '\0';
    walks->copy = walks->node = 0;
    walks->is_stopping = false;
    start_more(walks);
}

void
evc_walks_stop(struct evc_walks *walks)
{
    walks->is_stopping = true;
    for (unsigned i = 0; i < EVC_WALKS_MAX; i++) {
        if (walks->ones[i].is_busy) {
            evc_node_walk_stop(&walks->ones[i].walk, "stopped");
        }
    }
}
