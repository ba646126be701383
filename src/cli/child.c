/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, listening to and asking one process. Its output comes through a pipe instead of going
 * to the log file directly, so that warnings can be shown and the log be bounded; nothing is lost
 * when the parent is killed, because then the child is killed as well.
 */
#include "cli/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/admin.h"
#include "http/dial.h"

enum {
    CHILD_BACKOFF_MIN_MS = 200,
    CHILD_BACKOFF_MAX_MS = 5000,
    CHILD_READS_PER_TURN_MAX = 16,
    CHILD_READ_BYTES = 4096,
    CHILD_EXIT_CANNOT_RUN = 127,
};

const char *
evc_child_kind_str(enum evc_child_kind kind)
{
    static const char *const names[] = {[EVC_CHILD_RELAY] = "relay",
                                        [EVC_CHILD_PROXY] = "proxy",
                                        [EVC_CHILD_NODE] = "node",
                                        [EVC_CHILD_BROKER] = "broker"};

    assert(kind < EVC_CHILD_KIND_MAX);
    return names[kind];
}

const char *
evc_child_state_str(enum evc_child_state state)
{
    static const char *const names[] = {[EVC_CHILD_PAUSED] = "paused",
                                        [EVC_CHILD_STARTING] = "starting",
                                        [EVC_CHILD_RUNNING] = "running",
                                        [EVC_CHILD_GONE] = "gone"};

    assert(state < EVC_CHILD_STATE_MAX);
    return names[state];
}

void
evc_child_set_state(struct evc_child *child, enum evc_child_state state)
{
    static const unsigned allowed[] = {
        [EVC_CHILD_PAUSED] = 1U << EVC_CHILD_STARTING | 1U << EVC_CHILD_GONE,
        [EVC_CHILD_STARTING] =
            1U << EVC_CHILD_RUNNING | 1U << EVC_CHILD_PAUSED | 1U << EVC_CHILD_GONE,
        [EVC_CHILD_RUNNING] = 1U << EVC_CHILD_PAUSED | 1U << EVC_CHILD_GONE,
        [EVC_CHILD_GONE] = 0,
    };

    assert(state < EVC_CHILD_STATE_MAX);
    assert((allowed[child->state] >> state & 1U) != 0);
    child->state = state;
}

void
evc_child_init(struct evc_child *child, enum evc_child_kind kind, char *name, char **argv,
               char *log_path)
{
    *child = (struct evc_child){.kind = kind,
                                .name = name,
                                .argv = argv,
                                .log_path = log_path,
                                .output_fd = -1,
                                .log_fd = -1};
    evc_backoff_init(&child->backoff, CHILD_BACKOFF_MIN_MS, CHILD_BACKOFF_MAX_MS,
                     evc_clock_mono_us() ^ (uintptr_t)child);
}

void
evc_child_finish(struct evc_child *child)
{
    assert(child->pid == 0);
    for (char **arg = child->argv; arg != NULL && *arg != NULL; arg++) {
        free(*arg);
    }
    free(child->argv);
    free(child->name);
    free(child->log_path);
    if (child->output_fd >= 0) {
        close(child->output_fd);
    }
    if (child->log_fd >= 0) {
        close(child->log_fd);
    }
}

/** In the new process: never returns. Only async-signal-safe calls, the parent has one thread
 * anyway. */
static _Noreturn void
become(const struct evc_child *child, int output_fd, pid_t parent)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(CHILD_EXIT_CANNOT_RUN); /* the parent died before the line above took effect */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(output_fd, STDOUT_FILENO);
    (void)dup2(output_fd, STDERR_FILENO);
    (void)execvp(child->argv[0], child->argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", child->argv[0], strerror(errno));
    _exit(CHILD_EXIT_CANNOT_RUN);
}

/** The first start begins a new log, later ones add to it. */
static int
log_open(struct evc_child *child, struct evc_error *error)
{
    if (child->log_fd >= 0) {
        return 0;
    }
    child->log_fd =
        open(child->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    child->log_bytes = 0;
    return child->log_fd >= 0 ? 0 : evc_error_sys(error, errno, "%s", child->log_path);
}

int
evc_child_start(struct evc_child *child, struct evc_error *error)
{
    int fds[2];
    pid_t parent = getpid();

    assert(child->pid == 0 && child->output_fd < 0);
    int status = log_open(child, error);
    if (status != 0) {
        return status;
    }
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return evc_error_sys(error, errno, "no pipe for %s", child->name);
    }
    pid_t pid = fork();
    if (pid < 0) {
        status = evc_error_sys(error, errno, "cannot start %s", child->name);
        close(fds[0]);
        close(fds[1]);
        return status;
    }
    if (pid == 0) {
        become(child, fds[1], parent);
    }
    close(fds[1]);
    (void)setpgid(pid, pid); /* also here: whichever of the two comes first */
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    child->pid = pid;
    child->output_fd = fds[0];
    child->line_len = 0;
    child->last_line[0] = '\0';
    child->started_us = evc_clock_mono_us();
    child->starts++;
    evc_child_set_state(child, EVC_CHILD_STARTING);
    return 0;
}

/** Adds to the log; a full one is put aside first, so that two of them are the most there ever are.
 */
static void
log_append(struct evc_child *child, const char *bytes, size_t len)
{
    if (child->log_fd >= 0 && child->log_bytes + len > EVC_CHILD_LOG_BYTES_MAX) {
        size_t path_bytes = strlen(child->log_path) + 3;
        char *aside = malloc(path_bytes);
        if (aside != NULL) {
            snprintf(aside, path_bytes, "%s.1", child->log_path);
            (void)rename(child->log_path, aside);
            free(aside);
        }
        close(child->log_fd);
        child->log_fd = -1;
        (void)log_open(child, NULL);
    }
    if (child->log_fd >= 0) {
        ssize_t written =
            write(child->log_fd, bytes, len); /* a full disk must not stop the cache */
        child->log_bytes += written > 0 ? (size_t)written : 0;
    }
}

/** Lines of our own logs that are no warnings stay in the log; whatever else is said is shown. */
static bool
line_is_worth_showing(const char *line)
{
    return line[0] != '\0' && strstr(line, " level=info ") == NULL &&
           strstr(line, " level=debug ") == NULL;
}

static void
end_line(struct evc_child *child, evc_child_line_fn on_line, void *ctx)
{
    uint64_t now_us = evc_clock_mono_us();

    child->line[child->line_len] = '\0';
    child->line_len = 0;
    if (!line_is_worth_showing(child->line)) {
        return;
    }
    memcpy(child->last_line, child->line, sizeof(child->last_line));
    if (now_us - child->shown_since_us >= 1000000) {
        child->shown_since_us = now_us;
        child->shown = 0;
    }
    if (child->shown < EVC_CHILD_SHOWN_PER_S_MAX) {
        child->shown++;
        on_line(ctx, child, child->line);
    }
}

void
evc_child_read(struct evc_child *child, evc_child_line_fn on_line, void *ctx)
{
    char bytes[CHILD_READ_BYTES];

    for (unsigned turn = 0; turn < CHILD_READS_PER_TURN_MAX && child->output_fd >= 0; turn++) {
        ssize_t len = read(child->output_fd, bytes, sizeof(bytes));
        if (len < 0) {
            return;
        }
        if (len == 0) {
            close(child->output_fd);
            child->output_fd = -1;
            return;
        }
        log_append(child, bytes, (size_t)len);
        for (ssize_t i = 0; i < len; i++) {
            if (bytes[i] == '\n') {
                end_line(child, on_line, ctx);
            } else if (child->line_len + 1 < sizeof(child->line)) {
                child->line[child->line_len++] = bytes[i];
            }
        }
    }
}

static bool
answers_version(const struct evc_child *child, unsigned timeout_ms)
{
    static const char expected[] = "VERSION ";
    struct evc_dial dial;
    struct evc_buf input;
    int status = evc_dial_open(&dial, child->address, timeout_ms, NULL);

    if (status != 0) {
        return false;
    }
    evc_buf_init(&input, 256);
    status = evc_dial_send(&dial, EVC_SLICE("version\r\n"), NULL);
    while (status == 0 && evc_buf_len(&input) < sizeof(expected) - 1) {
        status = evc_dial_receive(&dial, &input, NULL);
    }
    bool is_answer =
        status == 0 && memcmp(evc_buf_slice(&input).ptr, expected, sizeof(expected) - 1) == 0;
    evc_buf_finish(&input);
    evc_dial_close(&dial);
    return is_answer;
}

static bool
answers_ready(const struct evc_child *child, unsigned timeout_ms)
{
    json_t *body = NULL;
    int status = evc_admin_get(child->address, "/readyz", timeout_ms, &body, NULL);

    json_decref(body);
    return status == 0;
}

/** A broker listens only when it is ready to serve. */
static bool
takes_connections(const struct evc_child *child, unsigned timeout_ms)
{
    struct evc_dial dial;

    if (evc_dial_open(&dial, child->address, timeout_ms, NULL) != 0) {
        return false;
    }
    evc_dial_close(&dial);
    return true;
}

bool
evc_child_answers(const struct evc_child *child, unsigned timeout_ms)
{
    bool (*const ask[])(const struct evc_child *, unsigned) = {
        [EVC_CHILD_RELAY] = answers_ready,
        [EVC_CHILD_PROXY] = answers_ready,
        [EVC_CHILD_NODE] = answers_version,
        [EVC_CHILD_BROKER] = takes_connections,
    };

    return ask[child->kind](child, timeout_ms);
}

void
evc_child_reaped(struct evc_child *child, evc_child_line_fn on_line, void *ctx)
{
    assert(child->pid != 0);
    child->pid = 0;
    evc_child_read(child, on_line, ctx);
    if (child->line_len > 0) {
        end_line(child, on_line, ctx);
    }
    if (child->output_fd >= 0) {
        close(child->output_fd);
        child->output_fd = -1;
    }
}
