/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client requests: what each command parses to, memcached's error texts, and staying in step. Every
 * conversation is fed whole and one byte at a time, and must read the same.
 */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/request.h"

enum {
    VALUE_LEN_MAX = 100,
    INPUT_BYTES = 200000,
    TEXT_BYTES = 16384,
};

/* A request as one readable line, appended to out. */
static void
describe(const struct evc_request *request, char *out)
{
    char *at = out + strlen(out);
    size_t room = TEXT_BYTES - strlen(out);

    at += snprintf(at, room, "%s", evc_command_info(request->command)->name);
    if (request->key.len > 0) {
        at += sprintf(at, " key=%.*s", (int)request->key.len, request->key.ptr);
    }
    if (request->client_flags != 0 || request->exptime != 0) {
        at += sprintf(at, " flags=%" PRIu32 " exptime=%" PRId64, request->client_flags,
                      request->exptime);
    }
    if (evc_command_info(request->command)->has_value) {
        at += sprintf(at, " value=%.*s", (int)request->value.len, request->value.ptr);
    }
    if (request->has_cas) {
        at += sprintf(at, " cas=%" PRIu64, request->cas);
    }
    if (request->delta != 0) {
        at += sprintf(at, " delta=%" PRIu64, request->delta);
    }
    if (request->mode != 'S') {
        at += sprintf(at, " mode=%c", request->mode);
    }
    if (request->opaque.len > 0) {
        at += sprintf(at, " opaque=%.*s", (int)request->opaque.len, request->opaque.ptr);
    }
    if (request->flag_count > 0) {
        at += sprintf(at, " meta=");
        for (unsigned i = 0; i < request->flag_count; i++) {
            at += sprintf(at, "%c", request->flags[i].letter);
        }
    }
    if (request->rest.len > 0) {
        at += sprintf(at, " rest=%.*s", (int)request->rest.len, request->rest.ptr);
    }
    strcat(at, request->noreply ? " noreply" : "");
    strcat(at, request->quiet ? " quiet" : "");
    strcat(at, "|");
}

/* Appends what one call of the parser came to. */
static void
note(int status, const struct evc_request *request, struct evc_slice error, char *out)
{
    char *at;

    if (status == EVC_OK) {
        describe(request, out);
        return;
    }
    at = out + strlen(out);
    memcpy(at, error.ptr, error.len);
    at += error.len >= 2 ? error.len - 2 : 0;
    strcpy(at, request->is_too_large ? "(too large)" : "");
    strcat(at, status == EVC_E_PROTO ? "!|" : "|");
}

/* Feeds len bytes, in pieces of step; what was made of them is appended to out. */
static int
converse(const char *bytes, size_t len, size_t step, char *out)
{
    static char input[INPUT_BYTES];
    struct evc_request_parser parser = {.value_len_max = VALUE_LEN_MAX};
    size_t held = 0;
    int status = EVC_E_AGAIN;

    out[0] = '\0';
    for (size_t fed = 0; fed < len && status != EVC_E_PROTO;) {
        size_t piece = len - fed < step ? len - fed : step;
        size_t used = 1;
        memcpy(input + held, bytes + fed, piece);
        held += piece;
        fed += piece;
        while (held > 0 && status != EVC_E_PROTO) {
            struct evc_request request;
            struct evc_slice error;
            size_t need;
            status = evc_request_parse(&parser, input, held, &request, &used, &need, &error);
            assert_true(used <= held);
            if (status == EVC_E_AGAIN) {
                assert_true(used > 0 || need == 0 || need > held);
            } else {
                note(status, &request, error, out);
            }
            memmove(input, input + used, held - used);
            held -= used;
            if (status == EVC_E_AGAIN && used == 0) {
                break;
            }
        }
    }
    return status;
}

static void
expect(const char *bytes, const char *expected)
{
    static char out[TEXT_BYTES];

    for (size_t step = 1; step <= 3; step++) {
        converse(bytes, strlen(bytes), step == 3 ? SIZE_MAX : step, out);
        if (strcmp(out, expected) != 0) {
            fail_msg("%s\n  expected %s\n  got      %s", bytes, expected, out);
        }
    }
}

struct conversation {
    const char *in;
    const char *out;
};

static const struct conversation commands[] = {
    {"get a\r\n", "get key=a|"},
    {"get  a  bb \nmn\n", "get key=a|mn|"},
    {"gets a b c\r\n", "gets key=a|"},
    {"gat 10 a b\r\n", "gat key=a flags=0 exptime=10|"},
    {"gats -1 a\r\n", "gats key=a flags=0 exptime=-1|"},
    {"set a 7 10 2\r\nhi\r\n", "set key=a flags=7 exptime=10 value=hi|"},
    {"set a 0 0 0\r\n\r\nmn\r\n", "set key=a value=|mn|"},
    {"set a 0 0 4\r\n\r\n\r\n\r\nmn\r\n", "set key=a value=\r\n\r\n|mn|"},
    {"add a 0 0 1 noreply\r\nx\r\n", "add key=a value=x noreply|"},
    {"replace a 0 0 1\r\nx\r\n", "replace key=a value=x|"},
    {"append a 0 0 1\r\nx\r\nprepend a 0 0 1\r\nx\r\n",
     "append key=a value=x|prepend key=a value=x|"},
    {"cas a 0 0 1 99\r\nx\r\n", "cas key=a value=x cas=99|"},
    {"cas a 0 0 1 0 noreply\r\nx\r\n", "cas key=a value=x cas=0 noreply|"},
    {"delete a\r\ndelete a noreply\r\ndelete a 0\r\ndelete a 0 noreply\r\n",
     "delete key=a|delete key=a noreply|delete key=a|delete key=a noreply|"},
    {"delete noreply\r\n", "delete key=noreply|"},
    {"incr a 5\r\ndecr a 6 noreply\r\n", "incr key=a delta=5|decr key=a delta=6 noreply|"},
    {"touch a 60\r\n", "touch key=a flags=0 exptime=60|"},
    {"flush_all\r\nflush_all 9\r\nflush_all noreply\r\n",
     "flush_all|flush_all flags=0 exptime=9|flush_all noreply|"},
    {"verbosity 1\r\nversion\r\nquit\r\n", "verbosity delta=1|version|quit|"},
    {"stats\r\nstats settings x\r\n", "stats|stats rest=settings x|"},
    {"hello 1 movies oregon 0\r\n", "hello rest=1 movies oregon 0|"},
    {"mg a\r\nmg a v f c t O12 k q\r\n", "mg key=a|mg key=a opaque=12 meta=vfctOkq quiet|"},
    {"ms a 2 T90 F3 C7\r\nhi\r\n", "ms key=a flags=3 exptime=90 value=hi cas=7 meta=TFC|"},
    {"ms a 2 ME E5\r\nhi\r\n", "ms key=a value=hi mode=E meta=ME|"},
    {"md a C1 q\r\nma a MD D3\r\nma a\r\n",
     "md key=a cas=1 meta=Cq quiet|ma key=a delta=3 mode=D meta=MD|ma key=a delta=1 mode=I|"},
    {"me a\r\nmn\r\n", "me key=a|mn|"},
    {"mg YWJj b k\r\n", "mg key=abc meta=bk|"},
    {"ms YWI= 1 b\r\nx\r\n", "ms key=ab value=x meta=b|"},
    {"   get a\r\n", "get key=a|"},
};

static void
test_request__good_requests__parse_whole_and_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(commands); i++) {
        expect(commands[i].in, commands[i].out);
    }
}

#define FORMAT "CLIENT_ERROR bad command line format|"
#define TOKEN "CLIENT_ERROR bad token in command line format|"
#define MD_FLAG "CLIENT_ERROR invalid or duplicate flag|"

static const struct conversation mistakes[] = {
    {"\r\n\nx\r\nfoo\r\n", "ERROR|ERROR|ERROR|ERROR|"},
    {"get\r\ngets \r\ngetx a\r\n", "ERROR|ERROR|ERROR|"},
    {"gat x a\r\ngat 1\r\n", "CLIENT_ERROR invalid exptime argument|END|"},
    {"set a 0 0\r\nset a 0 0 1 2 3\r\n", "ERROR|ERROR|"},
    {"set a x 0 2\r\nmn\r\n", FORMAT "mn|"},
    {"set a 0 x 2\r\nset a 0 0 x\r\nset a 0 0 -1\r\n", FORMAT FORMAT FORMAT},
    {"set a 0 0 2147483646\r\n", FORMAT},
    {"set a 0 0 x noreply\r\nmn\r\n", "|mn|"},
    {"cas a 0 0 1 x\r\nmn\r\n", FORMAT "mn|"},
    {"set a 0 0 2\r\nhixxmn\r\n", "CLIENT_ERROR bad data chunk|mn|"},
    {"set a 0 0 2 noreply\r\nhixxmn\r\n", "|mn|"},
    {"ms a 2 q\r\nhixxmn\r\n", "CLIENT_ERROR bad data chunk|mn|"},
    {"delete a b\r\ndelete a b c d\r\n",
     "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]|ERROR|"},
    {"delete a b noreply\r\n", "|"},
    {"incr a x\r\nincr a\r\n", "CLIENT_ERROR invalid numeric delta argument|ERROR|"},
    {"touch a x\r\ntouch a x noreply\r\n", "CLIENT_ERROR invalid exptime argument||"},
    {"verbosity\r\nverbosity x\r\n", "ERROR|" FORMAT},
    {"GET / HTTP/1.1\r\n", "!|"},
    {"mg\r\nms\r\nmd\r\nma\r\n", "ERROR|ERROR|ERROR|ERROR|"},
    {"me\r\n", FORMAT},
    {"mg a z\r\nmg a v v\r\nmg a T\r\n",
     "CLIENT_ERROR invalid flag|CLIENT_ERROR duplicate flag|" TOKEN},
    {"mg Y b\r\nmd Y b\r\nme Y b\r\n", "CLIENT_ERROR error decoding key|" MD_FLAG FORMAT},
    {"mg a O12345678901234567890123456789012\r\n", "CLIENT_ERROR opaque token too long|"},
    {"mg a O1234567890123456789012345678901\r\n",
     "mg key=a opaque=1234567890123456789012345678901 meta=O|"},
    {"mg a k s t c f v h u q l P L O1 T1 C1 E1 D1 J1\r\n",
     "CLIENT_ERROR options flags are too long|"},
    {"ms a 1 k s t c f v h u q l P L O1 T1 C1 E1 D1 J1\r\nmn\r\n",
     "CLIENT_ERROR options flags too long|mn|"},
    {"ms a\r\nms a x\r\nms a -1\r\n", FORMAT FORMAT FORMAT},
    {"ms a 2 z\r\nhi\r\nmn\r\n", "CLIENT_ERROR invalid flag|mn|"},
    {"ms a 2 Fx\r\nhi\r\nmn\r\n", FORMAT "mn|"},
    {"ms a 2 MX\r\nhi\r\nms a 2 MXX\r\nhi\r\nmn\r\n",
     "CLIENT_ERROR invalid mode for ms M token|CLIENT_ERROR incorrect length for M token|mn|"},
    {"ms a 2 Tx Fx\r\nhi\r\nms a 2 Fx Tx\r\nhi\r\nmn\r\n", TOKEN TOKEN "mn|"},
    {"md a Tx\r\nma a MX\r\nmd a z\r\n",
     MD_FLAG "CLIENT_ERROR invalid mode for ma M token|" MD_FLAG},
};

static void
test_request__mistakes__memcacheds_texts_and_in_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVC_COUNT_OF(mistakes); i++) {
        expect(mistakes[i].in, mistakes[i].out);
    }
}

static void
test_request__key_of_250__good_of_251__refused(void **state)
{
    static const struct {
        const char *before;
        const char *after;
    } forms[] = {{"get ", ""},  {"get a ", ""},   {"gat 1 ", ""},  {"delete ", ""}, {"mg ", ""},
                 {"md ", " q"}, {"touch ", " 1"}, {"incr ", " 1"}, {"me ", ""}};
    static char out[TEXT_BYTES];
    char key[252];
    char line[300];

    (void)state;
    memset(key, 'k', sizeof(key));
    key[251] = '\0';
    for (size_t i = 0; i < EVC_COUNT_OF(forms); i++) {
        snprintf(line, sizeof(line), "%s%s%s\r\n", forms[i].before, key, forms[i].after);
        expect(line, FORMAT);
        snprintf(line, sizeof(line), "%s%s%s\r\n", forms[i].before, key + 1, forms[i].after);
        assert_int_equal(converse(line, strlen(line), SIZE_MAX, out), EVC_OK);
    }
    snprintf(line, sizeof(line), "set %s 0 0 2\r\n", key);
    expect(line, FORMAT);
}

static void
test_request__value_over_the_limit__swallowed_with_key_known(void **state)
{
    char in[1000];
    char value[VALUE_LEN_MAX + 2];

    (void)state;
    memset(value, '\n', sizeof(value));
    value[VALUE_LEN_MAX + 1] = '\0';
    snprintf(in, sizeof(in), "set a 0 0 101\r\n%s\r\nms b 101 q\r\n%s\r\nmn\r\n", value, value);
    expect(in, "SERVER_ERROR object too large for cache(too large)|"
               "SERVER_ERROR object too large for cache(too large)|mn|");
    snprintf(in, sizeof(in), "set a 0 0 101 noreply\r\n%s\r\nmn\r\n", value);
    expect(in, "(too large)|mn|");
    value[VALUE_LEN_MAX] = '\0';
    snprintf(in, sizeof(in), "set a 0 0 100\r\n%s\r\n", value);
    assert_int_equal(converse(in, strlen(in), SIZE_MAX, (char[TEXT_BYTES]){0}), EVC_OK);
}

static void
test_request__too_large__command_and_key_are_filled(void **state)
{
    struct evc_request_parser parser = {.value_len_max = 1};
    char input[] = "set abc 0 0 5\r\nhello\r\n";
    struct evc_request request;
    struct evc_slice error;
    size_t used;
    size_t need;

    (void)state;
    assert_int_equal(
        evc_request_parse(&parser, input, strlen(input), &request, &used, &need, &error),
        EVC_E_INVALID);
    assert_true(request.is_too_large);
    assert_int_equal(request.command, EVC_CMD_SET);
    assert_true(evc_slice_equal(request.key, EVC_SLICE("abc")));
    assert_int_equal(used, 15);
    assert_int_equal(evc_request_parse(&parser, input + 15, 7, &request, &used, &need, &error),
                     EVC_E_AGAIN);
    assert_int_equal(used, 7);
}

static void
test_request__line_without_end__refused_at_the_bound(void **state)
{
    static char line[EVC_REQUEST_KEYS_LINE_MAX + 100];
    static char out[TEXT_BYTES];

    (void)state;
    memset(line, 'a', sizeof(line));
    assert_int_equal(converse(line, EVC_REQUEST_LINE_MAX, SIZE_MAX, out), EVC_E_AGAIN);
    assert_int_equal(converse(line, EVC_REQUEST_LINE_MAX + 1, SIZE_MAX, out), EVC_E_PROTO);
    assert_string_equal(out, "CLIENT_ERROR line too long!|");
    assert_int_equal(converse(line, EVC_REQUEST_LINE_MAX + 1, 1, out), EVC_E_PROTO);
    memcpy(line, "get ", 4);
    assert_int_equal(converse(line, EVC_REQUEST_KEYS_LINE_MAX, SIZE_MAX, out), EVC_E_AGAIN);
    assert_int_equal(converse(line, EVC_REQUEST_KEYS_LINE_MAX + 1, SIZE_MAX, out), EVC_E_PROTO);
}

static void
test_request__get_of_thousands_of_keys__walks_them_all(void **state)
{
    static char line[EVC_REQUEST_KEYS_LINE_MAX];
    struct evc_request_parser parser = {.value_len_max = 1};
    struct evc_request request;
    struct evc_slice error, key;
    size_t used, need;
    int len = sprintf(line, "get");
    int count = 0;

    (void)state;
    for (int i = 0; i < 8000; i++) {
        len += sprintf(line + len, " k%d", i);
    }
    len += sprintf(line + len, "\r\n");
    assert_int_equal(evc_request_parse(&parser, line, (size_t)len, &request, &used, &need, &error),
                     EVC_OK);
    while (evc_request_next_key(&request.keys, &key)) {
        char expected[16];
        snprintf(expected, sizeof(expected), "k%d", count++);
        assert_true(evc_slice_equal(key, evc_slice_str(expected)));
    }
    assert_int_equal(count, 8000);
    assert_int_equal(used, len);
}

static void
test_request__parsed_again__is_the_same(void **state)
{
    struct evc_request_parser parser = {.value_len_max = 100};
    char input[] = "ms YWJj 2 b O1\r\nhi\r\n";
    struct evc_request request;
    struct evc_slice error;
    size_t used, need;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            evc_request_parse(&parser, input, strlen(input), &request, &used, &need, &error),
            EVC_OK);
        assert_true(evc_slice_equal(request.key, EVC_SLICE("abc")));
        assert_true(evc_slice_equal(request.raw_key, EVC_SLICE("YWJj")));
        assert_true(request.is_base64);
        assert_non_null(evc_request_flag(&request, 'O'));
        assert_null(evc_request_flag(&request, 'v'));
    }
}

static void
test_request__waiting_for_data__says_how_much(void **state)
{
    struct evc_request_parser parser = {.value_len_max = 100};
    char input[] = "set a 0 0 10\r\n0123456789\r\n";
    struct evc_request request;
    struct evc_slice error;
    size_t used, need;

    (void)state;
    for (size_t len = 14; len < sizeof(input) - 1; len++) {
        assert_int_equal(evc_request_parse(&parser, input, len, &request, &used, &need, &error),
                         EVC_E_AGAIN);
        assert_int_equal(need, sizeof(input) - 1);
        assert_int_equal(used, 0);
    }
}

static void
test_request__numbers__as_lenient_and_as_cut_as_memcacheds(void **state)
{
    (void)state;
    expect("set a 4294967296 4294967297 1\r\nx\r\n", "set key=a flags=0 exptime=1 value=x|");
    expect("set a +1 -4294967297 1\tz\r\nx\r\n", "set key=a flags=1 exptime=-1 value=x|");
    expect("incr a -18446744073709551615\r\n", "incr key=a delta=1|");
    expect("incr a -1\r\n", "CLIENT_ERROR invalid numeric delta argument|");
    expect("touch a 9223372036854775808\r\n", "CLIENT_ERROR invalid exptime argument|");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request__good_requests__parse_whole_and_in_pieces),
        cmocka_unit_test(test_request__mistakes__memcacheds_texts_and_in_step),
        cmocka_unit_test(test_request__key_of_250__good_of_251__refused),
        cmocka_unit_test(test_request__value_over_the_limit__swallowed_with_key_known),
        cmocka_unit_test(test_request__too_large__command_and_key_are_filled),
        cmocka_unit_test(test_request__line_without_end__refused_at_the_bound),
        cmocka_unit_test(test_request__get_of_thousands_of_keys__walks_them_all),
        cmocka_unit_test(test_request__parsed_again__is_the_same),
        cmocka_unit_test(test_request__waiting_for_data__says_how_much),
        cmocka_unit_test(test_request__numbers__as_lenient_and_as_cut_as_memcacheds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
