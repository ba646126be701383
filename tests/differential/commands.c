/* SPDX-License-Identifier: Apache-2.0 */
/* See commands.h. A row per command: how often it comes, and how a request of it is made. */
#include "commands.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/decimal.h"
#include "check.h"

enum {
    LINE_BYTES = 1024,
    VALUE_SHORT_MAX = 100,
    VALUE_LONG_MAX = 20000,
    VALUE_HUGE_MIN = 500000,
    VALUE_LINE_BYTES = 1000,
    VALUE_HUGE_MAX = 1200000, /* memcached and proxy take 1 MiB, headers included */
    /* Beyond EVC_SESSION_STAGED_BYTES_MAX a proxy may read again, and see what was pipelined
     * behind: from half of it on no batch writes what it has read. */
    READ_BYTES_MAX = 2 * 1024 * 1024,
    KEYS_OF_GET_MAX = 120,
    DAY_S = 86400,
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define NO_ITEM UINT64_MAX /* no item ever has this unique number */

/* --- bytes --- */

static void
append(struct diff_sequence *sequence, struct evc_slice bytes)
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        diff_check(evc_buf_append(&sequence->out[side], bytes) == EVC_OK, "out of memory");
    }
}

void
diff_put(struct diff_sequence *sequence, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < sizeof(line));
    append(sequence, (struct evc_slice){.ptr = line, .len = (size_t)len});
}

static uint64_t
below(struct diff_sequence *sequence, uint64_t bound)
{
    return sim_random_below(&sequence->random, bound);
}

/** True once in `times`. */
static bool
once_in(struct diff_sequence *sequence, unsigned times)
{
    return below(sequence, times) == 0;
}

#define PICK(sequence, table) ((table)[below((sequence), COUNT_OF(table))])

/* --- keys --- */

static void
note_read(struct diff_sequence *sequence, unsigned index)
{
    sequence->keys_read |= 1u << index;
    sequence->read_bytes_max += sequence->keys[index].value_len_max;
}

static unsigned
key_to_read(struct diff_sequence *sequence, bool with_base64)
{
    unsigned index = (unsigned)below(sequence, with_base64 ? DIFF_KEYS : DIFF_TEXT_KEYS);

    if (index == DIFF_SPARE_KEY) {
        index = 0;
    }
    note_read(sequence, index);
    return index;
}

/**
 * A key that this batch has not read: with several zones for every write, and always for those that
 * count, because memcached does not pad a number while a reply still holds it.
 */
static unsigned
key_unread(struct diff_sequence *sequence, bool with_base64)
{
    for (unsigned tries = 0; tries < DIFF_KEYS; tries++) {
        unsigned index = (unsigned)below(sequence, with_base64 ? DIFF_KEYS : DIFF_TEXT_KEYS);

        if ((sequence->keys_read >> index & 1) == 0) {
            return index;
        }
    }
    return DIFF_SPARE_KEY;
}

static unsigned
key_to_write(struct diff_sequence *sequence, bool with_base64)
{
    if (sequence->options->has_zones || sequence->read_bytes_max > READ_BYTES_MAX) {
        return key_unread(sequence, with_base64);
    }
    return (unsigned)below(sequence, with_base64 ? DIFF_KEYS : DIFF_TEXT_KEYS);
}

bool
diff_is_touched(const struct diff_sequence *sequence, char key)
{
    for (unsigned i = 0; i < DIFF_KEYS; i++) {
        if ((sequence->keys_touched >> i & 1) != 0 &&
            (key == '\0' || key == sequence->keys[i].text[0])) {
            return true;
        }
    }
    return false;
}

static void
note_touched(struct diff_sequence *sequence, unsigned key)
{
    sequence->pairs.has_touched = true;
    sequence->keys_touched |= 1u << key;
    sequence->keys_rewritten |= 1u << key;
}

/** The same for what reads it as well; the spare key has to stay unread. */
static unsigned
key_to_write_and_read(struct diff_sequence *sequence, bool with_base64)
{
    unsigned index = key_to_write(sequence, with_base64);

    if (index == DIFF_SPARE_KEY) {
        index = 0;
    }
    note_read(sequence, index);
    note_touched(sequence, index);
    return index;
}

static void
put_good_key(struct diff_sequence *sequence, unsigned index)
{
    const struct diff_key *key = &sequence->keys[index];

    diff_put(sequence, " %.*s", (int)key->len, key->text);
}

/** A blank and the key; now and then one that is too long. */
static void
put_key(struct diff_sequence *sequence, unsigned index)
{
    if (once_in(sequence, 200)) {
        diff_put(sequence, " %0*d", EVC_KEY_LEN_MAX + 1 + (int)below(sequence, 30), 1);
    } else {
        put_good_key(sequence, index);
    }
}

/**
 * The same for a get. Over a key that is too long memcached throws away the replies to what was
 * pipelined before it, and a gat has touched the keys before it; so it is only found in the first
 * get of a batch, and as the first key of a gat.
 */
static void
put_read_key(struct diff_sequence *sequence, unsigned index, bool may_be_long)
{
    if (may_be_long) {
        put_key(sequence, index);
    } else {
        put_good_key(sequence, index);
    }
}

/* --- numbers --- */

static long long
pick_exptime(struct diff_sequence *sequence)
{
    static const long long relative[] = {0, 0, 0, 0, 100, 1000, DAY_S, 30LL * DAY_S, -1, -100};
    static const long long absolute[] = {30LL * DAY_S + 1, 2147483647, -2147483648LL};

    if (once_in(sequence, 12)) {
        return PICK(sequence, absolute);
    }
    if (once_in(sequence, 12)) {
        return (long long)time(NULL) + (once_in(sequence, 3) ? -1000 : 1000);
    }
    return PICK(sequence, relative);
}

/** For what touches and then reads: with one in the past the proxy finds nothing any more. */
static long long
pick_exptime_ahead(struct diff_sequence *sequence)
{
    long long exptime = pick_exptime(sequence);

    return exptime < 0 || (exptime > 30LL * DAY_S && exptime <= time(NULL)) ? 1000 : exptime;
}

/** As text, for it may be none. */
static const char *
pick_number(struct diff_sequence *sequence)
{
    static const char *const good[] = {"0",
                                       "1",
                                       "1",
                                       "2",
                                       "9",
                                       "10",
                                       "99",
                                       "100",
                                       "4294967295",
                                       "18446744073709551615",
                                       "9223372036854775808"};
    static const char *const bad[] = {"-1", "x", "1.5", "18446744073709551616", "1x", "+1", "--1"};

    return once_in(sequence, 25) ? PICK(sequence, bad) : PICK(sequence, good);
}

static const char *
pick_client_flags(struct diff_sequence *sequence, bool is_bad)
{
    static const char *const good[] = {"0", "0", "0", "1", "123", "65536", "4294967295"};
    static const char *const bad[] = {"-1", "x", "4294967296", "1.0", "18446744073709551616"};

    return is_bad ? PICK(sequence, bad) : PICK(sequence, good);
}

/** A unique number as each side gave it: the newest of a key, or of any, or one of no item. */
static struct diff_pair
pick_pair(struct diff_sequence *sequence, unsigned key)
{
    const struct diff_pairs *pairs = &sequence->pairs;
    char name = once_in(sequence, 5) ? '\0' : sequence->keys[key].text[0];

    for (unsigned i = pairs->count; i > 0 && !once_in(sequence, 20); i--) {
        const struct diff_pair *pair = &pairs->pair[i - 1];

        if (!pair->is_stale && (name == '\0' || pair->key == name) &&
            !diff_is_touched(sequence, pair->key)) {
            return *pair;
        }
    }
    return (struct diff_pair){.unique = {NO_ITEM, NO_ITEM}};
}

static void
put_unique(struct diff_sequence *sequence, unsigned key, const char *before)
{
    struct diff_pair pair = pick_pair(sequence, key);

    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        char text[EVC_DECIMAL_BYTES_MAX];
        size_t len = evc_decimal_format_u64(text, pair.unique[side]);
        int status = evc_buf_append(&sequence->out[side], evc_slice_str(before));

        if (status == EVC_OK) {
            status =
                evc_buf_append(&sequence->out[side], (struct evc_slice){.ptr = text, .len = len});
        }
        diff_check(status == EVC_OK, "out of memory");
    }
}

/* --- values --- */

/** Bytes to take values from: readable ones first, then any. With lines: the block of a refused
 * command is read as commands, and memcached drops replies when one is too long. */
static const char *
value_bytes(bool any)
{
    static char bytes[2][VALUE_HUGE_MAX];
    static bool is_filled;

    if (!is_filled) {
        struct sim_random random;

        sim_random_init(&random, 1);
        for (size_t i = 0; i < VALUE_HUGE_MAX; i++) {
            bytes[0][i] = "0123456789 abcdefghijklmnopqrstuvwxyz"[sim_random_below(&random, 37)];
            bytes[0][i] = i % VALUE_LINE_BYTES == 0 ? '\n' : bytes[0][i];
            bytes[1][i] = (char)sim_random_below(&random, 256);
        }
        is_filled = true;
    }
    return bytes[any];
}

static struct evc_slice
pick_bytes(struct diff_sequence *sequence)
{
    static const char *const numbers[] = {"0",
                                          "1",
                                          "5",
                                          "10",
                                          "99",
                                          "100",
                                          "1000000",
                                          "12 ",
                                          "007",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "-1"};
    const char *bytes = value_bytes(once_in(sequence, 4));
    size_t len, offset;

    if (once_in(sequence, 2)) {
        return evc_slice_str(PICK(sequence, numbers));
    }
    if (once_in(sequence, 2000)) {
        len = sim_random_between(&sequence->random, VALUE_HUGE_MIN, VALUE_HUGE_MAX);
    } else if (once_in(sequence, 30)) {
        len = below(sequence, VALUE_LONG_MAX);
    } else {
        len = below(sequence, VALUE_SHORT_MAX);
    }
    offset = below(sequence, VALUE_HUGE_MAX - len);
    /* In search of a number memcached reads blanks to their end, and on behind the item. */
    while (len > 0 && offset > 0 &&
           (bytes[offset] == ' ' || (bytes[offset] >= '\t' && bytes[offset] <= '\r'))) {
        offset--;
    }
    return (struct evc_slice){.ptr = bytes + offset, .len = len};
}

/** What may be written over the key's value, or behind it. */
static struct evc_slice
pick_value(struct diff_sequence *sequence, unsigned key)
{
    struct evc_slice value = pick_bytes(sequence);

    sequence->keys[key].value_len_max += value.len;
    if (sequence->keys[key].value_len_max > VALUE_HUGE_MAX) {
        sequence->keys[key].value_len_max = VALUE_HUGE_MAX;
    }
    return value;
}

static void
put_block(struct diff_sequence *sequence, struct evc_slice value)
{
    append(sequence, value);
    diff_put(sequence, "\r\n");
}

static void
put_noreply(struct diff_sequence *sequence)
{
    diff_put(sequence, once_in(sequence, 6) ? " noreply\r\n" : "\r\n");
}

/* --- classic commands --- */

static void
compose_get(struct diff_sequence *sequence, const char *name)
{
    uint64_t count =
        once_in(sequence, 3) ? sim_random_spread(&sequence->random, 1, KEYS_OF_GET_MAX) : 1;

    bool is_first = evc_buf_len(&sequence->out[DIFF_PROXY]) == 0;

    diff_put(sequence, "%s", name);
    for (uint64_t i = 0; i < count; i++) {
        put_read_key(sequence, key_to_read(sequence, false), is_first);
    }
    diff_put(sequence, "\r\n");
}

/** Touches as well as reads, so what has been read may not be among its keys either. */
static void
compose_gat(struct diff_sequence *sequence, const char *name)
{
    uint64_t count = once_in(sequence, 3) ? sim_random_between(&sequence->random, 1, 5) : 1;
    bool is_first = evc_buf_len(&sequence->out[DIFF_PROXY]) == 0;

    diff_put(sequence, "%s %lld", name, pick_exptime_ahead(sequence));
    for (uint64_t i = 0; i < count; i++) {
        put_read_key(sequence, key_to_write_and_read(sequence, false), is_first && i == 0);
    }
    diff_put(sequence, "\r\n");
}

/**
 * Up to where cas goes on. A line that memcached does not understand has its data read as the next
 * line, so a bad one comes with data that is a line, and no command.
 */
static void
put_store_line(struct diff_sequence *sequence, const char *name, unsigned key,
               struct evc_slice *value)
{
    bool is_bad = once_in(sequence, 40);
    const char *client_flags = pick_client_flags(sequence, is_bad && once_in(sequence, 2));

    *value = pick_value(sequence, key);
    diff_put(sequence, "%s", name);
    if (is_bad) {
        *value = EVC_SLICE("hi");
        put_key(sequence, key);
    } else {
        put_good_key(sequence, key);
    }
    diff_put(sequence, " %s %lld %zu", client_flags, pick_exptime(sequence), value->len);
}

static void
compose_store(struct diff_sequence *sequence, const char *name)
{
    struct evc_slice value;

    put_store_line(sequence, name, key_to_write(sequence, false), &value);
    put_noreply(sequence);
    put_block(sequence, value);
}

static void
compose_cas(struct diff_sequence *sequence, const char *name)
{
    struct evc_slice value;
    unsigned key = key_to_write(sequence, false);

    put_store_line(sequence, name, key, &value);
    put_unique(sequence, key, " ");
    put_noreply(sequence);
    put_block(sequence, value);
}

static void
compose_delete(struct diff_sequence *sequence, const char *name)
{
    diff_put(sequence, "%s", name);
    put_key(sequence, key_to_write(sequence, false));
    if (once_in(sequence, 20)) {
        diff_put(sequence, once_in(sequence, 2) ? " 0" : " 1");
    }
    put_noreply(sequence);
}

static void
compose_count(struct diff_sequence *sequence, const char *name)
{
    unsigned key = key_unread(sequence, false);

    sequence->keys_rewritten |= 1u << key;
    diff_put(sequence, "%s", name);
    put_key(sequence, key);
    diff_put(sequence, " %s", pick_number(sequence));
    put_noreply(sequence);
}

static void
compose_touch(struct diff_sequence *sequence, const char *name)
{
    unsigned key = key_to_write(sequence, false);

    note_touched(sequence, key);
    diff_put(sequence, "%s", name);
    put_key(sequence, key);
    diff_put(sequence, " %lld", pick_exptime(sequence));
    put_noreply(sequence);
}

static void
compose_alone(struct diff_sequence *sequence, const char *name)
{
    diff_put(sequence, "%s\r\n", name);
}

static void
compose_mn(struct diff_sequence *sequence, const char *name)
{
    diff_put(sequence, "%s\r\n", name);
    sequence->sentinels++;
}

/** Everybody's keys: for runs of one sequence at a time. */
static void
compose_flush_all(struct diff_sequence *sequence, const char *name)
{
    static const char *const delays[] = {"", "", " 0", " -1", " x"};

    diff_put(sequence, "%s%s", name, PICK(sequence, delays));
    put_noreply(sequence);
}

/* --- meta commands --- */

static void
put_flag(struct diff_sequence *sequence, char letter, unsigned key, const char *modes)
{
    static const char *const numbers[] = {"0", "1", "5", "100"};

    switch (letter) {
    case 'T':
    case 'N':
        diff_put(sequence, " %c%lld", letter, pick_exptime(sequence));
        break;
    case 'o': /* not too long: ma has done its work before it notices that */
        diff_put(sequence, " O%0*d", 1 + (int)below(sequence, 31), 7);
        break;
    case '+':
        diff_put(sequence, " T%lld", pick_exptime_ahead(sequence));
        break;
    case 'R':
        diff_put(sequence, " R%s", PICK(sequence, numbers));
        break;
    case 'F':
        diff_put(sequence, " F%s", pick_client_flags(sequence, once_in(sequence, 60)));
        break;
    case 'J':
    case 'D':
        diff_put(sequence, " %c%s", letter, pick_number(sequence));
        break;
    case 'C':
        put_unique(sequence, key, " C");
        break;
    case 'M':
        diff_put(sequence, " M%c", modes[below(sequence, strlen(modes))]);
        break;
    case 'O':
        diff_put(sequence, " O%0*d", 1 + (int)below(sequence, 33), 7);
        break;
    default:
        diff_put(sequence, " %c", letter);
        break;
    }
}

/** Some of letters in any order; seldom one twice or one there is not. '+': T, ahead of now; 'o':
 * O, not too long. */
static void
put_flags(struct diff_sequence *sequence, const char *letters, unsigned key, const char *modes)
{
    size_t count = strlen(letters);
    size_t first = below(sequence, count);
    unsigned rarity = 2 + (unsigned)below(sequence, 6);

    if (sequence->keys[key].is_base64) {
        diff_put(sequence, " b");
    }
    for (size_t i = 0; i < count; i++) {
        if (once_in(sequence, rarity)) {
            put_flag(sequence, letters[(first + i) % count], key, modes);
        }
    }
    if (once_in(sequence, 200)) {
        diff_put(sequence, once_in(sequence, 2) ? " z" : " k k");
    }
}

static void
compose_mg(struct diff_sequence *sequence, const char *name)
{
    unsigned key = key_to_read(sequence, true);

    /* Whether it was hit before is forgotten when the proxy writes it anew. */
    bool is_rewritten = (sequence->keys_rewritten >> key & 1) != 0;

    diff_put(sequence, "%s", name);
    put_key(sequence, key);
    put_flags(sequence, is_rewritten ? "cfkOqstuvPLFJDMCx" : "cfhklOqstuvPLFJDMCx", key, "SX");
    diff_put(sequence, "\r\n");
}

/** Those that write: h and l tell of the write then, and t in memcached of what was before it. */
static void
compose_writing_mg(struct diff_sequence *sequence, const char *letters)
{
    unsigned key = key_to_write_and_read(sequence, true);

    diff_put(sequence, "mg");
    put_key(sequence, key);
    put_flags(sequence, letters, key, "");
    diff_put(sequence, "\r\n");
}

static void
compose_mg_touch(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    compose_writing_mg(sequence, "+cfkoqsuv");
}

static void
compose_mg_vivify(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    compose_writing_mg(sequence, "NRcfkoqsuv");
}

static void
put_ms(struct diff_sequence *sequence, const char *letters)
{
    unsigned key = key_to_write(sequence, true);
    struct evc_slice value = pick_value(sequence, key);

    diff_put(sequence, "ms");
    put_good_key(sequence, key);
    diff_put(sequence, " %zu", value.len);
    /* An item that memcached appends to forgets that its key is in base64, and shows raw bytes. */
    put_flags(sequence, letters, key, sequence->keys[key].is_base64 ? "SSSERsx" : "SSSEARPsx");
    diff_put(sequence, "\r\n");
    put_block(sequence, value);
}

static void
compose_ms(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    put_ms(sequence, "cCFkOqsTMNfhltuvxJD");
}

static void
compose_ms_invalidate(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    put_ms(sequence, "ICcFkOqsTM");
}

static void
put_md(struct diff_sequence *sequence, const char *letters)
{
    unsigned key = key_to_write(sequence, true);

    diff_put(sequence, "md");
    put_key(sequence, key);
    put_flags(sequence, letters, key, "SX");
    diff_put(sequence, "\r\n");
}

static void
compose_md(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    put_md(sequence, "CkOqcfstvFJDMhl");
}

static void
compose_md_invalidate(struct diff_sequence *sequence, const char *name)
{
    (void)name;
    put_md(sequence, "ITxCkOq");
}

/** Not on keys in base64: memcached forgets that of an item it makes here, and shows raw bytes. */
static void
compose_ma(struct diff_sequence *sequence, const char *name)
{
    unsigned key = key_unread(sequence, false);

    note_touched(sequence, key);
    diff_put(sequence, "%s", name);
    put_key(sequence, key);
    if (once_in(sequence, 4)) { /* a number that gets longer takes no new expiry in memcached */
        diff_put(sequence, " D0");
        put_flags(sequence, "cCJkMNoqTvfhlsuxF", key, "IIDD+-idx");
    } else {
        /* t tells of the item as flags before it have left it: not with N. */
        put_flags(sequence, once_in(sequence, 2) ? "cCDJkMNoqvfhlsuxF" : "cCDJkMoqtvfhlsuxF", key,
                  "IIDD+-idx");
    }
    diff_put(sequence, "\r\n");
}

static void
compose_me(struct diff_sequence *sequence, const char *name)
{
    unsigned key = key_to_read(sequence, true);

    diff_put(sequence, "%s", name);
    put_key(sequence, key);
    diff_put(sequence, sequence->keys[key].is_base64 ? " b\r\n" : "\r\n");
}

/* --- what is wrong --- */

/** Lines that are errors, and leave the connection in step. %s is a key. */
static void
compose_bad_line(struct diff_sequence *sequence, const char *name)
{
    static const char *const lines[] = {
        "",
        "x",
        "foo",
        "get",
        "gets  ",
        "gat 10",
        "gat x %s",
        "GET %s",
        "gett %s",
        "set %s 0 0 x",
        "set %s 0 0 -1",
        "set %s 0 0",
        "set %s x 0 2\r\nhi",
        "set %s 0 x 2\r\nhi",
        "cas %s 0 0 2 x\r\nhi",
        "cas %s 0 0 2\r\nhi",
        "set %s 0 0 2 3 4 5\r\nhi",
        "add %s 0 0 noreply",
        "delete",
        "delete %s b",
        "delete %s 0 1",
        "delete %s b noreply",
        "incr %s",
        "incr %s x",
        "decr %s -1",
        "incr %s 1 2 3",
        "touch %s",
        "touch %s x",
        "touch %s x noreply",
        "verbosity",
        "verbosity x",
        "mg",
        "mg %s z",
        "mg %s v v",
        "mg %s b",
        "mg %s T",
        "mg %s Tx",
        "mg %s O12345678901234567890123456789012",
        "ms",
        "ms %s",
        "ms %s x",
        "ms %s -1",
        "ms %s 2 z\r\nhi",
        "ms %s 2 MX\r\nhi",
        "ms %s 2 MXX\r\nhi",
        "ms %s 2 Fx\r\nhi",
        "ms %s 2 Tx\r\nhi",
        "ms %s 2 T1 T2\r\nhi",
        "ms %s 2 O12345678901234567890123456789012\r\nhi",
        "ms %s S2\r\nhi",
        "md",
        "md %s z",
        "md %s Tx",
        "md %s Cx",
        "md %s q q",
        "ma",
        "ma %s MX",
        "ma %s Dx",
        "ma %s Jx",
        "ma %s N",
        "ma %s z",
        "mq",
        "mx %s",
        "version 1 2",
        "get\t%s",
    };
    const struct diff_key *key = &sequence->keys[key_unread(sequence, false)];
    const char *line = PICK(sequence, lines);
    const char *at = strstr(line, "%s");

    (void)name;
    if (at) {
        diff_put(sequence, "%.*s%.*s%s\r\n", (int)(at - line), line, (int)key->len, key->text,
                 at + 2);
    } else {
        diff_put(sequence, "%s\r\n", line);
    }
}

/* --- the table --- */

static const struct command_row {
    const char *name;
    unsigned weight;
    void (*compose)(struct diff_sequence *sequence, const char *name);
} rows[] = {
    {"get", 12, compose_get},
    {"gets", 6, compose_get},
    {"gat", 3, compose_gat},
    {"gats", 2, compose_gat},
    {"set", 12, compose_store},
    {"add", 5, compose_store},
    {"replace", 4, compose_store},
    {"append", 4, compose_store},
    {"prepend", 4, compose_store},
    {"cas", 6, compose_cas},
    {"delete", 5, compose_delete},
    {"incr", 6, compose_count},
    {"decr", 5, compose_count},
    {"touch", 4, compose_touch},
    {"version", 1, compose_alone},
    {"mn", 2, compose_mn},
    {"mg", 12, compose_mg},
    {"mg-touch", 4, compose_mg_touch},
    {"mg-vivify", 4, compose_mg_vivify},
    {"ms", 14, compose_ms},
    {"ms-invalidate", 3, compose_ms_invalidate},
    {"md", 5, compose_md},
    {"md-invalidate", 3, compose_md_invalidate},
    {"ma", 8, compose_ma},
    {"me", 3, compose_me},
    {"bad-line", 6, compose_bad_line},
    {"flush_all", 1, compose_flush_all},
};

const char *
diff_command_name(unsigned row)
{
    return row < COUNT_OF(rows) ? rows[row].name : NULL;
}

void
diff_compose_command(struct diff_sequence *sequence)
{
    uint64_t enabled = sequence->options->commands;
    unsigned total = 0;
    uint64_t at;

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        total += (enabled >> i & 1) != 0 ? rows[i].weight : 0;
    }
    at = below(sequence, total);
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        unsigned weight = (enabled >> i & 1) != 0 ? rows[i].weight : 0;

        if (at < weight) {
            rows[i].compose(sequence, rows[i].name);
            sequence->command_count++;
            return;
        }
        at -= weight;
    }
}

void
diff_compose_wild(struct diff_sequence *sequence)
{
    static const char *const words[] = {"get", "gat", "set", "add", "delete", "touch",
                                        "mg",  "ms",  "mq",  "g",   "seta"};
    static const char *const tokens[] = {
        "0",    "2",   "-1",   "+1",   "a",    "noreply", "4294967297", "99999999999999999999",
        "1\tx", "1.5", "YQ==", "====", "\xff", "b",       "v",          "k",
        "q",    "O1",  "T0",   "Tx",   "F1",   "Fx",      "C1",         "Cx",
        "MS",   "M",   "S5",   "z",    "\x7f"};
    static const char *const ends[] = {"\n", "\r\n", " \r\n", "\r\r\n"};
    static const char *const blocks[] = {"", "", "hi\r\n", "hixx\r\n", "\r\n", "hi"};
    /* Not the longest: with a carriage return more it would be too long, see put_read_key. */
    const struct diff_key *key = &sequence->keys[below(sequence, 3)];
    uint64_t count = below(sequence, 7);

    diff_put(sequence, "%s %.*s", PICK(sequence, words), (int)key->len, key->text);
    for (uint64_t i = 0; i < count; i++) {
        diff_put(sequence, " %s", PICK(sequence, tokens));
    }
    diff_put(sequence, "%s%s", PICK(sequence, ends), PICK(sequence, blocks));
    sequence->command_count++;
}
