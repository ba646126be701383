/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: finds the line, lets its reader say what it means, and takes the data block behind it.
 * See request.h; the commands are read in request_classic.c and request_meta.c.
 */
#include <assert.h>
#include <string.h>

#include "base/decimal.h"
#include "meta/request_line.h"

enum {
    REQUEST_KEYS_LINE_MAX = 64 * 1024, /* longest line of get, gets, gat, gats */
    REQUEST_LENGTH_MAX = INT32_MAX - 2,
};

#define ROW(command, name, min, max, value, meta)                                                  \
    [EVC_CMD_##command] = {name, EVC_CMD_##command, min, max, value, meta}

static const struct evc_command_info commands[EVC_CMD_MAX] = {
    ROW(GET, "get", 2, 0, false, false),
    ROW(GETS, "gets", 2, 0, false, false),
    ROW(GAT, "gat", 3, 0, false, false),
    ROW(GATS, "gats", 3, 0, false, false),
    ROW(SET, "set", 5, 6, true, false),
    ROW(ADD, "add", 5, 6, true, false),
    ROW(REPLACE, "replace", 5, 6, true, false),
    ROW(APPEND, "append", 5, 6, true, false),
    ROW(PREPEND, "prepend", 5, 6, true, false),
    ROW(CAS, "cas", 6, 7, true, false),
    ROW(DELETE, "delete", 2, 4, false, false),
    ROW(INCR, "incr", 3, 4, false, false),
    ROW(DECR, "decr", 3, 4, false, false),
    ROW(TOUCH, "touch", 3, 4, false, false),
    ROW(FLUSH_ALL, "flush_all", 1, 3, false, false),
    ROW(VERBOSITY, "verbosity", 2, 3, false, false),
    ROW(VERSION, "version", 1, 0, false, false),
    ROW(STATS, "stats", 1, 0, false, false),
    ROW(QUIT, "quit", 1, 0, false, false),
    ROW(MG, "mg", 2, 0, false, true),
    ROW(MS, "ms", 2, 0, true, true),
    ROW(MD, "md", 2, 0, false, true),
    ROW(MA, "ma", 2, 0, false, true),
    ROW(MN, "mn", 1, 0, false, true),
    ROW(ME, "me", 2, 0, false, true),
    ROW(HELLO, "hello", 1, 0, false, false),
};

const struct evc_command_info *
evc_command_info(enum evc_command command)
{
    assert((unsigned)command < EVC_CMD_MAX);
    return &commands[command];
}

static const struct evc_command_info *
find_command(struct evc_slice name)
{
    for (unsigned i = 0; i < EVC_CMD_MAX; i++) {
        if (strlen(commands[i].name) == name.len &&
            memcmp(commands[i].name, name.ptr, name.len) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* --- words --- */

/** Takes the next word from text; false at its end. */
static bool
next_word(struct evc_slice *text, struct evc_slice *ret)
{
    const char *space;

    while (text->len > 0 && *text->ptr == ' ') {
        text->ptr++;
        text->len--;
    }
    if (text->len == 0) {
        return false;
    }
    space = memchr(text->ptr, ' ', text->len);
    ret->ptr = text->ptr;
    ret->len = space ? (size_t)(space - text->ptr) : text->len;
    text->ptr += ret->len;
    text->len -= ret->len;
    return true;
}

bool
evc_request_next_key(struct evc_slice *keys, struct evc_slice *ret_key)
{
    return next_word(keys, ret_key);
}

static void
cut_words(struct evc_request_line *line)
{
    struct evc_slice rest = {.ptr = line->start, .len = (size_t)(line->end - line->start)};
    struct evc_slice word;

    line->count = 0;
    line->is_longer = false;
    while (next_word(&rest, &word)) {
        if (line->count == EVC_REQUEST_WORDS_MAX) {
            line->is_longer = true;
            return;
        }
        line->words[line->count++] = word;
    }
}

bool
evc_request_exptime(struct evc_slice word, int64_t *ret)
{
    return evc_decimal_parse_i64(word, ret) && *ret >= INT32_MIN && *ret <= INT32_MAX;
}

bool
evc_request_length(struct evc_slice word, uint64_t *ret)
{
    return evc_decimal_parse_u64(word, ret) && *ret <= REQUEST_LENGTH_MAX;
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

/* --- framing --- */

static struct evc_request_verdict
read_line(struct evc_request_line *line, struct evc_request *ret)
{
    const struct evc_command_info *info;

    cut_words(line);
    info = line->count > 0 ? find_command(line->words[0]) : NULL;
    if (!info || line->count < info->token_min) {
        return evc_request_error(EVC_LINE_ERROR);
    }
    ret->command = info->command;
    return info->is_meta ? evc_request_read_meta(line, ret) : evc_request_read_classic(line, ret);
}

/** Whether a line without end may go on: only those that carry keys may be long. */
static bool
may_go_on(const char *start, size_t len)
{
    bool has_keys = len > 4 && (memcmp(start, "get", 3) == 0 || memcmp(start, "gat", 3) == 0);

    return len <= (has_keys ? REQUEST_KEYS_LINE_MAX : EVC_REQUEST_LINE_MAX);
}

/** Throws away what is left of a refused data block. How many bytes that were. */
static size_t
swallow(struct evc_request_parser *parser, size_t len)
{
    size_t used = parser->swallow < len ? parser->swallow : len;

    parser->swallow -= used;
    return used;
}

/** The data block behind a line that ends at line_end. */
static int
take_value(struct evc_request_parser *parser, char *input, size_t len, size_t line_end,
           const struct evc_request_verdict *verdict, struct evc_request *ret, size_t *ret_used,
           size_t *ret_need, struct evc_slice *ret_error)
{
    size_t end = line_end + (size_t)verdict->length + 2;

    if (verdict->length > parser->value_len_max || verdict->error.ptr) {
        *ret_error = verdict->error.ptr ? verdict->error : EVC_LINE_TOO_LARGE;
        *ret_used = line_end;
        parser->scanned = 0;
        parser->swallow = (size_t)verdict->length + 2;
        return EVC_E_INVALID;
    }
    if (len < end) {
        *ret_need = end;
        return EVC_E_AGAIN;
    }
    parser->scanned = 0;
    *ret_used = end;
    if (input[end - 2] != '\r' || input[end - 1] != '\n') {
        *ret_error = EVC_LINE_BAD_CHUNK;
        return EVC_E_INVALID;
    }
    ret->value = (struct evc_slice){.ptr = input + line_end, .len = (size_t)verdict->length};
    return EVC_OK;
}

int
evc_request_parse(struct evc_request_parser *parser, char *input, size_t len,
                  struct evc_request *ret, size_t *ret_used, size_t *ret_need,
                  struct evc_slice *ret_error)
{
    size_t start = swallow(parser, len);
    struct evc_request_verdict verdict;
    struct evc_request_line line = {.start = input + start};
    size_t line_end;
    int rc;

    *ret_used = start;
    *ret_need = 0;
    line.end = start + parser->scanned < len
                   ? memchr(line.start + parser->scanned, '\n', len - start - parser->scanned)
                   : NULL;
    if (!line.end) {
        parser->scanned = len - start;
        if (!may_go_on(line.start, len - start)) {
            *ret_error = EVC_LINE_TOO_LONG;
            return EVC_E_PROTO;
        }
        return EVC_E_AGAIN;
    }
    line_end = (size_t)(line.end - input) + 1;
    parser->scanned =
        (size_t)(line.end - line.start); /* found again at once, should the value wait */
    if (line.end > line.start && line.end[-1] == '\r') {
        line.end--;
    }
    *ret = (struct evc_request){.mode = 'S'};
    if (!may_go_on(line.start, (size_t)(line.end - line.start))) {
        verdict = evc_request_error(EVC_LINE_TOO_LONG);
    } else {
        verdict = read_line(&line, ret);
    }
    if (verdict.has_length) {
        return take_value(parser, input, len, line_end, &verdict, ret, ret_used, ret_need,
                          ret_error);
    }
    parser->scanned = 0;
    *ret_used = line_end;
    *ret_error = verdict.error;
    rc = verdict.error.ptr ? EVC_E_INVALID : EVC_OK;
    return rc;
}
