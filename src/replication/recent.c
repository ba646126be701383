/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See recent.h. Entries stand in a ring in the order they were first seen, whose oldest makes room,
 * and are found through an index. Keys are known by their 64-bit hash alone: of two that share one,
 * a repair may bury the older. Among half a million that is one chance in 10^8.
 */
#include "replication/recent.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/hash_index.h"

enum {
    FORGET_AHEAD = 8,            /* entries whose place in the index is fetched before its time */
    WRITER_UNKNOWN = UINT32_MAX, /* somebody, of whom only times are kept: nobody's number */
};

/** When the latest event of somebody was fed, and when it was noted. */
struct recent_time {
    uint64_t fed_us;
    uint64_t seen_us; /* 0: there was none */
};

/** A key, in one line of cache. */
struct recent_entry {
    uint64_t hash;
    evc_version newest;
    struct recent_time last;   /* of the last writer */
    struct recent_time others; /* of all but the last writer; its own older ones may be in it */
    uint32_t expiry_s;         /* of the newest */
    uint16_t last_writer;
    uint16_t partition;
};

static_assert(EVC_PARTITION_MAX <= UINT16_MAX && EVC_VERSION_WRITER_BITS <= 16, "fit in an entry");

/** The latest of a time over all writers, and over all but the one who has it. */
struct writer_time {
    uint64_t latest_us, others_us;
    uint32_t latest_writer;
};

struct partition_time {
    bool has_begun;
    bool is_unknown;                   /* something may have been fed before its first position */
    uint64_t begun_us;                 /* what was noted until then may have been followed unseen */
    struct writer_time complete_since; /* every event of the writer fed after it is remembered */
    struct writer_time hazy_until;     /* noted until then: may cross one that is not remembered */
};

struct evc_recent {
    uint32_t max;
    uint32_t window_us;
    uint32_t count;
    uint32_t oldest; /* the entry to reuse next, once count == max */
    struct evc_hash_index index;
    struct recent_entry *entries;
    struct partition_time partitions[EVC_PARTITION_MAX];
};

struct evc_recent *
evc_recent_create(uint32_t max, uint32_t window_us)
{
    struct evc_recent *recent = calloc(1, sizeof(*recent));

    assert(max > 0);
    if (!recent) {
        return NULL;
    }
    recent->max = max;
    recent->window_us = window_us;
    recent->entries = malloc(max * sizeof(*recent->entries));
    if (!recent->entries || evc_hash_index_init(&recent->index, max) != EVC_OK) {
        evc_recent_destroy(recent);
        return NULL;
    }
    return recent;
}

void
evc_recent_destroy(struct evc_recent *recent)
{
    if (recent) {
        evc_hash_index_finish(&recent->index);
        free(recent->entries);
        free(recent);
    }
}

/* --- times of writers --- */

static void
raise_to(struct writer_time *time, uint32_t writer, uint64_t us)
{
    if (writer == time->latest_writer) {
        time->latest_us = us > time->latest_us ? us : time->latest_us;
    } else if (us > time->latest_us) {
        *time = (struct writer_time){
            .latest_us = us, .others_us = time->latest_us, .latest_writer = writer};
    } else if (us > time->others_us) {
        time->others_us = us;
    }
}

static uint64_t
latest_of_others(const struct writer_time *time, uint32_t writer)
{
    return writer == time->latest_writer ? time->others_us : time->latest_us;
}

/* --- entries --- */

static struct recent_entry *
entry_find(const struct evc_recent *recent, uint64_t hash)
{
    uint32_t cursor, number;

    evc_hash_index_each(&recent->index, hash, cursor, number)
    {
        if (recent->entries[number].hash == hash) {
            return &recent->entries[number];
        }
    }
    return NULL;
}

/**
 * Times of two machines say little about each other, so the events' own times are not trusted
 * alone: what is noted within so long on this machine's clock may have crossed. Twice the window,
 * because each of the two may have waited that long in its journal without being called delayed.
 */
static uint64_t
seen_window_us(const struct evc_recent *recent)
{
    return 2 * (uint64_t)recent->window_us;
}

static void
forget_time(struct evc_recent *recent, const struct recent_entry *entry, uint32_t writer,
            const struct recent_time *time)
{
    struct partition_time *partition = &recent->partitions[entry->partition];

    raise_to(&partition->complete_since, writer, time->fed_us);
    raise_to(&partition->hazy_until, writer, time->seen_us + seen_window_us(recent));
}

/** An entry's partition will not find it any more. */
static void
forget_entry(struct evc_recent *recent, const struct recent_entry *entry)
{
    forget_time(recent, entry, entry->last_writer, &entry->last);
    forget_time(recent, entry, evc_version_writer(entry->newest), &entry->last);
    if (entry->others.seen_us != 0) {
        forget_time(recent, entry, WRITER_UNKNOWN, &entry->others);
    }
}

static struct recent_time
time_of(const struct evc_recent_place *place)
{
    return (struct recent_time){.fed_us = place->fed_us, .seen_us = place->seen_us};
}

/** Makes room: the oldest entry is forgotten, which its partition must know. */
static uint32_t
entry_forget(struct evc_recent *recent)
{
    uint32_t number = recent->oldest;
    const struct recent_entry *entry = &recent->entries[number];

    evc_hash_index_prefetch(&recent->index,
                            recent->entries[(number + FORGET_AHEAD) % recent->max].hash);
    forget_entry(recent, entry);
    evc_hash_index_remove(&recent->index, entry->hash, number);
    recent->oldest = (number + 1) % recent->max;
    return number;
}

static void
entry_add(struct evc_recent *recent, const struct recent_entry *entry)
{
    uint32_t number = recent->count < recent->max ? recent->count++ : entry_forget(recent);

    recent->entries[number] = *entry;
    evc_hash_index_add(&recent->index, entry->hash, number);
}

/** The later of each. */
static struct recent_time
latest_time(struct recent_time a, struct recent_time b)
{
    return (struct recent_time){
        .fed_us = a.fed_us > b.fed_us ? a.fed_us : b.fed_us,
        .seen_us = a.seen_us > b.seen_us ? a.seen_us : b.seen_us,
    };
}

/** Whether an event and those of its key noted at other may have crossed on their way to the zones.
 */
static bool
may_have_crossed(const struct evc_recent *recent, struct recent_time other,
                 const struct evc_event *event, const struct evc_recent_place *place)
{
    bool was_delayed = place->fed_us > event->written_us + recent->window_us;

    return other.seen_us != 0 &&
           (was_delayed || event->written_us <= other.fed_us + recent->window_us ||
            place->seen_us <= other.seen_us + seen_window_us(recent));
}

/** Whether a write that crossed an event of a key that is not remembered may have been forgotten.
 */
static bool
is_blind(const struct evc_recent *recent, const struct partition_time *time,
         const struct evc_event *event, const struct evc_recent_place *place)
{
    uint32_t writer = evc_version_writer(event->version);
    uint64_t complete_since_us = latest_of_others(&time->complete_since, writer);

    return (complete_since_us != 0 && event->written_us <= complete_since_us + recent->window_us) ||
           place->seen_us < latest_of_others(&time->hazy_until, writer);
}

/** Notes who wrote, and says when others did. */
static struct recent_time
take_writer(struct recent_entry *entry, uint16_t writer, struct recent_time now)
{
    if (writer == entry->last_writer) {
        entry->last = latest_time(entry->last, now);
    } else {
        entry->others = latest_time(entry->others, entry->last);
        entry->last = now;
        entry->last_writer = writer;
    }
    return entry->others;
}

static unsigned
compare(const struct evc_recent *recent, struct recent_entry *entry, const struct evc_event *event,
        const struct evc_recent_place *place)
{
    uint16_t writer = (uint16_t)evc_version_writer(event->version);
    struct recent_time others = take_writer(entry, writer, time_of(place));
    unsigned signs = 0;

    if (may_have_crossed(recent, others, event, place)) {
        signs |= EVC_RECENT_TWO_WRITERS;
    }
    if (event->version < entry->newest) {
        signs |= EVC_RECENT_INVERSION;
    } else {
        entry->newest = event->version;
        entry->expiry_s = event->expiry_s;
    }
    return signs;
}

/**
 * Whether events of the key may have passed unseen since the entry was last touched: another relay
 * had the partition, or they were in another partition.
 */
static bool
has_gap(const struct partition_time *time, const struct recent_entry *entry,
        const struct evc_recent_place *place)
{
    return entry->partition != place->partition || entry->last.seen_us <= time->begun_us;
}

/** The key is found in another partition from now on. */
static void
move_entry(struct evc_recent *recent, struct recent_entry *entry, uint32_t partition)
{
    if (entry->partition != partition) {
        forget_entry(recent, entry);
        entry->partition = (uint16_t)partition;
    }
}

/** The first event after a start: what was fed before it is not known, unless nothing was. */
static void
begin(const struct evc_recent *recent, struct partition_time *time,
      const struct evc_recent_place *place)
{
    time->has_begun = true;
    time->begun_us = place->seen_us;
    if (place->position != 0 || time->is_unknown) {
        raise_to(&time->complete_since, WRITER_UNKNOWN, place->fed_us);
        raise_to(&time->hazy_until, WRITER_UNKNOWN, place->seen_us + seen_window_us(recent));
    }
}

void
evc_recent_expect(const struct evc_recent *recent, uint64_t key_hash)
{
    evc_hash_index_prefetch(&recent->index, key_hash);
}

unsigned
evc_recent_note(struct evc_recent *recent, const struct evc_event *event,
                const struct evc_recent_place *place)
{
    uint64_t hash = evc_hash_key(event->key);
    struct partition_time *time = &recent->partitions[place->partition];
    struct recent_entry *entry = entry_find(recent, hash);
    unsigned signs;

    assert(place->partition < EVC_PARTITION_MAX);
    if (!time->has_begun) {
        begin(recent, time, place);
    }
    if (entry) {
        signs = has_gap(time, entry, place) && is_blind(recent, time, event, place)
                    ? EVC_RECENT_BLIND
                    : 0;
        move_entry(recent, entry, place->partition);
        return signs | compare(recent, entry, event, place);
    }
    signs = is_blind(recent, time, event, place) ? EVC_RECENT_BLIND : 0;
    entry_add(recent, &(struct recent_entry){
                          .hash = hash,
                          .newest = event->version,
                          .last = time_of(place),
                          .expiry_s = event->expiry_s,
                          .last_writer = (uint16_t)evc_version_writer(event->version),
                          .partition = (uint16_t)place->partition,
                      });
    return signs;
}

void
evc_recent_forget(struct evc_recent *recent, uint32_t partition)
{
    assert(partition < EVC_PARTITION_MAX);
    recent->partitions[partition].has_begun = false;
    recent->partitions[partition].is_unknown = true;
}

void
evc_recent_learn(struct evc_recent *recent, struct evc_slice key, evc_version version)
{
    struct recent_entry *entry = entry_find(recent, evc_hash_key(key));

    if (entry && entry->newest < version) {
        entry->newest = version;
        entry->expiry_s = 0; /* its event will say */
    }
}

evc_version
evc_recent_newest(const struct evc_recent *recent, struct evc_slice key, uint32_t *ret_expiry_s)
{
    const struct recent_entry *entry = entry_find(recent, evc_hash_key(key));

    *ret_expiry_s = entry ? entry->expiry_s : 0;
    return entry ? entry->newest : 0;
}
