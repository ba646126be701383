/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: one YAML file describes one cache across all its regions; every process
 * reads the same file. This is the only reader of it. Mistakes name file, line, what is wrong and
 * what is allowed. docs/configuration.md lists every setting; defaults stand beside the fields.
 */
#ifndef EVC_TOPOLOGY_CONFIG_H
#define EVC_TOPOLOGY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    EVC_CONFIG_REGION_MAX = 16,
    EVC_CONFIG_NODES_PER_ZONE_MAX = 1024,
    EVC_CONFIG_NAME_LEN_MAX = 63, /* cache, region and zone names: [A-Za-z0-9_.-] */
    EVC_CONFIG_PROXY_MAX = 48,    /* proxies of a region; worker slots 0 to 767 */
    EVC_CONFIG_RELAY_MAX = 64,    /* relays of a region; worker slots 768 to 831 */
    EVC_CONFIG_CLIENT_MAX = 192,  /* open library handles of a region; worker slots 832 to 1023 */
    EVC_CONFIG_WORKER_MAX = 16,   /* workers of a proxy */
};

/** host:port; host is a numeric address or a name resolved when the process starts. */
struct evc_address {
    char *text; /* "127.0.0.1:11211", as messages show it */
    char *host;
    uint16_t port;
    unsigned line; /* of the file it stands in; 0: none */
};

/** "host:port" or "[v6]:port". 0, or EVC_E_CONFIG with the text in *error, or EVC_E_NOMEM. */
EVC_MUST_USE int evc_address_parse(const char *text, struct evc_address *ret,
                                   struct evc_error *error);
void evc_address_finish(struct evc_address *address);

enum evc_zone_state {
    EVC_ZONE_SERVING,
    EVC_ZONE_WRITE_ONLY, /* being filled: not read, and its acknowledgements do not count */
    EVC_ZONE_DRAINED,    /* left alone */
};

struct evc_config_zone {
    char *name;
    enum evc_zone_state state; /* serving */
    struct evc_address *nodes;
    unsigned nodes_count;
};

struct evc_config_region {
    char *name;
    struct evc_address *proxies;
    unsigned proxies_count;
    struct evc_address *receivers;
    unsigned receivers_count;   /* as many as proxies: receivers[i] is served by proxy i */
    struct evc_address *admins; /* status of each proxy: admins[i] is answered by proxy i */
    unsigned admins_count;      /* as many as proxies */
    struct evc_address *relays;
    unsigned relays_count; /* admin addresses, one per relay process */
    struct evc_config_zone *zones;
    unsigned zones_count;
};

enum evc_policy {
    EVC_POLICY_COPY,
    EVC_POLICY_INVALIDATE,
    EVC_POLICY_NONE
};

struct evc_config_policy {
    char *prefix;
    enum evc_policy replicate;
};

enum evc_flush_scope {
    EVC_FLUSH_OFF,
    EVC_FLUSH_REGION,
    EVC_FLUSH_ALL_REGIONS,
};

#define EVC_CONFIG_HEDGE_OFF UINT32_C(0)
#define EVC_CONFIG_HEDGE_MEASURED UINT32_MAX

enum evc_ack {
    EVC_ACK_ONE,
    EVC_ACK_QUORUM,
    EVC_ACK_ALL_BUT_ONE,
    EVC_ACK_ALL,
};

/** A name and a value that are somebody else's to understand. */
struct evc_config_property {
    char *name;
    char *value;
    unsigned line; /* of the file it stands in */
};

struct evc_config_properties {
    struct evc_config_property *items;
    unsigned count;
};

struct evc_config {
    char *file;
    char *cache;

    struct {
        char *kind;            /* embedded or kafka */
        unsigned line;         /* of the file where kind stands */
        char *path;            /* a directory; <path>/<region> is made in it */
        unsigned partitions;   /* 4 */
        uint64_t bytes_max;    /* 1 GiB; queue.size in the file, "512MiB" is allowed */
        bool is_power_durable; /* queue.durability: process (default) | power */
        /* kafka only */
        char *brokers;                           /* host:port,… */
        unsigned replication;                    /* of a new topic; 0: the brokers' default */
        bool is_managed;                         /* `evcache up` runs the broker */
        struct evc_config_properties properties; /* of librdkafka */
        struct evc_config_properties topic;      /* of a new topic */
    } queue;

    struct {
        char *path;     /* default: <queue.path>/journal; <path>/<region> is made in it */
        uint64_t bytes; /* 64 MiB per worker */
    } journal;

    unsigned workers;               /* proxy workers, 1 */
    enum evc_ack write_ack;         /* all_but_one: of one or two zones, one */
    enum evc_flush_scope flush_all; /* region */
    uint32_t read_timeout_ms;       /* 250: a whole read, over all zones */
    uint32_t read_hedge_ms;         /* EVC_CONFIG_HEDGE_OFF, _MEASURED (default), or the delay */
    unsigned read_hedge_percent;    /* 5: of the reads, at most */
    bool read_refills;              /* true */
    uint32_t write_timeout_ms;      /* 500 */
    uint32_t connect_timeout_ms;    /* 1000 */
    uint32_t value_len_max;   /* 1 MiB less the item's overhead is memcached's own bound; 1048576 */
    uint32_t connections_max; /* clients per proxy, 10000 */
    uint32_t tombstone_ttl_s; /* 3600 */
    uint32_t drift_ms;        /* 60000 */
    uint32_t abandon_after_s; /* 600: a relay's retries of one key */
    uint32_t canary_ms;       /* 1000: how often canaries are written and read; 0: never */

    struct {
        char *memory;  /* `evcache up` only: memcached -m in MiB, 64 */
        char *command; /* memcached binary; default: found by `evcache up` */
    } node;

    struct evc_config_region *regions;
    unsigned regions_count;
    struct evc_config_policy *policies;
    unsigned policies_count;
};

/**
 * Reads and checks the whole file. The result is immutable. EVC_E_CONFIG: *error is
 * "cache.yaml:12: zone virginia-a: …". EVC_E_SYS: the file cannot be read.
 */
EVC_MUST_USE int evc_config_load(const char *file, struct evc_config **ret,
                                 struct evc_error *error);

/** Frees. Accepts NULL. */
void evc_config_destroy(struct evc_config *config);

/** The index of a region by name, or EVC_E_NOT_FOUND with *error listing the names there are. */
EVC_MUST_USE int evc_config_region_find(const struct evc_config *config, const char *name,
                                        unsigned *ret_index, struct evc_error *error);

/** The same of a region's zone. */
EVC_MUST_USE int evc_config_zone_find(const struct evc_config_region *region, const char *name,
                                      unsigned *ret_index, struct evc_error *error);

/** First matching prefix wins; EVC_POLICY_COPY when none does, and for canaries. */
enum evc_policy evc_config_policy_of(const struct evc_config *config, const char *key,
                                     size_t key_len);

/** A size as the file has them: "256MiB". False: it is none. */
bool evc_config_size_parse(const char *text, uint64_t *ret);

/** A duration as the file has them, "250ms"; in milliseconds. False: it is none. */
bool evc_config_ms_parse(const char *text, uint64_t *ret);

/** Whether the queue is Kafka's. */
bool evc_config_is_kafka(const struct evc_config *config);

/** How many zones must have a write before it is answered: 1 to zone_count. */
unsigned evc_ack_zones(enum evc_ack ack, unsigned zone_count);

/** Worker slots: proxy index * EVC_CONFIG_WORKER_MAX + worker; then relays, then clients of the
 * library. */
static inline unsigned
evc_config_proxy_slot(unsigned index, unsigned worker)
{
    return index * EVC_CONFIG_WORKER_MAX + worker;
}

static inline unsigned
evc_config_relay_slot(unsigned index)
{
    return EVC_CONFIG_PROXY_MAX * EVC_CONFIG_WORKER_MAX + index;
}

static inline unsigned
evc_config_client_slot(unsigned index)
{
    return evc_config_relay_slot(EVC_CONFIG_RELAY_MAX) + index;
}

#endif
