/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU time of other processes of this machine, from /proc, to the nanosecond where the kernel
 * keeps schedstat, else to the tick.
 */
#ifndef EVC_BENCH_CPU_H
#define EVC_BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/** Microseconds that all threads of a process have run. EVC_E_NOT_FOUND names the process. */
EVC_MUST_USE int evc_cpu_of(pid_t pid, uint64_t *ret_us, struct evc_error *error);

/** The command name of a process, or "?"; text: bytes of it, returned. */
const char *evc_cpu_name(pid_t pid, char *text, size_t bytes);

#endif
