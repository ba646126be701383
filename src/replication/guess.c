/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See guess.h. A wrong guess sends the value for nothing and asks all the same, so one that was
 * wrong outweighs several that were right.
 */
#include "replication/guess.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCORE_MAX = 32,
    SCORE_LIKELY = 16, /* from there on it is guessed */
    SCORE_WRONG = 4,
};

void
evc_guess_init(struct evc_guess *guess, uint32_t keys)
{
    assert(keys == 0 || (keys >= EVC_GUESS_WAYS && (keys & (keys - 1)) == 0));
    *guess = (struct evc_guess){.line_count = keys / EVC_GUESS_WAYS};
}

void
evc_guess_finish(struct evc_guess *guess)
{
    free(guess->lines);
    guess->lines = NULL;
}

/** The high half: the low one has chosen the partition, and with it maybe the relay. */
static struct evc_guess_entry *
line_of(const struct evc_guess *guess, uint64_t hash)
{
    return guess->lines[(hash >> 32) & (guess->line_count - 1)].entries;
}

static bool
has_lines(struct evc_guess *guess)
{
    size_t bytes = guess->line_count * sizeof(*guess->lines);

    if (guess->lines != NULL || guess->line_count == 0 || guess->has_failed) {
        return guess->lines != NULL;
    }
    guess->lines = aligned_alloc(EVC_CACHE_LINE_BYTES, bytes);
    if (guess->lines == NULL) {
        guess->has_failed = true;
        return false;
    }
    memset(guess->lines, 0, bytes);
    return true;
}

static struct evc_guess_entry *
find(const struct evc_guess *guess, uint64_t hash)
{
    struct evc_guess_entry *entries;

    if (guess->lines == NULL) {
        return NULL;
    }
    entries = line_of(guess, hash);
    for (unsigned i = 0; i < EVC_GUESS_WAYS; i++) {
        if (entries[i].hash == hash && entries[i].version != 0) {
            return &entries[i];
        }
    }
    return NULL;
}

evc_version
evc_guess_version(const struct evc_guess *guess, uint64_t hash)
{
    const struct evc_guess_entry *entry = find(guess, hash);

    return entry != NULL ? entry->version : 0;
}

void
evc_guess_note(struct evc_guess *guess, uint64_t hash, evc_version version)
{
    struct evc_guess_entry *entry;

    if (!has_lines(guess)) {
        return;
    }
    entry = find(guess, hash);
    if (entry == NULL) {
        struct evc_guess_entry *entries = line_of(guess, hash);

        entry = entries;
        for (unsigned i = 1; i < EVC_GUESS_WAYS; i++) {
            if (entries[i].version < entry->version) {
                entry = &entries[i];
            }
        }
    }
    *entry = (struct evc_guess_entry){.hash = hash, .version = version};
}

void
evc_guess_forget(struct evc_guess *guess, uint64_t hash)
{
    struct evc_guess_entry *entry = find(guess, hash);

    if (entry != NULL) {
        entry->version = 0;
    }
}

bool
evc_guess_is_likely(const struct evc_guess *guess, enum evc_guess_kind kind)
{
    return guess->line_count > 0 && guess->score[kind] >= SCORE_LIKELY;
}

void
evc_guess_learn(struct evc_guess *guess, enum evc_guess_kind kind, bool was_right)
{
    uint8_t *score = &guess->score[kind];

    if (was_right) {
        *score = (uint8_t)(*score + (*score < SCORE_MAX));
    } else {
        *score = (uint8_t)(*score > SCORE_WRONG ? *score - SCORE_WRONG : 0);
    }
}
