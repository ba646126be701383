/* SPDX-License-Identifier: Apache-2.0 */
/* The file of `evcache up --pids FILE`: {"virginia/relay/0": 4711, …}, for tests and scripts. */
#ifndef EVC_CLI_PIDS_H
#define EVC_CLI_PIDS_H

#include "cli/child.h"

/**
 * Replaces the file in one step with the processes that live now. EVC_E_SYS or EVC_E_NOMEM with
 * *error naming the file.
 */
EVC_MUST_USE int evc_pids_write(const char *path, const struct evc_child *children, size_t count,
                                struct evc_error *error);

#endif
