/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives a fuzz target without libFuzzer: replays every file of a corpus directory, then mutations
 * of them (bytes flipped, cut, doubled, spliced with another file) for as many seconds as said.
 * Always the same sequence of mutations; on a crash, the input is in the file named by
 * FUZZ_CRASH_FILE.
 *
 *     fuzz_request_replay <corpus directory> <seconds>
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#include "base/clock.h"

enum {
    FILES_MAX = 1024,
    EDITS_MAX = 8,
    SECONDS_MAX = 3600,
};

static struct {
    uint8_t *bytes;
    size_t len;
} files[FILES_MAX];

static size_t file_count;
static uint64_t random_state = 88172645463325252U;

static size_t
random_below(size_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % bound);
}

static int
read_file(const char *directory, const char *name)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    files[file_count].bytes = malloc(FUZZ_INPUT_BYTES_MAX);
    assert(files[file_count].bytes != NULL);
    files[file_count].len = fread(files[file_count].bytes, 1, FUZZ_INPUT_BYTES_MAX, file);
    file_count++;
    fclose(file);
    return 0;
}

static int
read_corpus(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;

    if (dir == NULL) {
        perror(directory);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL && file_count < FILES_MAX) {
        if (entry->d_name[0] != '.' && read_file(directory, entry->d_name) != 0) {
            closedir(dir);
            return -1;
        }
    }
    closedir(dir);
    return file_count > 0 ? 0 : -1;
}

/* One small change; returns the new length. */
static size_t
edit(uint8_t *bytes, size_t len)
{
    static const char spice[] = " \r\n\0:-+=0123456789abkOTFECMqvPHDVASNX\xff";
    size_t at = random_below(len + 1);
    size_t room = FUZZ_INPUT_BYTES_MAX - len;
    size_t count = 1 + random_below(16);

    switch (random_below(6)) {
    case 0: /* flip a bit */
        if (at < len) {
            bytes[at] ^= (uint8_t)(1U << random_below(8));
        }
        return len;
    case 1: /* a byte that means something */
        if (at < len) {
            bytes[at] = (uint8_t)spice[random_below(sizeof(spice) - 1)];
        }
        return len;
    case 2: /* cut off the end */
        return at;
    case 3: /* take some out */
        count = count < len - at ? count : len - at;
        memmove(bytes + at, bytes + at + count, len - at - count);
        return len - count;
    case 4: /* double some */
        count = count < len - at ? count : len - at;
        count = count < room ? count : room;
        memmove(bytes + at + count, bytes + at, len - at);
        return len + count;
    default: { /* go on with another file */
        size_t other = random_below(file_count);
        count = files[other].len < FUZZ_INPUT_BYTES_MAX - at ? files[other].len
                                                             : FUZZ_INPUT_BYTES_MAX - at;
        memcpy(bytes + at, files[other].bytes, count);
        return at + count;
    }
    }
}

/* The input goes to a shared mapping first, where it stays should the target crash. */
static void
run(uint8_t *shared, const uint8_t *bytes, size_t len)
{
    uint64_t header = len;

    if (shared != NULL) {
        memcpy(shared, &header, sizeof(header));
        memcpy(shared + sizeof(header), bytes, len);
    }
    LLVMFuzzerTestOneInput(bytes, len);
}

static uint8_t *
open_crash_file(void)
{
    const char *path = getenv("FUZZ_CRASH_FILE");
    size_t size = FUZZ_INPUT_BYTES_MAX + sizeof(uint64_t);
    void *memory;
    int fd;

    if (path == NULL) {
        return NULL;
    }
    fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
        perror(path);
        exit(1);
    }
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

int
main(int argc, char **argv)
{
    long seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    uint8_t *shared = open_crash_file();
    uint64_t end_us;
    unsigned long runs = 0;

    if (argc < 2 || seconds < 0 || seconds > SECONDS_MAX || read_corpus(argv[1]) != 0) {
        fprintf(stderr, "usage: %s <corpus directory with files> [seconds]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < file_count; i++, runs++) {
        run(shared, files[i].bytes, files[i].len);
    }
    end_us = evc_clock_mono_us() + (uint64_t)seconds * 1000000;
    while (evc_clock_mono_us() < end_us) {
        static uint8_t bytes[FUZZ_INPUT_BYTES_MAX];
        size_t from = random_below(file_count);
        size_t len = files[from].len;
        memcpy(bytes, files[from].bytes, len);
        for (size_t edits = 1 + random_below(EDITS_MAX); edits > 0; edits--) {
            len = edit(bytes, len);
        }
        run(shared, bytes, len);
        runs++;
    }
    printf("%lu inputs\n", runs);
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].bytes);
    }
    return 0;
}
