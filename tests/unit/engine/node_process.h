/* SPDX-License-Identifier: Apache-2.0 */
/* A real memcached for a test: started on a port of the kernel's choice, stopped by its pid. */
#ifndef EVC_TEST_NODE_PROCESS_H
#define EVC_TEST_NODE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node_process {
    pid_t pid; /* 0: not running */
    uint16_t port;
};

/** The binary to test with, or NULL when there is none or it is too old. */
const char *node_process_binary(void);

/** Starts it and waits until it takes connections. option: one more argument, or NULL. */
void node_process_start(struct node_process *process, const char *option);

/** Starts it again on the port it had. */
void node_process_restart(struct node_process *process);

/** kill -9 and wait. Harmless when it does not run. */
void node_process_kill(struct node_process *process);

/** SIGSTOP (returns when it has stopped), SIGCONT. */
void node_process_freeze(struct node_process *process);
void node_process_thaw(struct node_process *process);

/** A loopback port nobody has now. */
uint16_t free_port(void);

#endif
