/* SPDX-License-Identifier: Apache-2.0 */
/* See queues.h. Two paths are one queue when they lead to the same directory. */
#include "library/queues.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/list.h"
#include "daemon/storage.h"

struct open_queue {
    struct evc_list link;
    struct evc_queue *queue;
    unsigned handles;
    dev_t device;
    ino_t inode;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct evc_list open_queues = {.prev = &open_queues, .next = &open_queues};

/**
 * Finds the directory of an embedded queue. It is made by the region's daemons: one made here would
 * be a typing mistake, or a relative path and another working directory, and nobody would read it.
 */
static int
find_directory(const struct evc_config *config, unsigned region, struct stat *ret,
               struct evc_error *error)
{
    char path[EVC_PATH_BYTES_MAX], here[EVC_PATH_BYTES_MAX];
    int len =
        snprintf(path, sizeof(path), "%s/%s", config->queue.path, config->regions[region].name);

    if (len >= (int)sizeof(path)) {
        return evc_error_set(error, EVC_E_CONFIG, "queue.path: the path is too long");
    }
    if (stat(path, ret) != 0) {
        int sys_errno = errno;
        bool is_relative = path[0] != '/' && getcwd(here, sizeof(here)) != NULL;

        return evc_error_sys(error, sys_errno,
                             "queue.path: no queue of region %s at %.150s%s%.150s (its relay makes "
                             "it)",
                             config->regions[region].name, is_relative ? here : "",
                             is_relative ? "/" : "", path);
    }
    return EVC_OK;
}

static struct open_queue *
find_open(const struct stat *directory)
{
    for (struct evc_list *link = open_queues.next; link != &open_queues; link = link->next) {
        struct open_queue *open = EVC_CONTAINER_OF(link, struct open_queue, link);

        if (open->device == directory->st_dev && open->inode == directory->st_ino) {
            return open;
        }
    }
    return NULL;
}

/** Opens and remembers it. Under the lock. */
static int
open_first(const struct evc_config *config, unsigned region, const struct stat *directory,
           struct open_queue **ret, struct evc_error *error)
{
    struct open_queue *open = calloc(1, sizeof(*open));
    int status;

    if (!open) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    status = evc_storage_open_queue(config, region, &open->queue, error);
    if (status != EVC_OK) {
        free(open);
        return status;
    }
    open->device = directory->st_dev;
    open->inode = directory->st_ino;
    evc_list_push_back(&open_queues, &open->link);
    *ret = open;
    return EVC_OK;
}

int
evc_queues_take(const struct evc_config *config, unsigned region, struct evc_queue **ret,
                struct evc_error *error)
{
    struct stat directory = {0};
    struct open_queue *open;
    int status;

    if (evc_config_is_kafka(config)) {
        return evc_storage_open_queue(config, region, ret, error);
    }
    status = find_directory(config, region, &directory, error);
    if (status != EVC_OK) {
        return status;
    }
    pthread_mutex_lock(&lock);
    open = find_open(&directory);
    if (!open) {
        status = open_first(config, region, &directory, &open, error);
    }
    if (status == EVC_OK) {
        open->handles++;
        *ret = open->queue;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void
evc_queues_give_back(struct evc_queue *queue)
{
    pthread_mutex_lock(&lock);
    for (struct evc_list *link = open_queues.next; link != &open_queues; link = link->next) {
        struct open_queue *open = EVC_CONTAINER_OF(link, struct open_queue, link);

        if (open->queue == queue) {
            if (--open->handles == 0) {
                evc_list_remove(link);
                free(open);
                break;
            }
            queue = NULL; /* others have it */
            break;
        }
    }
    evc_queue_close(queue); /* under the lock: nobody may open it before it is closed */
    pthread_mutex_unlock(&lock);
}
