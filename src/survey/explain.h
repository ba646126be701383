/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key in the whole cache: what the node that has it holds, in every zone of every region, and
 * which of these copies are not what they should be. `evcache explain` shows one of these.
 *
 * The nodes themselves are asked, all at once, past every proxy, and in a way that changes nothing
 * (no access is counted). Under traffic copies differ for as long as a write is on its way: what is
 * not alike is looked at again. The relays are asked for the last events of the key, which they
 * remember for a while.
 *
 * Which copies must be alike, the policy of the key decides:
 *   copy        all of them
 *   invalidate  those of one region; another region has the same version as a tombstone, or nothing
 *   none        those of one region
 *
 * Used by one thread at a time.
 */
#ifndef EVC_SURVEY_EXPLAIN_H
#define EVC_SURVEY_EXPLAIN_H

#include <jansson.h>

#include "base/error.h"
#include "base/slice.h"
#include "base/version.h"
#include "meta/node_op.h"
#include "topology/config.h"

enum {
    EVC_EXPLAIN_TIMEOUT_MS = 2000, /* for all nodes together, unless set otherwise */
    EVC_EXPLAIN_LOOKS_MAX = 4,     /* the first, and three more while copies differ */
    EVC_EXPLAIN_LOOK_PAUSE_MS = 200,
    /* Nodes count seconds, each from its own moment: expiries no further apart are the same, and
     * what is this close to its end may be gone in one zone already. */
    EVC_EXPLAIN_EXPIRY_SLACK_S = 5,
    EVC_EXPLAIN_EVENTS_MAX = 8, /* shown of one source and destination */
    EVC_EXPLAIN_WHY_BYTES = EVC_ERROR_TEXT_BYTES,
    EVC_EXPLAIN_WRITER_BYTES = EVC_CONFIG_NAME_LEN_MAX + 40,
};

/** What a copy is, compared with what it should be. Those from BEHIND on make copies differ. */
enum evc_copy_state {
    EVC_COPY_NEWEST,
    EVC_COPY_FOLLOWING, /* older than the newest, not than what was the newest before: see settle */
    EVC_COPY_ABSENT,    /* rightly: it is nowhere, or only where the policy leaves it */
    EVC_COPY_DRAINED,   /* its zone is drained: not asked */
    EVC_COPY_UNANSWERED, /* its node does not answer */
    EVC_COPY_BEHIND,     /* an older version */
    EVC_COPY_MISSING,
    EVC_COPY_DIFFERENT, /* the newest version, but not its size, flags, expiry or kind */
    EVC_COPY_FOREIGN,   /* written on the node by somebody else: it has no version */
    EVC_COPY_STATE_MAX,
};

/** "newest", "following", "absent", "drained", "unanswered", "behind", "missing", … */
const char *evc_copy_state_str(enum evc_copy_state state);

/** One zone's copy. */
struct evc_explain_copy {
    unsigned region, zone;             /* indexes in the configuration */
    const struct evc_address *address; /* of the node that has the key; NULL in a drained zone */
    bool is_counted;                   /* its zone serves: it is judged */
    bool has_answered;
    bool is_found;                   /* the node holds something, maybe a tombstone */
    struct evc_node_reply reply;     /* of what is found; without views */
    evc_version version;             /* of what is found; 0: foreign */
    char why[EVC_EXPLAIN_WHY_BYTES]; /* why there is no answer */
    enum evc_copy_state state;       /* by evc_explain_judge, like what follows */
    uint64_t behind_ms;              /* by the clocks of the two writers */
    char difference[32];             /* "size", "flags", "expiry" or "kind" */
};

/** An event of the key, as a relay remembers it. */
struct evc_explain_event {
    bool is_under_way; /* it has not ended */
    char kind[16];     /* "set", "delete", "echo", "repair" */
    char outcome[16];  /* under way: "waiting", "retrying", "reading", "burying", "sent" */
    evc_version version;
    uint64_t age_us;   /* since it ended; under way: since attempts at it fail */
    unsigned attempts; /* that failed */
    unsigned slot;     /* with partition and first: the batch it came in */
    uint64_t first;
};

/** What the relays of a region know of the key on its way to another. */
struct evc_explain_way {
    unsigned source, destination;
    bool is_known;                  /* a relay that has the key's partition has answered */
    unsigned partition, partitions; /* of the source's queue */
    uint64_t remembered;            /* ended events of all keys that those relays know of */
    struct evc_explain_event events[EVC_EXPLAIN_EVENTS_MAX]; /* the latest first */
    unsigned event_count;
};

/** A relay that was asked. */
struct evc_explain_relay {
    unsigned region, index;
    bool has_answered;
    char why[EVC_EXPLAIN_WHY_BYTES];
};

struct evc_explain {
    const struct evc_config *config; /* outlives it */
    char key_bytes[EVC_KEY_LEN_MAX];
    struct evc_slice key;
    enum evc_policy policy;
    unsigned partition; /* of the configured number */
    unsigned timeout_ms;
    uint64_t unix_us;                /* when the last look ended */
    struct evc_explain_copy *copies; /* by region and zone */
    size_t copy_count;
    evc_version newest;                         /* 0: there is none */
    evc_version settled[EVC_CONFIG_REGION_MAX]; /* by evc_explain_settle; 0: nothing is */
    struct evc_explain_way *ways; /* by source and destination, two different regions */
    size_t way_count;
    struct evc_explain_relay *relays; /* by region and index */
    size_t relay_count;
};

/** The key has 1 to EVC_KEY_LEN_MAX bytes. NULL only without memory. */
struct evc_explain *evc_explain_create(const struct evc_config *config, struct evc_slice key);
void evc_explain_destroy(struct evc_explain *explain); /* accepts NULL */

/** Asks every node once and judges. Blocks for timeout_ms at most, and for names to be resolved. */
void evc_explain_look(struct evc_explain *explain);

/**
 * Looks until copies are alike, or follow what was the newest at the first look, or a node does not
 * answer; at most EVC_EXPLAIN_LOOKS_MAX times.
 */
void evc_explain_look_patiently(struct evc_explain *explain);

/** Asks every relay once what it knows of the key. Blocks like a look. */
void evc_explain_ask_relays(struct evc_explain *explain);

/** Takes one relay's /explain.json over; what makes no sense in it is passed over. Pure. */
void evc_explain_read_relay(struct evc_explain *explain, unsigned region, const json_t *answer);

/** Relays without an answer. */
size_t evc_explain_silent_relays(const struct evc_explain *explain);

/** Compares what the nodes have answered; a look does it itself. Pure. */
void evc_explain_judge(struct evc_explain *explain);

/**
 * What was just judged to be the newest of each region must have come everywhere by the next look:
 * a copy that is older than the newest then, and not than this, follows; it is not behind. So a key
 * that is written all the time is no difference. Pure.
 */
void evc_explain_settle(struct evc_explain *explain);

/**
 * The copy that those of a region should be like; NULL: there is nothing they could be compared
 * with. With `invalidate` it may be another region's: then it is its version that counts. Pure.
 */
const struct evc_explain_copy *evc_explain_model(const struct evc_explain *explain,
                                                 unsigned region);

/** Copies that count: those of zones that serve. Of these: differing, and without an answer. */
size_t evc_explain_counted(const struct evc_explain *explain);
size_t evc_explain_differing(const struct evc_explain *explain);
size_t evc_explain_unanswered(const struct evc_explain *explain);

/** Who minted a version: "virginia/proxy/0 worker 1", "oregon/relay/0". Returns text. */
const char *evc_explain_writer(const struct evc_config *config, evc_version version,
                               char text[EVC_EXPLAIN_WRITER_BYTES]);

/** "copy", "invalidate", "none": as in the configuration. */
const char *evc_explain_policy_str(enum evc_policy policy);

/** Everything as a JSON object (the caller's). NULL without memory. */
json_t *evc_explain_json(const struct evc_explain *explain);

#endif
