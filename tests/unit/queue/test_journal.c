/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: order of release, what is replayed after a death, numbers, bounds, wrap-around,
 * threads. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "queue/journal_ring.h"
#include "scratch.h"

static char path[64];
static struct evc_journal *journal;

static uint64_t
open_journal(void)
{
    struct evc_error error;
    uint64_t replayed;

    if (evc_journal_open(path, 7, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
    evc_journal_set_partitions(journal, 2);
    return replayed;
}

static int
setup(void **state)
{
    (void)state;
    if (scratch_make(path) != 0) {
        return -1;
    }
    open_journal();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_journal_close(journal);
    scratch_remove(path);
    return 0;
}

/** What a killed process leaves: the file as it stands, the lock gone. */
static uint64_t
die_and_open(void)
{
    evc_journal_close(journal);
    return open_journal();
}

static evc_journal_pos
reserve(const char *key, evc_version version)
{
    return evc_journal_reserve(journal,
                               &(struct evc_event){.key = evc_slice_str(key), .version = version});
}

static void
feed_one(evc_version version, uint8_t flags)
{
    struct evc_journal_entry entry;

    assert_true(evc_journal_take(journal, &entry));
    assert_int_equal(entry.event.version, version);
    assert_int_equal(entry.event.flags, flags);
    evc_journal_fed(journal, &entry.pos, 1, 0);
}

static void
assert_none_ready(void)
{
    struct evc_journal_entry entry;

    assert_false(evc_journal_take(journal, &entry));
}

static struct evc_journal_stats
stats(void)
{
    struct evc_journal_stats ret;

    evc_journal_stats(journal, &ret);
    return ret;
}

static void
test_journal__released__are_taken_in_the_order_of_release(void **state)
{
    evc_journal_pos a = reserve("a", 1);
    evc_journal_pos b = reserve("b", 2);

    (void)state;
    assert_none_ready();
    evc_journal_release(journal, b);
    evc_journal_settle(journal, b);
    feed_one(2, 0);
    evc_journal_release(journal, a);
    evc_journal_settle(journal, a);
    feed_one(1, 0);
    assert_none_ready();
    assert_int_equal(stats().bytes_used, 0);
    assert_int_equal(stats().produced[0], 2);
}

static void
test_journal__untaken__come_again(void **state)
{
    struct evc_journal_entry first, second, again;

    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        assert_true(evc_event_sink_append(
            evc_journal_sink(journal), &(struct evc_event){.key = EVC_SLICE("k"), .version = i}));
    }
    assert_true(evc_journal_take(journal, &first));
    assert_true(evc_journal_take(journal, &second));
    evc_journal_fed(journal, &second.pos, 1, 0);
    evc_journal_untake(journal);
    assert_true(evc_journal_take(journal, &again));
    assert_int_equal(again.event.version, 1);
    assert_none_ready();
}

static void
test_journal__something_waits__says_since_when(void **state)
{
    struct evc_journal_entry first, second;
    struct evc_journal_peek seen;

    (void)state;
    assert_int_equal(stats().oldest_us, 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_true(evc_event_sink_append(
            evc_journal_sink(journal),
            &(struct evc_event){.key = EVC_SLICE("k"), .version = i, .written_us = 1000 * i}));
    }
    assert_true(evc_journal_take(journal, &first));
    assert_true(evc_journal_take(journal, &second));
    assert_int_equal(stats().oldest_us, 1000); /* taken is not fed */
    evc_journal_untake(journal);
    assert_int_equal(stats().oldest_us, 1000);
    feed_one(1, 0);
    assert_true(evc_journal_take(journal, &second));
    assert_int_equal(stats().oldest_us, 2000);
    assert_int_equal(evc_journal_peek(path, 7, &seen), EVC_OK);
    assert_int_equal(seen.stats.oldest_us, 2000);
    evc_journal_fed(journal, &second.pos, 1, 0);
    assert_int_equal(stats().oldest_us, 0);
}

static void
test_journal__cancelled__is_never_fed(void **state)
{
    evc_journal_pos a = reserve("a", 1);

    (void)state;
    evc_journal_cancel(journal, a);
    evc_journal_settle(journal, a);
    assert_none_ready();
    assert_int_equal(stats().events_waiting, 0);
    assert_int_equal(die_and_open(), 0);
}

static void
test_journal__dead_with_pending__is_replayed_as_unknown(void **state)
{
    (void)state;
    reserve("a", 1);
    assert_int_equal(die_and_open(), 1);
    feed_one(1, EVC_EVENT_REPAIR | EVC_EVENT_UNKNOWN);
    assert_int_equal(stats().bytes_used, 0);
    assert_int_equal(die_and_open(), 0);
}

static void
test_journal__dead_before_all_zones_spoke__asks_for_repair(void **state)
{
    evc_journal_pos fed = reserve("fed", 1);
    evc_journal_pos ready = reserve("ready", 2);

    (void)state;
    evc_journal_release(journal, fed);
    feed_one(1, 0);
    evc_journal_release(journal, ready);
    assert_int_equal(die_and_open(), 2);
    feed_one(1, EVC_EVENT_REPAIR | EVC_EVENT_RESHIP);
    feed_one(2, EVC_EVENT_REPAIR | EVC_EVENT_RESHIP);
    assert_int_equal(die_and_open(), 0);
}

static void
test_journal__dead_with_settled_unfed__is_replayed_as_it_was(void **state)
{
    (void)state;
    assert_true(evc_event_sink_append(
        evc_journal_sink(journal),
        &(struct evc_event){.op = EVC_EVENT_DELETE, .key = EVC_SLICE("k"), .version = 5}));
    assert_int_equal(die_and_open(), 1);
    feed_one(5, 0);
}

static void
test_journal__numbers__go_on_after_a_restart(void **state)
{
    uint64_t producer = evc_journal_producer(journal);

    (void)state;
    evc_event_sink_append(evc_journal_sink(journal),
                          &(struct evc_event){.key = EVC_SLICE("k"), .version = 5});
    feed_one(5, 0);
    die_and_open();
    assert_int_equal(evc_journal_next_seq(journal, 0), 2);
    assert_int_equal(evc_journal_next_seq(journal, 1), 1);
    assert_true(evc_journal_producer(journal) == producer);
}

static void
test_journal__full__loses_by_number_and_nothing_else(void **state)
{
    unsigned kept = 0, lost = 0;
    char key[16];

    (void)state;
    while (lost < 10) {
        snprintf(key, sizeof(key), "key-%u", kept + lost);
        if (reserve(key, 1) == EVC_JOURNAL_POS_NONE) {
            lost++;
        } else {
            kept++;
        }
    }
    assert_int_equal(stats().lost_total, 10);
    assert_int_equal(evc_journal_take_lost(journal, 0) + evc_journal_take_lost(journal, 1), 10);
    assert_int_equal(evc_journal_take_lost(journal, 0), 0);
    assert_int_equal(stats().produced[0] + stats().produced[1], 10);
    assert_int_equal(die_and_open(), kept);
}

static void
test_journal__many_rounds__wrap_without_garbage(void **state)
{
    char key[EVC_EVENT_KEY_LEN_MAX + 1];
    uint64_t fed = 0;

    (void)state;
    memset(key, 'x', sizeof(key));
    for (unsigned i = 1; i <= 20000; i++) {
        struct evc_event event = {.key = {.ptr = key, .len = 1 + i * 7 % EVC_EVENT_KEY_LEN_MAX},
                                  .version = i};

        assert_true(evc_event_sink_append(evc_journal_sink(journal), &event));
        if (i % 5 == 0) {
            struct evc_journal_entry entry;

            while (evc_journal_take(journal, &entry)) {
                assert_int_equal(entry.event.version, ++fed);
                assert_int_equal(entry.event.key.len, 1 + fed * 7 % EVC_EVENT_KEY_LEN_MAX);
                evc_journal_fed(journal, &entry.pos, 1, 0);
            }
        }
        if (i % 997 == 0) {
            assert_int_equal(die_and_open(), i - fed);
        }
    }
}

static void
test_journal__second_process__is_told_who_has_it(void **state)
{
    struct evc_journal *other;
    struct evc_error error;
    uint64_t replayed;
    char pid[16];

    (void)state;
    assert_int_equal(evc_journal_open(path, 7, EVC_JOURNAL_BYTES_MIN, &other, &replayed, &error),
                     EVC_E_BUSY);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_non_null(strstr(error.text, pid));
}

static void
test_journal__damaged_file__is_refused_by_name(void **state)
{
    struct evc_error error;
    uint64_t replayed;
    char file[128];
    int fd;

    (void)state;
    evc_journal_close(journal);
    journal = NULL;
    snprintf(file, sizeof(file), "%s/slot-0007.journal", path);
    fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
    close(fd);
    assert_int_equal(evc_journal_open(path, 7, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, &error),
                     EVC_E_CORRUPT);
    assert_non_null(strstr(error.text, "slot-0007.journal"));
}

static void
test_journal__clock_cell__survives(void **state)
{
    (void)state;
    *evc_journal_clock_cell(journal) = 12345;
    die_and_open();
    assert_int_equal(*evc_journal_clock_cell(journal), 12345);
}

/* Damage: every byte of a journal with two events, changed one at a time. */
static void
test_journal__any_byte_changed__is_refused_or_harmless(void **state)
{
    static char whole[8192 + 256], copy[sizeof(whole)];
    struct evc_journal_entry entry;
    struct evc_error error;
    uint64_t replayed;
    char file[128];
    unsigned refused = 0;
    int fd;

    (void)state;
    reserve("first", 1);
    reserve("second", 2);
    evc_journal_close(journal);
    journal = NULL;
    snprintf(file, sizeof(file), "%s/slot-0007.journal", path);
    fd = open(file, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof(whole), 0), sizeof(whole));
    for (size_t i = 0; i < sizeof(whole); i++) {
        memcpy(copy, whole, sizeof(whole));
        copy[i] = (char)(copy[i] ^ 0x41);
        assert_int_equal(pwrite(fd, copy, sizeof(copy), 0), sizeof(copy));
        if (evc_journal_open(path, 7, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, &error) !=
            EVC_OK) {
            assert_int_equal(error.status, EVC_E_CORRUPT);
            assert_non_null(strstr(error.text, "slot-0007.journal"));
            refused++;
            continue;
        }
        assert_true(replayed <= 2);
        while (evc_journal_take(journal, &entry)) {
            assert_true(evc_slice_equal(entry.event.key, EVC_SLICE("first")) ||
                        evc_slice_equal(entry.event.key, EVC_SLICE("second")));
        }
        evc_journal_close(journal);
        journal = NULL;
    }
    close(fd);
    assert_true(refused > 2 * 41); /* at the least all that is under an entry's checksum */
}

static void
test_journal__pad_that_looks_like_an_event__is_still_a_pad(void **state)
{
    enum {
        KEY_BYTES = 90,
        ENTRY_BYTES = 136, /* of which the ring holds so many, and then a pad */
        ENTRIES = EVC_JOURNAL_BYTES_MIN / ENTRY_BYTES,
        OWNER_AT = 8192 + ENTRIES * ENTRY_BYTES + 16,
    };
    struct evc_journal_entry entry;
    const char pending = 0;
    char key[KEY_BYTES + 1];
    char file[128];
    int fd;

    (void)state;
    memset(key, 'k', KEY_BYTES);
    key[KEY_BYTES] = '\0';
    for (unsigned i = 1; i < ENTRIES; i++) {
        evc_journal_pos pos = reserve(key, i);

        evc_journal_release(journal, pos);
        evc_journal_settle(journal, pos);
        feed_one(i, 0);
    }
    reserve(key, ENTRIES);
    assert_int_equal(reserve(key, ENTRIES + 1), EVC_JOURNAL_BYTES_MIN); /* behind the pad */
    evc_journal_close(journal);
    snprintf(file, sizeof(file), "%s/slot-0007.journal", path);
    fd = open(file, O_RDWR);
    assert_int_equal(pwrite(fd, &pending, 1, OWNER_AT), 1);
    close(fd);
    assert_int_equal(open_journal(), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(evc_journal_take(journal, &entry));
        assert_int_equal(entry.event.key.len, KEY_BYTES);
    }
    assert_none_ready();
}

static void
test_journal__made_only_in_part__is_made_anew(void **state)
{
    char file[128];

    (void)state;
    snprintf(file, sizeof(file), "%s/slot-0007.journal", path);
    for (off_t bytes = 0; bytes <= 3 * 4096; bytes += 4096) {
        evc_journal_close(journal);
        assert_int_equal(truncate(file, 0), 0);
        assert_int_equal(truncate(file, bytes), 0);
        assert_int_equal(open_journal(), 0);
        assert_true(evc_journal_producer(journal) != 0);
    }
}

static void
test_journal__path_that_cannot_be_made__is_an_error_with_its_name(void **state)
{
    struct evc_journal *other;
    struct evc_error error;
    uint64_t replayed;

    (void)state;
    assert_int_equal(
        evc_journal_open("/proc/evcache", 7, EVC_JOURNAL_BYTES_MIN, &other, &replayed, &error),
        EVC_E_SYS);
    assert_non_null(strstr(error.text, "/proc/evcache"));
}

/*
 * Killed at any instant. A child's two threads write and feed; what they do they tell in memory
 * shared with the test, so that afterwards the file can be held against it.
 */
enum {
    KILL_ROUNDS = 40,
    KILL_EVENTS_MAX = 1 << 23,
    KILL_OPEN_MAX = 7, /* writes on their way at once */
    KILL_BATCH = 5,
    KILL_REFUSED_FOR = 4000, /* events */
    TOLD_RELEASED = 1,       /* told afterwards, */
    TOLD_CANCELLED = 2,      /* so are these */
    TOLD_SETTLED = 4,
    TOLD_FED = 8,
    TOLD_FEEDING = 16, /* told before */
    TOLD_LEFT = 32,    /* to the next process */
};

struct told {
    bool has_refusals;
    _Atomic uint32_t rooms; /* how often room was made */
    _Atomic uint32_t next_version;
    _Atomic uint8_t of[KILL_EVENTS_MAX];
};

static struct told *told;

static void
key_of(evc_version version, char key[48])
{
    snprintf(key, 48, "%.*s-%llu", (int)(version % 23), "a-part-of-any-length-xx",
             (unsigned long long)version);
}

static void
end_write(evc_journal_pos pos, evc_version version)
{
    if (pos == EVC_JOURNAL_POS_NONE) {
        return;
    }
    if (version % 5 == 0) {
        evc_journal_cancel(journal, pos);
        atomic_fetch_or(&told->of[version], TOLD_CANCELLED);
    } else {
        evc_journal_release(journal, pos);
        atomic_fetch_or(&told->of[version], TOLD_RELEASED);
    }
    evc_journal_settle(journal, pos);
    atomic_fetch_or(&told->of[version], TOLD_SETTLED);
}

/** Writes end out of order, as zones answer. */
static void *
scribble(void *arg)
{
    evc_journal_pos pos[KILL_OPEN_MAX];
    evc_version version[KILL_OPEN_MAX] = {0};
    char key[48];

    (void)arg;
    for (evc_version v = told->next_version; v < KILL_EVENTS_MAX; v++) {
        size_t i = (size_t)(v * 2654435761U % KILL_OPEN_MAX);

        if (version[i] != 0) {
            end_write(pos[i], version[i]);
        }
        key_of(v, key);
        version[i] = v;
        told->next_version = (uint32_t)v + 1;
        pos[i] = reserve(key, v);
    }
    return NULL;
}

/** Whether the queue does not take an event yet: some wait until many were written after them. */
static bool
is_refused(evc_version version)
{
    return told->has_refusals && version % 8 == 1 &&
           told->next_version < version + KILL_REFUSED_FOR;
}

static void
feed_batch(void)
{
    struct evc_journal_entry entry;
    evc_version versions[KILL_BATCH];
    evc_journal_pos pos[KILL_BATCH];
    size_t count = 0;

    while (count < KILL_BATCH && evc_journal_take(journal, &entry)) {
        if (is_refused(entry.event.version)) {
            continue;
        }
        versions[count] = entry.event.version;
        pos[count++] = entry.pos;
        atomic_fetch_or(&told->of[entry.event.version], TOLD_FEEDING);
    }
    evc_journal_fed(journal, pos, count, 0);
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_or(&told->of[versions[i]], TOLD_FED);
    }
}

static void
scribble_and_feed(void)
{
    pthread_t owner;

    open_journal();
    if (pthread_create(&owner, NULL, scribble, NULL) != 0) {
        _exit(1);
    }
    for (;;) {
        feed_batch();
        if (told->has_refusals) {
            evc_journal_untake(journal);
            atomic_fetch_add(&told->rooms, evc_journal_make_room(journal));
        }
    }
}

/** One entry that was left, held against what was told of it. */
static void
check_left(const struct evc_journal_entry *entry)
{
    evc_version version = entry->event.version;
    unsigned of;
    char key[48];

    assert_true(version < KILL_EVENTS_MAX);
    of = told->of[version];
    assert_false(of & TOLD_LEFT);
    key_of(version, key);
    assert_true(evc_slice_equal(entry->event.key, evc_slice_str(key)));
    assert_false(of & TOLD_CANCELLED);
    assert_false((of & TOLD_SETTLED) && (of & TOLD_FED));
    if (of & TOLD_RELEASED) {
        assert_false(entry->event.flags & EVC_EVENT_UNKNOWN);
    }
    if (of & TOLD_SETTLED) {
        assert_int_equal(entry->event.flags, 0);
    }
    told->of[version] = TOLD_FEEDING | TOLD_LEFT; /* it came back, once: not missed */
}

static void
kill_many(bool has_refusals)
{
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(told, MAP_FAILED);
    told->next_version = 1;
    told->has_refusals = has_refusals;
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        struct evc_journal_entry entry;
        uint32_t first = told->next_version;
        uint64_t count = 0, replayed;
        pid_t child;

        evc_journal_close(journal);
        journal = NULL;
        child = fork();
        if (child == 0) {
            scribble_and_feed();
        }
        usleep(3000 + round * 300);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        replayed = open_journal();
        while (evc_journal_take(journal, &entry)) {
            check_left(&entry);
            evc_journal_fed(journal, &entry.pos, 1, 0);
            count++;
        }
        assert_int_equal(count, replayed);
        assert_int_equal(stats().bytes_used, 0);
        for (uint32_t v = first; v < told->next_version; v++) {
            assert_false((told->of[v] & TOLD_RELEASED) && !(told->of[v] & TOLD_FEEDING));
        }
    }
    assert_true(told->next_version > KILL_ROUNDS);
    assert_true((told->rooms > KILL_ROUNDS) == has_refusals);
    munmap(told, sizeof(*told));
}

static void
test_journal__killed_at_any_instant__every_released_event_is_fed_or_left(void **state)
{
    (void)state;
    kill_many(false);
}

static void
test_journal__killed_while_events_move__they_are_left_once(void **state)
{
    (void)state;
    kill_many(true);
}

enum {
    THREAD_EVENTS = 200000
};

static void *
own(void *arg)
{
    (void)arg;
    for (unsigned i = 1; i <= THREAD_EVENTS; i++) {
        evc_journal_pos pos;

        while ((pos = reserve("key", i)) == EVC_JOURNAL_POS_NONE) {
            usleep(100);
        }
        evc_journal_release(journal, pos);
        evc_journal_settle(journal, pos);
    }
    return NULL;
}

static void
test_journal__owner_and_feeder_at_once__nothing_lost_or_reordered(void **state)
{
    struct evc_journal_entry entry;
    evc_version expected = 1;
    pthread_t owner;

    (void)state;
    assert_int_equal(pthread_create(&owner, NULL, own, NULL), 0);
    while (expected <= THREAD_EVENTS) {
        if (evc_journal_take(journal, &entry)) {
            assert_int_equal(entry.event.version, expected);
            evc_journal_fed(journal, &entry.pos, 1, 0);
            expected++;
        }
    }
    pthread_join(owner, NULL);
}

/** Feeds what has its turn; some have it long after those behind them. The number it has fed. */
static unsigned
feed_some(bool is_fed[THREAD_EVENTS + 1], evc_version *newest)
{
    struct evc_journal_entry entry;
    unsigned count = 0;

    while (evc_journal_take(journal, &entry)) {
        evc_version version = entry.event.version;

        *newest = version > *newest ? version : *newest;
        if (version % 8 == 1 && *newest < THREAD_EVENTS - 8 && *newest < version + 2000) {
            continue;
        }
        assert_false(is_fed[version]);
        is_fed[version] = true;
        evc_journal_fed(journal, &entry.pos, 1, 0);
        count++;
    }
    evc_journal_untake(journal);
    return count;
}

static void
test_journal__owner_writes_while_events_move__each_is_fed_once(void **state)
{
    bool *is_fed = calloc(THREAD_EVENTS + 1, sizeof(*is_fed));
    evc_version newest = 0;
    unsigned fed = 0, moved = 0;
    pthread_t owner;

    (void)state;
    assert_non_null(is_fed);
    assert_int_equal(pthread_create(&owner, NULL, own, NULL), 0);
    while (fed < THREAD_EVENTS) {
        fed += feed_some(is_fed, &newest);
        moved += evc_journal_make_room(journal);
    }
    pthread_join(owner, NULL);
    assert_true(moved > 0);
    assert_int_equal(stats().events_waiting, 0);
    free(is_fed);
}

enum {
    REFUSED = 10,
    ROOM_EVENTS = 800, /* half the ring and more */
};

static void
append(const char *key, evc_version version)
{
    assert_true(evc_event_sink_append(
        evc_journal_sink(journal),
        &(struct evc_event){.key = evc_slice_str(key), .version = version, .written_us = version}));
}

/** The first few wait at the tail, all behind them is fed; a lot is there for them. */
static void
make_short(void)
{
    struct evc_journal_entry entry;
    char key[16];

    for (unsigned i = 1; i <= ROOM_EVENTS; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        append(key, i);
    }
    while (evc_journal_take(journal, &entry)) {
        if (entry.event.version > REFUSED) {
            evc_journal_fed(journal, &entry.pos, 1, 1);
        }
    }
    evc_journal_untake(journal);
    assert_true(evc_journal_make_room(journal)); /* asks */
    assert_true(evc_journal_make_room(journal)); /* until it has asked, nothing happens */
    append("newest", ROOM_EVENTS + 1);
}

/** All that waits, in order; then nothing does. */
static void
feed_refused_and_newest(void)
{
    char key[16];

    for (unsigned i = 1; i <= REFUSED; i++) {
        struct evc_journal_entry entry;

        snprintf(key, sizeof(key), "key-%u", i);
        assert_true(evc_journal_take(journal, &entry));
        assert_true(evc_slice_equal(entry.event.key, evc_slice_str(key)));
        assert_int_equal(entry.event.written_us, i);
        evc_journal_fed(journal, &entry.pos, 1, 0);
    }
    feed_one(ROOM_EVENTS + 1, 0);
    assert_none_ready();
    assert_int_equal(stats().bytes_used, 0);
    assert_int_equal(stats().events_waiting, 0);
}

static void
test_journal__tail_waits__its_entries_move_and_keep_their_turn(void **state)
{
    uint64_t used;

    (void)state;
    make_short();
    used = stats().bytes_used;
    assert_false(evc_journal_make_room(journal));
    assert_in_range(stats().bytes_used, 1, used / 8);
    assert_int_equal(stats().oldest_us, 1);
    assert_int_equal(stats().events_waiting, REFUSED + 1);
    feed_refused_and_newest();
    assert_int_equal(die_and_open(), 0);
}

static void
test_journal__dead_over_moving__its_entries_are_replayed_once(void **state)
{
    uint64_t tail;

    (void)state;
    make_short();
    tail = journal_load(&journal->header->tail);
    assert_false(evc_journal_make_room(journal));
    assert_true(journal_load(&journal->header->tail) > tail);
    journal_store_release(&journal->header->tail, tail); /* killed before it was stored */
    assert_int_equal(die_and_open(), REFUSED + 1);
    feed_refused_and_newest();
}

static void
test_journal__dead_with_a_lot__is_as_if_there_were_none(void **state)
{
    (void)state;
    make_short();
    assert_int_equal(die_and_open(), REFUSED + 1);
    feed_refused_and_newest();
}

static void
test_journal__tail_is_not_settled__nothing_moves(void **state)
{
    evc_journal_pos pos = reserve("on its way", 1);
    struct evc_journal_entry entry;
    char key[16];

    (void)state;
    evc_journal_release(journal, pos);
    for (unsigned i = 2; i <= ROOM_EVENTS; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        append(key, i);
    }
    assert_true(evc_journal_take(journal, &entry));
    while (evc_journal_take(journal, &entry)) {
        evc_journal_fed(journal, &entry.pos, 1, 1);
    }
    evc_journal_untake(journal);
    assert_false(evc_journal_make_room(journal));
    evc_journal_settle(journal, pos);
    assert_true(evc_journal_make_room(journal));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void
test_journal_peek__live_or_left__says_what_its_holder_would(void **state)
{
    struct evc_journal_peek peek;
    struct evc_journal_stats own;
    evc_journal_pos a;

    (void)state;
    assert_int_equal(evc_journal_peek(path, 8, &peek), EVC_E_NOT_FOUND);
    /* Round the ring's end several times, with one left pending and one released at the end. */
    for (unsigned i = 1; i <= 5000; i++) {
        evc_journal_pos pos = reserve("a key of some length", i);

        evc_journal_release(journal, pos);
        evc_journal_settle(journal, pos);
        feed_one(i, 0);
    }
    a = reserve("released", 6000);
    (void)reserve("pending", 6001);
    evc_journal_release(journal, a);
    evc_journal_settle(journal, a);
    own = stats();
    assert_int_equal(own.events_waiting, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(evc_journal_peek(path, 7, &peek), EVC_OK);
        assert_int_equal(peek.pid, getpid());
        assert_int_equal(peek.stats.events_waiting, 2);
        assert_int_equal(peek.stats.bytes_used, own.bytes_used);
        assert_int_equal(peek.stats.produced[0], 5000);
        evc_journal_close(journal); /* as a killed process leaves it */
        journal = NULL;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_journal__released__are_taken_in_the_order_of_release),
        CASE(test_journal__untaken__come_again),
        CASE(test_journal__something_waits__says_since_when),
        CASE(test_journal__cancelled__is_never_fed),
        CASE(test_journal__dead_with_pending__is_replayed_as_unknown),
        CASE(test_journal__dead_before_all_zones_spoke__asks_for_repair),
        CASE(test_journal__dead_with_settled_unfed__is_replayed_as_it_was),
        CASE(test_journal__numbers__go_on_after_a_restart),
        CASE(test_journal__full__loses_by_number_and_nothing_else),
        CASE(test_journal__many_rounds__wrap_without_garbage),
        CASE(test_journal__second_process__is_told_who_has_it),
        CASE(test_journal__damaged_file__is_refused_by_name),
        CASE(test_journal__clock_cell__survives),
        CASE(test_journal__any_byte_changed__is_refused_or_harmless),
        CASE(test_journal__pad_that_looks_like_an_event__is_still_a_pad),
        CASE(test_journal__made_only_in_part__is_made_anew),
        CASE(test_journal__path_that_cannot_be_made__is_an_error_with_its_name),
        CASE(test_journal__killed_at_any_instant__every_released_event_is_fed_or_left),
        CASE(test_journal__killed_while_events_move__they_are_left_once),
        CASE(test_journal__owner_and_feeder_at_once__nothing_lost_or_reordered),
        CASE(test_journal__owner_writes_while_events_move__each_is_fed_once),
        CASE(test_journal__tail_waits__its_entries_move_and_keep_their_turn),
        CASE(test_journal__dead_over_moving__its_entries_are_replayed_once),
        CASE(test_journal__dead_with_a_lot__is_as_if_there_were_none),
        CASE(test_journal__tail_is_not_settled__nothing_moves),
        CASE(test_journal_peek__live_or_left__says_what_its_holder_would),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
