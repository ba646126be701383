/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a set of processes alive: starts nodes and broker, then proxies and relays, waits until all
 * answer, restarts what dies, and stops everything in order when told to. One thread, one poll():
 * signals come through a signalfd, the children's output through pipes.
 *
 *   NODES ─all answer─▶ DAEMONS ─all answer─▶ RUNNING
 *     └──────────┬─────────┴── signal ──────────┘
 *                ▼
 *   STOPPING: relays, then proxies, then nodes, then the broker are asked to end, each kind when
 * the one before is gone or its time is up; what is left after EVC_SUPERVISOR_KILL_MS is killed.
 */
#ifndef EVC_CLI_SUPERVISOR_H
#define EVC_CLI_SUPERVISOR_H

#include "cli/child.h"

enum {
    EVC_SUPERVISOR_START_TIMEOUT_MS = 60000,
    EVC_SUPERVISOR_KILL_MS = 4000, /* after the first signal */
};

enum evc_supervisor_phase {
    EVC_SUPERVISOR_NODES,
    EVC_SUPERVISOR_DAEMONS,
    EVC_SUPERVISOR_RUNNING,
    EVC_SUPERVISOR_STOPPING,
    EVC_SUPERVISOR_PHASE_MAX,
};

struct evc_supervisor {
    struct evc_child *children; /* borrowed, in the order of the map */
    size_t child_count;
    const char *pids_path;         /* NULL: none */
    void (*on_running)(void *ctx); /* everything answers for the first time */
    void *ctx;

    enum evc_supervisor_phase phase;
    int signal_fd;
    struct pollfd *poll_fds; /* one for the signals and one per child */
    uint64_t phase_since_us; /* monotonic */
    uint64_t probe_at_us;
    unsigned stop_kind; /* STOPPING: the kind whose turn it is; EVC_CHILD_KIND_MAX: all asked */
    bool is_killing;
    bool has_failed; /* could not start */
    bool is_tty;
    size_t progress_shown;
};

/**
 * Runs until SIGINT, SIGTERM or SIGHUP (0), or until the start fails (a status, and *error says
 * what and why); either way no process is left when it returns. Signals of the calling process are
 * blocked meanwhile. Messages go to standard output, which may be a terminal.
 */
EVC_MUST_USE int evc_supervisor_run(struct evc_supervisor *supervisor, struct evc_error *error);

#endif
