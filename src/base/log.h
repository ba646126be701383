/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfmt lines on standard error: `ts=… level=info part=relay msg="…" key=value`. Daemons log once,
 * where the decision is made. What is said of an event names its version, in hex, and of a batch
 * its partition, slot and first number (`batch=3/17/1042`), the same in every process it passes.
 * src/{base,meta,net,topology,engine,queue,replication} log nothing above debug. Thread-safe: a
 * line is one write.
 */
#ifndef EVC_BASE_LOG_H
#define EVC_BASE_LOG_H

#include "base/slice.h"

enum evc_log_level {
    EVC_LOG_ERROR,
    EVC_LOG_WARN,
    EVC_LOG_INFO,
    EVC_LOG_DEBUG
};

/** part: "proxy", "relay"…, a literal kept for the life of the process; id: e.g. "oregon/0". */
void evc_log_init(const char *part, const char *id, enum evc_log_level level);

/**
 * One line. msg: a literal sentence without variables; format: further `key=value` pairs, already
 * in logfmt ("node=%s status=%s"), or NULL. Lines over 1 KiB are cut.
 */
void evc_log(enum evc_log_level level, const char *msg, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define evc_log_error(msg, ...) evc_log(EVC_LOG_ERROR, msg, __VA_ARGS__)
#define evc_log_warn(msg, ...) evc_log(EVC_LOG_WARN, msg, __VA_ARGS__)
#define evc_log_info(msg, ...) evc_log(EVC_LOG_INFO, msg, __VA_ARGS__)
#define evc_log_debug(msg, ...) evc_log(EVC_LOG_DEBUG, msg, __VA_ARGS__)

enum {
    EVC_LOG_QUOTE_BYTES = 264 /* a key of printable characters fits */
};

/**
 * A value in quotes, for text that others chose (keys, what a peer said): quotes, backslashes,
 * control and non-ASCII bytes are escaped; what does not fit is cut. Returns text.
 */
const char *evc_log_quote(struct evc_slice value, char text[EVC_LOG_QUOTE_BYTES]);

/** For messages from places that repeat: at most one line a second per place, suppressed ones
 * counted. */
struct evc_log_limit {
    unsigned long long next_us;
    unsigned long suppressed;
};

/** Whether to log now; *ret_suppressed is how many were not since the last line. Any thread. */
int evc_log_allowed(struct evc_log_limit *limit, unsigned long *ret_suppressed);

#endif
