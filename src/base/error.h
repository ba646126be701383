/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message for a human, made only where an operator will read it: configuration, topology,
 * start-up and the command line. The data path returns statuses alone.
 */
#ifndef EVC_BASE_ERROR_H
#define EVC_BASE_ERROR_H

#include "base/status.h"

enum {
    EVC_ERROR_TEXT_BYTES = 512
};

struct evc_error {
    int status;                      /* enum evc_status */
    int sys_errno;                   /* 0 when no system call was involved */
    char text[EVC_ERROR_TEXT_BYTES]; /* one line, no newline; says what to do next where that is
                                        known */
};

/**
 * Fills *error (which may be NULL) and returns status, so that `return evc_error_set(...)` reads
 * well. Control characters of what the text quotes become \xNN; it is cut at
 * EVC_ERROR_TEXT_BYTES - 1.
 */
int evc_error_set(struct evc_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The same for a failed system call: status EVC_E_SYS, errno kept, ": <strerror>" appended. */
int evc_error_sys(struct evc_error *error, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
