/* SPDX-License-Identifier: Apache-2.0 */
/* See node_process.h. */
#include "node_process.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    START_MS_MAX = 5000,
};

static bool
is_new_enough(const char *binary)
{
    char command[512];
    unsigned major = 0, minor = 0, patch = 0;
    FILE *pipe;
    bool is_read;

    snprintf(command, sizeof(command), "'%s' -V 2>/dev/null", binary);
    pipe = popen(command, "r");
    if (pipe == NULL) {
        return false;
    }
    is_read = fscanf(pipe, "memcached %u.%u.%u", &major, &minor, &patch) == 3;
    pclose(pipe);
    return is_read && (major > 1 || (major == 1 && (minor > 6 || (minor == 6 && patch >= 27))));
}

const char *
node_process_binary(void)
{
    const char *candidates[] = {getenv("EVCACHE_MEMCACHED"), EVC_TEST_MEMCACHED, "memcached"};

    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (candidates[i] != NULL && is_new_enough(candidates[i])) {
            return candidates[i];
        }
    }
    return NULL;
}

static struct sockaddr_in
loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

uint16_t
free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool
takes_connections(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_open = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return is_open;
}

static void
spawn(struct node_process *process, const char *option)
{
    const char *binary = node_process_binary();
    char port[8];

    assert_non_null(binary);
    snprintf(port, sizeof(port), "%u", process->port);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves nothing */
        execlp(binary, binary, "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "1", "-m", "64",
               "-R", "1000", "-u", "root", option, (char *)NULL);
        _exit(127);
    }
    for (unsigned ms = 0; ms < START_MS_MAX && !takes_connections(process->port); ms += 5) {
        usleep(5000);
    }
    assert_true(takes_connections(process->port));
}

void
node_process_start(struct node_process *process, const char *option)
{
    process->port = free_port();
    spawn(process, option);
}

void
node_process_restart(struct node_process *process)
{
    assert_int_equal(process->pid, 0);
    spawn(process, NULL);
}

void
node_process_kill(struct node_process *process)
{
    if (process->pid > 0) {
        kill(process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
        process->pid = 0;
    }
}

void
node_process_freeze(struct node_process *process)
{
    int status = 0;

    kill(process->pid, SIGSTOP);
    assert_int_equal(waitpid(process->pid, &status, WUNTRACED), process->pid);
    assert_true(WIFSTOPPED(status));
}

void
node_process_thaw(struct node_process *process)
{
    kill(process->pid, SIGCONT);
}
