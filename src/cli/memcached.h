/* SPDX-License-Identifier: Apache-2.0 */
/* Which memcached `evcache up` starts: found in a fixed order, and refused when it is too old. */
#ifndef EVC_CLI_MEMCACHED_H
#define EVC_CLI_MEMCACHED_H

#include <limits.h>

#include "base/error.h"
#include "topology/config.h"

struct evc_memcached {
    char path[PATH_MAX];
    char version[32]; /* "1.6.38" */
};

/**
 * The first of: given (--memcached, may be NULL), the configuration's node.command, the
 * environment's EVCACHE_MEMCACHED, ../../../memcached/memcached beside this program (where the
 * set-up builds it), PATH. 0; EVC_E_NOT_FOUND (none, or the one named does not run); EVC_E_CONFIG
 * (too old). *error says what to do.
 */
EVC_MUST_USE int evc_memcached_find(const char *given, const struct evc_config *config,
                                    struct evc_memcached *ret, struct evc_error *error);

#endif
