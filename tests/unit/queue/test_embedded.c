/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the embedded queue's own, beside the contract of every queue: the dead do not wedge the
 * living, processes with different sizes, groups that come late, a full map, and a machine that was
 * started anew.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "queue/embedded/store.h"
#include "queue/queue.h"
#include "scratch.h"

enum {
    MIB = 1024 * 1024,
    KILL_CHILDREN = 40,
};

static const char *const groups[] = {"oregon", "ireland"};
static char path[64];
static struct evc_queue *queue;
static struct evc_queue_consumer *consumer;

static int
open_status(uint64_t bytes_max, size_t group_count, struct evc_error *error)
{
    return evc_queue_embedded_open(
        &(struct evc_queue_options){
            .path = path,
            .partition_count = 2,
            .bytes_max = bytes_max,
            .groups = groups,
            .group_count = group_count,
        },
        &queue, error);
}

static void
open_queue(uint64_t bytes_max, size_t group_count)
{
    struct evc_error error;

    if (open_status(bytes_max, group_count, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static void
open_consumer(const char *group)
{
    static const uint32_t both[] = {0, 1};
    struct evc_error error;

    evc_queue_consumer_close(consumer);
    consumer = NULL;
    if (evc_queue_consumer_open(queue, group, both, 2, &consumer, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static void
close_all(void)
{
    evc_queue_consumer_close(consumer);
    consumer = NULL;
    evc_queue_close(queue);
    queue = NULL;
}

static int
setup(void **state)
{
    (void)state;
    return scratch_make(path);
}

static int
teardown(void **state)
{
    (void)state;
    close_all();
    scratch_remove(path);
    return 0;
}

static int
append(uint32_t partition, const char *text)
{
    struct evc_queue_item item = {
        .partition = partition, .event_count = 1, .record = evc_slice_str(text)};

    return evc_queue_append(queue, &item, 1, NULL);
}

static void
commit(uint32_t partition, uint64_t position)
{
    assert_int_equal(evc_queue_consumer_commit(consumer, partition, position, EVC_SLICE("b")),
                     EVC_OK);
}

/** A child that holds the writers' lock, or a reader's place, most of the time. */
static void
append_for_ever(void)
{
    uint64_t bytes, bytes_max;

    if (open_status(64 * MIB, 2, NULL) != EVC_OK) {
        _exit(1);
    }
    for (;;) {
        if (append(1, "from one who dies") != EVC_OK ||
            evc_queue_usage(queue, &bytes, &bytes_max) != EVC_OK) {
            _exit(1);
        }
    }
}

static void
test_embedded__writers_killed__the_living_go_on(void **state)
{
    pid_t children[KILL_CHILDREN];
    int go[KILL_CHILDREN][2];
    uint64_t dead_records = 0;

    (void)state;
    /* All are forked before the queue is opened, which must not cross a fork, and wait for a word.
     */
    for (unsigned i = 0; i < KILL_CHILDREN; i++) {
        char word;

        assert_int_equal(pipe(go[i]), 0);
        children[i] = fork();
        if (children[i] == 0) {
            if (read(go[i][0], &word, 1) == 1) {
                append_for_ever();
            }
            _exit(1);
        }
    }
    open_queue(64 * MIB, 2);
    open_consumer("oregon");
    alarm(60); /* a wedge would be for ever */
    for (unsigned i = 0; i < KILL_CHILDREN; i++) {
        struct evc_queue_record record;
        int status;

        assert_int_equal(write(go[i][1], "!", 1), 1);
        usleep(8000 + i * 311);
        kill(children[i], SIGKILL);
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFSIGNALED(status)); /* it died of this, not of an error */
        assert_int_equal(append(0, "from one who lives"), EVC_OK);
        while (evc_queue_consumer_poll(consumer, &record, 1) == 1) {
            dead_records += record.partition;
            commit(record.partition, record.position + 1);
        }
        close(go[i][0]);
        close(go[i][1]);
    }
    alarm(0);
    assert_true(dead_records > KILL_CHILDREN);
}

static void
test_embedded__group_that_comes_late__has_what_is_kept_and_no_more(void **state)
{
    struct evc_queue_backlog backlog;
    struct evc_queue_record record;

    (void)state;
    open_queue(MIB, 1);
    open_consumer("oregon");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(append(0, "x"), EVC_OK);
    }
    commit(0, 3);
    close_all();
    open_queue(MIB, 2);
    open_consumer("ireland");
    assert_int_equal(evc_queue_consumer_backlog(consumer, 0, &backlog), EVC_OK);
    assert_int_equal(backlog.records, 2);
    assert_int_equal(backlog.events, 2);
    assert_true(backlog.oldest_us > 0);
    commit(0, 0); /* its books, before anything was read */
    assert_int_equal(evc_queue_consumer_backlog(consumer, 0, &backlog), EVC_OK);
    assert_int_equal(backlog.events, 2);
    assert_int_equal(evc_queue_consumer_poll(consumer, &record, 1), 1);
    assert_int_equal(record.position, 3);
}

static void
test_embedded__group_no_longer_named__holds_nothing_back(void **state)
{
    uint64_t bytes, bytes_max;

    (void)state;
    open_queue(MIB, 2);
    assert_int_equal(append(0, "four"), EVC_OK);
    close_all();
    open_queue(MIB, 1);
    open_consumer("oregon");
    commit(0, 1);
    assert_int_equal(evc_queue_usage(queue, &bytes, &bytes_max), EVC_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(bytes_max, MIB);
}

static void
test_embedded__no_groups__nothing_is_kept_for_anybody(void **state)
{
    (void)state;
    open_queue(16, 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(append(i % 2, "eight888"), EVC_OK);
    }
}

/* --- the store, with maps of other sizes than the queue would choose --- */

static char kilobyte[1024];

/** Puts records of a kilobyte, each in its own transaction. LMDB's status. */
static int
put_some(struct evc_store *store, unsigned count)
{
    struct evc_queue_item item = {.event_count = 1,
                                  .record = {.ptr = kilobyte, .len = sizeof(kilobyte)}};
    int rc = 0;

    for (unsigned i = 0; i < count && rc == 0; i++) {
        MDB_txn *txn;

        rc = evc_store_begin(store, EVC_STORE_WRITE, &txn);
        if (rc != 0) {
            return rc;
        }
        rc = evc_store_record_put(store, txn, &item, 1);
        if (rc != 0) {
            evc_store_abort(store, txn);
        } else {
            rc = evc_store_commit(store, txn);
        }
    }
    return rc;
}

static void
open_store(struct evc_store *store, uint64_t map_bytes)
{
    struct evc_error error;

    if (evc_store_open(store, path, map_bytes, EVC_DURABILITY_PROCESS, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
}

static void
test_store__grown_by_another_process__is_read_and_written_on(void **state)
{
    struct evc_store_partition partition;
    struct evc_store store;
    int go[2], status;
    MDB_txn *txn;
    char word;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(go), 0);
    child = fork();
    if (child == 0) {
        _exit(read(go[0], &word, 1) == 1 &&
                      evc_store_open(&store, path, 16 * MIB, EVC_DURABILITY_PROCESS, NULL) == 0
                  ? put_some(&store, 4000)
                  : 1);
    }
    open_store(&store, MIB);
    assert_int_equal(put_some(&store, 10), 0);
    assert_int_equal(write(go[1], "!", 1), 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(evc_store_begin(&store, EVC_STORE_READ, &txn), 0);
    assert_int_equal(evc_store_partition_get(&store, txn, 0, &partition), 0);
    evc_store_abort(&store, txn);
    assert_int_equal(partition.end_position, 4010);
    assert_int_equal(put_some(&store, 10), 0);
    evc_store_close(&store);
    close(go[0]);
    close(go[1]);
}

static void
test_store__map_full__is_grown_by_whoever_must_get_through(void **state)
{
    struct evc_store store;

    (void)state;
    open_store(&store, MIB);
    assert_int_equal(put_some(&store, 4000), MDB_MAP_FULL);
    assert_int_equal(put_some(&store, 1), MDB_MAP_FULL); /* and stays so */
    assert_int_equal(evc_store_grow(&store), 0);
    assert_int_equal(put_some(&store, 1000), 0);
    evc_store_close(&store);
}

/* --- after a boot --- */

/** The queue was last used before the machine was started anew. */
static void
forget_boot(void)
{
    char file[96];
    int fd;

    snprintf(file, sizeof(file), "%s/boot", path);
    fd = open(file, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0 && write(fd, "another", 7) == 7);
    close(fd);
}

/** Records of many sizes, partly consumed, so that there are free pages and long ones. */
static void
use_queue(unsigned count)
{
    static char text[40001];

    open_queue(4 * MIB, 1);
    open_consumer("oregon");
    for (unsigned i = 1; i <= count; i++) {
        size_t len = i * 2654435761U % 16 == 0 ? 40000 : i * 31 % 3000;

        memset(text, 'a' + (int)(i % 26), len);
        text[len] = '\0';
        assert_int_equal(append(0, text), EVC_OK);
        if (i % 7 == 0) {
            commit(0, i - 5);
        }
    }
    close_all();
}

static void
test_embedded__sound_after_a_boot__opens(void **state)
{
    (void)state;
    use_queue(700);
    for (unsigned i = 0; i < 2; i++) {
        forget_boot();
        open_queue(4 * MIB, 1);
        open_consumer("oregon");
        close_all();
    }
}

static void
test_embedded__torn_page_after_a_boot__is_refused_or_harmless(void **state)
{
    static const char garbage[4096] = {[0 ... 4095] = (char)0xA5};
    static const char zeros[4096];
    static char whole[4 * MIB];
    unsigned refused = 0, tried = 0;
    struct evc_error error;
    char file[96];
    ssize_t size;
    int fd;

    (void)state;
    use_queue(60);
    snprintf(file, sizeof(file), "%s/data.mdb", path);
    fd = open(file, O_RDWR);
    assert_true(fd >= 0);
    size = pread(fd, whole, sizeof(whole), 0);
    assert_true(size > 0);
    for (off_t at = 0; at < size; at += 4096, tried++) {
        int rc;

        assert_int_equal(pwrite(fd, whole, (size_t)size, 0), size);
        assert_int_equal(pwrite(fd, tried % 2 == 0 ? garbage : zeros, 4096, at), 4096);
        forget_boot();
        rc = open_status(4 * MIB, 1, &error);
        if (rc != EVC_OK) {
            assert_non_null(strstr(error.text, "move it away"));
            refused++;
        }
        close_all();
    }
    close(fd);
    assert_true(refused >= 3); /* one of the metas at least, the roots of the tables */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_embedded__writers_killed__the_living_go_on),
        CASE(test_embedded__group_that_comes_late__has_what_is_kept_and_no_more),
        CASE(test_embedded__group_no_longer_named__holds_nothing_back),
        CASE(test_embedded__no_groups__nothing_is_kept_for_anybody),
        CASE(test_store__grown_by_another_process__is_read_and_written_on),
        CASE(test_store__map_full__is_grown_by_whoever_must_get_through),
        CASE(test_embedded__sound_after_a_boot__opens),
        CASE(test_embedded__torn_page_after_a_boot__is_refused_or_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
