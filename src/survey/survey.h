/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process of a cache says about itself, put together: the books of every pair of
 * regions, how far each partition is behind, the nodes, and who does not answer. `evcache status`,
 * `evcache top` and the dashboard all show one of these.
 *
 * Processes are asked in three rounds (relays, proxies, relays), all of a round at once, so under
 * traffic the numbers move between two questions: a partition of a pair whose numbers were the same
 * in both rounds of relays is settled. Only then can its books be judged:
 *
 *     unexplained = produced + duplicate - lost - sum of outcomes - in flight
 *
 * where produced is what the source's proxies and relays have numbered and in flight what the
 * source's queue holds that the destination's group has not done with.
 *
 * A survey is used by one thread at a time.
 */
#ifndef EVC_SURVEY_SURVEY_H
#define EVC_SURVEY_SURVEY_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/histogram.h"
#include "queue/queue.h"
#include "replication/outcome.h"
#include "survey/prefixes.h"
#include "survey/readiness.h"
#include "topology/config.h"

enum {
    EVC_SURVEY_TIMEOUT_MS = 3000, /* for one process's answer, unless set otherwise */
    EVC_SURVEY_ASKED_MAX = 16,    /* processes asked at the same time, each by a thread */
    EVC_SURVEY_LOOKS_MAX = 4,     /* the first, and three more while something seems unexplained */
    EVC_SURVEY_LOOK_PAUSE_MS = 200,
    EVC_SURVEY_SLOW_US = 2 * 1000 * 1000,     /* a partition's oldest event waits this long */
    EVC_SURVEY_STALLED_US = 10 * 1000 * 1000, /* and this long */
};

/** Lag as a relay reports it: the buckets of a histogram that are not empty. */
struct evc_survey_buckets {
    unsigned count;
    struct {
        unsigned bucket;
        uint64_t count;
    } * at; /* ascending as received; owned */
};

/** How well a pair, or one of its partitions, does. Ordered: the worst is the highest. */
enum evc_survey_state {
    EVC_SURVEY_FINE,
    EVC_SURVEY_SLOW,    /* its oldest event has waited for EVC_SURVEY_SLOW_US */
    EVC_SURVEY_STALLED, /* … for EVC_SURVEY_STALLED_US */
    EVC_SURVEY_DOWN,    /* a pair: no link to the destination */
    EVC_SURVEY_UNKNOWN, /* no relay that answers has it */
};

/** "fine", "slow", "stalled", "down", "unknown". */
const char *evc_survey_state_str(enum evc_survey_state state);

/** Fine, slow or stalled, by how long the oldest event has waited. */
enum evc_survey_state evc_survey_state_by_age(uint64_t waiting_us);

/** One partition of a pair. */
struct evc_survey_cell {
    bool is_known; /* a relay that has it has answered */
    bool is_settled;
    uint64_t produced;
    uint64_t lost, duplicate;
    uint64_t outcome[EVC_OUTCOME_MAX];
    uint64_t in_flight;
    uint64_t
        records_unread; /* Kafka: behind the last one read; their events are not in in_flight */
    int64_t unexplained;
    uint64_t waiting_us; /* how long the oldest event in flight has been in the queue; 0: none */
    enum evc_survey_state state;
    uint64_t lag_p99_us;               /* of what was applied since the relay started */
    struct evc_survey_buckets buckets; /* the same, whole; empty in a pair's total */
    uint64_t recent_count;             /* applied since the survey it was compared with */
    uint64_t recent_p99_us;
};

/** A source and a destination; the same region twice stands for its own repair group. */
struct evc_survey_pair {
    unsigned source, destination;
    /* Of the source's queue: the file's, or more where a process knows that it has grown. */
    unsigned partition_count;
    unsigned cell_room;
    struct evc_survey_cell *cells; /* one per partition; room for cell_room */
    /* is_known, is_settled: of all; waiting_us, state: the worst, the journals' among them */
    struct evc_survey_cell total;
    uint64_t journal_waiting;    /* events in the source's journals, not in the queue */
    uint64_t journal_waiting_us; /* how long the oldest of them has been there; 0: none */
    bool is_link_up;
    char why[128];            /* the link is down, or "" */
    uint64_t slot_conflicts;  /* batches that showed two live producers on one worker slot */
    uint64_t corrupt_records; /* could not be read; their events show as lost */
    uint64_t canaries, canaries_stale; /* of the source, as the destination's relay reads them */
    struct evc_histogram lag; /* write to visible of what was applied, since the relays started */
    /* since the survey it was compared with (evc_survey_compare); 0 before */
    double rate;                    /* events a second that ended */
    struct evc_histogram recent;    /* lag of what was applied meanwhile */
    struct evc_readiness readiness; /* of the destination to serve the source's applications */
};

/** One process that was asked. */
struct evc_survey_process {
    char name[EVC_CONFIG_NAME_LEN_MAX + 16]; /* "virginia/relay/0" */
    const struct evc_address *address;
    unsigned region, index;
    bool is_proxy;
    bool has_answered;
    char why[160]; /* it has not, or "" */
    uint64_t pid, uptime_s, cpu_us;
    uint64_t journal_waiting;    /* written, not numbered yet: in nobody's books so far */
    uint64_t journal_waiting_us; /* how long the oldest of them has; 0: none */
    uint64_t journal_lost;
    bool is_feeder_stalled;
    char feeder_error[160];
    uint64_t produced[EVC_PARTITION_MAX];
};

/** One memcached, as its region's proxies see it. */
struct evc_survey_node {
    unsigned region, zone;
    const struct evc_address *address;
    bool is_known;  /* a proxy has told of it */
    bool is_up;     /* for every proxy that has */
    char state[16]; /* of the proxy that finds it worst */
    char why[96];
    uint64_t ops, errors;
    bool has_memory; /* the node has told its size */
    uint64_t items, bytes, bytes_max, evictions;
};

/** A region: sums over its proxies that answer. */
struct evc_survey_region {
    unsigned told_count; /* proxies that answered */
    uint64_t connections;
    uint64_t hits, misses, writes;
    uint64_t queue_bytes, queue_bytes_max;
    bool has_memory;              /* all nodes of a zone have told theirs */
    uint64_t items, bytes;        /* of the zone that has most */
    double read_rate, write_rate; /* a second, since the survey it was compared with */
    uint64_t recent_hits, recent_reads;
};

struct evc_survey {
    const struct evc_config *config; /* outlives the survey */
    unsigned timeout_ms;             /* EVC_SURVEY_TIMEOUT_MS; may be changed before a look */
    atomic_bool *is_cancelled;       /* NULL, or: once true a look ends after its round */
    uint64_t unix_us, mono_us;       /* when the look ended; 0 before the first */
    struct evc_survey_process *processes;
    size_t process_count;
    struct evc_survey_pair *pairs; /* [source * regions_count + destination] */
    size_t pair_count;
    struct evc_survey_node *nodes; /* by region, zone and place; none of drained zones */
    size_t node_count;
    struct evc_survey_region *regions; /* as many as the configuration's */
    struct evc_survey_prefixes prefixes;
};

/** NULL only without memory. */
struct evc_survey *evc_survey_create(const struct evc_config *config);
void evc_survey_destroy(struct evc_survey *survey); /* accepts NULL */

/** Asks everybody once. What was found before is forgotten. Blocks. */
void evc_survey_look(struct evc_survey *survey);

/** Looks until no settled partition seems unexplained, at most EVC_SURVEY_LOOKS_MAX times. */
void evc_survey_look_patiently(struct evc_survey *survey);

/**
 * Fills what is a difference: rates, recent lag and hits, from an earlier survey of the same
 * configuration. A counter that went back was restarted, and counts from 0.
 */
void evc_survey_compare(struct evc_survey *survey, const struct evc_survey *earlier);

/** Readiness of every pair from what the survey holds; a look and a comparison do it themselves. */
void evc_survey_rate_readiness(struct evc_survey *survey);

struct evc_survey_pair *evc_survey_pair_at(const struct evc_survey *survey, unsigned source,
                                           unsigned destination);

/** Whether every relay of a region has answered. One that has may have no partition all the same.
 */
bool evc_survey_have_relays_answered(const struct evc_survey *survey, unsigned region);

/** Sum of the absolute unexplained of everything that is settled. */
uint64_t evc_survey_unexplained(const struct evc_survey *survey);

/** Whether every partition of every pair is known and settled. */
bool evc_survey_is_settled(const struct evc_survey *survey);

size_t evc_survey_unanswered(const struct evc_survey *survey);

/** The whole survey as a JSON object (the caller's). NULL without memory. */
json_t *evc_survey_json(const struct evc_survey *survey);

#endif
