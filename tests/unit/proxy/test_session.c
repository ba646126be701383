/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions against zones that are a table: what each command answers, in what order replies leave,
 * what happens to clients that ask too much, read too little or go away. Transcripts run whole and
 * byte by byte, and with zones that answer at once, in order, and in reverse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "front.h"
#include "proxy/session.h"

enum {
    VALUE_MAX = 300 * 1024
};

/** One connection's talk; the front starts empty. */
struct talk {
    const char *name;
    const char *in;
    const char *out;
};

static const struct talk talks[] = {
    {"set and get", "set a 5 0 2\r\nhi\r\nget a\r\n", "STORED\r\nVALUE a 5 2\r\nhi\r\nEND\r\n"},
    {"get misses", "get a b c\r\n", "END\r\n"},
    {"get of many, some there", "set a 0 0 1\r\n1\r\nset c 7 0 1\r\n3\r\nget a b c\r\n",
     "STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nVALUE c 7 1\r\n3\r\nEND\r\n"},
    {"the same key twice", "set a 0 0 1\r\n1\r\nget a a\r\n",
     "STORED\r\nVALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
    {"an empty value", "set a 0 0 0\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n"},
    {"add", "add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\nget a\r\n",
     "STORED\r\nNOT_STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"},
    {"replace", "replace a 0 0 1\r\n1\r\nset a 0 0 1\r\n2\r\nreplace a 0 0 1\r\n3\r\nget a\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE a 0 1\r\n3\r\nEND\r\n"},
    {"delete hides the tombstone",
     "set a 0 0 1\r\n1\r\ndelete a\r\ndelete a\r\nget a\r\nmg a v\r\n",
     "STORED\r\nDELETED\r\nNOT_FOUND\r\nEND\r\nEN\r\n"},
    {"add over a tombstone", "set a 0 0 1\r\n1\r\ndelete a\r\nadd a 0 0 1\r\n2\r\nget a\r\n",
     "STORED\r\nDELETED\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"},
    {"touch", "touch a 10\r\nset a 3 0 1\r\n1\r\ntouch a 10\r\nget a\r\nmg a t\r\n",
     "NOT_FOUND\r\nSTORED\r\nTOUCHED\r\nVALUE a 3 1\r\n1\r\nEND\r\nHD t10\r\n"},
    {"gat", "gat 20 a b\r\nset a 3 0 1\r\n1\r\ngat 20 a b\r\nmg a t\r\n",
     "END\r\nSTORED\r\nVALUE a 3 1\r\n1\r\nEND\r\nHD t20\r\n"},
    {"mg touches", "set a 3 0 1\r\n1\r\nmg a t T30\r\nmg b T30\r\n", "STORED\r\nHD t30\r\nEN\r\n"},
    {"a negative time is over at once", "set a 0 -1 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"},
    {"cas on what is not there, or is another",
     "cas a 0 0 1 5\r\n1\r\nset a 0 0 1\r\n1\r\n"
     "cas a 0 0 1 5\r\n2\r\ncas a 0 0 1 0\r\n2\r\n",
     "NOT_FOUND\r\nSTORED\r\nEXISTS\r\nEXISTS\r\n"},
    {"noreply",
     "set a 0 0 1 noreply\r\n1\r\nadd a 0 0 1 noreply\r\n2\r\ntouch b 5 noreply\r\n"
     "get a\r\ndelete a noreply\r\nget a\r\nmn\r\n",
     "VALUE a 0 1\r\n1\r\nEND\r\nEND\r\nMN\r\n"},
    {"meta set and get", "ms a 2 F5 T0 O9 k s\r\nhi\r\nmg a v f s k O3 t\r\nmg a\r\n",
     "HD O9 ka s2\r\nVA 2 f5 s2 ka O3 t-1\r\nhi\r\nHD\r\n"},
    {"meta set modes",
     "ms a 1 MR\r\n1\r\nms a 1 ME\r\n2\r\nms a 1 ME k\r\n3\r\nms a 1 MR\r\n4\r\nmg a v\r\n",
     "NS\r\nHD\r\nNS ka\r\nHD\r\nVA 1\r\n4\r\n"},
    {"meta cas",
     "ms a 1 C7\r\n1\r\nms a 1\r\n1\r\nms a 1 C7 O1\r\n2\r\nmd a C7\r\nmd a C0\r\nmg a v\r\n",
     "NF\r\nHD\r\nEX O1\r\nEX\r\nEX\r\nVA 1\r\n1\r\n"},
    {"meta delete", "md a O1\r\nms a 1\r\n1\r\nmd a O2 k\r\nmd a\r\n",
     "NF O1\r\nHD\r\nHD O2 ka\r\nNF\r\n"},
    {"quiet", "mg z v q\r\nms a 1 q\r\n1\r\nmg a v q\r\nmd a q\r\nmd a q\r\nmn\r\n",
     "VA 1\r\n1\r\nNF\r\nMN\r\n"},
    {"base64 key", "ms YQ== 1 b\r\n1\r\nget a\r\nmg YQ== b k v O1\r\n",
     "HD\r\nVALUE a 0 1\r\n1\r\nEND\r\nVA 1 kYQ== b O1\r\n1\r\n"},
    {"flags that are not served", "ms a 1 E5\r\n1\r\nms a 1 I\r\n1\r\nmd a E5\r\nma a E5\r\nmn\r\n",
     "CLIENT_ERROR flag E of ms is not served by this proxy\r\n"
     "CLIENT_ERROR flag I of ms is not served by this proxy\r\n"
     "CLIENT_ERROR flag E of md is not served by this proxy\r\n"
     "CLIENT_ERROR flag E of ma is not served by this proxy\r\n"
     "MN\r\n"},
    {"flags that mean nothing to a command",
     "ms a 1 v t R5\r\n1\r\nmg a v F1 C5 x E9\r\nmd a v T5\r\n", "HD\r\nVA 1\r\n1\r\nHD\r\n"},
    {"winning what is missing",
     "mg a N30 v t O1\r\nmg a N30 v t\r\nms a 1\r\n1\r\nmg a N30 v\r\nmd a\r\n"
     "mg a N30 v\r\nmg a N30\r\n",
     "VA 0 t30 O1 W\r\n\r\nVA 0 t30 Z\r\n\r\nHD\r\nVA 1\r\n1\r\nHD\r\nVA 0 W\r\n\r\nHD "
     "Z\r\n"},
    {"fetching again before it expires",
     "ms a 1 T20\r\n1\r\nmg a R10 v\r\nmg a R30 v\r\nmg a R30 v\r\nms a 1 T20\r\n2\r\nmg a R10 "
     "v\r\n"
     "mg a R30 v T60\r\nmg b R30\r\n",
     "HD\r\nVA 1\r\n1\r\nVA 1 W\r\n1\r\nVA 1 Z\r\n1\r\nHD\r\nVA 1\r\n2\r\nVA 1\r\n2\r\nEN\r\n"},
    {"marking stale",
     "md a I\r\nms a 1 F3 T90\r\n1\r\nmd a I C1\r\nmd a I T30 O1\r\nmg a N30 v f t\r\nmg a N30 "
     "v\r\n"
     "ms a 1\r\n2\r\nmg a N30 v\r\nmd a I\r\nmg a R30 v\r\nmd a x F7\r\nmg a v f\r\nmd b x\r\n",
     "NF\r\nHD\r\nEX\r\nHD O1\r\nVA 1 f3 t30 X W\r\n1\r\nVA 1 Z X\r\n1\r\nHD\r\nVA 1\r\n2\r\nHD\r\n"
     "VA 1 X W\r\n2\r\nHD\r\nVA 0 f7\r\n\r\nNF\r\n"},
    {"debugging", "me b\r\nms YQ== 3 b T50\r\nabc\r\nmd a\r\nme a\r\nme YQ b\r\n",
     "EN\r\nHD\r\nHD\r\nEN\r\nCLIENT_ERROR bad command line format\r\n"},
    {"counting",
     "incr a 1\r\nset a 4 0 2\r\n98\r\nincr a 1\r\nincr a 1 noreply\r\ndecr a 1\r\n"
     "get a\r\nset b 0 0 1\r\nx\r\nincr b 1\r\n",
     "NOT_FOUND\r\nSTORED\r\n99\r\n99\r\nVALUE a 4 3\r\n99 \r\nEND\r\nSTORED\r\n"
     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"meta counting",
     "ma a O1\r\nma a N60 J7 v t\r\nma a D3 v q\r\nma a MD v k\r\nma a C1\r\nmg a v t\r\n",
     "NF O1\r\nVA 1 t60\r\n7\r\nVA 1 ka\r\n9\r\nEX\r\nVA 2 t60\r\n9 \r\n"},
    {"appending",
     "append a 0 0 1\r\nx\r\nset a 4 0 1\r\nb\r\nappend a 9 9 1\r\nc\r\nprepend a 9 9 1\r\na\r\n"
     "get a\r\nms a 1 MA\r\nd\r\nms c 1 MP N60\r\nz\r\nms d 1 MP\r\nz\r\nmg a v f t\r\n"
     "mg c v t\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\nVALUE a 4 3\r\nabc\r\nEND\r\nHD\r\nHD\r\nNS\r\n"
     "VA 4 f4 t-1\r\nabcd\r\nVA 1 t60\r\nz\r\n"},
    {"what memcached does not know", "hello 1 movies there 0\r\nnonsense\r\nmn\r\n",
     "ERROR\r\nERROR\r\nMN\r\n"},
    {"a tombstone is the proxy's own",
     "set a 3888832173 0 0\r\n\r\nset a 3888832173 0 0 noreply\r\n\r\n"
     "set a 3888832173 0 1\r\n1\r\nget a\r\n",
     "CLIENT_ERROR these client flags with an empty value are reserved\r\n"
     "STORED\r\nVALUE a 3888832173 1\r\n1\r\nEND\r\n"},
    {"version and verbosity", "version\r\nverbosity 1\r\nverbosity 1 noreply\r\nmn\r\n",
     "VERSION 1.6.38-evcache-" EVC_VERSION "\r\nOK\r\nMN\r\n"},
    {"unknown statistics", "stats nonsense\r\nmn\r\n", "ERROR\r\nMN\r\n"},
};

static void
play(const struct talk *talk, enum front_pace pace, bool byte_by_byte)
{
    struct front *front = malloc(sizeof(*front));
    size_t len = strlen(talk->out);
    char *out = malloc(len + 1);
    int fd;

    assert_non_null(front);
    assert_non_null(out);
    front_start(front, 10, VALUE_MAX);
    front_set_pace(front, pace);
    fd = front_dial(front->client_port);
    front_send(fd, talk->in, strlen(talk->in), byte_by_byte);
    if (front_receive(fd, out, len) != len || strcmp(out, talk->out) != 0) {
        fail_msg("%s (pace %d): expected\n%s\ngot\n%s", talk->name, (int)pace, talk->out, out);
    }
    shutdown(fd, SHUT_WR);
    assert_int_equal(front_receive(fd, out, 1), 0); /* and nothing behind it */
    close(fd);
    front_stop(front);
    free(out);
    free(front);
}

static void
test_session__talks_whole__answer_as_memcached(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        for (int pace = FRONT_AT_ONCE; pace <= FRONT_IN_TURN; pace++) {
            play(&talks[i], (enum front_pace)pace, false);
        }
    }
}

static void
test_session__talks_byte_by_byte__answer_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        play(&talks[i], FRONT_IN_TURN, true);
    }
}

/* --- the order of replies --- */

struct dialogue {
    struct front front;
    int fd;
};

static struct dialogue *
open_dialogue(unsigned connections_max)
{
    struct dialogue *dialogue = malloc(sizeof(*dialogue));

    assert_non_null(dialogue);
    front_start(&dialogue->front, connections_max, VALUE_MAX);
    dialogue->fd = front_dial(dialogue->front.client_port);
    return dialogue;
}

static void
close_dialogue(struct dialogue *dialogue)
{
    close(dialogue->fd);
    front_stop(&dialogue->front);
    free(dialogue);
}

static void
say(struct dialogue *dialogue, const char *text)
{
    front_send(dialogue->fd, text, strlen(text), false);
}

static void
expect(struct dialogue *dialogue, const char *text)
{
    size_t len = strlen(text);
    char *got = malloc(len + 1);

    assert_non_null(got);
    front_receive(dialogue->fd, got, len);
    assert_string_equal(got, text);
    free(got);
}

/** Keys k0, k1… with values v0, v1… in both zones. */
static void
put_numbered(struct front *front, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[16], value[16];

        snprintf(key, sizeof(key), "k%u", i);
        snprintf(value, sizeof(value), "v%u", i);
        front_put(front, 0, key, value, i, EVC_VERSION_OURS_MIN + i);
        front_put(front, 1, key, value, i, EVC_VERSION_OURS_MIN + i);
    }
}

/** Requests of every kind, answered by the zones in reverse: `rounds` times the same block. */
static void
check_order(enum front_pace pace, unsigned rounds)
{
    static const char block[] =
        "get k1 k2 none\r\nmg k3 v\r\nversion\r\nmg none v O5\r\nset x 0 0 1\r\n1\r\n"
        "mn\r\nmg k4 v q\r\nmg none q\r\nnonsense\r\n";
    static const char answers[] =
        "VALUE k1 1 2\r\nv1\r\nVALUE k2 2 2\r\nv2\r\nEND\r\nVA 2\r\nv3\r\n"
        "VERSION 1.6.38-evcache-" EVC_VERSION "\r\nEN O5\r\nSTORED\r\nMN\r\n"
        "VA 2\r\nv4\r\nERROR\r\n";
    struct dialogue *dialogue = open_dialogue(10);
    struct evc_buf in, out;
    char *got;

    evc_buf_init(&in, 16 * 1024 * 1024);
    evc_buf_init(&out, 16 * 1024 * 1024);
    for (unsigned i = 0; i < rounds; i++) {
        assert_int_equal(evc_buf_append(&in, EVC_SLICE(block)), 0);
        assert_int_equal(evc_buf_append(&out, EVC_SLICE(answers)), 0);
    }
    put_numbered(&dialogue->front, 5);
    front_set_pace(&dialogue->front, pace);
    front_send(dialogue->fd, in.data, evc_buf_len(&in), false);
    if (pace == FRONT_HELD) {
        usleep(50 * 1000);
        front_set_pace(&dialogue->front, FRONT_REVERSED);
    }
    got = malloc(evc_buf_len(&out) + 1);
    assert_non_null(got);
    assert_int_equal(front_receive(dialogue->fd, got, evc_buf_len(&out)), evc_buf_len(&out));
    assert_memory_equal(got, out.data, evc_buf_len(&out));
    free(got);
    evc_buf_finish(&in);
    evc_buf_finish(&out);
    close_dialogue(dialogue);
}

static void
test_session__zones_answer_in_reverse__replies_in_order(void **state)
{
    (void)state;
    check_order(FRONT_REVERSED, 1);
    check_order(FRONT_HELD, 3);
}

static void
test_session__more_requests_than_the_bound__all_answered_in_order(void **state)
{
    (void)state;
    check_order(FRONT_AT_ONCE, 1000);
    check_order(FRONT_IN_TURN, 1000);
    check_order(FRONT_REVERSED, 1000);
    check_order(FRONT_HELD, 1000);
}

static void
test_session__get_of_more_keys_than_the_bound__one_group(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    enum {
        KEYS = 3 * EVC_SESSION_EXCHANGES_MAX
    };
    char *line = malloc(KEYS * 8 + 16);
    size_t len = 0;

    (void)state;
    assert_non_null(line);
    put_numbered(&dialogue->front, 4);
    len = (size_t)sprintf(line, "get k1");
    for (int i = 0; i < KEYS; i++) {
        len += (size_t)sprintf(line + len, " n%d", i);
    }
    len += (size_t)sprintf(line + len, " k2\r\nmn\r\n");
    for (int pace = FRONT_AT_ONCE; pace <= FRONT_REVERSED; pace++) {
        front_set_pace(&dialogue->front, (enum front_pace)pace);
        front_send(dialogue->fd, line, len, false);
        expect(dialogue, "VALUE k1 1 2\r\nv1\r\nVALUE k2 2 2\r\nv2\r\nEND\r\nMN\r\n");
    }
    free(line);
    close_dialogue(dialogue);
}

/* --- versions --- */

static void
test_session__version_from_gets__cas_and_conditional_delete_take_it(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    char line[128], key[64];
    unsigned long long version = 0;

    (void)state;
    front_put(&dialogue->front, 0, "a", "one", 0, EVC_VERSION_OURS_MIN + 77);
    front_put(&dialogue->front, 1, "a", "one", 0, EVC_VERSION_OURS_MIN + 77);
    snprintf(line, sizeof(line), "VALUE a 0 3 %llu\r\none\r\nEND\r\n",
             (unsigned long long)EVC_VERSION_OURS_MIN + 77);
    say(dialogue, "gets a\r\n");
    expect(dialogue, line);
    snprintf(line, sizeof(line), "cas a 0 0 3 %llu\r\ntwo\r\n",
             (unsigned long long)EVC_VERSION_OURS_MIN + 77);
    say(dialogue, line);
    expect(dialogue, "STORED\r\n");

    front_look(&dialogue->front, 0, "a", line);
    assert_int_equal(sscanf(line, "0 %llu %63s", &version, key), 2);
    assert_string_equal(key, "two");
    assert_true(version > EVC_VERSION_OURS_MIN + 77);
    snprintf(line, sizeof(line), "md a C%llu\r\nget a\r\n", version);
    say(dialogue, line);
    expect(dialogue, "HD\r\nEND\r\n");
    close_dialogue(dialogue);
}

static void
test_session__meta_set_with_c__answers_the_version_stored(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    char line[256];
    unsigned long long told = 0, stored = 0;

    (void)state;
    say(dialogue, "ms a 1 c\r\n1\r\n");
    line[front_receive(dialogue->fd, line, 5)] = '\0'; /* "HD c" and the first digit */
    for (size_t len = 5; line[len - 1] != '\n'; len++) {
        front_receive(dialogue->fd, line + len, 1);
    }
    assert_int_equal(sscanf(line, "HD c%llu\r\n", &told), 1);
    front_look(&dialogue->front, 1, "a", line);
    assert_int_equal(sscanf(line, "0 %llu", &stored), 1);
    assert_true(told == stored && told >= EVC_VERSION_OURS_MIN);
    close_dialogue(dialogue);
}

/* --- zones that fail --- */

static void
test_session__local_zone_down__the_other_answers(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);

    (void)state;
    put_numbered(&dialogue->front, 3);
    front_set_zone_down(&dialogue->front, 0, true);
    say(dialogue, "get k1 k2\r\nset a 0 0 1\r\n1\r\nadd b 0 0 1\r\n1\r\nget a\r\n");
    expect(dialogue, "VALUE k1 1 2\r\nv1\r\nVALUE k2 2 2\r\nv2\r\nEND\r\nSTORED\r\nSTORED\r\n"
                     "VALUE a 0 1\r\n1\r\nEND\r\n");
    close_dialogue(dialogue);
}

static void
test_session__no_zone_answers__one_error_line_per_request(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);

    (void)state;
    front_set_zone_down(&dialogue->front, 0, true);
    front_set_zone_down(&dialogue->front, 1, true);
    say(dialogue, "get a b c\r\nmg a v O1\r\nset a 0 0 1\r\n1\r\nset a 0 0 1 noreply\r\n1\r\n"
                  "ms a 1 q\r\n1\r\ntouch a 1\r\nmn\r\n");
    expect(dialogue, "SERVER_ERROR no zone answered\r\nSERVER_ERROR no zone answered\r\n"
                     "SERVER_ERROR not enough zones acknowledged the write (0 of 1)\r\n"
                     "SERVER_ERROR not enough zones acknowledged the write (0 of 1)\r\n"
                     "SERVER_ERROR not enough zones acknowledged the write (0 of 1)\r\nMN\r\n");
    close_dialogue(dialogue);
}

/* --- values that are too large --- */

static void
check_too_large(size_t value_len, size_t node_value_max)
{
    struct dialogue *dialogue = open_dialogue(10);
    char *value = malloc(value_len);
    char line[64], text[256];

    assert_non_null(value);
    memset(value, 'x', value_len);
    front_set_node_value_max(&dialogue->front, node_value_max);
    say(dialogue, "set a 0 0 3\r\nold\r\n");
    expect(dialogue, "STORED\r\n");
    snprintf(line, sizeof(line), "set a 0 0 %zu\r\n", value_len);
    say(dialogue, line);
    front_send(dialogue->fd, value, value_len, false);
    say(dialogue, "\r\nmn\r\n");
    expect(dialogue, "SERVER_ERROR object too large for cache\r\nMN\r\n");
    say(dialogue, "get a\r\n");
    expect(dialogue, "END\r\n");
    usleep(50 * 1000); /* the delete goes on after the answer */
    for (unsigned zone = 0; zone < FRONT_ZONES; zone++) {
        front_look(&dialogue->front, zone, "a", text);
        assert_int_equal(strncmp(text, "3888832173 ", 11), 0);
    }
    free(value);
    close_dialogue(dialogue);
}

static void
test_session__value_over_the_bound__refused_and_the_old_one_deleted(void **state)
{
    (void)state;
    check_too_large(VALUE_MAX + 1, VALUE_MAX);
}

static void
test_session__value_too_large_for_the_nodes__refused_and_the_old_one_deleted(void **state)
{
    (void)state;
    check_too_large(1000, 500);
}

/** What it deletes is still read by the request before it. */
static void
test_session__value_over_the_bound_behind_a_touch__waits_for_it(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    static char value[VALUE_MAX + 1];
    char line[64];

    (void)state;
    memset(value, 'x', sizeof(value));
    say(dialogue, "set a 0 0 3\r\nold\r\n");
    expect(dialogue, "STORED\r\n");
    snprintf(line, sizeof(line), "mg a T30 v\r\nset a 0 0 %zu\r\n", sizeof(value));
    say(dialogue, line);
    front_send(dialogue->fd, value, sizeof(value), false);
    say(dialogue, "\r\nget a\r\nmn\r\n");
    expect(dialogue, "VA 3\r\nold\r\nSERVER_ERROR object too large for cache\r\nEND\r\nMN\r\n");
    close_dialogue(dialogue);
}

/* --- clients that misbehave --- */

static void
test_session__client_goes_away__what_it_asked_is_given_back(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    struct evc_counters counters;
    size_t exchanges = 0;

    (void)state;
    front_set_pace(&dialogue->front, FRONT_HELD);
    say(dialogue, "get a b c\r\nset d 0 0 1\r\n1\r\nmn\r\ntouch e 1\r\n");
    for (int i = 0; i < 500 && exchanges < 6; i++) {
        usleep(1000);
        front_counters(&dialogue->front, &counters, &exchanges);
    }
    assert_int_equal(exchanges, 6);
    /* A reset: who only closes its half is still answered. */
    assert_int_equal(setsockopt(dialogue->fd, SOL_SOCKET, SO_LINGER,
                                &(struct linger){.l_onoff = 1, .l_linger = 0},
                                sizeof(struct linger)),
                     0);
    close(dialogue->fd);
    dialogue->fd = front_dial(dialogue->front.client_port);
    for (int i = 0; i < 500 && exchanges > 5; i++) {
        usleep(1000);
        front_counters(&dialogue->front, &counters, &exchanges);
    }
    assert_int_equal(exchanges, 5); /* all but mn are still with the nodes */
    front_set_pace(&dialogue->front, FRONT_IN_TURN);
    say(dialogue, "get d\r\n");
    expect(dialogue, "VALUE d 0 1\r\n1\r\nEND\r\n");
    front_counters(&dialogue->front, &counters, &exchanges);
    assert_int_equal(exchanges, 0);
    close_dialogue(dialogue);
}

static void
test_session__client_does_not_read__held_back_and_then_served(void **state)
{
    enum {
        GETS = 400,
        LEN = 200 * 1024
    };
    struct dialogue *dialogue = open_dialogue(10);
    char *value = malloc(LEN + 1);
    char *got = malloc(LEN + 64);
    struct evc_counters counters;
    size_t exchanges;
    int small = 64 * 1024;

    (void)state;
    assert_non_null(value);
    assert_non_null(got);
    memset(value, 'x', LEN);
    value[LEN] = '\0';
    front_put(&dialogue->front, 0, "big", value, 0, EVC_VERSION_OURS_MIN);
    assert_int_equal(setsockopt(dialogue->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (int i = 0; i < GETS; i++) {
        say(dialogue, "get big\r\n");
        usleep(i < 60 ? 10 * 1000 : 0); /* until the kernel's buffers are full */
    }
    usleep(300 * 1000);
    front_counters(&dialogue->front, &counters, &exchanges);
    assert_true(counters.cmd_get < GETS); /* 80 MB asked for; a few are gathered */
    for (int i = 0; i < GETS; i++) {
        size_t len = LEN + strlen("VALUE big 0 204800\r\n\r\nEND\r\n");

        assert_int_equal(front_receive(dialogue->fd, got, len), len);
        assert_memory_equal(got + len - 5, "END\r\n", 5);
    }
    free(value);
    free(got);
    close_dialogue(dialogue);
}

/** Sends a get of one key, count times over, in one line. */
static void
send_get_of_many(int fd, const char *key, unsigned count)
{
    char line[8192];
    size_t len = (size_t)sprintf(line, "get");

    for (unsigned i = 0; i < count; i++) {
        len += (size_t)sprintf(line + len, " %s", key);
    }
    len += (size_t)sprintf(line + len, "\r\n");
    assert_true(len < sizeof(line));
    front_send(fd, line, len, false);
}

/** Replies that are far smaller than what is asked for next. */
static void
send_small_gets(int fd, unsigned count)
{
    char got[16];

    for (unsigned i = 0; i < count; i++) {
        front_send(fd, "get none\r\n", 10, false);
        assert_int_equal(front_receive(fd, got, 5), 5);
    }
}

static char *
put_big(struct front *front, const char *key, size_t len)
{
    char *value = malloc(len + 1);

    assert_non_null(value);
    memset(value, 'x', len);
    value[len] = '\0';
    front_put(front, 0, key, value, 0, EVC_VERSION_OURS_MIN);
    return value;
}

static void
test_session__others_do_not_read__who_reads_is_served(void **state)
{
    enum {
        OTHERS = 12, /* together they could keep more than a worker may */
        ROUNDS = 100
    };
    struct dialogue *dialogue = open_dialogue(OTHERS + 1);
    char *value = put_big(&dialogue->front, "big", VALUE_MAX);
    int others[OTHERS];

    (void)state;
    put_numbered(&dialogue->front, 3);
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i] = front_dial(dialogue->front.client_port);
        send_small_gets(others[i], 100);
        send_get_of_many(others[i], "big", 300);
    }
    usleep(300 * 1000);
    for (unsigned i = 0; i < ROUNDS; i++) {
        say(dialogue, "get k1 k2\r\nmg k1 v\r\nset a 0 0 1\r\n1\r\nget a\r\n");
        expect(dialogue, "VALUE k1 1 2\r\nv1\r\nVALUE k2 2 2\r\nv2\r\nEND\r\nVA 2\r\nv1\r\n"
                         "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        close(others[i]);
    }
    free(value);
    close_dialogue(dialogue);
}

/** Reads `count` values of len bytes under the key big, and END. */
static void
expect_big(int fd, unsigned count, const char *value, size_t len)
{
    char *got = malloc(len + 64);
    char line[64];
    size_t line_len = (size_t)snprintf(line, sizeof(line), "VALUE big 0 %zu\r\n", len);

    assert_non_null(got);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(front_receive(fd, got, line_len), line_len);
        assert_string_equal(got, line);
        assert_int_equal(front_receive(fd, got, len + 2), len + 2);
        assert_memory_equal(got, value, len);
    }
    assert_int_equal(front_receive(fd, got, 5), 5);
    assert_string_equal(got, "END\r\n");
    free(got);
}

static void
test_session__more_values_than_can_be_kept__all_come(void **state)
{
    enum {
        VALUES = 300 /* 90 MB */
    };

    (void)state;
    for (int pace = FRONT_AT_ONCE; pace <= FRONT_REVERSED; pace++) {
        struct dialogue *dialogue = open_dialogue(10);
        char *value = put_big(&dialogue->front, "big", VALUE_MAX);
        struct evc_counters counters;
        size_t exchanges;

        front_set_pace(&dialogue->front, (enum front_pace)pace);
        send_small_gets(dialogue->fd, 100);
        send_get_of_many(dialogue->fd, "big", VALUES);
        usleep(100 * 1000);
        expect_big(dialogue->fd, VALUES, value, VALUE_MAX);
        front_counters(&dialogue->front, &counters, &exchanges);
        assert_int_equal(counters.get_hits, VALUES);
        assert_int_equal(counters.staged_dropped, 0);
        assert_true(pace == FRONT_AT_ONCE || counters.read_again > 0);
        free(value);
        close_dialogue(dialogue);
    }
}

/** A value that only a plain client of the nodes can have put there. */
static void
test_session__value_larger_than_a_reply_may_be__an_error_for_it_alone(void **state)
{
    (void)state;
    for (int pace = FRONT_AT_ONCE; pace <= FRONT_REVERSED; pace++) {
        struct dialogue *dialogue = open_dialogue(10);
        char *value = put_big(&dialogue->front, "huge", VALUE_MAX + 4 * 1024 * 1024);

        put_numbered(&dialogue->front, 2);
        front_set_pace(&dialogue->front, (enum front_pace)pace);
        say(dialogue, "get k1\r\nget k1 huge k1\r\nget huge\r\nmg huge v\r\nmg k1 v\r\nmn\r\n");
        expect(dialogue, "VALUE k1 1 2\r\nv1\r\nEND\r\n"
                         "VALUE k1 1 2\r\nv1\r\nVALUE k1 1 2\r\nv1\r\n"
                         "SERVER_ERROR out of memory writing get response\r\n"
                         "SERVER_ERROR out of memory writing get response\r\n"
                         "SERVER_ERROR out of memory writing get response\r\n"
                         "VA 2\r\nv1\r\nMN\r\n");
        free(value);
        close_dialogue(dialogue);
    }
}

static void
test_session__too_many_connections__told_and_closed(void **state)
{
    struct dialogue *dialogue = open_dialogue(2);
    int second = front_dial(dialogue->front.client_port);
    int third;

    (void)state;
    say(dialogue, "mn\r\n");
    expect(dialogue, "MN\r\n");
    front_send(second, "mn\r\n", 4, false);
    {
        char got[5];

        assert_int_equal(front_receive(second, got, 4), 4);
    }
    third = front_dial(dialogue->front.client_port);
    {
        char got[64];

        front_receive(third, got, strlen("ERROR Too many open connections\r\n"));
        assert_string_equal(got, "ERROR Too many open connections\r\n");
    }
    assert_true(front_is_closed(third));
    close(third);
    close(second);
    for (int i = 0; i < 200 && atomic_load(&dialogue->front.connections) > 1; i++) {
        usleep(5000);
    }
    second = front_dial(dialogue->front.client_port);
    front_send(second, "mn\r\n", 4, false);
    {
        char got[5];

        front_receive(second, got, 4);
        assert_string_equal(got, "MN\r\n");
    }
    close(second);
    close_dialogue(dialogue);
}

static void
test_session__drained_with_more_asked_than_taken__what_was_taken_is_answered(void **state)
{
    enum {
        GETS = 2 * EVC_SESSION_EXCHANGES_MAX
    };
    struct dialogue *dialogue = open_dialogue(10);
    static const char answer[] = "VALUE k1 1 2\r\nv1\r\nEND\r\n";
    struct evc_counters counters;
    size_t exchanges = 0;
    size_t seen = 1;

    (void)state;
    put_numbered(&dialogue->front, 2);
    front_set_pace(&dialogue->front, FRONT_HELD);
    for (int i = 0; i < GETS; i++) {
        say(dialogue, "get k1\r\n");
    }
    while (exchanges != seen || exchanges == 0) { /* until it takes no more */
        seen = exchanges;
        usleep(20 * 1000);
        front_counters(&dialogue->front, &counters, &exchanges);
    }
    assert_true(exchanges < GETS);
    front_drain(&dialogue->front);
    front_set_pace(&dialogue->front, FRONT_IN_TURN);
    for (size_t i = 0; i < exchanges; i++) {
        expect(dialogue, answer);
    }
    assert_true(front_is_closed(dialogue->fd));
    close_dialogue(dialogue);
}

/** Whether a flush is set, and in how many seconds from now it comes. */
static bool
flush_is_set(struct dialogue *dialogue, uint64_t *ret_s)
{
    uint64_t due_us = atomic_load(&dialogue->front.flush_schedule.due_us);

    *ret_s = (due_us - evc_clock_mono_us() + 500000) / 1000000;
    return due_us != 0;
}

static void
test_session__request_does_not_go_on__closed_in_time(void **state)
{
    static const struct {
        const char *begun;
        bool is_closed;
    } cases[] = {
        {"set a 0 0 100\r\nsome", true},
        {"get a", true},
        {"get a\r\n", false},
        {"", false},
    };
    struct dialogue *dialogue = open_dialogue(10);
    struct evc_counters counters;
    size_t exchanges;
    unsigned closed = 0;
    char got[8];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        say(dialogue, "mn\r\n");
        say(dialogue, cases[i].begun);
        expect(dialogue, "MN\r\n");
        usleep(20 * 1000);
        front_age(&dialogue->front, EVC_SESSION_UNFINISHED_US - 1000000);
        front_counters(&dialogue->front, &counters, &exchanges);
        assert_int_equal(counters.connections_unfinished_total, closed);
        front_age(&dialogue->front, EVC_SESSION_UNFINISHED_US + 1);
        closed += cases[i].is_closed;
        if (cases[i].is_closed) {
            assert_true(front_is_closed(dialogue->fd));
            close(dialogue->fd);
            dialogue->fd = front_dial(dialogue->front.client_port);
        } else if (cases[i].begun[0] != '\0') {
            assert_int_equal(front_receive(dialogue->fd, got, 5), 5);
        }
    }
    say(dialogue, "mn\r\n");
    expect(dialogue, "MN\r\n");
    front_counters(&dialogue->front, &counters, &exchanges);
    assert_int_equal(counters.connections_unfinished_total, closed);
    close_dialogue(dialogue);
}

/** It is the proxy that does not read on, not the client that does not send. */
static void
test_session__request_held_back__is_not_unfinished(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);

    (void)state;
    front_set_pace(&dialogue->front, FRONT_HELD);
    say(dialogue, "touch a 10\r\nget a\r\nmn\r\n"); /* the get waits for the touch */
    usleep(20 * 1000);
    front_age(&dialogue->front, EVC_SESSION_UNFINISHED_US + 1);
    front_set_pace(&dialogue->front, FRONT_IN_TURN);
    expect(dialogue, "NOT_FOUND\r\nEND\r\nMN\r\n");
    close_dialogue(dialogue);
}

static void
test_session__flush_all_later__the_last_one_counts(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    char line[64];
    uint64_t wait_s;

    (void)state;
    say(dialogue, "flush_all 2592000\r\n");
    expect(dialogue, "OK\r\n");
    assert_true(flush_is_set(dialogue, &wait_s) && wait_s == 2592000);
    say(dialogue, "flush_all 100 noreply\r\nmn\r\n");
    expect(dialogue, "MN\r\n");
    assert_true(flush_is_set(dialogue, &wait_s) && wait_s == 100);
    snprintf(line, sizeof(line), "flush_all %llu\r\n",
             (unsigned long long)(evc_clock_unix_us() / 1000000 + 5000));
    say(dialogue, line);
    expect(dialogue, "OK\r\n");
    assert_true(flush_is_set(dialogue, &wait_s) && wait_s >= 4998 && wait_s <= 5001);
    /* The fixture has no nodes to walk: what is to be flushed at once is answered so. */
    say(dialogue, "flush_all 2592001\r\n");
    expect(dialogue, "SERVER_ERROR flush_all: the proxy stops\r\n");
    assert_false(flush_is_set(dialogue, &wait_s));
    say(dialogue, "flush_all 100\r\nflush_all\r\n");
    expect(dialogue, "OK\r\nSERVER_ERROR flush_all: the proxy stops\r\n");
    assert_false(flush_is_set(dialogue, &wait_s));
    close_dialogue(dialogue);
}

static void
test_session__quit_behind_requests__answered_then_closed(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);

    (void)state;
    say(dialogue, "set a 0 0 1\r\n1\r\nget a\r\nquit\r\nget a\r\n");
    expect(dialogue, "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    assert_true(front_is_closed(dialogue->fd));
    close_dialogue(dialogue);
}

static void
test_session__line_without_end__told_and_closed(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    char line[EVC_REQUEST_LINE_MAX * 2];
    char got[64];

    (void)state;
    memset(line, 'x', sizeof(line));
    front_send(dialogue->fd, line, sizeof(line), false);
    assert_true(front_receive(dialogue->fd, got, 5) == 5);
    assert_true(front_is_closed(dialogue->fd));
    close_dialogue(dialogue);
}

static void
test_session__stats__names_of_memcached(void **state)
{
    struct dialogue *dialogue = open_dialogue(10);
    char got[16 * 1024];
    size_t len = 0;

    (void)state;
    say(dialogue, "set a 0 0 1\r\n1\r\nget a b\r\n");
    expect(dialogue, "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    say(dialogue, "stats\r\n");
    do {
        len += front_receive(dialogue->fd, got + len, 1);
    } while (len < 30 || strcmp(got + len - 5, "END\r\n") != 0 || !strstr(got, "STAT threads"));
    assert_non_null(strstr(got, "STAT cmd_get 2\r\n"));
    assert_non_null(strstr(got, "STAT get_hits 1\r\n"));
    assert_non_null(strstr(got, "STAT get_misses 1\r\n"));
    assert_non_null(strstr(got, "STAT cmd_set 1\r\n"));
    assert_non_null(strstr(got, "STAT curr_connections 1\r\n"));
    say(dialogue, "stats settings\r\n");
    expect(dialogue, "STAT maxconns 10\r\n");
    close_dialogue(dialogue);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session__talks_whole__answer_as_memcached),
        cmocka_unit_test(test_session__talks_byte_by_byte__answer_the_same),
        cmocka_unit_test(test_session__zones_answer_in_reverse__replies_in_order),
        cmocka_unit_test(test_session__more_requests_than_the_bound__all_answered_in_order),
        cmocka_unit_test(test_session__get_of_more_keys_than_the_bound__one_group),
        cmocka_unit_test(test_session__version_from_gets__cas_and_conditional_delete_take_it),
        cmocka_unit_test(test_session__meta_set_with_c__answers_the_version_stored),
        cmocka_unit_test(test_session__local_zone_down__the_other_answers),
        cmocka_unit_test(test_session__no_zone_answers__one_error_line_per_request),
        cmocka_unit_test(test_session__value_over_the_bound__refused_and_the_old_one_deleted),
        cmocka_unit_test(
            test_session__value_too_large_for_the_nodes__refused_and_the_old_one_deleted),
        cmocka_unit_test(test_session__value_over_the_bound_behind_a_touch__waits_for_it),
        cmocka_unit_test(test_session__client_goes_away__what_it_asked_is_given_back),
        cmocka_unit_test(test_session__client_does_not_read__held_back_and_then_served),
        cmocka_unit_test(test_session__others_do_not_read__who_reads_is_served),
        cmocka_unit_test(test_session__more_values_than_can_be_kept__all_come),
        cmocka_unit_test(test_session__value_larger_than_a_reply_may_be__an_error_for_it_alone),
        cmocka_unit_test(test_session__too_many_connections__told_and_closed),
        cmocka_unit_test(
            test_session__drained_with_more_asked_than_taken__what_was_taken_is_answered),
        cmocka_unit_test(test_session__request_does_not_go_on__closed_in_time),
        cmocka_unit_test(test_session__request_held_back__is_not_unfinished),
        cmocka_unit_test(test_session__flush_all_later__the_last_one_counts),
        cmocka_unit_test(test_session__quit_behind_requests__answered_then_closed),
        cmocka_unit_test(test_session__line_without_end__told_and_closed),
        cmocka_unit_test(test_session__stats__names_of_memcached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
