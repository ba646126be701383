/* SPDX-License-Identifier: Apache-2.0 */
/* Written beside the file and renamed, so that a reader sees an old map or a new one, never half.
 */
#include "cli/pids.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int
evc_pids_write(const char *path, const struct evc_child *children, size_t count,
               struct evc_error *error)
{
    char beside[PATH_MAX];
    json_t *map = json_object();
    int len = snprintf(beside, sizeof(beside), "%s.new", path);

    if (len < 0 || (size_t)len >= sizeof(beside)) {
        json_decref(map);
        return evc_error_set(error, EVC_E_LIMIT, "the path '%.64s…' is too long", path);
    }
    for (size_t i = 0; i < count; i++) {
        if (children[i].pid != 0 &&
            json_object_set_new(map, children[i].name, json_integer(children[i].pid)) != 0) {
            json_decref(map);
            return evc_error_set(error, EVC_E_NOMEM, "%s: out of memory", path);
        }
    }
    int status = 0;
    if (json_dump_file(map, beside, JSON_INDENT(2)) != 0 || rename(beside, path) != 0) {
        status = evc_error_sys(error, errno, "cannot write %s", path);
        (void)unlink(beside);
    }
    json_decref(map);
    return status;
}
