/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load is made of: which key comes next, whether it is read or written, and with how many
 * bytes. Pure; the same seed gives the same load. One chooser per thread.
 */
#ifndef EVC_BENCH_LOAD_H
#define EVC_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EVC_LOAD_KEY_BYTES = 24, /* of every key, prefix included; the number has leading zeros */
    EVC_LOAD_PREFIX_BYTES_MAX = 14,
};

struct evc_load {
    const char *prefix;            /* of every key, at most EVC_LOAD_PREFIX_BYTES_MAX */
    uint64_t key_count;            /* 1 to 10^10 */
    double zipf;                   /* 0: every key alike; else the exponent, below 1 */
    unsigned get_parts, set_parts; /* the mix; not both 0 */
    uint32_t value_min, value_max; /* bytes, every length alike */
};

struct evc_load_chooser {
    const struct evc_load *load;
    uint64_t random;
    /* of the zipf distribution, computed once */
    double zeta, eta, alpha, half;
};

/** seed: any; different ones give different loads. Takes a while for many keys and zipf. */
void evc_load_chooser_init(struct evc_load_chooser *chooser, const struct evc_load *load,
                           uint64_t seed);

/** The number of the next key. */
uint64_t evc_load_next_key(struct evc_load_chooser *chooser);

bool evc_load_next_is_get(struct evc_load_chooser *chooser);

uint32_t evc_load_next_value_len(struct evc_load_chooser *chooser);

/** Writes the key of a number; EVC_LOAD_KEY_BYTES. */
void evc_load_put_key(const struct evc_load *load, uint64_t number, char *out);

#endif
