/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random sequences of requests, the same bytes for memcached and the proxy, but for unique numbers,
 * which each side has given itself. A sequence is a connection: batches of pipelined requests, each
 * waited for, then a look at every key, then requests that may leave a server waiting for data that
 * never comes. It has keys of its own, so that many can run beside each other; all of it follows
 * from its number and the seed.
 */
#ifndef EVC_DIFF_GENERATE_H
#define EVC_DIFF_GENERATE_H

#include "base/buf.h"
#include "meta/request.h"
#include "reply.h"
#include "sim_random.h"

enum {
    DIFF_TEXT_KEYS = 12,
    DIFF_BASE64_KEYS = 4,
    DIFF_KEYS = DIFF_TEXT_KEYS + DIFF_BASE64_KEYS,
    DIFF_SPARE_KEY = DIFF_TEXT_KEYS - 1, /* only ever written, for whom no other may be */
    DIFF_BATCHES_MAX = 12,
    DIFF_BATCH_COMMANDS_MAX = 60,
    DIFF_BATCH_BYTES_MAX = 256 * 1024 * 1024, /* of requests, and of the replies to them */
};

/** What may be asked for; immutable while sequences run. */
struct diff_options {
    uint64_t seed;
    uint32_t salt;     /* part of every key: what an earlier run has left is not seen */
    uint64_t commands; /* bit per row of the table of commands */
    /**
     * With several zones a read that misses asks a second one, and may then see what was pipelined
     * behind it: so no batch writes what it has read.
     */
    bool has_zones;
    bool shows_all; /* prints every batch and what was answered */
};

struct diff_key {
    char text[EVC_KEY_LEN_MAX]; /* as it goes over the wire */
    size_t len;
    bool is_base64;
    size_t value_len_max; /* of what it may hold by now */
};

struct diff_sequence {
    const struct diff_options *options;
    uint64_t number;
    struct sim_random random;
    struct diff_key keys[DIFF_KEYS];
    struct diff_pairs pairs;
    unsigned batch_count; /* the look at every key and what follows it not counted */
    unsigned batch;
    uint32_t keys_read;      /* in this batch, bit per key */
    size_t read_bytes_max;   /* likewise: what they may hold, for each time one is read */
    uint32_t keys_touched;   /* likewise: what is learnt of them now is stale */
    uint32_t keys_rewritten; /* ever, by what leaves memcached's item in its place */
    unsigned sentinels;      /* MN replies that end this batch */
    unsigned command_count;  /* composed so far */
    struct evc_buf out[DIFF_SIDES];
};

/** The rows of the table of commands: their names, NULL behind the last. */
const char *diff_command_name(unsigned row);

/** Begins a sequence; its buffers must be initialised, and are kept. */
void diff_sequence_begin(struct diff_sequence *sequence, const struct diff_options *options,
                         uint64_t number);

/**
 * Composes the next batch into the emptied buffers. False: the sequence is over. A batch ends with
 * `mn`; the last does not, and the connection is to be shut down behind it.
 */
bool diff_sequence_compose(struct diff_sequence *sequence, bool *ret_is_last);

#endif
