/* SPDX-License-Identifier: Apache-2.0 */
/* The replication wire: what is composed parses back, and what is not the protocol is refused. */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "meta/replication.h"
#include "meta/request.h"

static void
test_replication__greetings__there_and_back(void **state)
{
    struct evc_replication_reply reply;
    struct evc_slice cache, region, relay;
    struct evc_buf buf;
    unsigned protocol;
    size_t used;

    (void)state;
    evc_buf_init(&buf, 4096);
    assert_int_equal(evc_replication_compose_hello(&buf, EVC_SLICE("movies"), EVC_SLICE("oregon"),
                                                   EVC_SLICE("oregon/0")),
                     0);
    assert_true(
        evc_slice_equal(evc_buf_slice(&buf), EVC_SLICE("hello 1 movies oregon oregon/0\r\n")));
    assert_int_equal(evc_replication_hello_parse(EVC_SLICE("1 movies oregon oregon/0"), &protocol,
                                                 &cache, &region, &relay),
                     0);
    assert_int_equal(protocol, 1);
    assert_true(evc_slice_equal(relay, EVC_SLICE("oregon/0")));
    evc_buf_clear(&buf);
    assert_int_equal(
        evc_replication_compose_welcome(&buf, EVC_SLICE("movies"), EVC_SLICE("ireland")), 0);
    assert_int_equal(evc_replication_reply_parse(evc_buf_slice(&buf), &used, &reply), 0);
    assert_int_equal(used, evc_buf_len(&buf));
    assert_true(reply.is_welcome);
    assert_false(reply.is_error);
    assert_true(evc_slice_equal(reply.cache, EVC_SLICE("movies")));
    assert_true(evc_slice_equal(reply.region, EVC_SLICE("ireland")));
    evc_buf_finish(&buf);
}

static void
test_replication__bad_greetings__refused(void **state)
{
    static const char *const rests[] = {"", "1", "x a b c", "1 a b", "1 a b c d", "-1 a b c"};
    struct evc_slice cache, region, relay;
    unsigned protocol;

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(rests); i++) {
        assert_int_equal(evc_replication_hello_parse(evc_slice_str(rests[i]), &protocol, &cache,
                                                     &region, &relay),
                         EVC_E_PROTO);
    }
}

static void
test_replication__items__read_back_by_the_request_parser(void **state)
{
    static const struct evc_replica replicas[] = {
        {.key = {"key", sizeof("key") - 1},
         .value = {"value\r\n", sizeof("value\r\n") - 1},
         .client_flags = 7,
         .ttl_s = 90,
         .version = UINT64_C(1) << 60},
        {.key = {"key", sizeof("key") - 1},
         .value = {"", sizeof("") - 1},
         .client_flags = EVC_TOMBSTONE_FLAGS,
         .ttl_s = 3600,
         .version = UINT64_MAX},
        {.key = {"a key\nwith\rall", sizeof("a key\nwith\rall") - 1},
         .value = {"x", sizeof("x") - 1},
         .version = UINT64_C(1) << 40},
    };
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 4096);
    for (size_t i = 0; i < EVC_COUNT_OF(replicas); i++) {
        struct evc_request_parser parser = {.value_len_max = 100};
        struct evc_request request;
        struct evc_slice error;
        size_t used, need;
        uint64_t version;

        evc_buf_clear(&buf);
        assert_int_equal(evc_replication_compose_item(&buf, &replicas[i], UINT32_MAX), 0);
        assert_int_equal(
            evc_request_parse(&parser, buf.data, evc_buf_len(&buf), &request, &used, &need, &error),
            0);
        assert_int_equal(used, evc_buf_len(&buf));
        assert_true(evc_slice_equal(request.key, replicas[i].key));
        assert_true(evc_slice_equal(request.value, replicas[i].value));
        assert_int_equal(request.client_flags, replicas[i].client_flags);
        assert_int_equal(request.exptime, replicas[i].ttl_s);
        assert_true(evc_slice_equal(request.opaque, EVC_SLICE("4294967295")));
        assert_int_equal(sscanf(evc_request_flag(&request, 'E')->token.ptr, "%" SCNu64, &version),
                         1);
        assert_true(version == replicas[i].version);
    }
    evc_buf_finish(&buf);
}

static void
test_replication__outcomes__there_and_back_at_any_split(void **state)
{
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 4096);
    for (int i = 0; i < EVC_APPLY_RESULT_MAX; i++) {
        struct evc_replication_reply reply;
        struct evc_slice text;
        size_t used;

        evc_buf_clear(&buf);
        assert_int_equal(evc_replication_compose_reply(&buf, (uint32_t)i * 1000000000,
                                                       (enum evc_apply_result)i,
                                                       UINT64_MAX - (uint64_t)i),
                         0);
        text = evc_buf_slice(&buf);
        for (size_t len = 0; len < text.len; len++) {
            struct evc_slice part = {.ptr = text.ptr, .len = len};
            assert_int_equal(evc_replication_reply_parse(part, &used, &reply), EVC_E_AGAIN);
            assert_int_equal(used, 0);
        }
        assert_int_equal(evc_replication_reply_parse(text, &used, &reply), 0);
        assert_int_equal(used, text.len);
        assert_int_equal(reply.opaque, (uint32_t)i * 1000000000);
        assert_int_equal(reply.result, i);
        assert_true(reply.newest == UINT64_MAX - (uint64_t)i);
        assert_false(reply.is_welcome || reply.is_error);
        assert_string_not_equal(evc_apply_result_str((enum evc_apply_result)i), "invalid");
    }
    evc_buf_finish(&buf);
}

static void
test_replication__clock__there_and_back_at_any_split(void **state)
{
    struct evc_replication_reply reply;
    struct evc_slice text;
    struct evc_buf buf;
    size_t used;

    (void)state;
    evc_buf_init(&buf, 4096);
    assert_int_equal(evc_replication_compose_clock(&buf, UINT64_MAX), 0);
    text = evc_buf_slice(&buf);
    for (size_t len = 0; len < text.len; len++) {
        struct evc_slice part = {.ptr = text.ptr, .len = len};
        assert_int_equal(evc_replication_reply_parse(part, &used, &reply), EVC_E_AGAIN);
    }
    assert_int_equal(evc_replication_reply_parse(text, &used, &reply), 0);
    assert_int_equal(used, text.len);
    assert_true(reply.is_clock && !reply.is_welcome && !reply.is_error);
    assert_true(reply.unix_us == UINT64_MAX);
    evc_buf_finish(&buf);
}

static void
test_replication__lines__errors_and_nonsense(void **state)
{
    static const struct {
        const char *line;
        int status;
        bool is_error;
    } rows[] = {
        {"CLIENT_ERROR not this cache\r\n", 0, true},
        {"SERVER_ERROR x\r\n", 0, true},
        {"ERROR\r\n", 0, true},
        {"MN\r\n", EVC_E_PROTO, false},
        {"MN x\r\n", EVC_E_PROTO, false},
        {"MN 1 2\r\n", EVC_E_PROTO, false},
        {"HD\r\n", EVC_E_PROTO, false},
        {"HD O1 Pa\r\n", EVC_E_PROTO, false},
        {"HD O1 Px c1\r\n", EVC_E_PROTO, false},
        {"HD O1 Paa c1\r\n", EVC_E_PROTO, false},
        {"HD O4294967296 Pa c1\r\n", EVC_E_PROTO, false},
        {"HD O1 Pa c1 x\r\n", EVC_E_PROTO, false},
        {"HD Pa O1 c1\r\n", EVC_E_PROTO, false},
        {"HELLO 2 a b\r\n", EVC_E_PROTO, false},
        {"HELLO 1 a\r\n", EVC_E_PROTO, false},
        {"STORED\r\n", EVC_E_PROTO, false},
        {"HD O1 Pa c1\n", EVC_E_PROTO, false},
        {"\r\n", EVC_E_PROTO, false},
    };

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        struct evc_replication_reply reply;
        size_t used;
        assert_int_equal(evc_replication_reply_parse(evc_slice_str(rows[i].line), &used, &reply),
                         rows[i].status);
        if (rows[i].status == 0) {
            assert_int_equal(reply.is_error, rows[i].is_error);
            assert_int_equal(reply.text.len, strlen(rows[i].line) - 2);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replication__greetings__there_and_back),
        cmocka_unit_test(test_replication__bad_greetings__refused),
        cmocka_unit_test(test_replication__items__read_back_by_the_request_parser),
        cmocka_unit_test(test_replication__outcomes__there_and_back_at_any_split),
        cmocka_unit_test(test_replication__clock__there_and_back_at_any_split),
        cmocka_unit_test(test_replication__lines__errors_and_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
