/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy's front door for the unit tests: real sockets, sessions, receivers, writer, applier and
 * journal on a loop of its own thread, over zones that are a table of items. No memcached and no
 * relay. The test's thread is the client and uses blocking sockets with a time limit.
 */
#ifndef FRONT_H
#define FRONT_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/listener.h"
#include "proxy/service.h"

enum {
    FRONT_ZONES = 2,
    FRONT_ITEMS_MAX = 4096,         /* per zone */
    FRONT_REPLY_TIMEOUT_MS = 10000, /* a test that waits longer has failed */
};

/** When the zones answer. */
enum front_pace {
    FRONT_AT_ONCE,  /* inside submit */
    FRONT_IN_TURN,  /* at the end of the loop's turn, in order */
    FRONT_REVERSED, /* at the end of the loop's turn, the last one first */
    FRONT_HELD,     /* when the pace is changed */
};

struct front_item {
    bool is_used;
    size_t key_len;
    char key[EVC_KEY_LEN_MAX];
    uint64_t cas;
    uint32_t client_flags;
    int64_t ttl_s;
    char *value;
    size_t value_len;
};

struct held_op;

struct front {
    struct evc_config config;
    struct evc_config_region regions[2];
    char directory[64]; /* of the journal; removed at the end */
    struct evc_loop loop;
    struct evc_node_port port;
    struct evc_list waiting; /* operations not executed yet */
    struct held_op *spare;   /* used again, so that the fake allocates no more than production */
    struct front_item *items[FRONT_ZONES];
    bool zone_is_down[FRONT_ZONES];
    size_t node_value_max; /* a larger value is answered with an error, and what was there is
                              dropped */
    enum front_pace pace;
    struct evc_journal *journal;
    struct evc_version_clock clock;
    struct evc_reader reader;
    struct evc_writer writer;
    struct evc_applier applier;
    struct evc_service service;
    struct evc_listener clients, relays;
    unsigned listeners_open;
    bool is_stopping;
    struct evc_loop_hook turn, tick;
    atomic_uint connections;
    struct evc_flush_schedule flush_schedule;
    atomic_bool want_stop;
    pthread_t thread;
    uint16_t client_port, relay_port;
};

/** connections_max and value_len_max are the configuration's. Fails the test when it cannot start.
 */
void front_start(struct front *front, unsigned connections_max, uint32_t value_len_max);

/** Stops, checks that nothing is left over, frees. */
void front_stop(struct front *front);

/* Each waits until the loop's thread has done it. */
void front_set_pace(struct front *front, enum front_pace pace);
void front_set_zone_down(struct front *front, unsigned zone, bool is_down);
void front_set_node_value_max(struct front *front, size_t bytes);
/** Lets the service sweep as if all connections of relays had been open for so much longer. */
void front_sweep_later(struct front *front, uint64_t us);

/** As if every client had done nothing for so long; then slow clients are looked for. */
void front_age(struct front *front, uint64_t us);
/** The service takes no further request, as when the process is told to end. */
void front_drain(struct front *front);
/** Puts an item into a zone. */
void front_put(struct front *front, unsigned zone, const char *key, const char *value,
               uint32_t client_flags, uint64_t cas);
/** The item of a zone as "flags cas value", or "-"; text: 256 bytes. */
void front_look(struct front *front, unsigned zone, const char *key, char *text);
/** A copy of the counters; and how many exchanges are in use. */
void front_counters(struct front *front, struct evc_counters *ret, size_t *ret_exchanges);

/** A connected socket. */
int front_dial(uint16_t port);
/** Sends all of it; with one, a byte a packet. */
void front_send(int fd, const char *bytes, size_t len, bool byte_by_byte);
/** Receives exactly len bytes (NUL added; room: len + 1); fewer only when the peer closes. */
size_t front_receive(int fd, char *bytes, size_t len);
/** Whether the peer has closed: reads what is left first. */
bool front_is_closed(int fd);

#endif
