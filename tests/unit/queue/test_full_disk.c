/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue and journal on a disk that is full, or nearly: an error that says so, never a signal, and
 * nothing left behind that is in the way once there is room. The disk is a small one in memory that
 * only this process sees; who may not mount one skips these tests.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "queue/journal.h"
#include "queue/queue.h"
#include "scratch.h"

enum {
    DISK_BYTES = 1024 * 1024,
    PAGE_BYTES = 4096,
    PAGES_MAX = 64, /* more than an empty queue takes */
};

static const char *const groups[] = {"oregon"};
static char path[64], filler[96];
static bool has_disk;

static int
setup(void **state)
{
    char options[32];

    (void)state;
    if (scratch_make(path) != 0) {
        return -1;
    }
    snprintf(options, sizeof(options), "size=%d", DISK_BYTES);
    snprintf(filler, sizeof(filler), "%s/filler", path);
    has_disk = unshare(CLONE_NEWNS) == 0 &&
               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("disk", path, "tmpfs", 0, options) == 0;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    if (has_disk) {
        (void)umount2(path, MNT_DETACH);
    }
    scratch_remove(path);
    return 0;
}

/** Fills the disk but for some pages. */
static void
fill_disk(unsigned pages)
{
    char page[PAGE_BYTES] = {0};
    int fd = open(filler, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t bytes = 0;

    assert_true(fd >= 0);
    while (write(fd, page, sizeof(page)) == (ssize_t)sizeof(page)) {
        bytes += PAGE_BYTES;
    }
    assert_true(bytes > (off_t)pages * PAGE_BYTES);
    assert_int_equal(ftruncate(fd, bytes - (off_t)pages * PAGE_BYTES), 0);
    close(fd);
}

static void
free_disk(void)
{
    assert_int_equal(unlink(filler), 0);
}

static int
open_and_close_queue(const char *directory, struct evc_error *error)
{
    struct evc_queue *queue = NULL;
    int rc = evc_queue_embedded_open(&(struct evc_queue_options){.path = directory,
                                                                 .partition_count = 2,
                                                                 .bytes_max = DISK_BYTES,
                                                                 .groups = groups,
                                                                 .group_count = 1},
                                     &queue, error);

    if (rc == EVC_OK) {
        evc_queue_close(queue);
    }
    return rc;
}

static void
assert_says_what_to_do(int rc, const struct evc_error *error, const char *what)
{
    assert_int_equal(rc, EVC_E_SYS);
    if (!strstr(error->text, what) || !strstr(error->text, "free some") ||
        !strstr(error->text, "No space left")) {
        fail_msg("%s", error->text);
    }
}

static void
test_full_disk__queue_opened__is_an_error_until_there_is_room(void **state)
{
    char directory[96];
    unsigned refused = 0;

    (void)state;
    if (!has_disk) {
        skip();
    }
    for (unsigned pages = 0; pages < PAGES_MAX; pages++) {
        struct evc_error error;
        int rc;

        snprintf(directory, sizeof(directory), "%s/queue-%u", path, pages);
        fill_disk(pages);
        rc = open_and_close_queue(directory, &error);
        if (rc != EVC_OK) {
            assert_says_what_to_do(rc, &error, path);
            refused++;
        }
        free_disk();
        if (open_and_close_queue(directory, &error) != EVC_OK) {
            fail_msg("with %u pages: %s", pages, error.text);
        }
        scratch_remove(directory);
    }
    assert_in_range(refused, 1, PAGES_MAX - 1);
}

/** Makes a file one with holes: as long as it was, and nothing on the disk. */
static void
make_holes(const char *file)
{
    struct stat stat;
    int fd = open(file, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat), 0);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE_BYTES * 2,
                               stat.st_size - (off_t)(PAGE_BYTES * 2)),
                     0);
    close(fd);
}

static void
test_full_disk__lock_file_with_holes__is_an_error_until_there_is_room(void **state)
{
    char directory[96], file[128];
    struct evc_error error;

    (void)state;
    if (!has_disk) {
        skip();
    }
    snprintf(directory, sizeof(directory), "%s/queue", path);
    snprintf(file, sizeof(file), "%s/lock.mdb", directory);
    assert_int_equal(open_and_close_queue(directory, &error), EVC_OK);
    make_holes(file);
    fill_disk(1);
    assert_says_what_to_do(open_and_close_queue(directory, &error), &error, "lock.mdb");
    free_disk();
    assert_int_equal(open_and_close_queue(directory, &error), EVC_OK);
}

static int
open_and_close_journal(struct evc_error *error)
{
    struct evc_journal *journal = NULL;
    uint64_t replayed;
    int rc = evc_journal_open(path, 7, EVC_JOURNAL_BYTES_MIN, &journal, &replayed, error);

    if (rc == EVC_OK) {
        evc_journal_close(journal);
    }
    return rc;
}

static void
test_full_disk__journal_opened__is_an_error_until_there_is_room(void **state)
{
    struct evc_error error;
    char file[128];

    (void)state;
    if (!has_disk) {
        skip();
    }
    snprintf(file, sizeof(file), "%s/slot-0007.journal", path);
    for (unsigned round = 0; round < 2; round++) { /* a new one; then one with holes */
        fill_disk(round == 0 ? EVC_JOURNAL_BYTES_MIN / PAGE_BYTES : 1);
        assert_says_what_to_do(open_and_close_journal(&error), &error, "slot-0007.journal");
        free_disk();
        assert_int_equal(open_and_close_journal(&error), EVC_OK);
        make_holes(file);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_full_disk__queue_opened__is_an_error_until_there_is_room),
        CASE(test_full_disk__lock_file_with_holes__is_an_error_until_there_is_room),
        CASE(test_full_disk__journal_opened__is_an_error_until_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
