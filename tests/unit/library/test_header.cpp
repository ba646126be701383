// SPDX-License-Identifier: Apache-2.0
// The public headers are C++ as well: what they declare can be named, filled and linked.
#include <evcache/evcache.h>
#include <evcache/uv.h>

#include <cstdio>

int
main()
{
    evcache *cache = nullptr;
    evcache_error error = {};
    evcache_options options = {};
    evcache_request request = {};

    request.key = evcache_str("key");
    request.ack = EVCACHE_ACK_ALL;
    if (evcache_open("/nonexistent.yaml", "virginia", &options, &cache, &error) !=
            EVCACHE_E_SYSTEM ||
        evcache_close(cache) != EVCACHE_OK) {
        return 1;
    }
    std::printf("%s: %s (uv %s)\n", evcache_version(), error.text, uv_version_string());
    return sizeof(evcache_uv) == 0 || request.key.len != 3;
}
