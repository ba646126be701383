/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client requests: finding the line, cutting it, the command table and the classic commands; data
 * blocks, and throwing away those of refused requests. The texts and the order of checks are
 * memcached 1.6.38's (proto_text.c there). One thing differs on purpose: a line without end is told
 * so before the connection closes, where memcached closes without a word.
 */
#include "meta/request.h"

#include <assert.h>

#include "meta/request_line.h"
#include "meta/wire.h"

enum {
    GET_LEADING_BLANKS_MAX = 100, /* memcached: before a get whose line is long */
};

#define UNKNOWN EVC_SLICE("ERROR\r\n")
#define BAD_FORMAT EVC_SLICE("CLIENT_ERROR bad command line format\r\n")
#define BAD_EXPTIME EVC_SLICE("CLIENT_ERROR invalid exptime argument\r\n")
#define BAD_CHUNK EVC_SLICE("CLIENT_ERROR bad data chunk\r\n")
#define TOO_LARGE EVC_SLICE("SERVER_ERROR object too large for cache\r\n")
#define LINE_TOO_LONG EVC_SLICE("CLIENT_ERROR line too long\r\n")

/* --- numbers --- */

struct number {
    uint64_t magnitude;
    bool is_negative;
};

static bool
is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What strtoll and strtoull agree on, before they disagree about signs. */
static bool
take_number(struct evc_slice token, struct number *ret)
{
    const char *at = token.ptr;
    const char *end = token.ptr + token.len;

    while (at < end && is_space(*at)) {
        at++;
    }
    ret->is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) {
        at++;
    }
    at = evc_decimal_take_u64(at, end, &ret->magnitude);
    /* A NUL ends it, in a value that is counted. */
    return at != NULL && (at == end || is_space(*at) || *at == '\0');
}

bool
evc_request_number_i32(struct evc_slice token, int64_t *ret_value)
{
    struct number number;
    uint32_t bits;

    if (!take_number(token, &number) ||
        number.magnitude > (uint64_t)INT64_MAX + (number.is_negative ? 1 : 0)) {
        return false;
    }
    bits = (uint32_t)(number.is_negative ? 0 - number.magnitude : number.magnitude);
    *ret_value = bits <= INT32_MAX ? (int64_t)bits : (int64_t)bits - ((int64_t)1 << 32);
    return true;
}

bool
evc_request_number_u64(struct evc_slice token, uint64_t *ret_value)
{
    struct number number;
    uint64_t value;

    if (!take_number(token, &number)) {
        return false;
    }
    value = number.is_negative ? 0 - number.magnitude : number.magnitude;
    if (number.is_negative && value > INT64_MAX) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool
evc_request_number_u32(struct evc_slice token, uint32_t *ret_value)
{
    uint64_t value;

    if (!evc_request_number_u64(token, &value)) {
        return false;
    }
    *ret_value = (uint32_t)value; /* as memcached: cut, not refused */
    return true;
}

/* --- lines --- */

int
evc_request_line_fail(struct evc_request_line *line, struct evc_slice error)
{
    line->error = error;
    return EVC_E_INVALID;
}

/* The error of a classic command, which noreply silences. */
static int
fail(struct evc_request_line *line, const struct evc_request *ret, struct evc_slice error)
{
    return evc_request_line_fail(line, ret->noreply ? (struct evc_slice){.ptr = ""} : error);
}

struct evc_slice
evc_request_line_rest(const struct evc_request_line *line, unsigned index)
{
    const char *end = line->text.ptr + line->text.len;
    const char *start = index < line->count ? line->token[index].ptr : end;

    return (struct evc_slice){.ptr = start, .len = (size_t)(end - start)};
}

bool
evc_request_line_block(struct evc_request_line *line, struct evc_slice token)
{
    int64_t value_len;

    if (!evc_request_number_i32(token, &value_len) || value_len < 0 || value_len > INT32_MAX - 2) {
        return false;
    }
    line->block_len = (size_t)value_len + 2;
    return true;
}

bool
evc_request_line_too_large(struct evc_request_line *line, struct evc_request *ret)
{
    if (line->block_len - 2 <= line->value_len_max) {
        return false;
    }
    ret->is_too_large = true;
    line->error = TOO_LARGE;
    return true;
}

static void
tokenize(struct evc_request_line *line)
{
    struct evc_slice rest = line->text;

    line->count = 0;
    while (line->count < EVC_REQUEST_TOKENS_MAX &&
           evc_wire_token(&rest, &line->token[line->count])) {
        line->count++;
    }
}

static bool
ends_in_noreply(const struct evc_request_line *line)
{
    return evc_slice_equal(line->token[line->count - 1], EVC_SLICE("noreply"));
}

/* --- classic commands --- */

static int
parse_keys(struct evc_request_line *line, struct evc_request *ret, unsigned first)
{
    struct evc_slice rest = evc_request_line_rest(line, first);
    struct evc_slice key;

    ret->keys = rest;
    if (first < line->count) {
        ret->key = line->token[first];
    }
    while (evc_request_next_key(&rest, &key)) {
        if (key.len > EVC_KEY_LEN_MAX) {
            return evc_request_line_fail(line, BAD_FORMAT);
        }
    }
    return EVC_OK;
}

static int
parse_get(struct evc_request_line *line, struct evc_request *ret)
{
    return parse_keys(line, ret, 1);
}

static int
parse_gat(struct evc_request_line *line, struct evc_request *ret)
{
    if (!evc_request_number_i32(line->token[1], &ret->exptime)) {
        return evc_request_line_fail(line, BAD_EXPTIME);
    }
    if (line->count == 2) { /* no key at all: nothing is found, and that is no error */
        return evc_request_line_fail(line, EVC_SLICE("END\r\n"));
    }
    return parse_keys(line, ret, 2);
}

/* The key of a command that has one, after noreply has been seen. */
static bool
take_key(const struct evc_request_line *line, struct evc_request *ret)
{
    ret->noreply = ends_in_noreply(line);
    ret->key = line->token[1];
    return ret->key.len <= EVC_KEY_LEN_MAX;
}

static int
parse_store(struct evc_request_line *line, struct evc_request *ret)
{
    bool is_cas = ret->command == EVC_CMD_CAS;

    if (!take_key(line, ret) || !evc_request_number_u32(line->token[2], &ret->client_flags) ||
        !evc_request_number_i32(line->token[3], &ret->exptime) ||
        (is_cas && !evc_request_number_u64(line->token[5], &ret->cas)) ||
        !evc_request_line_block(line, line->token[4])) {
        line->block_len = 0; /* not swallowed: memcached reads the data as the next commands */
        return fail(line, ret, BAD_FORMAT);
    }
    ret->has_cas = is_cas;
    if (evc_request_line_too_large(line, ret)) {
        return fail(line, ret, TOO_LARGE);
    }
    return EVC_OK;
}

static int
parse_delete(struct evc_request_line *line, struct evc_request *ret)
{
    if (line->count > 2) {
        bool has_zero = evc_slice_equal(line->token[2], EVC_SLICE("0"));
        ret->noreply = ends_in_noreply(line);
        if (line->count == 3 ? !has_zero && !ret->noreply : !has_zero || !ret->noreply) {
            return fail(line, ret,
                        EVC_SLICE("CLIENT_ERROR bad command line format.  "
                                  "Usage: delete <key> [noreply]\r\n"));
        }
    }
    ret->key = line->token[1];
    return ret->key.len <= EVC_KEY_LEN_MAX ? EVC_OK : fail(line, ret, BAD_FORMAT);
}

static int
parse_arithmetic(struct evc_request_line *line, struct evc_request *ret)
{
    if (!take_key(line, ret)) {
        return fail(line, ret, BAD_FORMAT);
    }
    if (!evc_request_number_u64(line->token[2], &ret->delta)) {
        return fail(line, ret, EVC_SLICE("CLIENT_ERROR invalid numeric delta argument\r\n"));
    }
    return EVC_OK;
}

static int
parse_touch(struct evc_request_line *line, struct evc_request *ret)
{
    if (!take_key(line, ret)) {
        return fail(line, ret, BAD_FORMAT);
    }
    if (!evc_request_number_i32(line->token[2], &ret->exptime)) {
        return fail(line, ret, BAD_EXPTIME);
    }
    return EVC_OK;
}

static int
parse_flush_all(struct evc_request_line *line, struct evc_request *ret)
{
    ret->noreply = ends_in_noreply(line);
    if (line->count != (ret->noreply ? 2 : 1) &&
        !evc_request_number_i32(line->token[1], &ret->exptime)) {
        return fail(line, ret, BAD_EXPTIME);
    }
    return EVC_OK;
}

static int
parse_verbosity(struct evc_request_line *line, struct evc_request *ret)
{
    uint32_t level;

    ret->noreply = ends_in_noreply(line);
    if (!evc_request_number_u32(line->token[1], &level)) {
        return fail(line, ret, BAD_FORMAT);
    }
    ret->delta = level;
    return EVC_OK;
}

static int
parse_rest(struct evc_request_line *line, struct evc_request *ret)
{
    ret->rest = evc_request_line_rest(line, 1);
    return EVC_OK;
}

/* --- the command table --- */

struct command_row {
    struct evc_command_info info;
    size_t name_len;
    int (*parse)(struct evc_request_line *line, struct evc_request *ret);
};

#define ROW(label, command_, min, max, value, meta, function)                                      \
    [command_] = {{label, command_, min, max, value, meta}, sizeof(label) - 1, function}

static const struct command_row rows[EVC_CMD_MAX] = {
    ROW("get", EVC_CMD_GET, 2, 0, false, false, parse_get),
    ROW("gets", EVC_CMD_GETS, 2, 0, false, false, parse_get),
    ROW("gat", EVC_CMD_GAT, 2, 0, false, false, parse_gat),
    ROW("gats", EVC_CMD_GATS, 2, 0, false, false, parse_gat),
    ROW("set", EVC_CMD_SET, 5, 6, true, false, parse_store),
    ROW("add", EVC_CMD_ADD, 5, 6, true, false, parse_store),
    ROW("replace", EVC_CMD_REPLACE, 5, 6, true, false, parse_store),
    ROW("append", EVC_CMD_APPEND, 5, 6, true, false, parse_store),
    ROW("prepend", EVC_CMD_PREPEND, 5, 6, true, false, parse_store),
    ROW("cas", EVC_CMD_CAS, 6, 7, true, false, parse_store),
    ROW("delete", EVC_CMD_DELETE, 2, 4, false, false, parse_delete),
    ROW("incr", EVC_CMD_INCR, 3, 4, false, false, parse_arithmetic),
    ROW("decr", EVC_CMD_DECR, 3, 4, false, false, parse_arithmetic),
    ROW("touch", EVC_CMD_TOUCH, 3, 4, false, false, parse_touch),
    ROW("flush_all", EVC_CMD_FLUSH_ALL, 1, 3, false, false, parse_flush_all),
    ROW("verbosity", EVC_CMD_VERBOSITY, 2, 3, false, false, parse_verbosity),
    ROW("version", EVC_CMD_VERSION, 1, 0, false, false, parse_rest),
    ROW("stats", EVC_CMD_STATS, 1, 0, false, false, parse_rest),
    ROW("quit", EVC_CMD_QUIT, 1, 0, false, false, parse_rest),
    /* The meta commands judge their tokens themselves: too few is not the same error for all. */
    ROW("mg", EVC_CMD_MG, 1, 0, false, true, evc_request_parse_mg),
    ROW("ms", EVC_CMD_MS, 1, 0, true, true, evc_request_parse_ms),
    ROW("md", EVC_CMD_MD, 1, 0, false, true, evc_request_parse_md),
    ROW("ma", EVC_CMD_MA, 1, 0, false, true, evc_request_parse_ma),
    ROW("mn", EVC_CMD_MN, 1, 0, false, true, parse_rest),
    ROW("me", EVC_CMD_ME, 1, 0, false, true, evc_request_parse_me),
    ROW("hello", EVC_CMD_HELLO, 1, 0, false, false, parse_rest),
};

const struct evc_command_info *
evc_command_info(enum evc_command command)
{
    assert(command < EVC_CMD_MAX);
    return &rows[command].info;
}

static const struct command_row *
find_row(struct evc_slice name)
{
    for (unsigned i = 0; i < EVC_CMD_MAX; i++) {
        if (rows[i].name_len == name.len && rows[i].info.name[0] == name.ptr[0] &&
            memcmp(rows[i].info.name, name.ptr, name.len) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* --- requests --- */

static void
clear_request(struct evc_request *ret)
{
    static const struct evc_slice nothing = {.ptr = "", .len = 0};

    ret->command = EVC_CMD_MAX;
    ret->key = nothing;
    ret->keys = nothing;
    ret->value = nothing;
    ret->client_flags = 0;
    ret->exptime = 0;
    ret->cas = 0;
    ret->delta = 0;
    ret->initial = 0;
    ret->vivify = 0;
    ret->recache = 0;
    ret->noreply = false;
    ret->has_cas = false;
    ret->quiet = false;
    ret->is_base64 = false;
    ret->raw_key = nothing;
    ret->opaque = nothing;
    ret->mode = 'S';
    ret->flag_count = 0;
    ret->rest = nothing;
    ret->is_too_large = false;
}

/* A browser at the wrong port: memcached hangs up on it, but only for words it has no list for. */
static bool
is_http(const struct evc_request_line *line)
{
    struct evc_slice name = line->token[0];
    struct evc_slice last = line->token[line->count - 1];

    return strchr("gsacidt", name.ptr[0]) == NULL && !(name.ptr[0] == 'm' && name.len == 2) &&
           last.len >= 5 && memcmp(last.ptr, "HTTP/", 5) == 0;
}

static int
parse_line(struct evc_request_line *line, struct evc_request *ret)
{
    const struct command_row *row;

    tokenize(line);
    if (line->count == 0 || line->token[0].len < 2) {
        return evc_request_line_fail(line, UNKNOWN);
    }
    row = find_row(line->token[0]);
    if (row == NULL) {
        return is_http(line) ? EVC_E_PROTO : evc_request_line_fail(line, UNKNOWN);
    }
    if (line->count < row->info.token_min ||
        (row->info.token_max != 0 && line->count > row->info.token_max)) {
        return evc_request_line_fail(line, UNKNOWN);
    }
    ret->command = row->info.command;
    return row->parse(line, ret);
}

/* Only lines of keys may be long. input has more than EVC_REQUEST_LINE_MAX bytes. */
static bool
is_line_of_keys(const char *input)
{
    static const struct evc_slice words[] = {{"get ", 4}, {"gets ", 5}, {"gat ", 4}, {"gats ", 5}};
    unsigned blanks = 0;

    while (blanks <= GET_LEADING_BLANKS_MAX && input[blanks] == ' ') {
        blanks++;
    }
    for (size_t i = 0; blanks <= GET_LEADING_BLANKS_MAX && i < sizeof(words) / sizeof(words[0]);
         i++) {
        if (memcmp(input + blanks, words[i].ptr, words[i].len) == 0) {
            return true;
        }
    }
    return false;
}

/* Finds the newline: its position in *ret_len. 0, EVC_E_AGAIN, or EVC_E_PROTO for a line too long.
 */
static int
find_line(struct evc_request_parser *parser, const char *input, size_t len, size_t *ret_len)
{
    const char *newline;

    assert(parser->scanned <= len);
    newline = memchr(input + parser->scanned, '\n', len - parser->scanned);
    parser->scanned = newline == NULL ? len : (size_t)(newline - input);
    if (parser->scanned > EVC_REQUEST_LINE_MAX &&
        (parser->scanned > EVC_REQUEST_KEYS_LINE_MAX || !is_line_of_keys(input))) {
        return EVC_E_PROTO;
    }
    *ret_len = parser->scanned;
    return newline == NULL ? EVC_E_AGAIN : EVC_OK;
}

/* memcached's view of a line: without its carriage return, and ending at a NUL. */
static struct evc_slice
trim_line(const char *input, size_t len)
{
    if (len > 1 && input[len - 1] == '\r') {
        len--;
    }
    return (struct evc_slice){.ptr = input, .len = strnlen(input, len)};
}

/* The line is good: the request is whole when its data block is. */
static int
take_block(struct evc_request_parser *parser, const struct evc_request_line *line,
           const char *input, size_t len, size_t line_end, struct evc_request *ret)
{
    size_t value_len = line->block_len - 2;

    parser->needed = line_end + line->block_len;
    if (len < parser->needed) {
        return EVC_E_AGAIN;
    }
    ret->value = (struct evc_slice){.ptr = input + line_end, .len = value_len};
    return memcmp(input + line_end + value_len, "\r\n", 2) == 0 ? EVC_OK : EVC_E_INVALID;
}

static size_t
swallow(struct evc_request_parser *parser, size_t len)
{
    size_t count = parser->swallow < len ? parser->swallow : len;

    parser->swallow -= count;
    return count;
}

/* Ends a request that was taken, or refused, with its line and data block. */
static void
begin_anew(struct evc_request_parser *parser)
{
    parser->scanned = 0;
    parser->needed = 0;
}

int
evc_request_parse(struct evc_request_parser *parser, char *input, size_t len,
                  struct evc_request *ret, size_t *ret_used, size_t *ret_need,
                  struct evc_slice *ret_error)
{
    struct evc_request_line line; /* its tokens are not cleared: this is the hot path */
    size_t line_len;
    int status;

    *ret_need = parser->needed;
    *ret_error = (struct evc_slice){.ptr = "", .len = 0};
    *ret_used = swallow(parser, len);
    if (*ret_used > 0 || len == 0 || len < parser->needed) {
        return EVC_E_AGAIN;
    }
    clear_request(ret);
    status = find_line(parser, input, len, &line_len);
    if (status == EVC_E_PROTO) {
        *ret_error = LINE_TOO_LONG;
        *ret_used = len;
    }
    if (status < 0) {
        return status;
    }
    line.text = trim_line(input, line_len);
    line.value_len_max = parser->value_len_max;
    line.decoded_key = parser->decoded_key;
    line.block_len = 0;
    line.error = *ret_error;
    *ret_used = line_len + 1;
    status = parse_line(&line, ret);
    if (status < 0) {
        begin_anew(parser);
        parser->swallow = line.block_len;
        *ret_error = line.error;
        return status;
    }
    if (line.block_len > 0) {
        status = take_block(parser, &line, input, len, *ret_used, ret);
        *ret_need = parser->needed;
        if (status == EVC_E_AGAIN) {
            *ret_used = 0;
            return status;
        }
        *ret_used = parser->needed;
        if (status == EVC_E_INVALID && !ret->noreply) {
            *ret_error = BAD_CHUNK;
        }
    }
    begin_anew(parser);
    return status;
}

void
evc_request_parse_again(struct evc_request_parser *parser)
{
    begin_anew(parser);
    parser->swallow = 0;
}

bool
evc_request_next_key(struct evc_slice *keys, struct evc_slice *ret_key)
{
    return evc_wire_token(keys, ret_key);
}

const struct evc_meta_flag *
evc_request_flag(const struct evc_request *request, char letter)
{
    for (unsigned i = 0; i < request->flag_count; i++) {
        if (request->flags[i].letter == letter) {
            return &request->flags[i];
        }
    }
    return NULL;
}
