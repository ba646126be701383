/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfmt to standard error. A line is put together on the stack and leaves in one write, so lines
 * of threads never mix. Who logs, and its level, is set once at the start of the process.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    LOG_LINE_BYTES = 1024,
    LOG_ID_BYTES = 64,
    LOG_LIMIT_US = 1000000,
};

static struct {
    const char *part;
    char id[LOG_ID_BYTES];
    enum evc_log_level level;
} log_config = {.part = "evcache", .level = EVC_LOG_INFO};

void
evc_log_init(const char *part, const char *id, enum evc_log_level level)
{
    log_config.part = part;
    log_config.level = level;
    (void)snprintf(log_config.id, sizeof(log_config.id), "%s", id == NULL ? "" : id);
}

static const char *
log_level_str(enum evc_log_level level)
{
    switch (level) {
    case EVC_LOG_ERROR:
        return "error";
    case EVC_LOG_WARN:
        return "warn";
    case EVC_LOG_INFO:
        return "info";
    case EVC_LOG_DEBUG:
        return "debug";
    default:
        return "unknown";
    }
}

/* What snprintf wanted to write, cut to what fits before the newline. */
static size_t
log_advance(size_t used, int wanted)
{
    if (wanted <= 0) {
        return used;
    }
    used += (size_t)wanted;
    return used < LOG_LINE_BYTES - 1 ? used : LOG_LINE_BYTES - 2;
}

static size_t
log_format_head(char *line, enum evc_log_level level, const char *msg)
{
    uint64_t now_us = evc_clock_unix_us();
    time_t seconds = (time_t)(now_us / 1000000);
    char ts[sizeof("2026-01-01T00:00:00")];
    struct tm utc;
    bool has_id = log_config.id[0] != '\0';

    if (gmtime_r(&seconds, &utc) == NULL || strftime(ts, sizeof(ts), "%FT%T", &utc) == 0) {
        ts[0] = '\0';
    }
    return log_advance(0,
                       snprintf(line, LOG_LINE_BYTES, "ts=%s.%03uZ level=%s part=%s%s%s msg=\"%s\"",
                                ts, (unsigned)(now_us / 1000 % 1000), log_level_str(level),
                                log_config.part, has_id ? " id=" : "", log_config.id, msg));
}

void
evc_log(enum evc_log_level level, const char *msg, const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    size_t used;

    if (level > log_config.level) {
        return;
    }
    used = log_format_head(line, level, msg);
    if (format != NULL) {
        va_list args;
        used = log_advance(used, snprintf(line + used, sizeof(line) - used, " "));
        va_start(args, format);
        used = log_advance(used, vsnprintf(line + used, sizeof(line) - used, format, args));
        va_end(args);
    }
    for (size_t i = 0; i < used; i++) { /* one line stays one line, whatever a peer sent */
        if (line[i] == '\n' || line[i] == '\r') {
            line[i] = ' ';
        }
    }
    line[used] = '\n';
    if (write(STDERR_FILENO, line, used + 1) < 0) {
        return; /* nobody reads standard error: there is nowhere to say so */
    }
}

const char *
evc_log_quote(struct evc_slice value, char text[EVC_LOG_QUOTE_BYTES])
{
    size_t used = 0;

    text[used++] = '"';
    for (size_t i = 0; i < value.len && used + sizeof("\\x00\"") <= EVC_LOG_QUOTE_BYTES; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c == '"' || c == '\\') {
            text[used++] = '\\';
            text[used++] = (char)c;
        } else if (c >= ' ' && c < 0x7f) {
            text[used++] = (char)c;
        } else {
            used += (size_t)snprintf(text + used, EVC_LOG_QUOTE_BYTES - used, "\\x%02x", c);
        }
    }
    text[used++] = '"';
    text[used] = '\0';
    return text;
}

int
evc_log_allowed(struct evc_log_limit *limit, unsigned long *ret_suppressed)
{
    unsigned long long now_us = evc_clock_mono_us();
    unsigned long long next_us = __atomic_load_n(&limit->next_us, __ATOMIC_RELAXED);

    if (now_us < next_us ||
        !__atomic_compare_exchange_n(&limit->next_us, &next_us, now_us + LOG_LIMIT_US, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return 0;
    }
    *ret_suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return 1;
}
