/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What memcached and the proxy answer, cut into replies and compared byte by byte, but for what
 * docs/protocol.md lists as different ("Where a proxy differs from memcached"):
 *
 *   unique numbers   a version there, a counter here: they must stand for the same item
 *   h                the proxy writes anew what memcached changes in place
 *   seconds          t, l, exp, la: the two are asked a moment apart
 *   VERSION          the proxy's own
 */
#ifndef EVC_DIFF_REPLY_H
#define EVC_DIFF_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    DIFF_MEMCACHED,
    DIFF_PROXY,
    DIFF_SIDES,
    DIFF_PAIRS_MAX = 2048, /* of a sequence; further ones are not remembered */
    DIFF_SECONDS_APART_MAX = 3,
    /* A life of more than 30 days is copied as a time of the clock: a second off each time. */
    DIFF_LONG_LIFE_S = 30 * 86400,
    DIFF_SECONDS_APART_LONG_MAX = 100,
};

/** A line, and the data block behind it where the line says there is one. Views. */
struct diff_reply {
    struct evc_slice line; /* without CRLF */
    struct evc_slice block;
};

/** Takes a whole reply from the front of *bytes. False: there is none yet. */
bool diff_reply_take(struct evc_slice *bytes, struct diff_reply *ret);

/** The unique numbers that both sides gave for the same item at the same moment. */
struct diff_pair {
    uint64_t unique[DIFF_SIDES];
    char key;      /* the first byte of its text tells a sequence's keys apart; 0: not named */
    bool is_stale; /* touched since: the proxy has a newer version, memcached has not */
};

struct diff_pairs {
    struct diff_pair pair[DIFF_PAIRS_MAX];
    unsigned count;
    bool has_touched; /* a touch is a new version, but not a new unique number of memcached's */
};

/** Whether both sides said the same; learns the unique numbers. */
bool diff_reply_equal(const struct diff_reply replies[DIFF_SIDES], struct diff_pairs *pairs);

#endif
