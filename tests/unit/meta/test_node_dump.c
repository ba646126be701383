/* SPDX-License-Identifier: Apache-2.0 */
/* What a node lists, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "meta/node_dump.h"

#define LINE(text, kind_, key_, cas_)                                                              \
    {                                                                                              \
        text, sizeof(text) - 1, EVC_OK, kind_, key_, cas_                                          \
    }
#define BAD(text)                                                                                  \
    {                                                                                              \
        text, sizeof(text) - 1, EVC_E_PROTO, EVC_NODE_DUMP_ITEM, "", 0                             \
    }

static const struct {
    const char *text;
    size_t len;
    int status;
    enum evc_node_dump_kind kind;
    const char *key;
    uint64_t cas;
} lines[] = {
    LINE("key=a exp=-1 la=1 cas=7 fetch=no cls=1 size=63 flags=0\n", EVC_NODE_DUMP_ITEM, "a", 7),
    LINE("key=a%20b%25%0d exp=1 cas=18446744073709551615\n", EVC_NODE_DUMP_ITEM, "a b%\r",
         UINT64_MAX),
    LINE("END\r\n", EVC_NODE_DUMP_END, "", 0),
    LINE("BUSY currently processing crawler request\r\n", EVC_NODE_DUMP_BUSY, "", 0),
    LINE("ERROR locked try again later\r\n", EVC_NODE_DUMP_BUSY, "", 0),
    LINE("ERROR metadump not allowed\r\n", EVC_NODE_DUMP_REFUSED, "", 0),
    LINE("CLIENT_ERROR lru crawler disabled\r\n", EVC_NODE_DUMP_REFUSED, "", 0),
    BAD("key=a exp=-1\n"),
    BAD("key= cas=1\n"),
    BAD("key=a%2 cas=1\n"),
    BAD("key=a%zz cas=1\n"),
    BAD("key=a cas=x\n"),
    BAD("HD\r\n"),
    BAD("\n"),
};

static void
check(size_t i, size_t step)
{
    struct evc_node_dump state = {.scanned = 0};
    struct evc_node_dump_line line;
    size_t used = 0;
    int status = EVC_E_AGAIN;

    for (size_t len = step; status == EVC_E_AGAIN && len <= lines[i].len; len += step) {
        status = evc_node_dump_parse(&state, (struct evc_slice){lines[i].text, len}, &used, &line);
        assert_true(status == EVC_E_AGAIN || len == lines[i].len);
    }
    assert_int_equal(status, lines[i].status);
    if (status != EVC_OK) {
        return;
    }
    assert_int_equal(used, lines[i].len);
    assert_int_equal(line.kind, lines[i].kind);
    assert_true(evc_slice_equal(line.key, evc_slice_str(lines[i].key)) || line.key.len == 0);
    assert_int_equal(line.key.len, strlen(lines[i].key));
    assert_int_equal(line.cas, lines[i].cas);
}

static void
test_node_dump__every_line__means_the_same_whole_and_in_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        check(i, lines[i].len);
        check(i, 1);
    }
}

static void
test_node_dump__longest_key__fits_and_a_longer_one_is_none(void **state)
{
    struct evc_node_dump dump = {.scanned = 0};
    struct evc_node_dump_line line;
    char text[1024];
    size_t used;

    (void)state;
    for (int len = EVC_KEY_LEN_MAX; len <= EVC_KEY_LEN_MAX + 1; len++) {
        int count = snprintf(text, sizeof(text), "key=%0*d cas=1\n", len, 0);

        assert_int_equal(
            evc_node_dump_parse(&dump, (struct evc_slice){text, (size_t)count}, &used, &line),
            len == EVC_KEY_LEN_MAX ? EVC_OK : EVC_E_PROTO);
    }
}

static void
test_node_dump__line_without_end__is_refused_at_the_bound(void **state)
{
    struct evc_node_dump dump = {.scanned = 0};
    struct evc_node_dump_line line;
    char text[4096];
    size_t used;

    (void)state;
    memset(text, 'k', sizeof(text));
    assert_int_equal(evc_node_dump_parse(&dump, (struct evc_slice){text, 1000}, &used, &line),
                     EVC_E_AGAIN);
    assert_int_equal(
        evc_node_dump_parse(&dump, (struct evc_slice){text, sizeof(text)}, &used, &line),
        EVC_E_PROTO);
}

static void
test_node_dump__further_tokens__are_told_where_they_are(void **state)
{
    static const struct {
        const char *text;
        int64_t expiry_s;
        uint32_t size, client_flags;
    } items[] = {
        {"key=a exp=1795654149 la=1 cas=7 fetch=no cls=1 size=67 flags=3888832173\n", 1795654149,
         67, EVC_TOMBSTONE_FLAGS},
        {"key=a exp=-1 la=1 cas=7 fetch=no cls=1 size=63\n", -1, 63, 0},
        {"key=a cas=7 exp=99999999999 size=99999999999\n", -1, UINT32_MAX, 0},
        {"key=a cas=7\n", -1, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        struct evc_node_dump dump = {.scanned = 0};
        struct evc_node_dump_line line;
        size_t used;

        assert_int_equal(evc_node_dump_parse(&dump, evc_slice_str(items[i].text), &used, &line),
                         EVC_OK);
        assert_true(line.expiry_s == items[i].expiry_s);
        assert_int_equal(line.size, items[i].size);
        assert_int_equal(line.client_flags, items[i].client_flags);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_dump__every_line__means_the_same_whole_and_in_bytes),
        cmocka_unit_test(test_node_dump__longest_key__fits_and_a_longer_one_is_none),
        cmocka_unit_test(test_node_dump__line_without_end__is_refused_at_the_bound),
        cmocka_unit_test(test_node_dump__further_tokens__are_told_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
