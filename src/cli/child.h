/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process that `evcache up` looks after: what to run, how to ask whether it answers, its log
 * file, and its life so far. No decisions: supervisor.h makes those.
 *
 *   PAUSED ─start─▶ STARTING ─answers─▶ RUNNING
 *     ▲                │                   │
 *     └──── died, back-off ◀───────────────┘        GONE: died while everything stops
 */
#ifndef EVC_CLI_CHILD_H
#define EVC_CLI_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/backoff.h"
#include "base/error.h"
#include "topology/config.h"

enum {
    EVC_CHILD_LINE_BYTES = 1024,                /* of output kept until its end of line comes */
    EVC_CHILD_LOG_BYTES_MAX = 64 * 1024 * 1024, /* then the log becomes <name>.log.1 */
    EVC_CHILD_SHOWN_PER_S_MAX = 5,              /* lines of one child shown on the terminal */
};

/** In the order of stopping. */
enum evc_child_kind {
    EVC_CHILD_RELAY,
    EVC_CHILD_PROXY,
    EVC_CHILD_NODE,
    EVC_CHILD_BROKER,
    EVC_CHILD_KIND_MAX
};

/** "relay", "proxy", "node", "broker". */
const char *evc_child_kind_str(enum evc_child_kind kind);

enum evc_child_state {
    EVC_CHILD_PAUSED,
    EVC_CHILD_STARTING,
    EVC_CHILD_RUNNING,
    EVC_CHILD_GONE,
    EVC_CHILD_STATE_MAX,
};

const char *evc_child_state_str(enum evc_child_state state);

struct evc_child {
    /* immutable once added */
    enum evc_child_kind kind;
    char *name;                        /* "virginia/relay/0" */
    char **argv;                       /* NULL at the end; argv[0] is what to run */
    const struct evc_address *address; /* where to ask whether it answers; the configuration's */
    char *log_path;

    enum evc_child_state state;
    pid_t pid;     /* 0: none */
    int output_fd; /* what it prints; -1: none */
    int log_fd;
    uint64_t log_bytes;
    uint64_t started_us;  /* monotonic */
    uint64_t start_at_us; /* PAUSED: when to start again */
    unsigned starts;
    struct evc_backoff backoff;
    bool is_asked_to_stop;
    char line[EVC_CHILD_LINE_BYTES];
    size_t line_len;
    char last_line[EVC_CHILD_LINE_BYTES]; /* of this life */
    uint64_t shown_since_us;
    unsigned shown;
};

/** Takes name, argv and log_path (heap). */
void evc_child_init(struct evc_child *child, enum evc_child_kind kind, char *name, char **argv,
                    char *log_path);

/** Frees. The process must be gone. */
void evc_child_finish(struct evc_child *child);

/** The only place that changes a state; asserts that the change is in the picture above. */
void evc_child_set_state(struct evc_child *child, enum evc_child_state state);

/**
 * Starts the process: its own process group (the terminal's Ctrl-C is for its parent alone), killed
 * by the kernel when its parent dies. A program that cannot be run is seen as a death with status
 * 127.
 */
EVC_MUST_USE int evc_child_start(struct evc_child *child, struct evc_error *error);

/** Called for a line worth showing on the terminal; text is valid during the call. */
typedef void (*evc_child_line_fn)(void *ctx, const struct evc_child *child, const char *text);

/** Takes what the process has printed: to its log, and lines that warn to on_line. */
void evc_child_read(struct evc_child *child, evc_child_line_fn on_line, void *ctx);

/** Whether it answers, asking at most timeout_ms. */
bool evc_child_answers(const struct evc_child *child, unsigned timeout_ms);

/** Notes that the process is gone: reads what is left of its output and closes it. */
void evc_child_reaped(struct evc_child *child, evc_child_line_fn on_line, void *ctx);

#endif
