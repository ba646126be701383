/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked ring: the head is a link itself, an object holds the links it needs. O(1)
 * everywhere, no allocation. A link that is on no list points to itself.
 */
#ifndef EVC_BASE_LIST_H
#define EVC_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct evc_list {
    struct evc_list *prev;
    struct evc_list *next;
};

#define EVC_CONTAINER_OF(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void
evc_list_init(struct evc_list *head)
{
    head->prev = head;
    head->next = head;
}

static inline bool
evc_list_is_empty(const struct evc_list *head)
{
    return head->next == head;
}

static inline void
evc_list_push_back(struct evc_list *head, struct evc_list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/** Takes the link off whatever list it is on; harmless when it is on none. */
static inline void
evc_list_remove(struct evc_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    evc_list_init(link);
}

/** Moves all links to `to` (initialised here): walking them ends, whatever is added to `from`. */
static inline void
evc_list_move(struct evc_list *from, struct evc_list *to)
{
    evc_list_init(to);
    if (!evc_list_is_empty(from)) {
        *to = *from;
        to->next->prev = to;
        to->prev->next = to;
        evc_list_init(from);
    }
}

/** Calls visit for every link; the list stays as it is meanwhile. */
static inline void
evc_list_visit(const struct evc_list *head, void (*visit)(struct evc_list *link))
{
    for (struct evc_list *link = head->next; link != head; link = link->next) {
        visit(link);
    }
}

/** The first link, taken off, or NULL. */
static inline struct evc_list *
evc_list_pop_front(struct evc_list *head)
{
    struct evc_list *link = head->next;

    if (link == head) {
        return NULL;
    }
    evc_list_remove(link);
    return link;
}

#endif
