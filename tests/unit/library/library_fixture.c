/* SPDX-License-Identifier: Apache-2.0 */
/* See library_fixture.h. */
#include "library_fixture.h"

#include <assert.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static void
write_config(struct library_fixture *fixture)
{
    FILE *file = fopen(fixture->config, "w");

    assert_non_null(file);
    fprintf(file,
            "cache: test\n"
            "queue: {kind: embedded, path: %s/queue, partitions: 2, size: 1MiB}\n"
            "journal: {size: 256KiB}\n"
            "values: {max: 64KiB}\n"
            "timeouts: {read: 500ms, write: 1s, connect: 5s}\n"
            "regions:\n"
            "  - name: virginia\n"
            "    proxies: [127.0.0.1:1]\n"
            "    receivers: [127.0.0.1:2]\n"
            "    admin: 127.0.0.1:3\n"
            "    relays: [127.0.0.1:4]\n"
            "    zones:\n"
            "      - {name: virginia-a, nodes: [127.0.0.1:%u]}\n"
            "      - {name: virginia-b, nodes: [127.0.0.1:%u]}\n",
            fixture->directory, fixture->nodes[0].port, fixture->nodes[1].port);
    assert_int_equal(fclose(file), 0);
}

/** As the region's relay leaves it: the queue's directory is there. */
static void
make_queue(const struct library_fixture *fixture)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/queue", fixture->directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/queue/virginia", fixture->directory);
    assert_int_equal(mkdir(path, 0700), 0);
}

evcache *
library_fixture_open(const struct library_fixture *fixture)
{
    evcache_error error;
    evcache *cache = NULL;

    if (evcache_open(fixture->config, "virginia", NULL, &cache, &error) != EVCACHE_OK) {
        fail_msg("%s", error.text);
    }
    return cache;
}

void
library_fixture_start(struct library_fixture *fixture)
{
    *fixture = (struct library_fixture){.directory = "/tmp/evcache-library-XXXXXX"};
    if (!node_process_binary()) {
        skip();
    }
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->config, sizeof(fixture->config), "%s/cache.yaml", fixture->directory);
    for (unsigned i = 0; i < FIXTURE_ZONES; i++) {
        node_process_start(&fixture->nodes[i], NULL);
    }
    write_config(fixture);
    make_queue(fixture);
    fixture->cache = library_fixture_open(fixture);
}

static int
remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat;
    (void)kind;
    (void)walk;
    return remove(path);
}

void
library_fixture_finish(struct library_fixture *fixture)
{
    assert_int_equal(evcache_close(fixture->cache), EVCACHE_OK);
    for (unsigned i = 0; i < FIXTURE_ZONES; i++) {
        node_process_kill(&fixture->nodes[i]);
    }
    (void)nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
