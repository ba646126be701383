/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls of libevcache against real nodes: what each does, and what it says when it cannot.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "library_fixture.h"

enum {
    THREADS = 4,
    COUNTS_PER_THREAD = 200,
    MANY = 500,
    OPENINGS = 3,
};

static struct library_fixture f;

static int
setup(void **state)
{
    (void)state;
    library_fixture_start(&f);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    library_fixture_finish(&f);
    return 0;
}

static evcache_request
request_of(const char *key, const char *value)
{
    return (evcache_request){.key = evcache_str(key), .value = evcache_str(value)};
}

static void
assert_value(const char *key, const char *expected)
{
    evcache_request request = request_of(key, "");
    evcache_reply *reply = NULL;
    int status = evcache_get(f.cache, &request, &reply);

    if (!expected) {
        assert_int_equal(status, EVCACHE_NOT_FOUND);
    } else {
        evcache_bytes value = evcache_reply_value(reply);

        assert_int_equal(status, EVCACHE_OK);
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.ptr, expected, value.len);
    }
    evcache_reply_free(reply);
}

static uint64_t
version_of(const char *key)
{
    evcache_request request = request_of(key, "");
    evcache_reply *reply = NULL;
    uint64_t version;

    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_OK);
    version = evcache_reply_version(reply);
    evcache_reply_free(reply);
    assert_int_not_equal(version, 0);
    return version;
}

/* --- what each call does --- */

static void
test_set__then_get__has_value_flags_and_version_of_every_zone(void **state)
{
    evcache_request request = request_of("key", "value");
    evcache_reply *stored = NULL, *found = NULL;

    (void)state;
    request.flags = 7;
    request.ttl_s = 100;
    request.ack = EVCACHE_ACK_ALL;
    assert_int_equal(evcache_set(f.cache, &request, &stored), EVCACHE_OK);
    assert_int_equal(evcache_reply_zone_count(stored), FIXTURE_ZONES);
    assert_int_equal(evcache_reply_zone_status(stored, 0), EVCACHE_ZONE_OK);
    assert_int_equal(evcache_reply_zone_status(stored, 1), EVCACHE_ZONE_OK);
    assert_int_equal(evcache_reply_zone_status(stored, 2), EVCACHE_ZONE_NOT_ASKED);
    assert_string_equal(evcache_reply_error(stored), "");

    assert_int_equal(evcache_get(f.cache, &request, &found), EVCACHE_OK);
    assert_int_equal(evcache_reply_value(found).len, 5);
    assert_memory_equal(evcache_reply_value(found).ptr, "value", 5);
    assert_int_equal(evcache_reply_flags(found), 7);
    assert_true(evcache_reply_version(found) == evcache_reply_version(stored));
    assert_int_equal(evcache_reply_zone_status(found, 0), EVCACHE_ZONE_OK);
    assert_int_equal(evcache_reply_zone_status(found, 1), EVCACHE_ZONE_NOT_ASKED);
    assert_string_equal(evcache_zone_name(f.cache, 0), "virginia-a");
    assert_null(evcache_zone_name(f.cache, FIXTURE_ZONES));
    evcache_reply_free(stored);
    evcache_reply_free(found);
}

static void
test_deciding_calls__do_what_memcached_does(void **state)
{
    evcache_request request = request_of("key", "1");

    (void)state;
    assert_int_equal(evcache_replace(f.cache, &request, NULL), EVCACHE_NOT_STORED);
    assert_int_equal(evcache_append(f.cache, &request, NULL), EVCACHE_NOT_STORED);
    assert_int_equal(evcache_touch(f.cache, &request, NULL), EVCACHE_NOT_FOUND);
    assert_int_equal(evcache_incr(f.cache, &request, NULL), EVCACHE_NOT_FOUND);
    assert_int_equal(evcache_add(f.cache, &request, NULL), EVCACHE_OK);
    assert_int_equal(evcache_add(f.cache, &request, NULL), EVCACHE_NOT_STORED);
    assert_int_equal(evcache_append(f.cache, &request, NULL), EVCACHE_OK);
    assert_value("key", "11");
    request.value = evcache_str("2");
    assert_int_equal(evcache_prepend(f.cache, &request, NULL), EVCACHE_OK);
    assert_value("key", "211");
    request.value = evcache_str("x");
    assert_int_equal(evcache_replace(f.cache, &request, NULL), EVCACHE_OK);
    assert_int_equal(evcache_incr(f.cache, &request, NULL), EVCACHE_NOT_A_NUMBER);
    request.ttl_s = 40 * 24 * 3600; /* memcached would take it for a date */
    assert_int_equal(evcache_touch(f.cache, &request, NULL), EVCACHE_OK);
    assert_value("key", "x");
}

static void
test_cas__stores_over_the_version_read_only(void **state)
{
    evcache_request request = request_of("key", "first");
    uint64_t version;

    (void)state;
    request.version = 1;
    assert_int_equal(evcache_cas(f.cache, &request, NULL), EVCACHE_NOT_FOUND);
    request.version = 0;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    version = version_of("key");
    request = request_of("key", "second");
    request.version = version;
    assert_int_equal(evcache_cas(f.cache, &request, NULL), EVCACHE_OK);
    assert_int_equal(evcache_cas(f.cache, &request, NULL), EVCACHE_EXISTS);
    assert_int_equal(evcache_delete(f.cache, &request, NULL), EVCACHE_EXISTS);
    assert_value("key", "second");
    request.version = version_of("key");
    assert_int_equal(evcache_delete(f.cache, &request, NULL), EVCACHE_OK);
    assert_value("key", NULL);
    request.version = 0;
    assert_int_equal(evcache_delete(f.cache, &request, NULL), EVCACHE_NOT_FOUND);
}

static void
test_get_many__each_has_its_own_reply(void **state)
{
    static evcache_request requests[MANY];
    static evcache_reply *replies[MANY];
    static char keys[MANY][16];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key %u", i); /* with a blank: base64 on the wire */
        requests[i] = request_of(keys[i], keys[i]);
        if (i % 2 == 0) {
            assert_int_equal(evcache_set(f.cache, &requests[i], NULL), EVCACHE_OK);
        }
    }
    requests[1].key.len = 0;
    assert_int_equal(evcache_get_many(f.cache, requests, MANY, replies), MANY / 2);
    for (unsigned i = 0; i < MANY; i++) {
        evcache_bytes value = evcache_reply_value(replies[i]);
        int expected = i % 2 == 0 ? EVCACHE_OK : i == 1 ? EVCACHE_E_INVALID : EVCACHE_NOT_FOUND;

        assert_int_equal(evcache_reply_status(replies[i]), expected);
        assert_int_equal(value.len, i % 2 == 0 ? strlen(keys[i]) : 0);
        assert_memory_equal(value.ptr, keys[i], value.len);
        evcache_reply_free(replies[i]);
    }
    assert_int_equal(evcache_get_many(f.cache, requests, 0, replies), 0);
}

static void *
count(void *arg)
{
    const evcache_request request = {.key = evcache_str("counter"), .delta = 1};
    unsigned *failed = arg;

    for (unsigned i = 0; i < COUNTS_PER_THREAD; i++) {
        *failed += evcache_incr(f.cache, &request, NULL) != EVCACHE_OK;
    }
    return NULL;
}

static void
test_incr__many_threads__nothing_is_counted_twice_or_not_at_all(void **state)
{
    const evcache_request request = request_of("counter", "0");
    evcache_request none = request;
    evcache_reply *reply = NULL;
    pthread_t threads[THREADS];
    unsigned failed[THREADS] = {0};

    (void)state;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count, &failed[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failed[i], 0);
    }
    assert_int_equal(evcache_incr(f.cache, &none, &reply), EVCACHE_OK); /* by 0 */
    assert_int_equal(evcache_reply_number(reply), THREADS * COUNTS_PER_THREAD);
    evcache_reply_free(reply);
    none.delta = UINT64_MAX;
    assert_int_equal(evcache_decr(f.cache, &none, &reply), EVCACHE_OK);
    assert_int_equal(evcache_reply_number(reply), 0);
    evcache_reply_free(reply);
}

static void
test_value__as_long_as_allowed__comes_back_as_it_was(void **state)
{
    static char bytes[64 * 1024];
    evcache_request request = {.key = evcache_str("long"),
                               .value = {.ptr = bytes, .len = sizeof(bytes)}};
    evcache_reply *reply = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 31);
    }
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    assert_int_equal(evcache_append(f.cache, &request, NULL), EVCACHE_NOT_STORED); /* too long */
    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_OK);
    assert_int_equal(evcache_reply_value(reply).len, sizeof(bytes));
    assert_memory_equal(evcache_reply_value(reply).ptr, bytes, sizeof(bytes));
    evcache_reply_free(reply);
    request.value.len = 0;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    assert_value("long", "");
}

/* --- what is refused --- */

static void
assert_refused(const evcache_request *request, int expected, const char *why)
{
    evcache_reply *reply = NULL;

    assert_int_equal(evcache_set(f.cache, request, &reply), expected);
    assert_int_equal(evcache_reply_status(reply), expected);
    assert_non_null(strstr(evcache_reply_error(reply), why));
    assert_int_equal(evcache_reply_zone_count(reply), 0);
    evcache_reply_free(reply);
}

static void
test_request__not_allowed__is_refused_and_says_why(void **state)
{
    static char bytes[128 * 1024];
    evcache_request request = request_of("", "value");

    (void)state;
    memset(bytes, 'k', sizeof(bytes));
    assert_refused(&request, EVCACHE_E_INVALID, "no key");
    request.key = (evcache_bytes){.ptr = bytes, .len = EVCACHE_KEY_LEN_MAX + 1};
    assert_refused(&request, EVCACHE_E_INVALID, "250");
    request.key.len = EVCACHE_KEY_LEN_MAX;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    bytes[0] = '\n';
    assert_refused(&request, EVCACHE_E_INVALID, "186");
    request.key.len = 186;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);

    request = request_of("key", "value");
    request.version = 1;
    assert_refused(&request, EVCACHE_E_INVALID, "cas");
    request.version = 0;
    request.reserved[3] = 1;
    assert_refused(&request, EVCACHE_E_INVALID, "reserved");
    request = request_of("key", "");
    request.flags = 0xE7CADEAD;
    assert_refused(&request, EVCACHE_E_INVALID, "reserved");
    request = request_of("key", "value");
    request.value = (evcache_bytes){.ptr = bytes, .len = 64 * 1024 + 1};
    assert_refused(&request, EVCACHE_E_TOO_LARGE, "values.max");
    assert_int_equal(evcache_cas(f.cache, &request, NULL), EVCACHE_E_INVALID);
    assert_int_equal(evcache_get(f.cache, &request, NULL), EVCACHE_E_INVALID);
}

static void
test_open__what_is_wrong__is_named(void **state)
{
    evcache_options options = {.zone = "nowhere"};
    evcache *cache = NULL;
    evcache_error error;

    (void)state;
    assert_int_equal(evcache_open("/nonexistent.yaml", "virginia", NULL, &cache, &error),
                     EVCACHE_E_SYSTEM);
    assert_non_null(strstr(error.text, "/nonexistent.yaml"));
    assert_int_equal(evcache_open(f.config, "tokyo", NULL, &cache, &error), EVCACHE_E_INVALID);
    assert_non_null(strstr(error.text, "virginia"));
    assert_true(evcache_open(f.config, "virginia", &options, &cache, &error) < 0);
    assert_non_null(strstr(error.text, "nowhere"));
    options = (evcache_options){.slot_first = 190, .slot_count = 3};
    assert_int_equal(evcache_open(f.config, "virginia", &options, &cache, &error),
                     EVCACHE_E_INVALID);
    assert_non_null(strstr(error.text, "191"));
    assert_int_equal(error.status, EVCACHE_E_INVALID);
    assert_null(cache);
}

static void
test_open__queue_of_several_machines__wants_to_be_told_its_slots(void **state)
{
    evcache *cache = NULL;
    evcache_error error;
    char path[160];
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/kafka.yaml", f.directory);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "cache: test\n"
            "queue: {kind: kafka, path: %s/queue, brokers: '127.0.0.1:5'}\n"
            "regions:\n"
            "  - name: virginia\n"
            "    proxies: [127.0.0.1:1]\n"
            "    receivers: [127.0.0.1:2]\n"
            "    admin: 127.0.0.1:3\n"
            "    relays: [127.0.0.1:4]\n"
            "    zones: [{name: virginia-a, nodes: [127.0.0.1:6]}]\n",
            f.directory);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(evcache_open(path, "virginia", NULL, &cache, &error), EVCACHE_E_INVALID);
    assert_non_null(strstr(error.text, "slot_count"));
    assert_null(cache);
}

static void
test_open__slots__are_taken_once(void **state)
{
    const evcache_options first = {.slot_first = 0, .slot_count = 1};
    evcache *second = library_fixture_open(&f);
    evcache *third = NULL;
    evcache_stats stats;
    evcache_error error;

    (void)state;
    assert_int_equal(evcache_get_stats(f.cache, &stats), EVCACHE_OK);
    assert_int_equal(stats.slot, 0);
    assert_int_equal(evcache_get_stats(second, &stats), EVCACHE_OK);
    assert_int_equal(stats.slot, 1);
    assert_int_equal(evcache_open(f.config, "virginia", &first, &third, &error), EVCACHE_E_BUSY);
    assert_non_null(strstr(error.text, "in use by process"));
    assert_int_equal(evcache_close(second), EVCACHE_OK);
    assert_value("key", NULL); /* the queue they share is still open */
}

/** A zone whose nodes are not up yet says no at once. */
static bool
wait_nodes_up(evcache *cache)
{
    evcache_stats stats;

    for (unsigned i = 0; i < 1000; i++) {
        if (evcache_get_stats(cache, &stats) != EVCACHE_OK) {
            return false;
        }
        if (stats.nodes_up == FIXTURE_ZONES) {
            return true;
        }
        usleep(10 * 1000);
    }
    return false;
}

static void
test_open__slot_with_events_left__goes_first(void **state)
{
    const evcache_options fifth = {.slot_first = 5, .slot_count = 1};
    const evcache_request request = request_of("left", "value");
    evcache_error error;
    evcache_stats stats;
    evcache *cache = NULL;
    int is_failed = 1, opened[2], frozen[2];
    char byte = 0;
    pid_t child;

    (void)state;
    assert_int_equal(evcache_close(f.cache), EVCACHE_OK); /* nothing of it may cross the fork */
    f.cache = NULL;
    assert_int_equal(pipe(opened), 0);
    assert_int_equal(pipe(frozen), 0);
    child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        if (evcache_open(f.config, "virginia", &fifth, &cache, &error) == EVCACHE_OK &&
            wait_nodes_up(cache) && write(opened[1], &byte, 1) == 1 &&
            read(frozen[0], &byte, 1) == 1 && evcache_set(cache, &request, NULL) == EVCACHE_OK) {
            raise(SIGKILL);
        }
        _exit(1);
    }
    assert_int_equal(close(opened[1]), 0);
    assert_int_equal(read(opened[0], &byte, 1), 1);
    node_process_freeze(&f.nodes[1]); /* so that the write cannot settle */
    assert_int_equal(write(frozen[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &is_failed, 0), child);
    assert_true(WIFSIGNALED(is_failed));
    node_process_thaw(&f.nodes[1]);
    close(opened[0]);
    close(frozen[0]);
    close(frozen[1]);
    f.cache = library_fixture_open(&f);
    assert_int_equal(evcache_get_stats(f.cache, &stats), EVCACHE_OK);
    assert_int_equal(stats.slot, 5);
    assert_int_equal(stats.events_replayed, 1);
    assert_int_equal(stats.nodes, FIXTURE_ZONES);
    assert_int_equal(stats.nodes_up, FIXTURE_ZONES);
}

static void *
open_use_close(void *arg)
{
    const evcache_request request = request_of("shared", "value");
    unsigned *failed = arg;

    for (unsigned i = 0; i < OPENINGS; i++) {
        evcache *cache = NULL;

        if (evcache_open(f.config, "virginia", NULL, &cache, NULL) != EVCACHE_OK) {
            *failed += 1;
            continue;
        }
        *failed += evcache_set(cache, &request, NULL) != EVCACHE_OK;
        *failed += evcache_close(cache) != EVCACHE_OK;
    }
    return NULL;
}

static void
test_open__from_several_threads__each_has_a_slot_of_its_own(void **state)
{
    pthread_t threads[THREADS];
    unsigned failed[THREADS] = {0};

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_use_close, &failed[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failed[i], 0);
    }
    assert_value("shared", "value");
}

/* --- zones that fail --- */

static void
test_zone__dead__is_named_and_the_policy_decides(void **state)
{
    evcache_request request = request_of("key", "value");
    evcache_reply *reply = NULL;

    (void)state;
    node_process_kill(&f.nodes[1]);
    request.ack = EVCACHE_ACK_ALL;
    assert_int_equal(evcache_set(f.cache, &request, &reply), EVCACHE_E_PARTIAL);
    assert_true(evcache_reply_zone_status(reply, 0) == EVCACHE_ZONE_OK ||
                evcache_reply_zone_status(reply, 0) == EVCACHE_ZONE_WAITING);
    assert_true(evcache_reply_zone_status(reply, 1) == EVCACHE_ZONE_UNREACHABLE ||
                evcache_reply_zone_status(reply, 1) == EVCACHE_ZONE_SILENT);
    assert_non_null(strstr(evcache_reply_error(reply), "not enough zones"));
    evcache_reply_free(reply);
    request.ack = EVCACHE_ACK_ALL_BUT_ONE;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    request.ack = EVCACHE_ACK_QUORUM;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_E_PARTIAL);

    node_process_kill(&f.nodes[0]);
    assert_true(evcache_set(f.cache, &request, NULL) < 0);
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_E_UNAVAILABLE);
    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_E_UNAVAILABLE);
    assert_int_equal(evcache_reply_zone_status(reply, 0), EVCACHE_ZONE_UNREACHABLE);
    assert_int_equal(evcache_reply_zone_status(reply, 1), EVCACHE_ZONE_UNREACHABLE);
    evcache_reply_free(reply);
}

static void
test_zone__silent__deadline_ends_the_wait_and_reads_go_elsewhere(void **state)
{
    evcache_request request = request_of("key", "value");
    evcache_reply *reply = NULL;

    (void)state;
    request.ack = EVCACHE_ACK_ALL;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    node_process_freeze(&f.nodes[0]);
    request.timeout_ms = 100;
    request.key = evcache_str("another");
    request.ack = EVCACHE_ACK_ONE;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK); /* waits for no other */
    request.key = evcache_str("key");
    request.ack = EVCACHE_ACK_ALL;
    assert_int_equal(evcache_set(f.cache, &request, &reply), EVCACHE_E_TIMEOUT);
    assert_int_equal(evcache_reply_zone_status(reply, 0), EVCACHE_ZONE_WAITING);
    assert_int_equal(evcache_reply_zone_status(reply, 1), EVCACHE_ZONE_OK);
    evcache_reply_free(reply);
    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_E_TIMEOUT);
    assert_int_equal(evcache_reply_zone_status(reply, 0), EVCACHE_ZONE_WAITING);
    evcache_reply_free(reply);
    request.timeout_ms = 0; /* time enough for the other zone */
    assert_int_equal(evcache_get(f.cache, &request, &reply), EVCACHE_OK);
    assert_int_equal(evcache_reply_zone_status(reply, 1), EVCACHE_ZONE_OK);
    evcache_reply_free(reply);
    node_process_thaw(&f.nodes[0]);
}

static void
test_zone__all_silent__a_deciding_call_says_so(void **state)
{
    evcache_request request = request_of("key", "value");
    evcache_reply *reply = NULL;

    (void)state;
    assert_int_equal(evcache_set(f.cache, &request, NULL), EVCACHE_OK);
    for (unsigned zone = 0; zone < FIXTURE_ZONES; zone++) {
        node_process_freeze(&f.nodes[zone]);
    }
    assert_int_equal(evcache_add(f.cache, &request, &reply), EVCACHE_E_TIMEOUT);
    for (unsigned zone = 0; zone < FIXTURE_ZONES; zone++) {
        assert_int_equal(evcache_reply_zone_status(reply, zone), EVCACHE_ZONE_SILENT);
        node_process_thaw(&f.nodes[zone]);
    }
    evcache_reply_free(reply);
}

/* --- signals --- */

static void
test_open__signals_of_the_process__are_left_alone(void **state)
{
    struct sigaction action;
    sigset_t blocked;

    (void)state;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_false(sigismember(&blocked, SIGPIPE));
    assert_false(sigismember(&blocked, SIGTERM));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_set__then_get__has_value_flags_and_version_of_every_zone),
        CASE(test_deciding_calls__do_what_memcached_does),
        CASE(test_cas__stores_over_the_version_read_only),
        CASE(test_get_many__each_has_its_own_reply),
        CASE(test_incr__many_threads__nothing_is_counted_twice_or_not_at_all),
        CASE(test_value__as_long_as_allowed__comes_back_as_it_was),
        CASE(test_request__not_allowed__is_refused_and_says_why),
        CASE(test_open__what_is_wrong__is_named),
        CASE(test_open__queue_of_several_machines__wants_to_be_told_its_slots),
        CASE(test_open__slots__are_taken_once),
        CASE(test_open__slot_with_events_left__goes_first),
        CASE(test_open__from_several_threads__each_has_a_slot_of_its_own),
        CASE(test_zone__dead__is_named_and_the_policy_decides),
        CASE(test_zone__all_silent__a_deciding_call_says_so),
        CASE(test_zone__silent__deadline_ends_the_wait_and_reads_go_elsewhere),
        CASE(test_open__signals_of_the_process__are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
