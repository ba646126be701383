/* SPDX-License-Identifier: Apache-2.0 */
/* Directories for what evcache keeps on disk. */
#ifndef EVC_BASE_DIRECTORY_H
#define EVC_BASE_DIRECTORY_H

#include "base/error.h"

enum {
    EVC_PATH_BYTES_MAX = 4096
};

/** Makes a directory and those above it where they are missing. EVC_E_SYS or EVC_E_INVALID (too
 * long). */
EVC_MUST_USE int evc_directory_make(const char *path, struct evc_error *error);

#endif
