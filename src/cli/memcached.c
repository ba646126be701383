/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memcached that somebody named is the one: when it does not do, that is an error and not a
 * reason to look further. Only the places nobody named are tried one after the other.
 */
#include "cli/memcached.h"

#include <assert.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"

enum {
    VERSION_OUTPUT_BYTES_MAX = 256
};

extern char **environ;

/** Runs `path -V` and keeps the start of what it prints. The exit status, or -1. */
static int
run_version(const char *path, char *output, size_t output_bytes)
{
    int fds[2];
    pid_t pid;
    char flag[] = "-V";
    char *argv[] = {strdup(path), flag, NULL};
    posix_spawn_file_actions_t actions;

    if (argv[0] == NULL || pipe(fds) != 0) {
        free(argv[0]);
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    int status = posix_spawnp(&pid, path, &actions, NULL, argv, environ) == 0 ? 0 : -1;
    posix_spawn_file_actions_destroy(&actions);
    free(argv[0]);
    close(fds[1]);
    size_t len = 0;
    while (status == 0 && len + 1 < output_bytes) {
        ssize_t count = read(fds[0], output + len, output_bytes - 1 - len);
        if (count <= 0) {
            break;
        }
        len += (size_t)count;
    }
    output[len] = '\0';
    close(fds[0]);
    if (status == 0 && (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))) {
        return -1;
    }
    return status;
}

static bool
is_new_enough(const char *version)
{
    static const unsigned need[] = {EVC_NODE_VERSION_MAJOR_MIN, EVC_NODE_VERSION_MINOR_MIN,
                                    EVC_NODE_VERSION_PATCH_MIN};
    unsigned have[3] = {0};

    if (sscanf(version, "%u.%u.%u", &have[0], &have[1], &have[2]) != 3) {
        return false;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (have[i] != need[i]) {
            return have[i] > need[i];
        }
    }
    return true;
}

/** Looks at one candidate. 0, EVC_E_NOT_FOUND or EVC_E_CONFIG; who named it is in origin. */
static int
examine(const char *path, const char *origin, struct evc_memcached *ret, struct evc_error *error)
{
    char output[VERSION_OUTPUT_BYTES_MAX] = "";
    struct evc_memcached found = {0};

    if (strlen(path) >= sizeof(found.path) || run_version(path, output, sizeof(output)) != 0 ||
        sscanf(output, "memcached %31s", found.version) != 1) {
        return evc_error_set(error, EVC_E_NOT_FOUND, "%s (%s) does not run as a memcached", path,
                             origin);
    }
    if (!is_new_enough(found.version)) {
        return evc_error_set(error, EVC_E_CONFIG,
                             "%s (%s) is memcached %s; %d.%d.%d or newer is needed, and "
                             "tools/memcached.sh puts one under build/",
                             path, origin, found.version, EVC_NODE_VERSION_MAJOR_MIN,
                             EVC_NODE_VERSION_MINOR_MIN, EVC_NODE_VERSION_PATCH_MIN);
    }
    snprintf(found.path, sizeof(found.path), "%s", path);
    *ret = found;
    return 0;
}

/** Where the set-up puts its memcached, seen from build/<dir>/src/cli/evcache. */
static bool
path_in_build(char path[PATH_MAX])
{
    char self[PATH_MAX - 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0) {
        return false;
    }
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    assert(slash != NULL);
    *slash = '\0';
    char relative[PATH_MAX];
    snprintf(relative, sizeof(relative), "%s/../../../memcached/memcached", self);
    return realpath(relative, path) != NULL;
}

int
evc_memcached_find(const char *given, const struct evc_config *config, struct evc_memcached *ret,
                   struct evc_error *error)
{
    const char *environment = getenv("EVCACHE_MEMCACHED");
    char built[PATH_MAX];

    if (given != NULL) {
        return examine(given, "--memcached", ret, error);
    }
    if (config->node.command != NULL && config->node.command[0] != '\0') {
        return examine(config->node.command, "node.command in the configuration", ret, error);
    }
    if (environment != NULL && environment[0] != '\0') {
        return examine(environment, "EVCACHE_MEMCACHED", ret, error);
    }
    if (path_in_build(built) && examine(built, "of this build", ret, NULL) == 0) {
        return 0;
    }
    int status = examine("memcached", "found in PATH", ret, error);
    if (status == EVC_E_NOT_FOUND) {
        return evc_error_set(error, EVC_E_NOT_FOUND,
                             "no memcached found; run tools/memcached.sh, or name one with "
                             "--memcached PATH or `node: {command: PATH}`");
    }
    return status;
}
