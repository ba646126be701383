/* SPDX-License-Identifier: Apache-2.0 */
/* The meta commands of a line; see request_line.h. Texts and order of checks are memcached's. */
#include <ctype.h>
#include <string.h>

#include "base/decimal.h"
#include "meta/base64.h"
#include "meta/request_line.h"

#define LINE_INVALID_FLAG EVC_SLICE("CLIENT_ERROR invalid flag\r\n")
#define LINE_DUPLICATE_FLAG EVC_SLICE("CLIENT_ERROR duplicate flag\r\n")
#define LINE_INVALID_OR_DUPLICATE EVC_SLICE("CLIENT_ERROR invalid or duplicate flag\r\n")
#define LINE_FLAGS_TOO_LONG EVC_SLICE("CLIENT_ERROR options flags are too long\r\n")
#define LINE_BAD_TOKEN EVC_SLICE("CLIENT_ERROR bad token in command line format\r\n")
#define LINE_OPAQUE_TOO_LONG EVC_SLICE("CLIENT_ERROR opaque token too long\r\n")
#define LINE_INVALID_MODE EVC_SLICE("CLIENT_ERROR invalid mode for ms M token\r\n")
#define LINE_KEY_DECODING EVC_SLICE("CLIENT_ERROR error decoding key\r\n")

/** Flags memcached knows in any command; a part that does not serve one says so itself. */
static const char known_flags[] = "bcfhklOqstuvxCDEFIJLMNPRT";

static const struct evc_slice no_error = {NULL, 0};

/** A flag that means something to the parser. The error, or none. */
static struct evc_slice
read_flag(struct evc_request *ret, const struct evc_meta_flag *flag)
{
    uint64_t number;

    switch (flag->letter) {
    case 'q':
        ret->quiet = true;
        break;
    case 'b':
        ret->is_base64 = true;
        break;
    case 'O':
        if (flag->token.len > EVC_REQUEST_OPAQUE_MAX) {
            return LINE_OPAQUE_TOO_LONG;
        }
        ret->opaque = flag->token;
        break;
    case 'T':
        return evc_request_exptime(flag->token, &ret->exptime) ? no_error : LINE_BAD_TOKEN;
    case 'F':
        if (!evc_decimal_parse_u64(flag->token, &number)) {
            return LINE_BAD_TOKEN;
        }
        ret->client_flags = (uint32_t)number;
        break;
    case 'C':
        ret->has_cas = true;
        return evc_decimal_parse_u64(flag->token, &ret->cas) ? no_error : LINE_BAD_TOKEN;
    case 'E':
        return evc_decimal_parse_u64(flag->token, &number) ? no_error : LINE_BAD_TOKEN;
    case 'M':
        if (ret->command == EVC_CMD_MS) {
            ret->mode =
                flag->token.len > 0 ? (char)toupper((unsigned char)flag->token.ptr[0]) : '?';
            return memchr("EAPRS", ret->mode, 5) ? no_error : LINE_INVALID_MODE;
        }
        break;
    default:
        break;
    }
    return no_error;
}

static struct evc_slice
read_flags(const struct evc_request_line *line, unsigned first, struct evc_request *ret)
{
    if (line->is_longer || line->count > first + EVC_REQUEST_META_FLAGS_MAX) {
        return LINE_FLAGS_TOO_LONG;
    }
    for (unsigned i = first; i < line->count; i++) {
        struct evc_meta_flag flag = {
            .letter = line->words[i].ptr[0],
            .token = {.ptr = line->words[i].ptr + 1, .len = line->words[i].len - 1},
        };
        struct evc_slice error;

        if (!memchr(known_flags, flag.letter, sizeof(known_flags) - 1)) {
            return LINE_INVALID_FLAG;
        }
        if (evc_request_flag(ret, flag.letter)) {
            return LINE_DUPLICATE_FLAG;
        }
        ret->flags[ret->flag_count++] = flag;
        error = read_flag(ret, &flag);
        if (error.ptr) {
            return error;
        }
    }
    return no_error;
}

/** The key as the nodes know it. Evcache sends keys as text, so a decoded one must be text, too. */
static struct evc_slice
read_key(struct evc_slice word, struct evc_request *ret)
{
    size_t len;

    ret->raw_key = word;
    ret->key = word;
    if (!ret->is_base64) {
        return no_error;
    }
    len = evc_base64_decode(word, ret->decoded_key);
    if (len == 0) {
        return LINE_KEY_DECODING;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)ret->decoded_key[i] <= ' ' || ret->decoded_key[i] == 0x7F) {
            return EVC_SLICE(
                "CLIENT_ERROR keys with blanks or control characters are not served\r\n");
        }
    }
    ret->key = (struct evc_slice){.ptr = ret->decoded_key, .len = len};
    return no_error;
}

struct evc_request_verdict
evc_request_read_meta(const struct evc_request_line *line, struct evc_request *ret)
{
    bool is_set = ret->command == EVC_CMD_MS;
    struct evc_request_verdict verdict = {0};

    ret->rest = (struct evc_slice){.ptr = line->end, .len = 0};
    if (ret->command == EVC_CMD_MN) {
        return verdict;
    }
    if (line->words[1].len > EVC_KEY_LEN_MAX || (is_set && line->count < 3) ||
        (is_set && !evc_request_length(line->words[2], &verdict.length))) {
        return evc_request_error(EVC_LINE_BAD_FORMAT);
    }
    verdict.has_length = is_set;
    verdict.error = read_flags(line, is_set ? 3 : 2, ret);
    if (verdict.error.ptr && (ret->command == EVC_CMD_MD || ret->command == EVC_CMD_MA)) {
        verdict.error = LINE_INVALID_OR_DUPLICATE;
    }
    if (!verdict.error.ptr) {
        verdict.error = read_key(line->words[1], ret);
    }
    return verdict;
}
