/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fallible function returns: 0, or one of these (all negative). Counts return non-negative
 * numbers or one of these. AGAIN, PARTIAL and FULL are for the caller to switch on and are never
 * logged.
 */
#ifndef EVC_BASE_STATUS_H
#define EVC_BASE_STATUS_H

#define EVC_MUST_USE __attribute__((warn_unused_result))

enum evc_status {
    EVC_OK = 0,
    EVC_E_AGAIN = -1,      /* more bytes, or another turn of the loop, are needed */
    EVC_E_PARTIAL = -2,    /* some of what was asked is done; the function says how much */
    EVC_E_PROTO = -3,      /* the peer sent what the protocol does not allow */
    EVC_E_LIMIT = -4,      /* a named bound was hit */
    EVC_E_FULL = -5,       /* no room now; try again later */
    EVC_E_TIMEOUT = -6,    /* the deadline passed first */
    EVC_E_CLOSED = -7,     /* the other end, or the object, is closed */
    EVC_E_NOMEM = -8,      /* out of memory */
    EVC_E_CORRUPT = -9,    /* stored bytes are not what was written */
    EVC_E_CONFIG = -10,    /* the operator's configuration is wrong; struct evc_error says where */
    EVC_E_SYS = -11,       /* a system call failed; struct evc_error has errno */
    EVC_E_BUSY = -12,      /* another process holds it */
    EVC_E_NOT_FOUND = -13, /* no such thing */
    EVC_E_INVALID = -14,   /* an argument from outside is not allowed */
};

/** A short lower-case name for logs ("again", "limit"); "unknown" for anything else. */
const char *evc_status_str(int status);

#endif
