/* SPDX-License-Identifier: Apache-2.0 */
/* See service.h. */
#include "proxy/service.h"

#include <assert.h>

#include "proxy/exchange.h"
#include "proxy/receiver.h"
#include "proxy/session.h"

/** Replies are at most a value and its line, but for statistics, which are far smaller. */
static size_t
scratch_bytes_max(const struct evc_config *config)
{
    return (size_t)config->value_len_max + EVC_SESSION_OUTPUT_PAUSE_BYTES;
}

void
evc_service_init(struct evc_service *service, const struct evc_service_options *options)
{
    *service = (struct evc_service){
        .loop = options->loop,
        .port = options->port,
        .reader = options->reader,
        .writer = options->writer,
        .applier = options->applier,
        .config = options->config,
        .region = options->region,
        .collector = options->collector,
        .connections = options->connections,
    };
    evc_flush_init(&service->flush,
                   &(struct evc_flush_options){
                       .loop = options->loop,
                       .topology = options->topology,
                       .writer = options->writer,
                       .schedule = options->flush_schedule,
                       .is_everywhere = options->config->flush_all == EVC_FLUSH_ALL_REGIONS,
                   });
    evc_list_init(&service->sessions);
    evc_list_init(&service->receivers);
    evc_list_init(&service->starved);
    evc_buf_init(&service->scratch, scratch_bytes_max(options->config));
    evc_pool_init(&service->sessions_pool, sizeof(struct evc_session),
                  options->config->connections_max + EVC_SERVICE_REFUSED_MAX);
    evc_pool_init(&service->receivers_pool, sizeof(struct evc_receiver), EVC_SERVICE_RECEIVERS_MAX);
    evc_pool_init(&service->exchanges_pool, sizeof(struct evc_exchange), EVC_SERVICE_EXCHANGES_MAX);
    evc_pool_init(&service->chunks_pool, sizeof(struct evc_chunk), EVC_SERVICE_CHUNKS_MAX);
}

void
evc_service_finish(struct evc_service *service)
{
    assert(evc_service_is_idle(service));
    evc_pool_finish(&service->chunks_pool);
    evc_pool_finish(&service->exchanges_pool);
    evc_pool_finish(&service->receivers_pool);
    evc_pool_finish(&service->sessions_pool);
    evc_buf_finish(&service->scratch);
}

bool
evc_service_has_room(const struct evc_service *service)
{
    return !service->is_draining &&
           service->exchanges_pool.in_use < service->exchanges_pool.limit &&
           service->writer->stats.in_flight < EVC_SERVICE_WRITES_PAUSE;
}

static void
feed_starved(struct evc_service *service)
{
    struct evc_list due;
    struct evc_list *link;

    if (service->exchanges_pool.in_use > service->exchanges_pool.limit / 2 ||
        service->writer->stats.in_flight > EVC_SERVICE_WRITES_PAUSE / 2) {
        return;
    }
    evc_list_move(&service->starved, &due); /* who finds no room after all waits there again */
    while ((link = evc_list_pop_front(&due))) {
        evc_session_continue(EVC_CONTAINER_OF(link, struct evc_session, starved_link));
    }
}

void
evc_service_continue(struct evc_service *service)
{
    struct evc_list *link;

    feed_starved(service);
    for (link = service->receivers.next; link != &service->receivers; link = link->next) {
        evc_receiver_continue(EVC_CONTAINER_OF(link, struct evc_receiver, link));
    }
}

void
evc_service_sweep(struct evc_service *service)
{
    struct evc_list *next;

    for (struct evc_list *link = service->sessions.next; link != &service->sessions; link = next) {
        next = link->next;
        evc_session_check_progress(EVC_CONTAINER_OF(link, struct evc_session, link));
    }
    for (struct evc_list *link = service->receivers.next; link != &service->receivers;
         link = next) {
        next = link->next;
        evc_receiver_check_greeting(EVC_CONTAINER_OF(link, struct evc_receiver, link));
    }
}

void
evc_service_drain(struct evc_service *service)
{
    struct evc_list *next;

    service->is_draining = true;
    evc_flush_stop(&service->flush);
    for (struct evc_list *link = service->sessions.next; link != &service->sessions; link = next) {
        next = link->next;
        evc_session_drain(EVC_CONTAINER_OF(link, struct evc_session, link));
    }
    for (struct evc_list *link = service->receivers.next; link != &service->receivers;
         link = next) {
        next = link->next;
        evc_receiver_leave(EVC_CONTAINER_OF(link, struct evc_receiver, link));
    }
}

void
evc_service_close_all(struct evc_service *service)
{
    struct evc_list *next;

    service->is_draining = true;
    for (struct evc_list *link = service->sessions.next; link != &service->sessions; link = next) {
        next = link->next;
        evc_session_close(EVC_CONTAINER_OF(link, struct evc_session, link), 0);
    }
    for (struct evc_list *link = service->receivers.next; link != &service->receivers;
         link = next) {
        next = link->next;
        evc_receiver_close(EVC_CONTAINER_OF(link, struct evc_receiver, link));
    }
}

bool
evc_service_has_connections(const struct evc_service *service)
{
    const struct evc_list *link;

    if (!evc_list_is_empty(&service->sessions)) {
        return true;
    }
    for (link = service->receivers.next; link != &service->receivers; link = link->next) {
        if (!EVC_CONTAINER_OF(link, struct evc_receiver, link)->is_closed) {
            return true;
        }
    }
    return false;
}

bool
evc_service_is_idle(const struct evc_service *service)
{
    return evc_list_is_empty(&service->sessions) && evc_list_is_empty(&service->receivers) &&
           service->exchanges_pool.in_use == 0 && evc_flush_is_idle(&service->flush);
}
