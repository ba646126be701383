/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the zones of a region are likely to hold, so that a conditional write need not ask first.
 * Who has written a version remembers it; the next write of the key goes straight to "over exactly
 * that version". Where nothing is remembered, it may be missing, and is added. Either is done only
 * while such guesses would have been right lately, which is learned from every write, guessed or
 * asked. A guess that is wrong costs one more round trip and harms nothing: the node compares.
 *
 * A table of fixed size, four entries to a line of cache, the one with the oldest version makes
 * room; keys are told apart by their hashes alone, and two with one hash guess wrong. Its memory is
 * taken when the first version is noted; without it there are no guesses. Context of one thread.
 */
#ifndef EVC_REPLICATION_GUESS_H
#define EVC_REPLICATION_GUESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prefetch.h"
#include "base/version.h"

enum {
    EVC_GUESS_KEYS_DEFAULT = 1 << 20, /* 16 MiB */
    EVC_GUESS_WAYS = 4,
};

/** What is guessed. */
enum evc_guess_kind {
    EVC_GUESS_MISSING, /* of a key that nobody remembers: no zone has it */
    EVC_GUESS_VERSION, /* the zones still have what is remembered */
    EVC_GUESS_KIND_MAX,
};

struct evc_guess_entry {
    uint64_t hash;
    evc_version version; /* 0: the entry is free */
};

struct evc_guess_line {
    _Alignas(EVC_CACHE_LINE_BYTES) struct evc_guess_entry entries[EVC_GUESS_WAYS];
};

struct evc_guess {
    struct evc_guess_line *lines;      /* NULL: none yet */
    uint32_t line_count;               /* a power of two */
    bool has_failed;                   /* there was no memory */
    uint8_t score[EVC_GUESS_KIND_MAX]; /* see guess.c */
};

/** keys: a power of two, at least EVC_GUESS_WAYS; 0: nothing is ever guessed. */
void evc_guess_init(struct evc_guess *guess, uint32_t keys);
void evc_guess_finish(struct evc_guess *guess);

/** The version remembered for a key with this hash (evc_hash_key), 0: none. */
evc_version evc_guess_version(const struct evc_guess *guess, uint64_t hash);

/** All zones have this version now. */
void evc_guess_note(struct evc_guess *guess, uint64_t hash, evc_version version);

/** They may have anything. */
void evc_guess_forget(struct evc_guess *guess, uint64_t hash);

/** Whether guesses of this kind have been right lately. */
bool evc_guess_is_likely(const struct evc_guess *guess, enum evc_guess_kind kind);

/** One was right or wrong, or would have been. */
void evc_guess_learn(struct evc_guess *guess, enum evc_guess_kind kind, bool was_right);

#endif
