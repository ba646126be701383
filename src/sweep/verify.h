/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether every copy agrees, in the whole cache. All nodes of all copies are walked into a table
 * of which copy holds which version (sweep/copy_table.h); the keys of those that may differ are
 * learned by a second walk, of the zones that have them, and each is looked at (sweep/looks.h),
 * repaired if that is wanted, and counted (sweep/tally.h):
 *
 *   walk all ─▶ table ─▶ suspects ─▶ walk for their keys ─▶ queue ─▶ looks ─▶ tally
 *                  └─▶ the rest ─────────────────────────────────────────────▶ tally
 *
 * Of a suspect, one zone that has it is walked for the key. Where that zone has lost it since
 * (evicted, restarted), all others that had it are; what they have not any more either is gone.
 *
 * Where the keys do not fit into memory, the key space is done in passes (sweep/key_range.h), and
 * where the suspects' do not, they are learned by further walks. So memory is bounded whatever the
 * cache holds; it costs walks. Under traffic a key that was written between two walks is a suspect,
 * and the looks find it alike.
 *
 * Left out: canaries, which change all the time; leases; keys that no proxy can ask a node for
 * (evc_node_key_fits), which somebody else wrote there. When something expires is only
 * compared between nodes, which count from moments of their own, never with this machine's clock.
 */
#ifndef EVC_SWEEP_VERIFY_H
#define EVC_SWEEP_VERIFY_H

#include "sweep/copy_table.h"
#include "sweep/key_queue.h"
#include "sweep/looks.h"
#include "sweep/tally.h"
#include "sweep/walks.h"

enum {
    EVC_VERIFY_MEMORY_BYTES_MIN = 256 * 1024,
    EVC_VERIFY_MEMORY_BYTES_DEFAULT = 256 * 1024 * 1024,
    EVC_VERIFY_LAG_MS_DEFAULT = 600,
    EVC_VERIFY_LAG_MS_MAX = 3600 * 1000,
    EVC_VERIFY_QUEUE_SHARE = 8, /* one part in so many is for keys that wait, the rest the table */
    EVC_VERIFY_ROUNDS_MAX = 1000, /* walks for the keys of one pass's suspects */
};

#define EVC_VERIFY_MEMORY_BYTES_MAX (UINT64_C(64) << 30)

struct evc_verify_options {
    struct evc_sweep *sweep; /* connected, with all copies */
    struct evc_slice prefix; /* of keys; empty: all */
    uint64_t memory_bytes;
    unsigned lag_ms; /* for so long a write may be on its way: younger differences are none */
    bool is_repair;
};

enum evc_verify_phase {
    EVC_VERIFY_COMPARING,
    EVC_VERIFY_LOOKING,
};

struct evc_verify {
    struct evc_verify_options options;
    /* to be read */
    struct evc_tally tally;     /* of the passes that are over */
    struct evc_key_range range; /* pass, and how many there are */
    enum evc_verify_phase phase;
    uint64_t phase_started_us, started_us, ended_us;
    uint64_t expected;      /* items that the nodes said they have; 0: they did not */
    uint64_t suspects;      /* of this pass */
    uint64_t looked_before; /* of looks.looked: in other passes */
    bool is_incomplete;     /* stopped, or a node could not be walked to its end, or no memory */
    bool has_silent;        /* for a node */
    char why[EVC_NODE_WALK_WHY_BYTES];
    struct evc_looks looks;
    struct evc_walks walks;
    /* internal */
    struct evc_copy_table table;
    struct evc_key_queue keys;
    bool is_walking, is_pumping, is_stopping;
    uint64_t skipped; /* suspects whose keys found no room in this round */
    bool has_lost;    /* this round is for suspects that their first zone has lost */
};

/** Blocks until it is over or the sweep is stopped. 0 or EVC_E_NOMEM: then nothing was done. */
EVC_MUST_USE int evc_verify_run(struct evc_verify *verify,
                                const struct evc_verify_options *options);

/** No copy was found behind, different or foreign; or all have been repaired. */
bool evc_verify_is_good(const struct evc_verify *verify);

#endif
