/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's reader. Whatever the file holds, it is loaded or refused with a message that
 * names it, and nothing leaks; what is loaded is within the documented limits.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "topology/config.h"

static void
check_loaded(const struct evc_config *config)
{
    assert(config->cache && config->queue.kind && config->queue.path && config->journal.path);
    assert(config->queue.partitions >= 1 && config->queue.partitions <= 256);
    assert(config->workers >= 1 && config->workers <= EVC_CONFIG_WORKER_MAX);
    assert(config->regions_count >= 1 && config->regions_count <= EVC_CONFIG_REGION_MAX);
    for (unsigned i = 0; i < config->regions_count; i++) {
        const struct evc_config_region *region = &config->regions[i];

        assert(region->name && region->zones_count >= 1);
        assert(region->receivers_count == region->proxies_count);
        assert(region->admins_count == region->proxies_count);
    }
    for (unsigned i = 0; i < config->policies_count; i++) {
        assert(config->policies[i].prefix);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_config *config;
    struct evc_error error = {0};
    char path[32];
    int fd = memfd_create("config", 0);
    int rc;

    assert(fd >= 0);
    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    assert(write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    rc = evc_config_load(path, &config, &error);
    if (rc == EVC_OK) {
        check_loaded(config);
        evc_config_destroy(config);
    } else {
        assert(rc == EVC_E_CONFIG);
        assert(strncmp(error.text, path, strlen(path)) == 0);
    }
    close(fd);
    return 0;
}
