/* SPDX-License-Identifier: Apache-2.0 */
/* Canaries as they are read: the age is that of what is there now, whatever was there before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay/canary_watch.h"

#define NOW_US UINT64_C(1767225600000000)

static const char text[] = "cache: movies\n"
                           "queue: {kind: embedded, path: run/queue, partitions: 1}\n"
                           "regions:\n"
                           "  - name: here\n"
                           "    proxies: [127.0.0.1:1]\n"
                           "    receivers: [127.0.0.1:2]\n"
                           "    admin: 127.0.0.1:3\n"
                           "    relays: [127.0.0.1:4]\n"
                           "    zones: [{name: a, nodes: [127.0.0.1:5]}]\n"
                           "  - name: there\n"
                           "    proxies: [127.0.0.1:11]\n"
                           "    receivers: [127.0.0.1:12]\n"
                           "    admin: 127.0.0.1:13\n"
                           "    relays: [127.0.0.1:14]\n"
                           "    zones: [{name: b, nodes: [127.0.0.1:15]}]\n";

/** One node, which has this. */
struct fixture {
    struct evc_node_port port;
    char value[64];
    bool is_missing;
    struct evc_moment now;
    struct evc_config *config;
    struct evc_topology *topology;
    struct evc_canary_watch *watch;
};

static struct fixture f;

static void
submit(struct evc_node_port *port, struct evc_node_op *op)
{
    (void)port;
    op->result = f.is_missing ? EVC_NODE_MISS : EVC_NODE_HIT;
    op->reply = (struct evc_node_reply){.value = evc_slice_str(f.value)};
    op->on_done(op);
}

static int64_t
ahead_us(void *ctx, unsigned source)
{
    (void)ctx;
    (void)source;
    return 0;
}

static int
setup(void **state)
{
    char path[] = "/tmp/config.XXXXXX";
    struct evc_error error;
    int fd = mkstemp(path);

    (void)state;
    f = (struct fixture){
        .port = {.submit = submit, .zone_count = 1},
        .now = {.mono_us = 1000000, .unix_us = NOW_US},
    };
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(evc_config_load(path, &f.config, &error), EVC_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(evc_topology_create(f.config, 0, 0, &f.topology, &error), EVC_OK);
    assert_int_equal(evc_canary_watch_create(
                         &(struct evc_canary_watch_options){
                             .topology = f.topology,
                             .port = &f.port,
                             .now = &f.now,
                             .ahead_us = ahead_us,
                         },
                         &f.watch),
                     EVC_OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    evc_canary_watch_destroy(f.watch);
    evc_topology_unref(f.topology);
    evc_config_destroy(f.config);
    return 0;
}

/** A round later, with a canary there that was written so long ago. */
static void
read_one(uint64_t age_us)
{
    f.now.mono_us += 2000000;
    f.now.unix_us += 2000000;
    (void)snprintf(f.value, sizeof(f.value), "%llu 1",
                   (unsigned long long)(f.now.unix_us - age_us));
    evc_canary_watch_tick(f.watch);
}

static uint64_t
reported(const char *name)
{
    json_t *report = evc_canary_watch_report(f.watch);
    json_int_t value = json_integer_value(json_object_get(json_array_get(report, 0), name));

    json_decref(report);
    return (uint64_t)value;
}

static void
test_canary_watch__old_copy_comes_back__its_age_is_told_and_it_is_counted(void **state)
{
    (void)state;
    read_one(1000);
    assert_int_equal(reported("oldest_us"), 1000);
    assert_int_equal(reported("stale"), 0);
    read_one(60000000);
    assert_int_equal(reported("oldest_us"), 60000000);
    assert_int_equal(reported("stale"), 1);
    assert_int_equal(reported("went_back"), 1);
    read_one(2000);
    assert_int_equal(reported("oldest_us"), 2000);
    assert_int_equal(reported("went_back"), 1);
}

/** What was read before stays known: the age goes on growing. */
static void
test_canary_watch__nothing_or_nonsense_there__goes_on_ageing(void **state)
{
    (void)state;
    read_one(1000);
    f.is_missing = true;
    read_one(0);
    assert_int_equal(reported("oldest_us"), 2001000);
    assert_int_equal(reported("missing"), 1);
    f.is_missing = false;
    f.now.mono_us += 2000000;
    (void)snprintf(f.value, sizeof(f.value), "nonsense");
    evc_canary_watch_tick(f.watch);
    assert_int_equal(reported("oldest_us"), 2001000);
    assert_int_equal(reported("went_back"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_canary_watch__old_copy_comes_back__its_age_is_told_and_it_is_counted),
        CASE(test_canary_watch__nothing_or_nonsense_there__goes_on_ageing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
