/* SPDX-License-Identifier: Apache-2.0 */
/* See front.h. */
#include "front.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/receiver.h"
#include "proxy/session.h"
#include "queue/journal.h"

/* --- zones --- */

/** An operation with the copies of key and value that submit promises. */
struct held_op {
    struct held_op *next_spare;
    size_t value_max;
    char key[EVC_KEY_LEN_MAX];
    char value[];
};

enum {
    SPARE_VALUE_BYTES = 1024
};

static struct held_op *
held_borrow(struct front *front, size_t value_len)
{
    struct held_op *held = front->spare;
    size_t value_max = value_len > SPARE_VALUE_BYTES ? value_len : SPARE_VALUE_BYTES;

    if (held && value_max == SPARE_VALUE_BYTES) {
        front->spare = held->next_spare;
        return held;
    }
    held = malloc(sizeof(*held) + value_max);
    assert(held);
    held->value_max = value_max;
    return held;
}

static void
held_give_back(struct front *front, struct held_op *held)
{
    if (held->value_max > SPARE_VALUE_BYTES) {
        free(held);
    } else {
        held->next_spare = front->spare;
        front->spare = held;
    }
}

static struct front_item *
item_find(struct front *front, unsigned zone, struct evc_slice key, bool create)
{
    struct front_item *free_item = NULL;

    for (unsigned i = 0; i < FRONT_ITEMS_MAX; i++) {
        struct front_item *item = &front->items[zone][i];

        if (!item->is_used) {
            free_item = free_item ? free_item : item;
        } else if (item->key_len == key.len && memcmp(item->key, key.ptr, key.len) == 0) {
            return item;
        }
        if (free_item) {
            break; /* items are never removed from the middle but by a refusal: see item_drop */
        }
    }
    if (!create) {
        return NULL;
    }
    assert(free_item);
    free_item->is_used = true;
    free_item->key_len = key.len;
    memcpy(free_item->key, key.ptr, key.len);
    free_item->value = NULL;
    return free_item;
}

/** Takes an item away by moving the last one into its place. */
static void
item_drop(struct front *front, unsigned zone, struct front_item *item)
{
    struct front_item *last = item;

    while (last + 1 < front->items[zone] + FRONT_ITEMS_MAX && (last + 1)->is_used) {
        last++;
    }
    free(item->value);
    *item = *last;
    *last = (struct front_item){.is_used = false};
}

static void
item_set(struct front_item *item, struct evc_slice value, uint32_t flags, uint64_t cas,
         int64_t ttl_s)
{
    if (!item->value || item->value_len < value.len) {
        item->value = realloc(item->value, value.len + 1);
        assert(item->value);
    }
    memcpy(item->value, value.ptr, value.len);
    item->value_len = value.len;
    item->client_flags = flags;
    item->cas = cas;
    item->ttl_s = ttl_s;
}

static void
execute_get(struct front_item *item, struct evc_node_op *op)
{
    op->result = item ? EVC_NODE_HIT : EVC_NODE_MISS;
    if (item) {
        op->reply = (struct evc_node_reply){
            .value = {.ptr = item->value, .len = op->want & EVC_WANT_VALUE ? item->value_len : 0},
            .cas = item->cas,
            .ttl_s = item->ttl_s == 0 ? -1 : item->ttl_s,
            .client_flags = item->client_flags,
            .size = (uint32_t)item->value_len,
            .is_tombstone = item->client_flags == EVC_TOMBSTONE_FLAGS && item->value_len == 0,
        };
    }
}

static void
execute(struct front *front, struct evc_node_op *op)
{
    struct front_item *item = item_find(front, op->zone, op->key, false);

    op->reply = (struct evc_node_reply){0};
    if (op->verb == EVC_NODE_GET) {
        execute_get(item, op);
    } else if (op->value.len > front->node_value_max) {
        op->result = EVC_NODE_ERROR;
        op->reply.error = EVC_SLICE("SERVER_ERROR object too large for cache");
        if (item) {
            item_drop(front, op->zone, item);
        }
    } else if (op->verb == EVC_NODE_ADD && item) {
        op->result = EVC_NODE_NOT_STORED;
    } else if (op->verb == EVC_NODE_CAS && (!item || item->cas != op->seen)) {
        op->result = item ? EVC_NODE_EXISTS : EVC_NODE_MISS;
    } else {
        item_set(item ? item : item_find(front, op->zone, op->key, true), op->value,
                 op->client_flags, op->version, op->ttl_s);
        op->result = EVC_NODE_STORED;
    }
}

static void
finish_op(struct front *front, struct evc_node_op *op)
{
    struct held_op *held = op->executor;

    if (front->zone_is_down[op->zone]) {
        op->result = EVC_NODE_REFUSED;
    } else {
        execute(front, op);
    }
    op->on_done(op);
    held_give_back(front, held);
}

static void
submit(struct evc_node_port *port, struct evc_node_op *op)
{
    struct front *front = EVC_CONTAINER_OF(port, struct front, port);
    size_t value_len = op->verb == EVC_NODE_GET ? 0 : op->value.len;
    struct held_op *held = held_borrow(front, value_len);

    assert(op->key.len >= 1 && op->key.len <= EVC_KEY_LEN_MAX);
    memcpy(held->key, op->key.ptr, op->key.len);
    op->key.ptr = held->key;
    if (value_len > 0) {
        memcpy(held->value, op->value.ptr, value_len);
    }
    op->value = (struct evc_slice){.ptr = held->value, .len = value_len};
    op->executor = held;
    if (front->pace == FRONT_AT_ONCE || front->zone_is_down[op->zone]) {
        finish_op(front, op);
    } else {
        evc_list_push_back(&front->waiting, &op->link);
    }
}

/** Executes what has gathered until now; what that submits waits for the next turn. */
static void
execute_waiting(struct front *front)
{
    struct evc_list batch;
    struct evc_list *link;

    evc_list_init(&batch);
    while ((link = evc_list_pop_front(&front->waiting))) {
        evc_list_push_back(&batch, link);
    }
    while (!evc_list_is_empty(&batch)) {
        link = front->pace == FRONT_REVERSED ? batch.prev : batch.next;
        evc_list_remove(link);
        finish_op(front, EVC_CONTAINER_OF(link, struct evc_node_op, link));
    }
}

/* --- the loop's thread --- */

static void
on_turn(struct evc_loop_hook *hook)
{
    struct front *front = EVC_CONTAINER_OF(hook, struct front, turn);

    if (front->pace != FRONT_HELD) {
        execute_waiting(front);
    }
    evc_service_continue(&front->service);
}

static void
on_listener_closed(struct evc_listener *listener)
{
    struct front *front = EVC_CONTAINER_OF(listener->loop, struct front, loop);

    front->listeners_open--;
}

static void
on_tick(struct evc_loop_hook *hook)
{
    struct front *front = EVC_CONTAINER_OF(hook, struct front, tick);

    if (front->pace != FRONT_HELD) {
        execute_waiting(
            front); /* what a turn's own execution submitted, when nothing else happens */
    }
    if (!atomic_load(&front->want_stop)) {
        return;
    }
    if (!front->is_stopping) {
        front->is_stopping = true;
        evc_listener_close(&front->clients);
        evc_listener_close(&front->relays);
        evc_service_close_all(&front->service);
    }
    if (front->listeners_open == 0 && evc_service_is_idle(&front->service) &&
        front->reader.in_flight == 0 && front->writer.stats.in_flight == 0) {
        evc_loop_remove_hook(&front->turn);
        evc_loop_remove_hook(&front->tick);
        evc_loop_stop(&front->loop);
    }
}

static void *
run(void *arg)
{
    struct front *front = arg;

    evc_loop_run(&front->loop);
    return NULL;
}

static void
on_client(struct evc_listener *listener)
{
    struct front *front = EVC_CONTAINER_OF(listener, struct front, clients);

    (void)evc_session_accept(&front->service, listener);
}

static void
on_relay(struct evc_listener *listener)
{
    struct front *front = EVC_CONTAINER_OF(listener, struct front, relays);

    (void)evc_receiver_accept(&front->service, listener);
}

static void
collect(void *ctx, struct evc_service *service, struct evc_totals *ret)
{
    (void)ctx;
    *ret = (struct evc_totals){.worker_count = 1, .sum = {.counters = service->counters}};
}

/* --- start and stop --- */

static uint16_t
open_listener(struct front *front, struct evc_listener *listener,
              void (*on_connection)(struct evc_listener *listener))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int len = sizeof(address);
    struct evc_error error;
    int status = evc_listener_open(listener, &front->loop, (struct sockaddr *)&address,
                                   on_connection, &error);

    assert(status == EVC_OK);
    listener->on_closed = on_listener_closed;
    front->listeners_open++;
    assert(uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address, &len) == 0);
    return ntohs(address.sin_port);
}

static void
open_journal(struct front *front)
{
    uint64_t replayed = 0;
    struct evc_error error;
    int status;

    snprintf(front->directory, sizeof(front->directory), "/tmp/evcache-front-XXXXXX");
    assert(mkdtemp(front->directory));
    status = evc_journal_open(front->directory, 1, EVC_JOURNAL_BYTES_MIN, &front->journal,
                              &replayed, &error);
    assert(status == EVC_OK);
    evc_journal_set_partitions(front->journal, 4);
}

static void
start_service(struct front *front)
{
    evc_version_clock_init(&front->clock, evc_version_writer_make(0, 1), front->config.drift_ms);
    evc_reader_init(&front->reader, &front->port, &front->loop.now,
                    &(struct evc_reader_options){.timeout_us = 250000});
    evc_writer_init(&front->writer, &front->port, &front->clock, &front->loop.now, front->journal,
                    &(struct evc_write_options){
                        .zones_needed = evc_ack_zones(EVC_ACK_ALL_BUT_ONE, FRONT_ZONES),
                        .timeout_us = 500000,
                        .tombstone_ttl_s = 60,
                        .value_len_max = EVC_VALUE_LEN_MAX_DEFAULT,
                    });
    evc_applier_init(
        &front->applier, &front->port, &front->clock, &front->loop.now,
        evc_journal_sink(front->journal),
        &(struct evc_apply_options){.zone_timeout_us = 500000, .tombstone_ttl_s = 3600});
    evc_service_init(&front->service, &(struct evc_service_options){
                                          .loop = &front->loop,
                                          .port = &front->port,
                                          .reader = &front->reader,
                                          .writer = &front->writer,
                                          .applier = &front->applier,
                                          .config = &front->config,
                                          .region = 0,
                                          .collector = {.collect = collect},
                                          .connections = &front->connections,
                                          .flush_schedule = &front->flush_schedule,
                                      });
}

void
front_start(struct front *front, unsigned connections_max, uint32_t value_len_max)
{
    struct evc_error error;
    int status;

    memset(front, 0, sizeof(*front));
    front->regions[0].name = "here";
    front->regions[1].name = "there";
    front->config = (struct evc_config){
        .cache = "movies",
        .regions = front->regions,
        .regions_count = 2,
        .connections_max = connections_max,
        .value_len_max = value_len_max,
        .read_timeout_ms = 250,
        .write_timeout_ms = 500,
        .drift_ms = EVC_VERSION_DRIFT_MS_DEFAULT,
        .tombstone_ttl_s = 60,
        .write_ack = EVC_ACK_ALL_BUT_ONE,
        .flush_all = EVC_FLUSH_REGION,
    };
    front->port = (struct evc_node_port){.submit = submit, .zone_count = FRONT_ZONES};
    front->node_value_max = value_len_max;
    front->pace = FRONT_IN_TURN;
    evc_list_init(&front->waiting);
    for (unsigned i = 0; i < FRONT_ZONES; i++) {
        front->items[i] = calloc(FRONT_ITEMS_MAX, sizeof(*front->items[i]));
        assert(front->items[i]);
    }
    status = evc_loop_init(&front->loop, &error);
    assert(status == EVC_OK);
    open_journal(front);
    start_service(front);
    front->turn.call = on_turn;
    front->tick.call = on_tick;
    evc_loop_add_hook(&front->loop, &front->turn);
    evc_loop_add_tick(&front->loop, &front->tick);
    front->client_port = open_listener(front, &front->clients, on_client);
    front->relay_port = open_listener(front, &front->relays, on_relay);
    status = pthread_create(&front->thread, NULL, run, front);
    assert(status == 0);
}

void
front_stop(struct front *front)
{
    char command[128];

    front_set_pace(front, FRONT_IN_TURN);
    atomic_store(&front->want_stop, true);
    pthread_join(front->thread, NULL);
    assert(front->service.chunks_pool.in_use == 0);
    assert(atomic_load(&front->connections) == 0);
    evc_service_finish(&front->service);
    evc_applier_finish(&front->applier);
    evc_writer_finish(&front->writer);
    evc_reader_finish(&front->reader);
    evc_loop_finish(&front->loop);
    evc_journal_close(front->journal);
    while (front->spare) {
        struct held_op *held = front->spare;

        front->spare = held->next_spare;
        free(held);
    }
    for (unsigned zone = 0; zone < FRONT_ZONES; zone++) {
        for (unsigned i = 0; i < FRONT_ITEMS_MAX; i++) {
            free(front->items[zone][i].value);
        }
        free(front->items[zone]);
    }
    snprintf(command, sizeof(command), "%s/slot-0001.journal", front->directory);
    unlink(command);
    rmdir(front->directory);
}

/* --- from the test's thread --- */

struct request {
    struct front *front;
    enum front_pace pace;
    unsigned zone;
    bool is_down;
    size_t bytes;
    const char *key, *value;
    uint32_t client_flags;
    uint64_t cas;
    char *text;
    struct evc_counters *counters;
    size_t *exchanges;
};

static void
call(struct front *front, void (*function)(void *arg), struct request *request)
{
    int status;

    request->front = front;
    status = evc_loop_call(&front->loop, function, request, FRONT_REPLY_TIMEOUT_MS);
    assert(status == EVC_OK);
}

static void
do_set_pace(void *arg)
{
    struct request *request = arg;

    request->front->pace = request->pace;
}

void
front_set_pace(struct front *front, enum front_pace pace)
{
    call(front, do_set_pace, &(struct request){.pace = pace});
}

static void
do_set_zone_down(void *arg)
{
    struct request *request = arg;

    request->front->zone_is_down[request->zone] = request->is_down;
}

void
front_set_zone_down(struct front *front, unsigned zone, bool is_down)
{
    call(front, do_set_zone_down, &(struct request){.zone = zone, .is_down = is_down});
}

static void
do_set_node_value_max(void *arg)
{
    struct request *request = arg;

    request->front->node_value_max = request->bytes;
}

void
front_set_node_value_max(struct front *front, size_t bytes)
{
    call(front, do_set_node_value_max, &(struct request){.bytes = bytes});
}

static void
do_sweep_later(void *arg)
{
    struct request *request = arg;
    struct evc_service *service = &request->front->service;

    for (struct evc_list *link = service->receivers.next; link != &service->receivers;
         link = link->next) {
        EVC_CONTAINER_OF(link, struct evc_receiver, link)->accepted_us -= request->bytes;
    }
    evc_service_sweep(service);
}

void
front_sweep_later(struct front *front, uint64_t us)
{
    call(front, do_sweep_later, &(struct request){.bytes = us});
}

static void
do_age(void *arg)
{
    struct request *request = arg;
    struct evc_list *sessions = &request->front->service.sessions;

    evc_service_sweep(&request->front->service); /* what has just come counts as of now */
    for (struct evc_list *link = sessions->next; link != sessions; link = link->next) {
        struct evc_session *session = EVC_CONTAINER_OF(link, struct evc_session, link);

        session->progress_us -= request->bytes;
        session->input_us -= request->bytes;
    }
    evc_service_sweep(&request->front->service);
}

void
front_age(struct front *front, uint64_t us)
{
    call(front, do_age, &(struct request){.bytes = us});
}

static void
do_drain(void *arg)
{
    struct request *request = arg;

    evc_service_drain(&request->front->service);
}

void
front_drain(struct front *front)
{
    call(front, do_drain, &(struct request){.front = front});
}

static void
do_put(void *arg)
{
    struct request *request = arg;

    item_set(item_find(request->front, request->zone, evc_slice_str(request->key), true),
             evc_slice_str(request->value), request->client_flags, request->cas, 0);
}

void
front_put(struct front *front, unsigned zone, const char *key, const char *value,
          uint32_t client_flags, uint64_t cas)
{
    call(front, do_put,
         &(struct request){
             .zone = zone, .key = key, .value = value, .client_flags = client_flags, .cas = cas});
}

static void
do_look(void *arg)
{
    struct request *request = arg;
    struct front_item *item =
        item_find(request->front, request->zone, evc_slice_str(request->key), false);

    if (item) {
        snprintf(request->text, 256, "%u %llu %.*s", item->client_flags,
                 (unsigned long long)item->cas, (int)item->value_len, item->value);
    } else {
        snprintf(request->text, 256, "-");
    }
}

void
front_look(struct front *front, unsigned zone, const char *key, char *text)
{
    call(front, do_look, &(struct request){.zone = zone, .key = key, .text = text});
}

static void
do_counters(void *arg)
{
    struct request *request = arg;

    *request->counters = request->front->service.counters;
    *request->exchanges = request->front->service.exchanges_pool.in_use;
}

void
front_counters(struct front *front, struct evc_counters *ret, size_t *ret_exchanges)
{
    call(front, do_counters, &(struct request){.counters = ret, .exchanges = ret_exchanges});
}

int
front_dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = FRONT_REPLY_TIMEOUT_MS / 1000};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert(fd >= 0);
    assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    assert(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    assert(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
    return fd;
}

void
front_send(int fd, const char *bytes, size_t len, bool byte_by_byte)
{
    size_t sent = 0;

    while (sent < len) {
        ssize_t n = send(fd, bytes + sent, byte_by_byte ? 1 : len - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        assert(n > 0);
        sent += (size_t)n;
    }
}

/** recv that goes on when it is interrupted, as io_uring's completions do to other threads. */
static ssize_t
receive_some(int fd, char *bytes, size_t len)
{
    ssize_t n;

    do {
        n = recv(fd, bytes, len, 0);
    } while (n < 0 && errno == EINTR);
    return n;
}

size_t
front_receive(int fd, char *bytes, size_t len)
{
    size_t received = 0;

    while (received < len) {
        ssize_t n = receive_some(fd, bytes + received, len - received);

        if (n <= 0) {
            break;
        }
        received += (size_t)n;
    }
    bytes[received] = '\0';
    return received;
}

bool
front_is_closed(int fd)
{
    char rest[4096];
    ssize_t n;

    while ((n = receive_some(fd, rest, sizeof(rest))) > 0) {
    }
    return n == 0;
}
