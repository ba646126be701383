/* SPDX-License-Identifier: Apache-2.0 */
/* See directory.h. */
#include "base/directory.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int
evc_directory_make(const char *path, struct evc_error *error)
{
    char part[EVC_PATH_BYTES_MAX];

    if (path[0] == '\0' || snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part)) {
        return evc_error_set(error, EVC_E_INVALID, "%.40s…: not a path, or too long", path);
    }
    for (char *at = part + 1;; at++) {
        char here = *at;

        if (here != '/' && here != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return evc_error_sys(error, errno, "%s: cannot be created", part);
        }
        if (here == '\0') {
            return EVC_OK;
        }
        *at = here;
    }
}
