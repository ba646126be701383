/* SPDX-License-Identifier: Apache-2.0 */
/* The classic text commands of a line; see request_line.h. Texts and order of checks are
 * memcached's. */
#include <string.h>

#include "base/decimal.h"
#include "meta/request_line.h"

static const struct evc_request_verdict fine = {{NULL, 0}, false, 0};

static bool
is_key(struct evc_slice word)
{
    return word.len >= 1 && word.len <= EVC_KEY_LEN_MAX;
}

static bool
ends_with_noreply(const struct evc_request_line *line)
{
    return evc_slice_equal(line->words[line->count - 1], EVC_SLICE("noreply"));
}

/** From a word to the end of the line. */
static struct evc_slice
rest_from(const struct evc_request_line *line, unsigned word)
{
    const char *start = word < line->count ? line->words[word].ptr : line->end;

    return (struct evc_slice){.ptr = start, .len = (size_t)(line->end - start)};
}

static struct evc_request_verdict
read_keys(const struct evc_request_line *line, unsigned first, struct evc_request *ret)
{
    struct evc_slice rest = rest_from(line, first);
    struct evc_slice key;

    ret->keys = rest;
    while (evc_request_next_key(&rest, &key)) {
        if (!is_key(key)) {
            return evc_request_error(EVC_LINE_BAD_FORMAT);
        }
        if (!ret->key.ptr) {
            ret->key = key;
        }
    }
    return fine;
}

static struct evc_request_verdict
read_touching_keys(const struct evc_request_line *line, struct evc_request *ret)
{
    if (!evc_request_exptime(line->words[1], &ret->exptime)) {
        return evc_request_error(EVC_LINE_BAD_EXPTIME);
    }
    return read_keys(line, 2, ret);
}

static struct evc_request_verdict
read_storage(const struct evc_request_line *line, struct evc_request *ret)
{
    struct evc_request_verdict verdict = {.has_length = true};
    uint64_t flags;

    if (!is_key(line->words[1]) || !evc_decimal_parse_u64(line->words[2], &flags) ||
        !evc_request_exptime(line->words[3], &ret->exptime) ||
        !evc_request_length(line->words[4], &verdict.length) ||
        (ret->command == EVC_CMD_CAS && !evc_decimal_parse_u64(line->words[5], &ret->cas))) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    ret->key = line->words[1];
    ret->client_flags = (uint32_t)flags; /* memcached, too, keeps the low 32 bits */
    ret->has_cas = ret->command == EVC_CMD_CAS;
    ret->noreply = ends_with_noreply(line);
    return verdict;
}

static struct evc_request_verdict
read_delete(const struct evc_request_line *line, struct evc_request *ret)
{
    bool is_zero = line->count > 2 && evc_slice_equal(line->words[2], EVC_SLICE("0"));

    ret->noreply = line->count > 2 && ends_with_noreply(line);
    if (line->count > 4 || (line->count == 4 && !(is_zero && ret->noreply)) ||
        (line->count == 3 && !is_zero && !ret->noreply)) {
        return evc_request_error(
            EVC_SLICE("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"));
    }
    if (!is_key(line->words[1])) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    ret->key = line->words[1];
    return fine;
}

static struct evc_request_verdict
read_touch(const struct evc_request_line *line, struct evc_request *ret)
{
    if (!is_key(line->words[1])) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    if (!evc_request_exptime(line->words[2], &ret->exptime)) {
        return evc_request_error(EVC_LINE_BAD_EXPTIME);
    }
    ret->key = line->words[1];
    ret->noreply = ends_with_noreply(line);
    return fine;
}

static struct evc_request_verdict
read_arithmetic(const struct evc_request_line *line, struct evc_request *ret)
{
    if (!is_key(line->words[1])) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    if (!evc_decimal_parse_u64(line->words[2], &ret->delta)) {
        return evc_request_error(EVC_SLICE("CLIENT_ERROR invalid numeric delta argument\r\n"));
    }
    ret->key = line->words[1];
    ret->noreply = ends_with_noreply(line);
    return fine;
}

static struct evc_request_verdict
read_flush(const struct evc_request_line *line, struct evc_request *ret)
{
    ret->noreply = line->count > 1 && ends_with_noreply(line);
    if (line->count > 1U + ret->noreply && !evc_request_exptime(line->words[1], &ret->exptime)) {
        return evc_request_error(EVC_LINE_BAD_EXPTIME);
    }
    return fine;
}

static struct evc_request_verdict
read_verbosity(const struct evc_request_line *line, struct evc_request *ret)
{
    ret->noreply = ends_with_noreply(line);
    if (!(ret->noreply && line->count == 2) &&
        !evc_decimal_parse_u64(line->words[1], &ret->delta)) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    return fine;
}

struct evc_request_verdict
evc_request_read_classic(const struct evc_request_line *line, struct evc_request *ret)
{
    ret->rest = rest_from(line, 1);
    switch (ret->command) {
    case EVC_CMD_GET:
    case EVC_CMD_GETS:
        return read_keys(line, 1, ret);
    case EVC_CMD_GAT:
    case EVC_CMD_GATS:
        return read_touching_keys(line, ret);
    case EVC_CMD_SET:
    case EVC_CMD_ADD:
    case EVC_CMD_REPLACE:
    case EVC_CMD_APPEND:
    case EVC_CMD_PREPEND:
    case EVC_CMD_CAS:
        return read_storage(line, ret);
    case EVC_CMD_DELETE:
        return read_delete(line, ret);
    case EVC_CMD_TOUCH:
        return read_touch(line, ret);
    case EVC_CMD_INCR:
    case EVC_CMD_DECR:
        return read_arithmetic(line, ret);
    case EVC_CMD_FLUSH_ALL:
        return read_flush(line, ret);
    case EVC_CMD_VERBOSITY:
        return read_verbosity(line, ret);
    case EVC_CMD_VERSION:
    case EVC_CMD_STATS:
    case EVC_CMD_QUIT:
    case EVC_CMD_HELLO:
    case EVC_CMD_MG:
    case EVC_CMD_MS:
    case EVC_CMD_MD:
    case EVC_CMD_MA:
    case EVC_CMD_MN:
    case EVC_CMD_ME:
    case EVC_CMD_MAX:
        break;
    }
    return fine;
}
