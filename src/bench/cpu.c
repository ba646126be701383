/* SPDX-License-Identifier: Apache-2.0 */
/* See cpu.h. Threads that have ended meanwhile are missing from schedstat; benchmarked servers keep
 * theirs. */
#include "bench/cpu.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** The nanoseconds one thread has run; false when the kernel does not say. */
static bool
read_schedstat(pid_t pid, const char *thread, uint64_t *ret_ns)
{
    char path[320];
    unsigned long long ns;
    FILE *file;
    int count;

    snprintf(path, sizeof(path), "/proc/%ld/task/%s/schedstat", (long)pid, thread);
    file = fopen(path, "re");
    if (!file) {
        return false;
    }
    count = fscanf(file, "%llu", &ns);
    fclose(file);
    *ret_ns = ns;
    return count == 1;
}

/** User and system time of the whole process in clock ticks. */
static bool
read_stat(pid_t pid, uint64_t *ret_us)
{
    char path[64], text[1024];
    unsigned long long user, system;
    const char *rest;
    size_t len;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    file = fopen(path, "re");
    if (!file) {
        return false;
    }
    len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    rest = strrchr(text, ')'); /* the name may hold anything, blanks too */
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                        &system) != 2) {
        return false;
    }
    *ret_us = (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return true;
}

int
evc_cpu_of(pid_t pid, uint64_t *ret_us, struct evc_error *error)
{
    char path[64];
    struct dirent *entry;
    uint64_t sum_ns = 0;
    bool has_all = true;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    directory = opendir(path);
    if (!directory) {
        return evc_error_set(error, EVC_E_NOT_FOUND, "there is no process %ld", (long)pid);
    }
    while ((entry = readdir(directory))) {
        uint64_t ns = 0;

        if (entry->d_name[0] != '.') {
            has_all = has_all && read_schedstat(pid, entry->d_name, &ns);
            sum_ns += ns;
        }
    }
    closedir(directory);
    *ret_us = sum_ns / 1000;
    if (!has_all && !read_stat(pid, ret_us)) {
        return evc_error_set(error, EVC_E_NOT_FOUND, "the CPU time of process %ld cannot be read",
                             (long)pid);
    }
    return EVC_OK;
}

const char *
evc_cpu_name(pid_t pid, char *text, size_t bytes)
{
    char path[64];
    FILE *file;

    snprintf(text, bytes, "?");
    snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
    file = fopen(path, "re");
    if (file) {
        if (fgets(text, (int)bytes, file)) {
            text[strcspn(text, "\n")] = '\0';
        }
        fclose(file);
    }
    return text;
}
