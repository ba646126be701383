/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event costs before the relays see it, in CPU time of the thread that pays: the worker for
 * reserve, release and settle in the journal, the feeder for taking them, making records and
 * appending those to the embedded queue. Fixed work after a warm-up; the median of several runs,
 * and the least.
 *
 *     queue_bench [DIRECTORY]       files go into a new directory in DIRECTORY, /tmp if not said
 */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "queue/feed.h"

enum {
    RUNS = 9, /* an odd number: there is a middle */
    ROUNDS = 200,
    PARTITIONS = 4,
    KEYS = 1024,
    KEY_BYTES = 24,
    CLOCK_LOOKS = 10000,
    JOURNAL_BYTES = 16 * 1024 * 1024,
    QUEUE_BYTES = 64 * 1024 * 1024,
};

static char keys[KEYS][KEY_BYTES + 1];

struct bench {
    char path[256];
    struct evc_journal *journal;
    struct evc_queue *queue;
    struct evc_queue_consumer *consumers[PARTITIONS];
    struct evc_feed feed;
    struct evc_feed_source source;
};

struct cost {
    double owner_ns;
    double feeder_ns;
};

static void
fail(const char *what)
{
    fprintf(stderr, "queue_bench: %s\n", what);
    exit(1);
}

static uint64_t
cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/** What one interval costs that has nothing in it: asking for a thread's time is a system call. */
static double
clock_ns(void)
{
    uint64_t total_ns = 0;

    for (unsigned i = 0; i < CLOCK_LOOKS; i++) {
        uint64_t begin_ns = cpu_ns();

        total_ns += cpu_ns() - begin_ns;
    }
    return (double)total_ns / (double)CLOCK_LOOKS;
}

static void
start(struct bench *bench, const char *directory)
{
    static const char *const groups[] = {"oregon"};
    char path[sizeof(bench->path) + 16];
    struct evc_error error;
    uint64_t replayed;

    snprintf(bench->path, sizeof(bench->path), "%s/evcache-bench.XXXXXX", directory);
    if (mkdtemp(bench->path) == NULL) {
        fail("no directory for its files");
    }
    snprintf(path, sizeof(path), "%s/queue", bench->path);
    if (evc_journal_open(bench->path, 1, JOURNAL_BYTES, &bench->journal, &replayed, &error) != 0 ||
        evc_queue_embedded_open(&(struct evc_queue_options){.path = path,
                                                            .partition_count = PARTITIONS,
                                                            .bytes_max = QUEUE_BYTES,
                                                            .groups = groups,
                                                            .group_count = 1},
                                &bench->queue, &error) != 0) {
        fail(error.text);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (evc_queue_consumer_open(bench->queue, groups[0], &p, 1, &bench->consumers[p], &error) !=
            0) {
            fail(error.text);
        }
    }
    evc_journal_set_partitions(bench->journal, PARTITIONS);
    if (evc_feed_init(&bench->feed, bench->queue, PARTITIONS) != 0) {
        fail("out of memory");
    }
    evc_feed_source_init(&bench->source, bench->journal);
}

static int
remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
stop(struct bench *bench)
{
    evc_feed_finish(&bench->feed);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        evc_queue_consumer_close(bench->consumers[p]);
    }
    evc_queue_close(bench->queue);
    evc_journal_close(bench->journal);
    (void)nftw(bench->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/** Not counted: lets the queue forget what was fed, as relays do. */
static void
consume(struct bench *bench)
{
    for (unsigned p = 0; p < PARTITIONS; p++) {
        struct evc_queue_record records[16];
        int count;

        while ((count = evc_queue_consumer_poll(bench->consumers[p], records, 16)) > 0) {
            if (evc_queue_consumer_commit(bench->consumers[p], p, records[count - 1].position + 1,
                                          EVC_SLICE("")) != 0) {
                fail("a commit failed");
            }
        }
    }
}

static void
reserve_all(struct bench *bench, unsigned batch, evc_version *version)
{
    for (unsigned i = 0; i < batch; i++) {
        struct evc_event event = {
            .key = {.ptr = keys[*version % KEYS], .len = KEY_BYTES},
            .version = ++*version,
            .written_us = 1767225600000000,
        };
        evc_journal_pos pos = evc_journal_reserve(bench->journal, &event);

        evc_journal_release(bench->journal, pos);
        evc_journal_settle(bench->journal, pos);
    }
}

/** One run: rounds of `batch` events written and then fed. */
static struct cost
run(struct bench *bench, unsigned batch, evc_version *version)
{
    uint64_t owner_ns = 0, feeder_ns = 0;
    double empty_ns = clock_ns();

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct evc_error error = {.text = "out of memory"};
        uint64_t begin_ns = cpu_ns(), written_ns;
        unsigned fed = 0;

        reserve_all(bench, batch, version);
        written_ns = cpu_ns();
        while (fed < batch) {
            struct evc_feed_count count;
            int rc =
                evc_feed_round(&bench->feed, &bench->source, evc_clock_unix_us(), &count, &error);

            if (rc != EVC_OK || count.events == 0) {
                fail(rc == EVC_OK ? "an event is missing" : error.text);
            }
            fed += count.events;
        }
        feeder_ns += cpu_ns() - written_ns;
        owner_ns += written_ns - begin_ns;
        consume(bench);
    }
    return (struct cost){
        .owner_ns = ((double)owner_ns / (double)ROUNDS - empty_ns) / batch,
        .feeder_ns = ((double)feeder_ns / (double)ROUNDS - empty_ns) / batch,
    };
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
measure(struct bench *bench, unsigned batch, evc_version *version)
{
    double owner[RUNS], feeder[RUNS];

    (void)run(bench, batch, version); /* warm-up */
    for (unsigned i = 0; i < RUNS; i++) {
        struct cost cost = run(bench, batch, version);

        owner[i] = cost.owner_ns;
        feeder[i] = cost.feeder_ns;
    }
    qsort(owner, RUNS, sizeof(owner[0]), compare);
    qsort(feeder, RUNS, sizeof(feeder[0]), compare);
    printf("%8u %14.1f %8.1f %14.1f %8.1f\n", batch, owner[RUNS / 2], owner[0], feeder[RUNS / 2],
           feeder[0]);
}

int
main(int argc, char **argv)
{
    static const unsigned batches[] = {1, 16, 256, 2048};
    struct bench bench;
    evc_version version = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "bench:user:%013u", i * 2654435761U);
    }
    start(&bench, argc > 1 ? argv[1] : "/tmp");
    printf("CPU ns per event, %u-byte keys, %u partitions, median and least of %u runs\n",
           (unsigned)KEY_BYTES, (unsigned)PARTITIONS, (unsigned)RUNS);
    printf("%8s %14s %8s %14s %8s\n", "in round", "journal", "", "feed + append", "");
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
        measure(&bench, batches[i], &version);
    }
    stop(&bench);
    return 0;
}
