/* SPDX-License-Identifier: Apache-2.0 */
/* See reply.h. */
#include "reply.h"

#include <stdlib.h>

#include "base/decimal.h"
#include "meta/request.h"

static bool
starts_with(struct evc_slice text, struct evc_slice start)
{
    return text.len >= start.len && memcmp(text.ptr, start.ptr, start.len) == 0;
}

static struct evc_slice
without_first(struct evc_slice text, size_t count)
{
    return (struct evc_slice){.ptr = text.ptr + count, .len = text.len - count};
}

/* --- cutting --- */

/** The length of the data block that a line announces, SIZE_MAX for none. */
static size_t
block_len_of(struct evc_slice line)
{
    bool is_value = starts_with(line, EVC_SLICE("VALUE "));
    struct evc_slice token = {.ptr = "", .len = 0};
    uint64_t len;

    if (!is_value && !starts_with(line, EVC_SLICE("VA "))) {
        return SIZE_MAX;
    }
    for (unsigned i = 0; i < (is_value ? 4u : 2u); i++) {
        if (!evc_request_next_key(&line, &token)) {
            return SIZE_MAX;
        }
    }
    return evc_decimal_parse_u64(token, &len) ? (size_t)len : SIZE_MAX;
}

bool
diff_reply_take(struct evc_slice *bytes, struct diff_reply *ret)
{
    const char *newline = bytes->len == 0 ? NULL : memchr(bytes->ptr, '\n', bytes->len);
    size_t used, block_len;

    if (!newline) {
        return false;
    }
    used = (size_t)(newline - bytes->ptr) + 1;
    ret->line = (struct evc_slice){.ptr = bytes->ptr, .len = used - 1};
    if (ret->line.len > 0 && ret->line.ptr[ret->line.len - 1] == '\r') {
        ret->line.len--;
    }
    ret->block = (struct evc_slice){.ptr = "", .len = 0};
    block_len = block_len_of(ret->line);
    if (block_len != SIZE_MAX) {
        if (bytes->len - used < block_len + 2) {
            return false;
        }
        /* With the CRLF behind it, which is compared as well. */
        ret->block = (struct evc_slice){.ptr = bytes->ptr + used, .len = block_len + 2};
        used += block_len + 2;
    }
    *bytes = without_first(*bytes, used);
    return true;
}

/* --- comparing --- */

static bool
learn(struct diff_pairs *pairs, const uint64_t unique[DIFF_SIDES], char key)
{
    bool is_known = false;

    for (unsigned i = 0; i < pairs->count; i++) {
        struct diff_pair *pair = &pairs->pair[i];
        bool same_item = pair->unique[DIFF_MEMCACHED] == unique[DIFF_MEMCACHED];
        bool same_version = pair->unique[DIFF_PROXY] == unique[DIFF_PROXY];

        if (same_version != same_item && (same_version || !pairs->has_touched)) {
            return false;
        }
        is_known |= same_item && same_version;
    }
    if (!is_known && pairs->count < DIFF_PAIRS_MAX) {
        pairs->pair[pairs->count++] =
            (struct diff_pair){.unique = {unique[DIFF_MEMCACHED], unique[DIFF_PROXY]}, .key = key};
    }
    return true;
}

/** Numbers behind the first `skip` bytes of both tokens. */
static bool
numbers(const struct evc_slice tokens[DIFF_SIDES], size_t skip, int64_t ret[DIFF_SIDES])
{
    return evc_decimal_parse_i64(without_first(tokens[0], skip), &ret[0]) &&
           evc_decimal_parse_i64(without_first(tokens[1], skip), &ret[1]);
}

static bool
uniques_equal(const struct evc_slice tokens[DIFF_SIDES], size_t skip, struct diff_pairs *pairs,
              char key)
{
    int64_t value[DIFF_SIDES];
    uint64_t unique[DIFF_SIDES];

    if (!numbers(tokens, skip, value)) {
        return false;
    }
    unique[0] = (uint64_t)value[0];
    unique[1] = (uint64_t)value[1];
    if (unique[0] == 0 || unique[1] == 0) {
        return unique[0] == unique[1];
    }
    return learn(pairs, unique, key);
}

static bool
seconds_equal(const struct evc_slice tokens[DIFF_SIDES], size_t skip)
{
    int64_t value[DIFF_SIDES];

    if (evc_slice_equal(tokens[0], tokens[1])) {
        return true;
    }
    if (numbers(tokens, skip, value) && value[0] > INT32_MAX && value[1] == -1) {
        return true; /* an expiry in the past, which memcached prints without its sign */
    }
    return numbers(tokens, skip, value) && value[0] >= 0 && value[1] >= 0 &&
           llabs(value[0] - value[1]) <=
               (value[0] > DIFF_LONG_LIFE_S ? DIFF_SECONDS_APART_LONG_MAX : DIFF_SECONDS_APART_MAX);
}

enum line_kind {
    LINE_VALUE,
    LINE_META,
    LINE_DEBUG,
    LINE_VERSION,
    LINE_OTHER
};

static enum line_kind
kind_of(struct evc_slice line)
{
    static const struct evc_slice meta[] = {{"VA ", 3}, {"HD ", 3}, {"NS ", 3},
                                            {"EX ", 3}, {"NF ", 3}, {"EN ", 3}};

    for (unsigned i = 0; i < sizeof(meta) / sizeof(meta[0]); i++) {
        if (starts_with(line, meta[i])) {
            return LINE_META;
        }
    }
    if (starts_with(line, EVC_SLICE("VALUE "))) {
        return LINE_VALUE;
    }
    if (starts_with(line, EVC_SLICE("ME "))) {
        return LINE_DEBUG;
    }
    return starts_with(line, EVC_SLICE("VERSION ")) ? LINE_VERSION : LINE_OTHER;
}

static bool
tokens_equal(enum line_kind kind, unsigned index, const struct evc_slice tokens[DIFF_SIDES],
             struct diff_pairs *pairs, char *key)
{
    char letter = tokens[0].ptr[0];

    if (tokens[1].ptr[0] != letter && kind != LINE_VERSION && kind != LINE_VALUE) {
        return false;
    }
    if (kind == LINE_VALUE && index == 1) {
        *key = tokens[0].ptr[0];
    } else if (kind == LINE_META && letter == 'k') {
        *key = tokens[0].len > 1 ? tokens[0].ptr[1] : '\0';
    }
    if (kind == LINE_VALUE && index == 4) {
        return uniques_equal(tokens, 0, pairs, *key);
    }
    if (kind == LINE_META && index > 0 && letter == 'c') {
        return uniques_equal(tokens, 1, pairs, *key);
    }
    if (kind == LINE_META && index > 0 && (letter == 't' || letter == 'l')) {
        return seconds_equal(tokens, 1);
    }
    if (kind == LINE_META && index > 0 && letter == 'h') {
        return tokens[0].len == 2 && tokens[1].len == 2;
    }
    if (kind == LINE_DEBUG && starts_with(tokens[0], EVC_SLICE("cas="))) {
        return uniques_equal(tokens, 4, pairs, *key);
    }
    if (kind == LINE_DEBUG && starts_with(tokens[0], EVC_SLICE("exp="))) {
        return seconds_equal(tokens, 4);
    }
    if (kind == LINE_DEBUG && starts_with(tokens[0], EVC_SLICE("la="))) {
        return seconds_equal(tokens, 3);
    }
    if (kind == LINE_DEBUG &&
        (starts_with(tokens[0], EVC_SLICE("fetch=")) || starts_with(tokens[0], EVC_SLICE("cls=")) ||
         starts_with(tokens[0], EVC_SLICE("size=")))) {
        return true; /* of the item as it lies in memory, which the proxy cannot see */
    }
    if (kind == LINE_VERSION && index == 1) {
        return true;
    }
    return evc_slice_equal(tokens[0], tokens[1]);
}

static bool
lines_equal(struct evc_slice ours, struct evc_slice theirs, struct diff_pairs *pairs)
{
    enum line_kind kind = kind_of(ours);
    struct evc_slice tokens[DIFF_SIDES];
    char key = '\0';
    bool has[DIFF_SIDES];

    if (kind != kind_of(theirs)) {
        return false;
    }
    if (kind == LINE_OTHER) {
        return evc_slice_equal(ours, theirs);
    }
    for (unsigned index = 0;; index++) {
        has[0] = evc_request_next_key(&ours, &tokens[0]);
        has[1] = evc_request_next_key(&theirs, &tokens[1]);
        if (!has[0] || !has[1]) {
            return has[0] == has[1];
        }
        if (!tokens_equal(kind, index, tokens, pairs, &key)) {
            return false;
        }
    }
}

bool
diff_reply_equal(const struct diff_reply replies[DIFF_SIDES], struct diff_pairs *pairs)
{
    return evc_slice_equal(replies[0].block, replies[1].block) &&
           lines_equal(replies[0].line, replies[1].line, pairs);
}
