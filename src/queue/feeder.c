/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See feeder.h. The bell: the feeder says that it sleeps before it looks a last time; whoever
 * releases an event looks afterwards whether it sleeps. Of the two at least one sees the other, so
 * no event waits for the next one, and nobody pays a system call for a feeder that is awake.
 */
#include "queue/feeder.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "queue/feed.h"

enum {
    /* A round costs the queue the same however many events it has, so they gather: longer in a
     * rush, when a round more often would show beside what the writes cost. A full one is followed
     * at once, and one that found a journal filling, but for partitions that are left out. */
    FEEDER_PACE_US = 1000,
    FEEDER_RUSH_PER_MS = 256, /* events */
    FEEDER_RUSH_PACE_US = 3000,
    FEEDER_FULL_EVENTS = 4096,
    FEEDER_FILLING_SHARE = 8, /* of a journal, so much of it is used */
    FEEDER_LOOK_MS = 100, /* looks also without being rung: what was settled frees the journal */
    /* What the queue does not take makes way in the journals, a lot at a time. Their owners give
     * lots as they write: between two there is a pause. Enough for a ring once around. */
    FEEDER_LOTS_MAX = 128,
    FEEDER_LOT_PAUSE_US = 200,
    FEEDER_ROOM_MS = 10, /* goes on so often between two attempts at a queue that refuses */
    FEEDER_RETRY_MIN_MS = 10,
    FEEDER_RETRY_MAX_MS = 1000,
};

struct evc_feeder {
    /* immutable after create */
    size_t source_count;
    int bell_fd;
    pthread_t thread;
    /* shared, atomic */
    atomic_bool is_asleep;
    atomic_bool is_stopping;
    atomic_ullong drain_until_us;
    /* under lock */
    pthread_mutex_t lock;
    struct evc_feeder_stats stats;
    /* feeder thread */
    bool is_filling;   /* a journal was, in the last round */
    bool wants_room;   /* a journal could move more of what waits, once its owner has written */
    bool is_holding;   /* the round left partitions out that the queue did not take */
    bool is_feeding;   /* something was taken in the last round, whatever was refused beside it */
    uint64_t round_us; /* when the last one ended that was followed by a pause */
    struct evc_feed feed;
    struct evc_feed_source sources[EVC_FEEDER_JOURNALS_MAX];
    struct evc_backoff backoff;
};

static void
note_round(struct evc_feeder *feeder, int rc, const struct evc_feed_count *count,
           const struct evc_error *error)
{
    struct evc_feeder_stats *stats = &feeder->stats;

    pthread_mutex_lock(&feeder->lock);
    stats->records_total += count->records;
    stats->events_total += count->events;
    stats->append_errors_total += rc != EVC_OK;
    stats->full_total += rc == EVC_E_FULL;
    stats->is_stalled = rc != EVC_OK || count->is_holding;
    if (rc != EVC_OK || !count->is_holding) { /* else it stays what it was */
        snprintf(stats->last_error, sizeof(stats->last_error), "%s",
                 rc == EVC_OK ? "" : error->text);
    }
    pthread_mutex_unlock(&feeder->lock);
}

static bool
journal_is_filling(const struct evc_journal *journal)
{
    struct evc_journal_stats stats;

    evc_journal_stats(journal, &stats);
    return stats.bytes_used > stats.bytes_max / FEEDER_FILLING_SHARE;
}

/** Goes on with what a round has begun. */
static void
make_room(struct evc_feeder *feeder)
{
    feeder->wants_room = true;
    for (unsigned i = 0; i < FEEDER_LOTS_MAX && feeder->wants_room; i++) {
        feeder->wants_room = false;
        for (size_t at = 0; at < feeder->source_count; at++) {
            struct evc_feed_source *source = &feeder->sources[at];

            source->wants_room = source->wants_room && evc_journal_make_room(source->journal);
            feeder->wants_room |= source->wants_room;
        }
        if (feeder->wants_room) {
            nanosleep(&(struct timespec){.tv_nsec = FEEDER_LOT_PAUSE_US * 1000}, NULL);
        }
    }
}

/**
 * One round over all journals. Events fed, or the first error: what the queue refuses of one
 * journal (one partition without a leader, say) keeps no other from its turn.
 */
static int
feed_all(struct evc_feeder *feeder)
{
    int total = 0, first_error = EVC_OK;

    feeder->is_feeding = false;
    if (evc_feed_grow(&feeder->feed, evc_queue_partitions(feeder->feed.queue)) != EVC_OK) {
        return EVC_E_NOMEM; /* tried again after a while */
    }
    feeder->is_filling = false;
    feeder->is_holding = false;
    for (size_t i = 0; i < feeder->source_count; i++) {
        struct evc_error error = {.text = "out of memory"};
        struct evc_feed_count count;
        int rc;

        feeder->is_filling |= journal_is_filling(feeder->sources[i].journal);
        rc =
            evc_feed_round(&feeder->feed, &feeder->sources[i], evc_clock_unix_us(), &count, &error);

        if (rc != EVC_OK || count.records > 0) {
            note_round(feeder, rc, &count, &error);
        }
        feeder->is_holding |= count.is_holding;
        if (rc != EVC_OK && first_error == EVC_OK) {
            first_error = rc;
        }
        total += (int)count.events;
    }
    make_room(feeder);
    feeder->is_feeding = total > 0;
    return first_error != EVC_OK ? first_error : total;
}

/** True when it was rung. */
static bool
wait_bell(struct evc_feeder *feeder, unsigned timeout_ms)
{
    struct pollfd bell = {.fd = feeder->bell_fd, .events = POLLIN};
    uint64_t count;

    if (poll(&bell, 1, (int)timeout_ms) <= 0) {
        return false;
    }
    (void)!read(feeder->bell_fd, &count, sizeof(count)); /* only empties it */
    return true;
}

/** Nothing was ready: sleeps until it is rung, unless something came meanwhile. */
static int
sleep_or_feed(struct evc_feeder *feeder)
{
    int rc;

    /* Both sides exchange: whoever comes second sees what the first did before. A writer that
     * found it awake has released its events before this look; any other rings. */
    (void)atomic_exchange(&feeder->is_asleep, true);
    rc = feed_all(feeder);
    if (rc == 0 && !atomic_load(&feeder->is_stopping)) {
        (void)wait_bell(feeder, FEEDER_LOOK_MS);
    }
    atomic_store(&feeder->is_asleep, false);
    return rc;
}

static bool
is_drained(struct evc_feeder *feeder, int rc)
{
    return (rc == 0 && !feeder->is_holding) ||
           evc_clock_mono_us() >= atomic_load(&feeder->drain_until_us);
}

/** The queue refused: waits before the next attempt, not beyond the end of a drain. */
static void
back_off(struct evc_feeder *feeder)
{
    unsigned wait_ms = evc_backoff_next_ms(&feeder->backoff);

    if (atomic_load(&feeder->is_stopping)) {
        uint64_t now_us = evc_clock_mono_us();
        uint64_t until_us = atomic_load(&feeder->drain_until_us);
        uint64_t left_ms = until_us > now_us ? (until_us - now_us) / 1000 : 0;

        wait_ms = left_ms < wait_ms ? (unsigned)left_ms : wait_ms;
    }
    while (feeder->wants_room && wait_ms > FEEDER_ROOM_MS) {
        if (wait_bell(feeder, FEEDER_ROOM_MS)) {
            return;
        }
        wait_ms -= FEEDER_ROOM_MS;
        make_room(feeder);
    }
    (void)wait_bell(feeder, wait_ms);
}

/** events: of the round that has ended; since the one before they have gathered. */
static void
pause_between_rounds(struct evc_feeder *feeder, int events)
{
    uint64_t now_us = evc_clock_mono_us();
    uint64_t gathered_us = now_us - feeder->round_us;
    bool is_rush = (uint64_t)events * 1000 > gathered_us * FEEDER_RUSH_PER_MS;
    long us = is_rush ? FEEDER_RUSH_PACE_US : FEEDER_PACE_US;

    feeder->round_us = now_us;
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void *
run(void *arg)
{
    struct evc_feeder *feeder = arg;

    for (;;) {
        /* Asked before the round: only then has the round seen all that was released before the
         * feeder was told to stop. */
        bool is_stopping = atomic_load(&feeder->is_stopping);
        int rc = feed_all(feeder);

        if (is_stopping && is_drained(feeder, rc)) {
            return NULL;
        }
        if (rc == 0) {
            rc = sleep_or_feed(feeder);
        }
        if (rc < 0 || (rc == 0 && is_stopping)) {
            if (feeder->is_feeding) {
                evc_backoff_reset(&feeder->backoff); /* the rest of the queue is well */
            }
            back_off(feeder);
        } else if (rc > 0) {
            evc_backoff_reset(&feeder->backoff);
            if (rc < FEEDER_FULL_EVENTS && (!feeder->is_filling || feeder->is_holding) &&
                !is_stopping) {
                pause_between_rounds(feeder, rc);
            }
        }
    }
}

void
evc_feeder_ring(struct evc_feeder *feeder)
{
    uint64_t one = 1;

    if (atomic_exchange(&feeder->is_asleep, false)) {
        (void)!write(feeder->bell_fd, &one, sizeof(one)); /* full means rung already */
    }
}

static void
free_feeder(struct evc_feeder *feeder)
{
    if (feeder->bell_fd >= 0) {
        close(feeder->bell_fd);
    }
    evc_feed_finish(&feeder->feed);
    pthread_mutex_destroy(&feeder->lock);
    free(feeder);
}

int
evc_feeder_create(struct evc_queue *queue, unsigned partition_count,
                  struct evc_journal *const *journals, size_t journal_count,
                  struct evc_feeder **ret, struct evc_error *error)
{
    struct evc_feeder *feeder = calloc(1, sizeof(*feeder));
    int rc;

    if (!feeder) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    if (journal_count > EVC_FEEDER_JOURNALS_MAX) {
        free(feeder);
        return evc_error_set(error, EVC_E_LIMIT, "a process has at most %d journals",
                             EVC_FEEDER_JOURNALS_MAX);
    }
    for (size_t i = 0; i < journal_count; i++) {
        evc_feed_source_init(&feeder->sources[i], journals[i]);
    }
    feeder->source_count = journal_count;
    pthread_mutex_init(&feeder->lock, NULL);
    evc_backoff_init(&feeder->backoff, FEEDER_RETRY_MIN_MS, FEEDER_RETRY_MAX_MS,
                     evc_clock_mono_us());
    feeder->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = feeder->bell_fd < 0 ? evc_error_sys(error, errno, "the feeder's bell cannot be made")
                             : EVC_OK;
    if (rc == EVC_OK && evc_feed_init(&feeder->feed, queue, partition_count) != EVC_OK) {
        rc = evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    if (rc == EVC_OK && pthread_create(&feeder->thread, NULL, run, feeder) != 0) {
        rc = evc_error_set(error, EVC_E_SYS, "the feeder's thread cannot be made");
    }
    if (rc != EVC_OK) {
        free_feeder(feeder);
        return rc;
    }
    *ret = feeder;
    return EVC_OK;
}

void
evc_feeder_destroy(struct evc_feeder *feeder, unsigned drain_ms)
{
    uint64_t one = 1;

    if (!feeder) {
        return;
    }
    atomic_store(&feeder->drain_until_us, evc_clock_mono_us() + (uint64_t)drain_ms * 1000);
    atomic_store(&feeder->is_stopping, true);
    (void)!write(feeder->bell_fd, &one, sizeof(one)); /* full means rung already */
    pthread_join(feeder->thread, NULL);
    free_feeder(feeder);
}

void
evc_feeder_stats(struct evc_feeder *feeder, struct evc_feeder_stats *ret)
{
    pthread_mutex_lock(&feeder->lock);
    *ret = feeder->stats;
    pthread_mutex_unlock(&feeder->lock);
}
