/* SPDX-License-Identifier: Apache-2.0 */
/* Replies to clients, against what memcached 1.6.38 was seen to answer to the same requests. */
#include "unit.h"

#include "meta/reply.h"

/* The reply's view of a request, and the memory behind it. */
struct asked {
    struct evc_meta_reply meta;
    char opaque[EVC_REQUEST_OPAQUE_MAX];
    char key[EVC_META_KEY_TEXT_MAX];
};

static struct asked asked;

static const struct evc_meta_reply *
ask(const char *text)
{
    struct evc_request_parser parser = {.value_len_max = 1000};
    struct evc_request request;
    struct evc_slice error;
    char input[400];
    size_t used, need;

    strcpy(input, text);
    assert_int_equal(
        evc_request_parse(&parser, input, strlen(input), &request, &used, &need, &error), 0);
    evc_meta_reply_init(&asked.meta, &request, asked.opaque, asked.key);
    return &asked.meta;
}

static void
expect(struct evc_buf *buf, const char *text)
{
    struct evc_slice got = evc_buf_slice(buf);

    if (!evc_slice_equal(got, evc_slice_str(text))) {
        fail_msg("expected %s got %.*s", text, (int)got.len, got.ptr);
    }
    evc_buf_clear(buf);
}

static void
test_reply__value__with_and_without_cas(void **state)
{
    struct evc_node_reply reply = {
        .value = EVC_SLICE("v\r\n"), .cas = UINT64_MAX, .client_flags = UINT32_MAX};
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 1000000);
    assert_int_equal(evc_reply_compose_value(&buf, EVC_SLICE("key"), &reply, false), 0);
    expect(&buf, "VALUE key 4294967295 3\r\nv\r\n\r\n");
    assert_int_equal(evc_reply_compose_value(&buf, EVC_SLICE("key"), &reply, true), 0);
    expect(&buf, "VALUE key 4294967295 3 18446744073709551615\r\nv\r\n\r\n");
    evc_buf_finish(&buf);
}

static void
test_reply__get__flags_in_the_order_asked(void **state)
{
    static const struct {
        const char *request;
        const char *reply;
    } rows[] = {
        {"mg a\r\n", "HD\r\n"},
        {"mg a v\r\n", "VA 2\r\nhi\r\n"},
        {"mg a q\r\n", "HD\r\n"},
        {"mg a s v t f c h l k O1 u q\r\n", "VA 2 s2 t-1 f9 c77 h1 l3 ka O1\r\nhi\r\n"},
        {"mg a O1 k c f\r\n", "HD O1 ka c77 f9\r\n"},
        {"mg YQ== b k v\r\n", "VA 2 kYQ== b\r\nhi\r\n"},
        {"mg !YQ==YQ== b k\r\n", "HD kYQ== b\r\n"}, /* encoded anew, not as it was sent */
        {"mg a O\r\n", "HD O\r\n"},
        {"mg a T30 t\r\n", "HD t-1\r\n"},
    };
    struct evc_node_reply reply = {.value = EVC_SLICE("hi"),
                                   .cas = 77,
                                   .ttl_s = -1,
                                   .client_flags = 9,
                                   .size = 2,
                                   .last_access_s = 3,
                                   .hit_before = true};
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 1000000);
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        assert_int_equal(evc_meta_reply_compose_get(&buf, ask(rows[i].request), &reply), 0);
        expect(&buf, rows[i].reply);
    }
    evc_buf_finish(&buf);
}

static void
test_reply__codes__echo_and_quiet(void **state)
{
    static const struct {
        const char *request;
        enum evc_meta_code code;
        const char *reply;
    } rows[] = {
        {"mg a\r\n", EVC_META_EN, "EN\r\n"},
        {"mg a v k O9 c\r\n", EVC_META_EN, "EN ka O9\r\n"},
        {"mg a q O9\r\n", EVC_META_EN, ""},
        {"md a q\r\n", EVC_META_HD, ""},
        {"md a q O1\r\n", EVC_META_NF, "NF O1\r\n"},
        {"md a k q\r\n", EVC_META_EX, "EX ka\r\n"},
        {"md a\r\n", EVC_META_NS, "NS\r\n"},
    };
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 1000000);
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        assert_int_equal(evc_meta_reply_compose(&buf, ask(rows[i].request), rows[i].code), 0);
        expect(&buf, rows[i].reply);
    }
    evc_buf_finish(&buf);
}

static void
test_reply__writes__cas_and_size_where_asked(void **state)
{
    static const struct {
        const char *request;
        enum evc_meta_code code;
        const char *reply;
    } rows[] = {
        {"ms a 2\r\nhi\r\n", EVC_META_HD, "HD\r\n"},
        {"ms a 2 c s O1 k\r\nhi\r\n", EVC_META_HD, "HD c77 s2 O1 ka\r\n"},
        {"ms a 2 k c\r\nhi\r\n", EVC_META_NS, "NS ka c0\r\n"},
        {"ms a 2 q c\r\nhi\r\n", EVC_META_HD, ""},
        {"ms a 2 q c\r\nhi\r\n", EVC_META_EX, "EX c0\r\n"},
        {"ms YQ== 2 k b\r\nhi\r\n", EVC_META_HD, "HD kYQ== b\r\n"},
    };
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 1000000);
    for (size_t i = 0; i < EVC_COUNT_OF(rows); i++) {
        assert_int_equal(
            evc_meta_reply_compose_write(&buf, ask(rows[i].request), rows[i].code, 77, 2), 0);
        expect(&buf, rows[i].reply);
    }
    evc_buf_finish(&buf);
}

static void
test_reply__no_room__nothing_is_appended(void **state)
{
    struct evc_node_reply reply = {.value = EVC_SLICE("hi")};
    struct evc_buf buf;

    (void)state;
    evc_buf_init(&buf, 10);
    assert_int_equal(evc_reply_compose_value(&buf, EVC_SLICE("k"), &reply, false), EVC_E_LIMIT);
    assert_int_equal(evc_meta_reply_compose_get(&buf, ask("mg a v\r\n"), &reply), EVC_E_LIMIT);
    assert_int_equal(evc_meta_reply_compose(&buf, ask("mg a v\r\n"), EVC_META_EN), EVC_E_LIMIT);
    assert_int_equal(evc_meta_reply_compose_write(&buf, ask("ms a 1\r\nx\r\n"), EVC_META_HD, 1, 1),
                     EVC_E_LIMIT);
    assert_int_equal(evc_buf_len(&buf), 0);
    evc_buf_finish(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply__value__with_and_without_cas),
        cmocka_unit_test(test_reply__get__flags_in_the_order_asked),
        cmocka_unit_test(test_reply__codes__echo_and_quiet),
        cmocka_unit_test(test_reply__writes__cas_and_size_where_asked),
        cmocka_unit_test(test_reply__no_room__nothing_is_appended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
