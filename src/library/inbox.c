/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inbox: answered calls between the background thread, which posts them, and the application's
 * thread, which hands them out. Its descriptor is an eventfd that is written when the list begins
 * to hold something, and read before the list is emptied: it is readable whenever something waits.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "library/library.h"

struct evcache_inbox {
    evcache *cache;
    int fd;
    atomic_size_t open; /* started and not handed out */
    /* shared, under the lock */
    pthread_mutex_t lock;
    struct evc_list arrived;
};

int
evcache_inbox_open(evcache *cache, evcache_inbox **ret, evcache_error *error)
{
    evcache_inbox *inbox = calloc(1, sizeof(*inbox));
    struct evc_error why;

    if (!inbox) {
        evc_error_set(&why, EVC_E_NOMEM, "out of memory");
        return evc_library_error(&why, error);
    }
    inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->fd < 0) {
        evc_error_sys(&why, errno, "cannot make a descriptor for an inbox");
        free(inbox);
        return evc_library_error(&why, error);
    }
    inbox->cache = cache;
    (void)pthread_mutex_init(&inbox->lock, NULL); /* never fails on Linux */
    evc_list_init(&inbox->arrived);
    atomic_fetch_add(&cache->inboxes, 1);
    *ret = inbox;
    return EVCACHE_OK;
}

int
evcache_inbox_fd(const evcache_inbox *inbox)
{
    return inbox->fd;
}

void
evc_inbox_post(evcache_inbox *inbox, evcache_reply *reply)
{
    static const uint64_t one = 1;
    bool was_empty;

    /* Written under the lock: the inbox may be gone as soon as its owner has seen the reply. */
    pthread_mutex_lock(&inbox->lock);
    was_empty = evc_list_is_empty(&inbox->arrived);
    evc_list_push_back(&inbox->arrived, &reply->link);
    if (was_empty) {
        (void)!write(inbox->fd, &one, sizeof(one)); /* fails only when it is readable anyway */
    }
    pthread_mutex_unlock(&inbox->lock);
}

size_t
evcache_inbox_dispatch(evcache_inbox *inbox)
{
    struct evc_list due;
    struct evc_list *link;
    uint64_t rings;
    size_t count = 0;

    (void)!read(inbox->fd, &rings, sizeof(rings)); /* nothing to read: nothing has arrived */
    /* What done functions start is for the next time: the thread has other things to do too. */
    pthread_mutex_lock(&inbox->lock);
    evc_list_move(&inbox->arrived, &due);
    pthread_mutex_unlock(&inbox->lock);
    while ((link = evc_list_pop_front(&due)) != NULL) {
        evcache_reply *reply = EVC_CONTAINER_OF(link, evcache_reply, link);

        count++;
        atomic_fetch_sub(&inbox->open, 1);
        reply->done(reply->ctx, reply);
    }
    return count;
}

void
evcache_inbox_close(evcache_inbox *inbox)
{
    if (!inbox) {
        return;
    }
    while (atomic_load(&inbox->open) > 0) {
        struct pollfd readable = {.fd = inbox->fd, .events = POLLIN};

        (void)poll(&readable, 1, -1); /* interrupted: looked at again */
        (void)evcache_inbox_dispatch(inbox);
    }
    atomic_fetch_sub(&inbox->cache->inboxes, 1);
    pthread_mutex_destroy(&inbox->lock);
    close(inbox->fd);
    free(inbox);
}

int
evcache_start(evcache_inbox *inbox, enum evcache_op op, const evcache_request *request,
              evcache_done_fn done, void *ctx)
{
    int status = evc_library_check(inbox->cache, op, request, NULL);
    evcache_reply *reply;

    if (status != EVCACHE_OK || !done) {
        return status != EVCACHE_OK ? status : EVCACHE_E_INVALID;
    }
    reply = evc_reply_create_copy(op, request);
    if (!reply) {
        return EVCACHE_E_NO_MEMORY;
    }
    reply->inbox = inbox;
    reply->done = done;
    reply->ctx = ctx;
    atomic_fetch_add(&inbox->open, 1);
    status = evc_library_submit(inbox->cache, reply);
    if (status != EVCACHE_OK) {
        atomic_fetch_sub(&inbox->open, 1);
        evcache_reply_free(reply);
    }
    return status;
}
