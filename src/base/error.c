/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in a struct evc_error. Not for the data path, which returns statuses alone. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

enum {
    SYS_TEXT_BYTES = 128
};

int
evc_error_set(struct evc_error *error, int status, const char *format, ...)
{
    va_list args;

    if (error == NULL) {
        return status;
    }
    error->status = status;
    error->sys_errno = 0;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args); /* cut on purpose */
    va_end(args);
    evc_printable_make(error->text, sizeof(error->text));
    return status;
}

int
evc_error_sys(struct evc_error *error, int sys_errno, const char *format, ...)
{
    char reason[SYS_TEXT_BYTES];
    va_list args;
    size_t len;

    if (error == NULL) {
        return EVC_E_SYS;
    }
    error->status = EVC_E_SYS;
    error->sys_errno = sys_errno;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args); /* cut on purpose */
    va_end(args);
    len = strlen(error->text);
    (void)snprintf(error->text + len, sizeof(error->text) - len, ": %s",
                   strerror_r(sys_errno, reason, sizeof(reason)));
    evc_printable_make(error->text, sizeof(error->text));
    return EVC_E_SYS;
}
