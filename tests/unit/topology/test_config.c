/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: what a good file means, and what each mistake is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "topology/config.h"

static char path[32];

static int
setup(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/config.XXXXXX");
    fd = mkstemp(path);
    return fd < 0 || close(fd) != 0 ? -1 : 0;
}

static int
teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void
write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define HEAD "cache: movies\n"
#define QUEUE "queue: {kind: embedded, path: run/queue}\n"
#define REGION                                                                                     \
    "regions:\n"                                                                                   \
    "  - name: virginia\n"                                                                         \
    "    proxies: [127.0.0.1:1]\n"                                                                 \
    "    receivers: [127.0.0.1:2]\n"                                                               \
    "    admin: 127.0.0.1:3\n"                                                                     \
    "    relays: [127.0.0.1:4]\n"                                                                  \
    "    zones:\n"                                                                                 \
    "      - {name: a, nodes: [127.0.0.1:5]}\n"

static void
test_config__smallest_file__has_the_documented_defaults(void **state)
{
    struct evc_config *config;
    struct evc_error error;

    (void)state;
    write_file(HEAD QUEUE REGION);
    assert_int_equal(evc_config_load(path, &config, &error), EVC_OK);
    assert_string_equal(config->cache, "movies");
    assert_string_equal(config->journal.path, "run/queue/journal");
    assert_int_equal(config->queue.partitions, 4);
    assert_true(config->queue.bytes_max == UINT64_C(1) << 30);
    assert_false(config->queue.is_power_durable);
    assert_int_equal(config->journal.bytes, 64 << 20);
    assert_int_equal(config->workers, 1);
    assert_int_equal(config->connections_max, 10000);
    assert_int_equal(config->write_ack, EVC_ACK_ALL_BUT_ONE);
    assert_int_equal(config->read_hedge_ms, EVC_CONFIG_HEDGE_MEASURED);
    assert_int_equal(config->read_hedge_percent, 5);
    assert_true(config->read_refills);
    assert_int_equal(config->read_timeout_ms, 250);
    assert_int_equal(config->write_timeout_ms, 500);
    assert_int_equal(config->connect_timeout_ms, 1000);
    assert_int_equal(config->value_len_max, 1 << 20);
    assert_int_equal(config->drift_ms, 60000);
    assert_int_equal(config->tombstone_ttl_s, 3600);
    assert_int_equal(config->abandon_after_s, 600);
    assert_int_equal(config->canary_ms, 1000);
    assert_string_equal(config->node.memory, "64");
    assert_int_equal(config->regions[0].zones[0].nodes[0].port, 5);
    evc_config_destroy(config);
}

static void
test_config__every_setting__is_read(void **state)
{
    struct evc_config *config;
    struct evc_error error;

    (void)state;
    write_file(HEAD
               "queue: {kind: embedded, path: q, partitions: 16, size: 512MiB, durability: power}\n"
               "journal: {path: j, size: 1MiB}\n"
               "proxy: {workers: 2, connections: 7}\n"
               "writes: {acknowledge: quorum}\n"
               "reads: {hedge: 20ms, hedge_percent: 10, refill: no}\n"
               "timeouts: {read: 1s, write: 20ms, connect: 1m}\n"
               "values: {max: 2MiB}\n"
               "versions: {drift: 5s}\n"
               "tombstones: {ttl: 2h}\n"
               "relay: {abandon_after: 1d}\n"
               "canaries: {every: off}\n"
               "node: {memory: 1GiB, command: /bin/memcached}\n" REGION "policies:\n"
               "  - {prefix: \"session:\", replicate: none}\n"
               "  - {prefix: \"s\", replicate: invalidate}\n"
               "  - {prefix: \"u\", replicate: copy}\n"
               "  - {prefix: \"\", replicate: invalidate}\n");
    if (evc_config_load(path, &config, &error) != EVC_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(config->queue.partitions, 16);
    assert_int_equal(config->queue.bytes_max, 512 << 20);
    assert_true(config->queue.is_power_durable);
    assert_string_equal(config->journal.path, "j");
    assert_int_equal(config->journal.bytes, 1 << 20);
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->connections_max, 7);
    assert_int_equal(config->write_ack, EVC_ACK_QUORUM);
    assert_int_equal(config->read_hedge_ms, 20);
    assert_int_equal(config->read_hedge_percent, 10);
    assert_false(config->read_refills);
    assert_int_equal(config->read_timeout_ms, 1000);
    assert_int_equal(config->write_timeout_ms, 20);
    assert_int_equal(config->connect_timeout_ms, 60000);
    assert_int_equal(config->value_len_max, 2 << 20);
    assert_int_equal(config->drift_ms, 5000);
    assert_int_equal(config->tombstone_ttl_s, 7200);
    assert_int_equal(config->abandon_after_s, 86400);
    assert_int_equal(config->canary_ms, 0);
    assert_string_equal(config->node.memory, "1024");
    assert_string_equal(config->node.command, "/bin/memcached");
    assert_int_equal(evc_config_policy_of(config, "session:1", 9), EVC_POLICY_NONE);
    assert_int_equal(evc_config_policy_of(config, "sess", 4), EVC_POLICY_INVALIDATE);
    assert_int_equal(evc_config_policy_of(config, "user", 4), EVC_POLICY_COPY);
    assert_int_equal(evc_config_policy_of(config, "other", 5), EVC_POLICY_INVALIDATE);
    evc_config_destroy(config);
}

static void
test_config__examples__load(void **state)
{
    static const char *const files[] = {"three-regions.yaml", "one-region.yaml"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct evc_config *config;
        struct evc_error error;
        char file[512];

        snprintf(file, sizeof(file), "%s/examples/%s", SOURCE_ROOT, files[i]);
        if (evc_config_load(file, &config, &error) != EVC_OK) {
            fail_msg("%s", error.text);
        }
        evc_config_destroy(config);
    }
}

/** Each file, and the message behind "<path>:" (the line and what is said). */
static const struct mistake {
    const char *text;
    const char *message;
} mistakes[] = {
    {"", "1: the file is empty; it must have cache, queue and regions"},
    {"cache: [\n", "2: not YAML: did not find expected node content"},
    {HEAD REGION, "1: \"queue\" is missing"},
    {HEAD QUEUE, "1: \"regions\" is missing"},
    {HEAD HEAD QUEUE REGION, "2: \"cache\" is given twice"},
    {HEAD "qeue: 1\n", "2: no setting \"qeue\"; did you mean \"queue\"?"},
    {HEAD "writes: {nonsense: 1}\n",
     "2: writes: no setting \"nonsense\"; allowed are acknowledge, flush_all"},
    {"cache: a b\n", "1: cache: \"a b\" may have letters, digits, '_', '.' and '-' only"},
    {"cache: [a]\n", "1: cache: must be a single value"},
    {"cache: ''\n", "1: cache: is empty"},
    {HEAD "queue: {kind: kafka, path: q, properties: [a]}\n",
     "2: queue.properties: must be a mapping (name: value)"},
    {HEAD "queue: {kind: kafka, path: q, properties: {linger.ms: [5]}}\n",
     "2: queue.properties.linger.ms: must be a single value"},
    {HEAD "queue: {kind: kafka, path: q, managed: maybe}\n",
     "2: queue.managed: \"maybe\" is not known; allowed are false, true"},
    {HEAD "queue: {kind: kafka, path: q, brokers: host}\n",
     "2: queue.brokers: address \"host\" must be host:port or [IPv6]:port; brokers are "
     "host:port,host:port without blanks"},
    {HEAD "queue: {kind: kafka, path: q, brokers: 'a:1,host:'}\n",
     "2: queue.brokers: address \"host:\" needs a port from 1 to 65535; brokers are "
     "host:port,host:port without blanks"},
    {HEAD "queue: {kind: kafka, path: q, brokers: 'a:1,host:99999'}\n",
     "2: queue.brokers: address \"host:99999\" needs a port from 1 to 65535; brokers are "
     "host:port,host:port without blanks"},
    {HEAD "queue: {kind: kafka, path: q, brokers: 'a:1, b:2'}\n",
     "2: queue.brokers: address \" b:2\" must be host:port or [IPv6]:port; brokers are "
     "host:port,host:port without blanks"},
    {HEAD "queue: {kind: kafka, path: q, brokers: 'a:1,,b:2'}\n",
     "2: queue.brokers: has an empty entry; brokers are host:port,host:port"},
    {HEAD "queue: {kind: kafka, path: q, brokers: 'a:1,'}\n",
     "2: queue.brokers: has an empty entry; brokers are host:port,host:port"},
    {HEAD "queue: {kind: kafka, path: q, brokers: [a:1, b:2]}\n",
     "2: queue.brokers: must be one text: \"host:port,host:port\""},
    {HEAD "queue: {kind: kafka, path: q, brokers: SSL://a:1}\n",
     "2: queue.brokers: address \"SSL://a:1\" must be host:port or [IPv6]:port; brokers are "
     "host:port,host:port without blanks"},
    {HEAD "queue: {kind: file, path: q}\n",
     "2: queue.kind: \"file\" is not known; allowed are embedded and kafka"},
    {HEAD "queue: {kind: embedded}\n", "2: queue: \"path\" is missing"},
    {HEAD "queue: {kind: embedded, path: q, partitions: 0}\n",
     "2: queue.partitions: 0 is out of range; 1 to 256 are allowed"},
    {HEAD "queue: {kind: embedded, path: q, partitions: -4}\n",
     "2: queue.partitions: \"-4\" must be a whole number"},
    {HEAD "queue: {kind: embedded, path: q, partitions: 99999999999999999999}\n",
     "2: queue.partitions: 99999999999999999999 is out of range; 1 to 256 are allowed"},
    {HEAD "queue: {kind: embedded, path: q, size: 99999999999999999999GiB}\n",
     "2: queue.size: 99999999999999999999GiB is out of range; 1MiB to 1024GiB are allowed"},
    {HEAD "queue: {kind: embedded, path: q, size: 17179869184GiB}\n",
     "2: queue.size: 17179869184GiB is out of range; 1MiB to 1024GiB are allowed"},
    {HEAD "queue: {kind: embedded, path: q, size: -5GiB}\n",
     "2: queue.size: \"-5GiB\" must be a whole number with a unit (B, KiB, MiB, GiB)"},
    {HEAD "queue: {kind: embedded, path: q, size: MiB}\n",
     "2: queue.size: \"MiB\" must be a whole number with a unit (B, KiB, MiB, GiB)"},
    {HEAD "queue: {kind: embedded, path: \"run\\e[31m\"}\n",
     "2: queue.path: \"run\\x1b[31m\" has a control character"},
    {HEAD "queue: {kind: embedded, path: \"run\\0x\"}\n", "2: queue.path: has a zero byte"},
    {HEAD "tombstones: {ttl: 99999999999999999999d}\n",
     "2: tombstones.ttl: 99999999999999999999d is out of range; 1m to 30d are allowed"},
    {HEAD "canaries: {every: never}\n",
     "2: canaries.every: \"never\" is not known; allowed are off and a duration from 100ms to 1h"},
    {HEAD "canaries: {every: 1ms}\n",
     "2: canaries.every: 1ms is out of range; 100ms to 1h are allowed"},
    {HEAD "\"qu\\e[31mx\": 1\n",
     "2: no setting \"qu\\x1b[31mx\"; allowed are cache, queue, journal, proxy, writes, reads, "
     "timeouts, values, versions, tombstones, relay, canaries, node, regions, policies"},
    {HEAD "queue: {kind: embedded, path: q, partitions: many}\n",
     "2: queue.partitions: \"many\" must be a whole number"},
    {HEAD "queue: {kind: embedded, path: q, size: 512}\n",
     "2: queue.size: \"512\" must be a whole number with a unit (B, KiB, MiB, GiB)"},
    {HEAD "queue: {kind: embedded, path: q, durability: always}\n",
     "2: queue.durability: \"always\" is not known; allowed are process, power"},
    {HEAD "journal: {size: 1KiB}\n",
     "2: journal.size: 1KiB is out of range; 64KiB to 1GiB are allowed"},
    {HEAD "timeouts: {read: 250}\n",
     "2: timeouts.read: \"250\" must be a whole number with a unit (ms, s, m, h)"},
    {"cache: c\nqueue: {kind: embedded, path: q}\nregions:\n  - name: r\n    proxies: [h:1]\n"
     "    receivers: [h:2]\n    admin: h:3\n    relays: [h:4]\n    zones:\n"
     "      - {name: z, nodes: [h:5], state: drained}\n",
     "10: regions[0].zones: no zone is in state serving; at least one must be"},
    {HEAD "reads: {hedge: sometimes}\n", "2: reads.hedge: \"sometimes\" is not known; allowed are "
                                         "off, measured, and a duration from 1ms to "
                                         "1m"},
    {HEAD "reads: {hedge_percent: 101}\n",
     "2: reads.hedge_percent: 101 is out of range; 0 to 100 are allowed"},
    {HEAD "reads: {refill: maybe}\n",
     "2: reads.refill: \"maybe\" is not known; allowed are no, yes"},
    {HEAD "values: {max: 1GiB}\n",
     "2: values.max: 1GiB is out of range; 1KiB to 1023MiB are allowed"},
    {HEAD "timeouts: {read: 2h}\n", "2: timeouts.read: 2h is out of range; 1ms to 1m are allowed"},
    {HEAD "writes: {acknowledge: most}\n",
     "2: writes.acknowledge: \"most\" is not known; allowed are one, quorum, all_but_one, all"},
    {HEAD QUEUE "regions: []\n", "3: regions: is an empty list; give at least one"},
    {HEAD QUEUE "regions: virginia\n", "3: regions: must be a list ([…] or lines with -)"},
    {HEAD QUEUE "regions:\n  - name: virginia\n", "4: regions[0]: \"proxies\" is missing"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: [localhost]\n",
     "5: regions[0].proxies[0]: address \"localhost\" must be host:port or [IPv6]:port"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['::1:5']\n",
     "5: regions[0].proxies[0]: address \"::1:5\" must be host:port or [IPv6]:port"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['[]:5']\n",
     "5: regions[0].proxies[0]: address \"[]:5\" must be host:port or [IPv6]:port"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['a b:5']\n",
     "5: regions[0].proxies[0]: address \"a b:5\" must be host:port or [IPv6]:port"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['h:05']\n",
     "5: regions[0].proxies[0]: address \"h:05\" needs a port from 1 to 65535"},
    {HEAD QUEUE "regions:\n  - name: ..\n", "4: regions[0].name: \"..\" must not begin with '.'"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['localhost:0']\n",
     "5: regions[0].proxies[0]: address \"localhost:0\" needs a port from 1 to 65535"},
    {HEAD QUEUE "regions:\n  - name: v\n    proxies: ['h:1', 'h:2']\n    receivers: ['h:3']\n"
                "    admin: ['h:4', 'h:5']\n    relays: ['h:6']\n"
                "    zones:\n      - {name: a, nodes: ['h:7']}\n",
     "4: regions[0]: region v has 2 proxies and 1 receivers; each proxy has one receiver"},
    {HEAD QUEUE
     "regions:\n  - name: v\n    proxies: ['h:1', 'h:2']\n    receivers: ['h:3', 'h:8']\n"
     "    admin: 'h:4'\n    relays: ['h:6']\n"
     "    zones:\n      - {name: a, nodes: ['h:7']}\n",
     "4: regions[0]: region v has 2 proxies and 1 admin addresses; each proxy has one"},
    {HEAD QUEUE "regions:\n  - name: v\n    zones:\n      - {name: a, nodes: ['h:7']}\n"
                "      - {name: a, nodes: ['h:8']}\n",
     "7: regions[0].zones[1]: two zones of a region are named \"a\""},
    {HEAD QUEUE REGION "policies:\n  - {prefix: a, replicate: maybe}\n",
     "12: policies[0].replicate: \"maybe\" is not known; allowed are copy, invalidate, none"},
    {HEAD "queue: {kind: kafka, path: q, properties: {a: 1, b: 2, a: 3}}\n",
     "2: queue.properties: \"a\" is given twice"},
    {HEAD QUEUE "regions:\n  - name: v\n    zones:\n      - {name: a, nodes: ['h:7']}\n"
                "      - {name: b, nodes: ['h:8', 'h:9', 'h']}\n",
     "7: regions[0].zones[1].nodes[2]: address \"h\" must be host:port or [IPv6]:port"},
    {HEAD QUEUE REGION
     "policies:\n  - {prefix: a, replicate: copy}\n  - {prefix: [b], replicate: copy}\n",
     "13: policies[1].prefix: must be a single value"},
    {HEAD QUEUE REGION "policies:\n  - a\n", "12: policies[0]: must be a mapping (name: value)"},
    {HEAD QUEUE REGION "tombstones: {ttl: 2m}\n",
     " tombstones.ttl (120s) must be more than twice versions.drift (60000ms)"},
};

static void
test_config__every_mistake__is_named_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct evc_config *config;
        struct evc_error error;
        char expected[EVC_ERROR_TEXT_BYTES + sizeof(path)];

        write_file(mistakes[i].text);
        snprintf(expected, sizeof(expected), "%s:%s", path, mistakes[i].message);
        assert_int_equal(evc_config_load(path, &config, &error), EVC_E_CONFIG);
        assert_string_equal(error.text, expected);
    }
}

static void
test_config__address_used_twice__names_both_uses(void **state)
{
    struct evc_config *config;
    struct evc_error error;

    (void)state;
    write_file(HEAD QUEUE "regions:\n"
                          "  - name: virginia\n"
                          "    proxies: [127.0.0.1:1]\n"
                          "    receivers: [127.0.0.1:2]\n"
                          "    admin: 127.0.0.1:3\n"
                          "    relays: [127.0.0.1:4]\n"
                          "    zones:\n"
                          "      - {name: a, nodes: [127.0.0.1:1]}\n");
    assert_int_equal(evc_config_load(path, &config, &error), EVC_E_CONFIG);
    assert_non_null(strstr(error.text, ":10: address 127.0.0.1:1 is given twice"));
    assert_non_null(strstr(error.text, "a proxy of virginia in line 5"));
    assert_non_null(strstr(error.text, "a node of a here"));
}

static void
test_config__second_document__is_refused_not_ignored(void **state)
{
    struct evc_config *config;
    struct evc_error error;

    (void)state;
    write_file(HEAD QUEUE REGION "---\nproxy: {workers: 2}\n");
    assert_int_equal(evc_config_load(path, &config, &error), EVC_E_CONFIG);
    assert_non_null(strstr(error.text, "a second YAML document"));
}

static void
test_config__no_file__is_an_error_with_its_name(void **state)
{
    struct evc_config *config;
    struct evc_error error;

    (void)state;
    assert_int_equal(evc_config_load("/nowhere/cache.yaml", &config, &error), EVC_E_SYS);
    assert_string_equal(error.text,
                        "/nowhere/cache.yaml: cannot be read: No such file or directory");
    assert_int_equal(evc_config_load("/tmp", &config, &error), EVC_E_SYS);
    assert_string_equal(error.text, "/tmp: cannot be read: Is a directory");
}

static void
test_config__unknown_region_or_zone__lists_those_there_are(void **state)
{
    struct evc_config *config;
    struct evc_error error;
    unsigned index;

    (void)state;
    write_file(HEAD QUEUE REGION);
    assert_int_equal(evc_config_load(path, &config, &error), EVC_OK);
    assert_int_equal(evc_config_region_find(config, "virginia", &index, &error), EVC_OK);
    assert_int_equal(evc_config_region_find(config, "mars", &index, &error), EVC_E_NOT_FOUND);
    assert_non_null(strstr(error.text, "no region \"mars\" in "));
    assert_non_null(strstr(error.text, "; it has virginia"));
    assert_int_equal(evc_config_zone_find(&config->regions[0], "a", &index, &error), EVC_OK);
    assert_int_equal(evc_config_zone_find(&config->regions[0], "", &index, &error),
                     EVC_E_NOT_FOUND);
    assert_string_equal(error.text, "no zone \"\" in region virginia; it has a");
    evc_config_destroy(config);
}

static void
test_config__acknowledgement__counts_zones(void **state)
{
    static const struct {
        enum evc_ack ack;
        unsigned zones, expected;
    } cases[] = {
        {EVC_ACK_ONE, 3, 1},         {EVC_ACK_QUORUM, 1, 1},      {EVC_ACK_QUORUM, 2, 2},
        {EVC_ACK_QUORUM, 3, 2},      {EVC_ACK_ALL_BUT_ONE, 1, 1}, {EVC_ACK_ALL_BUT_ONE, 2, 1},
        {EVC_ACK_ALL_BUT_ONE, 3, 2}, {EVC_ACK_ALL, 3, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(evc_ack_zones(cases[i].ack, cases[i].zones), cases[i].expected);
    }
}

static void
test_config__every_setting__is_in_the_documentation(void **state)
{
    static const char *const settings[] = {"cache",
                                           "queue.kind",
                                           "queue.path",
                                           "queue.partitions",
                                           "queue.size",
                                           "queue.durability",
                                           "queue.managed",
                                           "journal.path",
                                           "journal.size",
                                           "proxy.workers",
                                           "proxy.connections",
                                           "writes.acknowledge",
                                           "timeouts.read",
                                           "timeouts.write",
                                           "timeouts.connect",
                                           "values.max",
                                           "versions.drift",
                                           "tombstones.ttl",
                                           "relay.abandon_after",
                                           "canaries.every",
                                           "node.memory",
                                           "node.command",
                                           "regions",
                                           "proxies",
                                           "receivers",
                                           "admin",
                                           "relays",
                                           "zones",
                                           "nodes",
                                           "policies",
                                           "prefix",
                                           "replicate"};
    static char page[65536];
    FILE *file = fopen(SOURCE_ROOT "/docs/configuration.md", "r");

    (void)state;
    assert_non_null(file);
    assert_true(fread(page, 1, sizeof(page) - 1, file) > 0);
    fclose(file);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        char row[64];

        snprintf(row, sizeof(row), "| `%s` |", settings[i]);
        if (!strstr(page, row)) {
            fail_msg("docs/configuration.md has no row for %s", settings[i]);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_config__smallest_file__has_the_documented_defaults),
        CASE(test_config__every_setting__is_read),
        CASE(test_config__examples__load),
        CASE(test_config__every_mistake__is_named_with_its_line),
        CASE(test_config__address_used_twice__names_both_uses),
        CASE(test_config__second_document__is_refused_not_ignored),
        CASE(test_config__no_file__is_an_error_with_its_name),
        CASE(test_config__unknown_region_or_zone__lists_those_there_are),
        CASE(test_config__acknowledgement__counts_zones),
        CASE(test_config__every_setting__is_in_the_documentation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
