/* SPDX-License-Identifier: Apache-2.0 */
/* See prefix_top.h. A free counter is one of no events, and so the lowest. */
#include "replication/prefix_top.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
    PREFIX_SHIFT_MAX = 63, /* halvings that leave nothing of any count */
    UTF8_TAIL_MAX = 3,     /* bytes of a character behind its first */
};

/* --- where a prefix ends --- */

enum byte_kind {
    BYTE_OF_WORD,
    BYTE_ENDS,      /* always */
    BYTE_ENDS_ELSE, /* where no other does */
    BYTE_DIGIT,
};

static enum byte_kind
kind_of(char byte)
{
    switch (byte) {
    case ':':
    case '/':
    case '|':
        return BYTE_ENDS;
    case '.':
    case '_':
    case '-':
    case '#':
        return BYTE_ENDS_ELSE;
    default:
        return byte >= '0' && byte <= '9' ? BYTE_DIGIT : BYTE_OF_WORD;
    }
}

/** Without the part of a character that a cut left. */
static size_t
cut_at(struct evc_slice key, size_t len)
{
    size_t whole = len;

    for (unsigned i = 0; i < UTF8_TAIL_MAX && ((unsigned char)key.ptr[whole] & 0xC0) == 0x80; i++) {
        whole--;
    }
    return whole;
}

size_t
evc_prefix_len(struct evc_slice key)
{
    bool is_long = key.len > EVC_PREFIX_BYTES_MAX, has_begun = false, has_end = false;
    size_t limit = is_long ? EVC_PREFIX_BYTES_MAX : key.len;
    size_t end = 0;

    for (size_t i = 0; i < limit; i++) {
        enum byte_kind kind = kind_of(key.ptr[i]);

        if (kind == BYTE_ENDS && has_begun) {
            return i + 1;
        }
        if (!has_end && (kind == BYTE_DIGIT || (kind == BYTE_ENDS_ELSE && has_begun))) {
            has_end = true;
            end = kind == BYTE_DIGIT ? i : i + 1;
        }
        has_begun = has_begun || kind == BYTE_OF_WORD || kind == BYTE_DIGIT;
    }
    if (has_end) {
        return end;
    }
    return is_long ? cut_at(key, limit) : limit;
}

/* --- counting --- */

void
evc_prefix_top_init(struct evc_prefix_top *top, uint64_t now_us)
{
    *top = (struct evc_prefix_top){.event_gap = 1, .send_gap = 1, .random = 1, .halved_us = now_us};
}

/** 1 to 2 * EVC_PREFIX_TOP_GAP - 1, all as often. */
static uint32_t
next_gap(struct evc_prefix_top *top)
{
    top->random = top->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return 1 + (uint32_t)(top->random >> 33) % (2 * EVC_PREFIX_TOP_GAP - 1);
}

static void
halve(struct evc_prefix_top *top, uint64_t now_us)
{
    uint64_t periods = (now_us - top->halved_us) / EVC_PREFIX_TOP_HALVE_US;
    unsigned shift = periods < PREFIX_SHIFT_MAX ? (unsigned)periods : PREFIX_SHIFT_MAX;
    double left = 1.0 / (double)(UINT64_C(1) << shift);

    if (periods == 0) {
        return;
    }
    top->events >>= shift;
    top->bytes >>= shift;
    for (unsigned i = 0; i < EVC_PREFIX_TOP_COUNTERS; i++) {
        top->counters[i].events >>= shift;
        top->counters[i].error >>= shift;
        top->counters[i].bytes >>= shift;
    }
    top->halved_us += periods * EVC_PREFIX_TOP_HALVE_US;
    top->seconds = top->seconds * left + (double)EVC_PREFIX_TOP_HALVE_US / 1e6 * (1 - left);
}

static struct evc_prefix_counter *
find(struct evc_prefix_top *top, struct evc_slice prefix, uint64_t hash)
{
    for (unsigned i = 0; i < EVC_PREFIX_TOP_COUNTERS; i++) {
        struct evc_prefix_counter *counter = &top->counters[i];

        if (top->hashes[i] == hash && counter->events > 0 && counter->len == prefix.len &&
            memcmp(counter->text, prefix.ptr, prefix.len) == 0) {
            return counter;
        }
    }
    return NULL;
}

/** The lowest counter changes its owner. */
static struct evc_prefix_counter *
take_over(struct evc_prefix_top *top, struct evc_slice prefix, uint64_t hash)
{
    unsigned lowest = 0;

    for (unsigned i = 1; i < EVC_PREFIX_TOP_COUNTERS; i++) {
        if (top->counters[i].events < top->counters[lowest].events) {
            lowest = i;
        }
    }
    struct evc_prefix_counter *counter = &top->counters[lowest];
    counter->error = counter->events;
    counter->bytes = 0;
    counter->len = (uint8_t)prefix.len;
    memcpy(counter->text, prefix.ptr, prefix.len);
    top->hashes[lowest] = hash;
    return counter;
}

void
evc_prefix_top_see_event(struct evc_prefix_top *top, struct evc_slice key, uint64_t now_us)
{
    struct evc_slice prefix = {.ptr = key.ptr, .len = evc_prefix_len(key)};
    uint64_t hash = evc_hash_key(prefix);
    struct evc_prefix_counter *counter;

    assert(prefix.len <= EVC_PREFIX_BYTES_MAX);
    top->event_gap = next_gap(top);
    halve(top, now_us);
    counter = find(top, prefix, hash);
    if (!counter) {
        counter = take_over(top, prefix, hash);
    }
    counter->events += EVC_PREFIX_TOP_GAP;
    top->events += EVC_PREFIX_TOP_GAP;
}

void
evc_prefix_top_see_send(struct evc_prefix_top *top, struct evc_slice key, size_t bytes,
                        uint64_t now_us)
{
    struct evc_slice prefix = {.ptr = key.ptr, .len = evc_prefix_len(key)};
    struct evc_prefix_counter *counter;

    top->send_gap = next_gap(top);
    halve(top, now_us);
    counter = find(top, prefix, evc_hash_key(prefix));
    if (counter) { /* else it is none of the top */
        counter->bytes += bytes * EVC_PREFIX_TOP_GAP;
    }
    top->bytes += bytes * EVC_PREFIX_TOP_GAP;
}

/* --- telling --- */

static int
compare_rates(const void *a, const void *b)
{
    double one = ((const struct evc_prefix_rate *)a)->events;
    double other = ((const struct evc_prefix_rate *)b)->events;

    return one < other ? 1 : one > other ? -1 : 0;
}

void
evc_prefix_top_rates(struct evc_prefix_top *top, uint64_t now_us, struct evc_prefix_rates *ret)
{
    halve(top, now_us);
    double seconds = top->seconds + (double)(now_us - top->halved_us) / 1e6;
    seconds = seconds < 1 ? 1 : seconds; /* of a moment no rate can be told */
    ret->count = 0;
    ret->all = (struct evc_prefix_rate){
        .events = (double)top->events / seconds,
        .bytes = (double)top->bytes / seconds,
    };
    for (unsigned i = 0; i < EVC_PREFIX_TOP_COUNTERS; i++) {
        const struct evc_prefix_counter *counter = &top->counters[i];

        if (counter->events > counter->error) {
            ret->top[ret->count++] = (struct evc_prefix_rate){
                .prefix = {.ptr = counter->text, .len = counter->len},
                .events = (double)(counter->events - counter->error) / seconds,
                .bytes = (double)counter->bytes / seconds,
            };
        }
    }
    qsort(ret->top, ret->count, sizeof(ret->top[0]), compare_rates);
}
