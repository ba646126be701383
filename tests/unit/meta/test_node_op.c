/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as nodes see them, and nodes' replies, whole and byte by byte. */
#include "unit.h"

#include <stdio.h>

#include "meta/base64.h"
#include "meta/node_op.h"
#include "meta/request.h"

static void
expect_composed(const struct evc_node_op *op, struct evc_slice expected)
{
    struct evc_buf buf;

    evc_buf_init(&buf, 4096);
    assert_int_equal(evc_node_op_compose(op, &buf), 0);
    assert_int_equal(evc_buf_len(&buf), expected.len);
    assert_memory_equal(evc_buf_slice(&buf).ptr, expected.ptr, expected.len);
    evc_buf_finish(&buf);
}

static void
test_node_op__compose__each_verb(void **state)
{
    const unsigned all = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL |
                         EVC_WANT_SIZE | EVC_WANT_NO_BUMP | EVC_WANT_HIT_BEFORE |
                         EVC_WANT_LAST_ACCESS;
    struct evc_node_op op = {.verb = EVC_NODE_GET, .key = EVC_SLICE("abc")};

    (void)state;
    op.want = EVC_WANT_VALUE | EVC_WANT_FLAGS;
    expect_composed(&op, EVC_SLICE("mg abc v f\r\n"));
    op.want = EVC_WANT_CAS | EVC_WANT_FLAGS;
    expect_composed(&op, EVC_SLICE("mg abc f c s\r\n"));
    op.want = EVC_WANT_CAS | EVC_WANT_NO_BUMP;
    expect_composed(&op, EVC_SLICE("mg abc c u\r\n"));
    op.want = (uint16_t)all;
    expect_composed(&op, EVC_SLICE("mg abc v f c t h u l\r\n"));
    op.verb = EVC_NODE_SET;
    op.value = EVC_SLICE("hello");
    op.version = UINT64_C(1) << 60;
    op.ttl_s = 90;
    op.client_flags = UINT32_MAX;
    expect_composed(&op, EVC_SLICE("ms abc 5 T90 F4294967295 E1152921504606846976\r\nhello\r\n"));
    op.verb = EVC_NODE_ADD;
    op.ttl_s = -1;
    expect_composed(&op,
                    EVC_SLICE("ms abc 5 T-1 F4294967295 E1152921504606846976 ME\r\nhello\r\n"));
    op.verb = EVC_NODE_CAS;
    op.ttl_s = 0;
    op.client_flags = EVC_TOMBSTONE_FLAGS;
    op.value = EVC_SLICE("");
    op.seen = 7;
    expect_composed(&op, EVC_SLICE("ms abc 0 T0 F3888832173 E1152921504606846976 C7\r\n\r\n"));
}

static void
test_node_op__keys_that_would_end_a_token__go_in_base64(void **state)
{
    struct evc_node_op op = {.verb = EVC_NODE_GET, .want = EVC_WANT_VALUE};
    struct evc_buf buf;
    char key[187];

    (void)state;
    op.key = EVC_SLICE("a b");
    expect_composed(&op, EVC_SLICE("mg YSBi b v\r\n"));
    op.key = EVC_SLICE("\n");
    expect_composed(&op, EVC_SLICE("mg Cg== b v\r\n"));
    op.key = (struct evc_slice){.ptr = "\0", .len = 1};
    expect_composed(&op, EVC_SLICE("mg AA== b v\r\n"));
    op.verb = EVC_NODE_SET;
    op.key = EVC_SLICE("a\r\nmd x");
    op.value = EVC_SLICE("v");
    expect_composed(&op, EVC_SLICE("ms YQ0KbWQgeA== 1 b T0 F0 E0\r\nv\r\n"));
    memset(key, ' ', sizeof(key));
    evc_buf_init(&buf, 4096);
    op.key = (struct evc_slice){.ptr = key, .len = sizeof(key)};
    assert_int_equal(evc_node_op_compose(&op, &buf), EVC_E_INVALID);
    op.key.len--;
    assert_int_equal(evc_node_op_compose(&op, &buf), 0);
    evc_buf_finish(&buf);
}

/** Clients may send it as it is, and in base64 it would be too long. */
static void
test_node_op__longest_key_of_control_characters__goes_as_it_is(void **state)
{
    struct evc_node_op op = {.verb = EVC_NODE_GET, .want = EVC_WANT_VALUE};
    struct evc_buf buf;
    char key[EVC_KEY_LEN_MAX];

    (void)state;
    evc_buf_init(&buf, 4096);
    memset(key, '\x01', sizeof(key));
    key[7] = '\x7F';
    key[sizeof(key) - 1] = '\t';
    op.key = (struct evc_slice){.ptr = key, .len = sizeof(key)};
    assert_true(evc_node_key_fits(op.key));
    assert_int_equal(evc_node_op_compose(&op, &buf), EVC_OK);
    assert_int_equal(evc_buf_len(&buf), strlen("mg  v\r\n") + sizeof(key));
    assert_memory_equal(evc_buf_slice(&buf).ptr + 3, key, sizeof(key));
    evc_buf_finish(&buf);
}

/** One byte of a key, wherever it stands, decides; no other byte hides it. */
static void
test_node_op__every_byte_at_every_place__base64_where_it_must(void **state)
{
    struct evc_node_op op = {.verb = EVC_NODE_GET};
    struct evc_buf buf;
    char key[26];

    (void)state;
    evc_buf_init(&buf, 4096);
    memset(key, 0x80, sizeof(key));
    for (size_t len = 1; len <= sizeof(key); len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                bool is_base64 = byte == ' ' || byte == '\n' || byte == '\r' || byte == 0;

                key[at] = (char)byte;
                op.key = (struct evc_slice){.ptr = key, .len = len};
                evc_buf_clear(&buf);
                assert_int_equal(evc_node_op_compose(&op, &buf), EVC_OK);
                assert_int_equal(evc_buf_slice(&buf).len,
                                 sizeof("mg \r\n") - 1 +
                                     (is_base64 ? evc_base64_encoded_len(len) + 2 : len));
            }
            key[at] = (char)0x80;
        }
    }
    evc_buf_finish(&buf);
}

static void
test_node_op__no_room__nothing_is_appended(void **state)
{
    struct evc_node_op op = {
        .verb = EVC_NODE_SET, .key = EVC_SLICE("abc"), .value = EVC_SLICE("0123456789")};
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 20);
    assert_int_equal(evc_node_op_compose(&op, &buf), EVC_E_LIMIT);
    assert_int_equal(evc_buf_len(&buf), 0);
    evc_buf_finish(&buf);
}

static void
test_node_op__composed_writes__read_back_by_the_request_parser(void **state)
{
    struct evc_node_op op = {.verb = EVC_NODE_CAS,
                             .key = EVC_SLICE("a b"),
                             .value = EVC_SLICE("v\r\nv"),
                             .ttl_s = 5,
                             .client_flags = 9,
                             .version = 99,
                             .seen = 3};
    struct evc_request_parser parser = {.value_len_max = 100};
    struct evc_request request;
    struct evc_slice error;
    struct evc_buf buf;
    size_t used, need;

    (void)state;
    evc_buf_init(&buf, 4096);
    assert_int_equal(evc_node_op_compose(&op, &buf), 0);
    assert_int_equal(
        evc_request_parse(&parser, buf.data, evc_buf_len(&buf), &request, &used, &need, &error), 0);
    assert_int_equal(used, evc_buf_len(&buf));
    assert_int_equal(request.command, EVC_CMD_MS);
    assert_true(evc_slice_equal(request.key, op.key));
    assert_true(evc_slice_equal(request.value, op.value));
    assert_int_equal(request.exptime, 5);
    assert_int_equal(request.client_flags, 9);
    assert_int_equal(request.cas, 3);
    assert_true(evc_slice_equal(evc_request_flag(&request, 'E')->token, EVC_SLICE("99")));
    evc_buf_finish(&buf);
}

/* --- replies --- */

/* Parses text whole and growing by one byte; both must agree. Returns the status of the whole. */
static int
parse(enum evc_node_verb verb, struct evc_slice text, enum evc_node_result *result,
      struct evc_node_reply *reply)
{
    struct evc_node_parse whole = {.scanned = 0};
    struct evc_node_parse grown = {.scanned = 0};
    struct evc_node_reply again;
    enum evc_node_result again_result;
    size_t used, again_used;
    int status = evc_node_reply_parse(&whole, verb, text, &used, result, reply);
    int again_status = EVC_E_AGAIN;

    for (size_t len = 0; len <= text.len && again_status == EVC_E_AGAIN; len++) {
        struct evc_slice part = {.ptr = text.ptr, .len = len};
        again_status = evc_node_reply_parse(&grown, verb, part, &again_used, &again_result, &again);
        assert_true(grown.needed <= text.len || status != EVC_OK);
    }
    assert_int_equal(again_status, status);
    if (status == EVC_OK) {
        assert_int_equal(used, text.len);
        assert_int_equal(again_used, used);
        assert_int_equal(again_result, *result);
        assert_true(evc_slice_equal(again.value, reply->value));
        assert_int_equal(again.cas, reply->cas);
        assert_int_equal(grown.scanned, 0);
        assert_int_equal(grown.needed, 0);
    }
    return status;
}

static void
test_node_reply__values_and_flags__are_read(void **state)
{
    enum evc_node_result result;
    struct evc_node_reply reply;

    (void)state;
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("VA 5 f7\r\nhello!\r\n"), &result, &reply),
                     EVC_E_PROTO);
    assert_int_equal(parse(EVC_NODE_GET,
                           EVC_SLICE("VA 5 f7 c1152921504606846976 t-1 h1 l30 W\r\nh\r\nlo\r\n"),
                           &result, &reply),
                     0);
    assert_int_equal(result, EVC_NODE_HIT);
    assert_true(evc_slice_equal(reply.value, EVC_SLICE("h\r\nlo")));
    assert_int_equal(reply.size, 5);
    assert_int_equal(reply.client_flags, 7);
    assert_true(reply.cas == UINT64_C(1) << 60);
    assert_true(reply.ttl_s == -1);
    assert_true(reply.hit_before);
    assert_int_equal(reply.last_access_s, 30);
    assert_false(reply.is_tombstone);
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("HD s12 t60 h0\r\n"), &result, &reply), 0);
    assert_int_equal(reply.size, 12);
    assert_true(reply.ttl_s == 60);
    assert_false(reply.hit_before);
}

static void
test_node_reply__tombstones__with_and_without_value(void **state)
{
    enum evc_node_result result;
    struct evc_node_reply reply;

    (void)state;
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("VA 0 f3888832173 c9\r\n\r\n"), &result, &reply),
                     0);
    assert_true(reply.is_tombstone);
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("HD f3888832173 c9 s0\r\n"), &result, &reply),
                     0);
    assert_true(reply.is_tombstone);
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("HD f3888832173 c9 s1\r\n"), &result, &reply),
                     0);
    assert_false(reply.is_tombstone);
    assert_int_equal(parse(EVC_NODE_GET, EVC_SLICE("VA 0 f0\r\n\r\n"), &result, &reply), 0);
    assert_false(reply.is_tombstone);
}

static void
test_node_reply__codes__mean_what_the_verb_says(void **state)
{
    static const struct {
        enum evc_node_verb verb;
        const char *text;
        int status;
        enum evc_node_result result;
    } rows[] = {
        {EVC_NODE_GET, "HD\r\n", 0, EVC_NODE_HIT},
        {EVC_NODE_GET, "EN\r\n", 0, EVC_NODE_MISS},
        {EVC_NODE_SET, "HD\r\n", 0, EVC_NODE_STORED},
        {EVC_NODE_ADD, "HD\r\n", 0, EVC_NODE_STORED},
        {EVC_NODE_ADD, "NS\r\n", 0, EVC_NODE_NOT_STORED},
        {EVC_NODE_CAS, "EX\r\n", 0, EVC_NODE_EXISTS},
        {EVC_NODE_CAS, "NF\r\n", 0, EVC_NODE_MISS},
        {EVC_NODE_GET, "NS\r\n", 0, EVC_NODE_NOT_STORED}, /* of an operation given up */
        {EVC_NODE_GET, "MN\r\n", 0, EVC_NODE_HIT},
        {EVC_NODE_SET, "ERROR\r\n", 0, EVC_NODE_ERROR},
        {EVC_NODE_SET, "SERVER_ERROR object too large for cache\r\n", 0, EVC_NODE_ERROR},
        {EVC_NODE_GET, "CLIENT_ERROR bad command line format\r\n", 0, EVC_NODE_ERROR},
        {EVC_NODE_SET, "VA 1\r\nx\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "VA\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "VA x\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "VA 4294967295\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "VA 1 cx\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "HD t-2\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "HD h\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "HDX\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "ERRORS\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "STORED\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "\r\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "HD\n", EVC_E_PROTO, 0},
        {EVC_NODE_GET, "HD", EVC_E_AGAIN, 0},
        {EVC_NODE_GET, "VA 3\r\nab", EVC_E_AGAIN, 0},
        {EVC_NODE_GET, "", EVC_E_AGAIN, 0},
    };

    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        enum evc_node_result result = EVC_NODE_RESULT_MAX;
        struct evc_node_reply reply;
        struct evc_slice text = evc_slice_str(rows[i].text);
        assert_int_equal(parse(rows[i].verb, text, &result, &reply), rows[i].status);
        if (rows[i].status == 0) {
            assert_int_equal(result, rows[i].result);
        }
        if (rows[i].status == 0 && result == EVC_NODE_ERROR) {
            assert_int_equal(reply.error.len, text.len - 2);
        }
    }
}

static void
test_node_reply__line_without_end__refused(void **state)
{
    static char line[3000];
    enum evc_node_result result;
    struct evc_node_reply reply;

    (void)state;
    memset(line, 'E', sizeof(line));
    assert_int_equal(
        parse(EVC_NODE_GET, (struct evc_slice){.ptr = line, .len = sizeof(line)}, &result, &reply),
        EVC_E_PROTO);
}

static void
test_node_result__names__are_distinct(void **state)
{
    (void)state;
    for (int a = 0; a < EVC_NODE_RESULT_MAX; a++) {
        for (int b = a + 1; b <= EVC_NODE_RESULT_MAX; b++) {
            assert_string_not_equal(evc_node_result_str((enum evc_node_result)a),
                                    evc_node_result_str((enum evc_node_result)b));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_op__compose__each_verb),
        cmocka_unit_test(test_node_op__keys_that_would_end_a_token__go_in_base64),
        cmocka_unit_test(test_node_op__longest_key_of_control_characters__goes_as_it_is),
        cmocka_unit_test(test_node_op__every_byte_at_every_place__base64_where_it_must),
        cmocka_unit_test(test_node_op__no_room__nothing_is_appended),
        cmocka_unit_test(test_node_op__composed_writes__read_back_by_the_request_parser),
        cmocka_unit_test(test_node_reply__values_and_flags__are_read),
        cmocka_unit_test(test_node_reply__tombstones__with_and_without_value),
        cmocka_unit_test(test_node_reply__codes__mean_what_the_verb_says),
        cmocka_unit_test(test_node_reply__line_without_end__refused),
        cmocka_unit_test(test_node_result__names__are_distinct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
