/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the statuses, for logs. What each means is said in status.h. */
#include "base/status.h"

const char *
evc_status_str(int status)
{
    switch (status) {
    case EVC_OK:
        return "ok";
    case EVC_E_AGAIN:
        return "again";
    case EVC_E_PARTIAL:
        return "partial";
    case EVC_E_PROTO:
        return "proto";
    case EVC_E_LIMIT:
        return "limit";
    case EVC_E_FULL:
        return "full";
    case EVC_E_TIMEOUT:
        return "timeout";
    case EVC_E_CLOSED:
        return "closed";
    case EVC_E_NOMEM:
        return "nomem";
    case EVC_E_CORRUPT:
        return "corrupt";
    case EVC_E_CONFIG:
        return "config";
    case EVC_E_SYS:
        return "sys";
    case EVC_E_BUSY:
        return "busy";
    case EVC_E_NOT_FOUND:
        return "not_found";
    case EVC_E_INVALID:
        return "invalid";
    default:
        return "unknown";
    }
}
