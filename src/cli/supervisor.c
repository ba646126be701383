/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop. Each turn: wait, take signals, take output, then do what is due by time. The kernel
 * kills the children when this process is killed (child.c), so there is nothing to clean up from
 * outside.
 */
#include "cli/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/pids.h"
#include "cli/terminal.h"

enum {
    PROBE_INTERVAL_MS = 50,
    PROBE_TIMEOUT_MS = 250,
    HEALTHY_AFTER_MS =
        10000, /* a process that lived so long starts again with the shortest delay */
    IDLE_WAIT_MS = 1000,
};

/** Until when each kind may take to end before the next is asked; after the first signal. */
static const unsigned stop_until_ms[EVC_CHILD_KIND_MAX] = {
    [EVC_CHILD_RELAY] = 1000,
    [EVC_CHILD_PROXY] = 3300,
    [EVC_CHILD_NODE] = 3500,
    [EVC_CHILD_BROKER] = EVC_SUPERVISOR_KILL_MS,
};

/** Clears the progress line, if one stands there. */
static void
progress_clear(struct evc_supervisor *supervisor)
{
    if (supervisor->is_tty && supervisor->progress_shown > 0) {
        fputs("\r\033[K", stdout);
    }
    supervisor->progress_shown = 0;
}

/** `12:34:56 virginia/relay/0: …` in a style. */
static void
say(struct evc_supervisor *supervisor, enum evc_style style, const char *name, const char *text)
{
    char clock[16];
    struct tm local;
    time_t now = time(NULL);

    progress_clear(supervisor);
    localtime_r(&now, &local);
    strftime(clock, sizeof(clock), "%H:%M:%S", &local);
    printf("%s%s%s  %s%s%s  %s\n", evc_terminal_style(stdout, EVC_STYLE_DIM), clock,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), evc_terminal_style(stdout, style), name,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), text);
    fflush(stdout);
}

static void
on_line(void *ctx, const struct evc_child *child, const char *text)
{
    const char *level = strstr(text, " level=error ");

    /* Nodes report nothing while they stop that anybody needs to know. */
    if (((struct evc_supervisor *)ctx)->phase != EVC_SUPERVISOR_STOPPING) {
        const char *after_time = strstr(text, " level=");
        say(ctx, level != NULL ? EVC_STYLE_BAD : EVC_STYLE_WARN, child->name,
            after_time != NULL ? after_time + 1 : text);
    }
}

static void
pids_update(struct evc_supervisor *supervisor)
{
    if (supervisor->pids_path != NULL) {
        struct evc_error error;
        if (evc_pids_write(supervisor->pids_path, supervisor->children, supervisor->child_count,
                           &error) != 0) {
            say(supervisor, EVC_STYLE_WARN, "pids", error.text);
        }
    }
}

static void
set_phase(struct evc_supervisor *supervisor, enum evc_supervisor_phase phase)
{
    assert(phase > supervisor->phase || phase == EVC_SUPERVISOR_NODES);
    supervisor->phase = phase;
    supervisor->phase_since_us = evc_clock_mono_us();
}

static void
signal_child(const struct evc_child *child, int number)
{
    if (child->pid != 0) {
        (void)kill(child->pid, number);
    }
}

/** Asks the children of a kind to end; one that was frozen must run to hear it. */
static void
ask_to_stop(struct evc_supervisor *supervisor, unsigned kind)
{
    for (size_t i = 0; i < supervisor->child_count; i++) {
        struct evc_child *child = &supervisor->children[i];
        if ((unsigned)child->kind == kind) {
            child->is_asked_to_stop = true;
            signal_child(child, SIGTERM);
            signal_child(child, SIGCONT);
        }
    }
}

static void
kill_all(struct evc_supervisor *supervisor)
{
    supervisor->is_killing = true;
    for (size_t i = 0; i < supervisor->child_count; i++) {
        signal_child(&supervisor->children[i], SIGKILL);
    }
}

static void
stop_begin(struct evc_supervisor *supervisor)
{
    if (supervisor->phase == EVC_SUPERVISOR_STOPPING) {
        kill_all(supervisor); /* asked twice: now */
        return;
    }
    progress_clear(supervisor);
    set_phase(supervisor, EVC_SUPERVISOR_STOPPING);
    for (size_t i = 0; i < supervisor->child_count; i++) {
        if (supervisor->children[i].state == EVC_CHILD_PAUSED) {
            evc_child_set_state(&supervisor->children[i], EVC_CHILD_GONE);
        }
    }
    supervisor->stop_kind = 0;
    ask_to_stop(supervisor, 0);
}

/** What became of a process, in words. */
static void
describe_death(const struct evc_child *child, int status, char *text, size_t text_bytes)
{
    if (WIFSIGNALED(status)) {
        snprintf(text, text_bytes, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(text, text_bytes, "ended with status %d%s%.200s", WEXITSTATUS(status),
                 child->last_line[0] != '\0' ? ": " : "", child->last_line);
    }
}

/** A death nobody asked for. While starting, a process that gives up itself ends the start. */
static int
on_death(struct evc_supervisor *supervisor, struct evc_child *child, int status,
         struct evc_error *error)
{
    char death[320], text[400];
    uint64_t now_us = evc_clock_mono_us();

    describe_death(child, status, death, sizeof(death));
    if (supervisor->phase < EVC_SUPERVISOR_RUNNING && WIFEXITED(status)) {
        supervisor->has_failed = true;
        return evc_error_set(error, EVC_E_SYS, "%s %s (log: %s)", child->name, death,
                             child->log_path);
    }
    if (now_us - child->started_us >= HEALTHY_AFTER_MS * UINT64_C(1000)) {
        evc_backoff_reset(&child->backoff);
    }
    uint32_t delay_ms = evc_backoff_next_ms(&child->backoff);
    child->start_at_us = now_us + delay_ms * UINT64_C(1000);
    evc_child_set_state(child, EVC_CHILD_PAUSED);
    snprintf(text, sizeof(text), "%s; starts again in %u.%u s", death, delay_ms / 1000,
             delay_ms % 1000 / 100);
    say(supervisor, EVC_STYLE_BAD, child->name, text);
    return 0;
}

static int
reap(struct evc_supervisor *supervisor, struct evc_error *error)
{
    int result = 0;
    bool any = false;

    for (size_t i = 0; i < supervisor->child_count; i++) {
        struct evc_child *child = &supervisor->children[i];
        int status;
        if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) != child->pid) {
            continue;
        }
        any = true;
        evc_child_reaped(child, on_line, supervisor);
        if (supervisor->phase == EVC_SUPERVISOR_STOPPING || supervisor->has_failed) {
            evc_child_set_state(child, EVC_CHILD_GONE);
            continue;
        }
        result = on_death(supervisor, child, status, error);
        if (result != 0) {
            evc_child_set_state(child, EVC_CHILD_GONE);
        }
    }
    if (any && supervisor->phase != EVC_SUPERVISOR_STOPPING && result == 0) {
        pids_update(supervisor);
    }
    return result;
}

static int
take_signals(struct evc_supervisor *supervisor, struct evc_error *error)
{
    struct signalfd_siginfo info;
    int result = 0;

    while (read(supervisor->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD) {
            stop_begin(supervisor);
        } else if (result == 0) {
            result = reap(supervisor, error);
        }
    }
    return result;
}

/** Whether the others need it to start. */
static bool
is_first(const struct evc_child *child)
{
    return child->kind == EVC_CHILD_NODE || child->kind == EVC_CHILD_BROKER;
}

/** Whether a process runs in this phase. */
static bool
is_due(const struct evc_supervisor *supervisor, const struct evc_child *child)
{
    return is_first(child) || supervisor->phase != EVC_SUPERVISOR_NODES;
}

static int
start_due(struct evc_supervisor *supervisor, struct evc_error *error)
{
    uint64_t now_us = evc_clock_mono_us();
    bool any = false;

    for (size_t i = 0; i < supervisor->child_count; i++) {
        struct evc_child *child = &supervisor->children[i];
        if (child->state != EVC_CHILD_PAUSED || !is_due(supervisor, child) ||
            now_us < child->start_at_us) {
            continue;
        }
        int status = evc_child_start(child, error);
        if (status != 0 && supervisor->phase != EVC_SUPERVISOR_RUNNING) {
            return status;
        }
        if (status != 0) { /* no memory or processes just now: this is no reason to stop the rest */
            say(supervisor, EVC_STYLE_BAD, child->name, error->text);
            child->start_at_us = now_us + evc_backoff_next_ms(&child->backoff) * UINT64_C(1000);
            continue;
        }
        any = true;
    }
    if (any) {
        pids_update(supervisor);
    }
    return 0;
}

/** Asks those that do not answer yet. One silent one ends the round: each may take
 * PROBE_TIMEOUT_MS. */
static void
probe(struct evc_supervisor *supervisor)
{
    char text[64];

    for (size_t i = 0; i < supervisor->child_count; i++) {
        struct evc_child *child = &supervisor->children[i];
        if (child->state != EVC_CHILD_STARTING) {
            continue;
        }
        uint64_t begin_us = evc_clock_mono_us();
        if (evc_child_answers(child, PROBE_TIMEOUT_MS)) {
            evc_child_set_state(child, EVC_CHILD_RUNNING);
            if (child->starts > 1) {
                snprintf(text, sizeof(text), "is back, pid %ld", (long)child->pid);
                say(supervisor, EVC_STYLE_GOOD, child->name, text);
            }
        } else if (evc_clock_mono_us() - begin_us > PROBE_TIMEOUT_MS * UINT64_C(1000) / 2) {
            break;
        }
    }
    supervisor->probe_at_us = evc_clock_mono_us() + PROBE_INTERVAL_MS * UINT64_C(1000);
}

static size_t
count_running(const struct evc_supervisor *supervisor, bool first_only, size_t *ret_of)
{
    size_t running = 0, of = 0;

    for (size_t i = 0; i < supervisor->child_count; i++) {
        const struct evc_child *child = &supervisor->children[i];
        if (!first_only || is_first(child)) {
            of++;
            running += child->state == EVC_CHILD_RUNNING;
        }
    }
    *ret_of = of;
    return running;
}

/** On a terminal a line that counts up; elsewhere nothing until all answer. */
static void
show_progress(struct evc_supervisor *supervisor)
{
    size_t of, running = count_running(supervisor, false, &of);

    if (supervisor->is_tty && supervisor->progress_shown != running + 1) {
        printf("\r\033[Kstarting: %zu of %zu processes answer", running, of);
        fflush(stdout);
        supervisor->progress_shown = running + 1;
    }
}

/** Who does not answer, for the message when the start takes too long. */
static int
error_start_timeout(const struct evc_supervisor *supervisor, struct evc_error *error)
{
    for (size_t i = 0; i < supervisor->child_count; i++) {
        const struct evc_child *child = &supervisor->children[i];
        if (child->state != EVC_CHILD_RUNNING && is_due(supervisor, child)) {
            return evc_error_set(error, EVC_E_TIMEOUT, "%s (%s) is not ready after %d s (log: %s)",
                                 child->name, child->address->text,
                                 EVC_SUPERVISOR_START_TIMEOUT_MS / 1000, child->log_path);
        }
    }
    return 0;
}

/** The phases up to RUNNING. */
static int
advance_start(struct evc_supervisor *supervisor, struct evc_error *error)
{
    size_t of, running = count_running(supervisor, supervisor->phase == EVC_SUPERVISOR_NODES, &of);

    show_progress(supervisor);
    if (running == of) {
        set_phase(supervisor, supervisor->phase + 1);
        if (supervisor->phase == EVC_SUPERVISOR_RUNNING) {
            progress_clear(supervisor);
            supervisor->on_running(supervisor->ctx);
            fflush(stdout);
        }
        return 0;
    }
    if (evc_clock_mono_us() - supervisor->phase_since_us >
        EVC_SUPERVISOR_START_TIMEOUT_MS * UINT64_C(1000)) {
        return error_start_timeout(supervisor, error);
    }
    return 0;
}

static bool
is_kind_left(const struct evc_supervisor *supervisor, unsigned kind)
{
    for (size_t i = 0; i < supervisor->child_count; i++) {
        if ((unsigned)supervisor->children[i].kind == kind && supervisor->children[i].pid != 0) {
            return true;
        }
    }
    return false;
}

static void
advance_stop(struct evc_supervisor *supervisor)
{
    uint64_t elapsed_ms = (evc_clock_mono_us() - supervisor->phase_since_us) / 1000;

    while (supervisor->stop_kind < EVC_CHILD_KIND_MAX &&
           (!is_kind_left(supervisor, supervisor->stop_kind) ||
            elapsed_ms >= stop_until_ms[supervisor->stop_kind])) {
        supervisor->stop_kind++;
        ask_to_stop(supervisor, supervisor->stop_kind);
    }
    if (elapsed_ms >= EVC_SUPERVISOR_KILL_MS && !supervisor->is_killing) {
        kill_all(supervisor);
    }
}

static bool
is_anything_left(const struct evc_supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->child_count; i++) {
        if (supervisor->children[i].pid != 0) {
            return true;
        }
    }
    return false;
}

/** Milliseconds until something is due by time. */
static int
wait_ms(const struct evc_supervisor *supervisor)
{
    uint64_t now_us = evc_clock_mono_us(), due_us = now_us + IDLE_WAIT_MS * UINT64_C(1000);

    if (supervisor->phase == EVC_SUPERVISOR_STOPPING) {
        return PROBE_INTERVAL_MS;
    }
    for (size_t i = 0; i < supervisor->child_count; i++) {
        const struct evc_child *child = &supervisor->children[i];
        uint64_t at_us = due_us;
        if (child->state == EVC_CHILD_STARTING) {
            at_us = supervisor->probe_at_us;
        } else if (child->state == EVC_CHILD_PAUSED && is_due(supervisor, child)) {
            at_us = child->start_at_us;
        }
        due_us = at_us < due_us ? at_us : due_us;
    }
    return due_us <= now_us ? 0 : (int)((due_us - now_us) / 1000 + 1);
}

static int
turn(struct evc_supervisor *supervisor, struct evc_error *error)
{
    struct pollfd *fds = supervisor->poll_fds;

    fds[0] = (struct pollfd){.fd = supervisor->signal_fd, .events = POLLIN};
    for (size_t i = 0; i < supervisor->child_count; i++) {
        fds[i + 1] = (struct pollfd){.fd = supervisor->children[i].output_fd, .events = POLLIN};
    }
    if (poll(fds, (nfds_t)supervisor->child_count + 1, wait_ms(supervisor)) < 0 && errno != EINTR) {
        return evc_error_sys(error, errno, "poll");
    }
    for (size_t i = 0; i < supervisor->child_count; i++) {
        if (fds[i + 1].revents != 0) {
            evc_child_read(&supervisor->children[i], on_line, supervisor);
        }
    }
    int status = take_signals(supervisor, error);
    if (status != 0) {
        return status;
    }
    if (supervisor->phase == EVC_SUPERVISOR_STOPPING) {
        advance_stop(supervisor);
        return 0;
    }
    status = start_due(supervisor, error);
    if (status == 0 && evc_clock_mono_us() >= supervisor->probe_at_us) {
        probe(supervisor);
    }
    if (status == 0 && supervisor->phase < EVC_SUPERVISOR_RUNNING) {
        status = advance_start(supervisor, error);
    }
    return status;
}

/** Runs turns until nothing is left; the start's failure is kept, later ones cannot matter. */
static void
stop_all(struct evc_supervisor *supervisor)
{
    struct evc_error ignored;

    if (supervisor->phase != EVC_SUPERVISOR_STOPPING) {
        stop_begin(supervisor);
    }
    while (is_anything_left(supervisor)) {
        (void)turn(supervisor, &ignored);
    }
}

int
evc_supervisor_run(struct evc_supervisor *supervisor, struct evc_error *error)
{
    sigset_t set, before;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, &before) != 0) {
        return evc_error_sys(error, errno, "sigprocmask");
    }
    void (*on_pipe)(int) = signal(SIGPIPE, SIG_IGN); /* a reader of our output may leave */
    int status = 0;
    supervisor->is_tty = evc_terminal_is_one(stdout);
    supervisor->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    supervisor->poll_fds = calloc(supervisor->child_count + 1, sizeof(struct pollfd));
    if (supervisor->signal_fd < 0 || supervisor->poll_fds == NULL) {
        status = evc_error_sys(error, errno, "cannot watch processes");
    }
    set_phase(supervisor, EVC_SUPERVISOR_NODES);
    while (status == 0 &&
           (supervisor->phase != EVC_SUPERVISOR_STOPPING || is_anything_left(supervisor))) {
        status = turn(supervisor, error);
    }
    if (supervisor->poll_fds != NULL && supervisor->signal_fd >= 0) {
        stop_all(supervisor);
    }
    if (supervisor->pids_path != NULL) {
        (void)unlink(supervisor->pids_path);
    }
    free(supervisor->poll_fds);
    if (supervisor->signal_fd >= 0) {
        close(supervisor->signal_fd);
    }
    (void)signal(SIGPIPE, on_pipe);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
