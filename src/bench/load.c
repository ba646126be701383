/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See load.h. Zipf by the method of Gray et al., "Quickly Generating Billion-Record Synthetic
 * Databases" (SIGMOD 1994), as YCSB has it; ranks are scattered over the keys, so that neighbours
 * in number are not neighbours in heat.
 */
#include "bench/load.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/** xorshift64*: fast, and good enough to choose keys. */
static uint64_t
next_random(struct evc_load_chooser *chooser)
{
    uint64_t x = chooser->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    chooser->random = x;
    return x * UINT64_C(2685821657736338717);
}

/** Below bound, without noticeable bias for what a load needs. */
static uint64_t
next_below(struct evc_load_chooser *chooser, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)next_random(chooser) * bound) >> 64);
}

static double
next_unit(struct evc_load_chooser *chooser)
{
    return (double)(next_random(chooser) >> 11) * 0x1p-53;
}

static double
zeta(uint64_t count, double theta)
{
    double sum = 0;

    for (uint64_t i = 1; i <= count; i++) {
        sum += pow((double)i, -theta);
    }
    return sum;
}

void
evc_load_chooser_init(struct evc_load_chooser *chooser, const struct evc_load *load, uint64_t seed)
{
    assert(load->key_count > 0 && load->get_parts + load->set_parts > 0);
    assert(load->value_min <= load->value_max && load->zipf >= 0 && load->zipf < 1);
    *chooser = (struct evc_load_chooser){
        .load = load,
        .random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15),
    };
    if (load->zipf > 0) {
        double count = (double)load->key_count;

        chooser->half = 1.0 + pow(0.5, load->zipf);
        chooser->zeta = zeta(load->key_count, load->zipf);
        chooser->alpha = 1.0 / (1.0 - load->zipf);
        chooser->eta =
            (1.0 - pow(2.0 / count, 1.0 - load->zipf)) / (1.0 - chooser->half / chooser->zeta);
    }
}

static uint64_t
next_rank(struct evc_load_chooser *chooser)
{
    double count = (double)chooser->load->key_count;
    double unit = next_unit(chooser);
    double scaled = unit * chooser->zeta;
    double rank;

    if (scaled < 1.0) {
        return 0;
    }
    if (scaled < chooser->half) {
        return 1;
    }
    rank = count * pow(chooser->eta * unit - chooser->eta + 1.0, chooser->alpha);
    return rank < count ? (uint64_t)rank : chooser->load->key_count - 1;
}

uint64_t
evc_load_next_key(struct evc_load_chooser *chooser)
{
    uint64_t count = chooser->load->key_count;

    if (chooser->load->zipf == 0) {
        return next_below(chooser, count);
    }
    return next_rank(chooser) * UINT64_C(0x9E3779B97F4A7C15) % count;
}

bool
evc_load_next_is_get(struct evc_load_chooser *chooser)
{
    const struct evc_load *load = chooser->load;

    if (load->set_parts == 0 || load->get_parts == 0) {
        return load->set_parts == 0;
    }
    return next_below(chooser, load->get_parts + load->set_parts) < load->get_parts;
}

uint32_t
evc_load_next_value_len(struct evc_load_chooser *chooser)
{
    const struct evc_load *load = chooser->load;

    if (load->value_min == load->value_max) {
        return load->value_min;
    }
    return load->value_min +
           (uint32_t)next_below(chooser, (uint64_t)load->value_max - load->value_min + 1);
}

void
evc_load_put_key(const struct evc_load *load, uint64_t number, char *out)
{
    size_t prefix_len = strlen(load->prefix);

    assert(prefix_len <= EVC_LOAD_PREFIX_BYTES_MAX);
    memcpy(out, load->prefix, prefix_len);
    for (size_t i = EVC_LOAD_KEY_BYTES; i > prefix_len; i--) {
        out[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}
