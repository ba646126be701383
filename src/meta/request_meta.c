/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Meta requests: flags, and the errors memcached 1.6.38 gives for bad ones, in the order in which
 * it notices them (proto_text.c there, _meta_flag_preparse and process_m*_command). The order
 * matters: it decides which text a line with two mistakes is answered with.
 */
#include <assert.h>

#include "meta/base64.h"
#include "meta/request_line.h"

enum {
    META_TOKENS_MAX = 19, /* of a line, its name and key included */
};

#define BAD_FORMAT EVC_SLICE("CLIENT_ERROR bad command line format\r\n")
#define BAD_TOKEN EVC_SLICE("CLIENT_ERROR bad token in command line format\r\n")
#define BAD_FLAG EVC_SLICE("CLIENT_ERROR invalid or duplicate flag\r\n")
#define OPAQUE_TOO_LONG EVC_SLICE("CLIENT_ERROR opaque token too long\r\n")

static bool
decode_key(struct evc_request_line *line, struct evc_request *ret)
{
    size_t len = evc_base64_decode(ret->raw_key, line->decoded_key);

    assert(len <= EVC_KEY_LEN_MAX);
    if (len == 0) {
        return false;
    }
    ret->key = (struct evc_slice){.ptr = line->decoded_key, .len = len};
    ret->is_base64 = true;
    return true;
}

/* Reads one flag into *ret. False with the error set for a bad token; the line is read on, because
 * memcached answers with the last mistake it sees. */
static bool
take_flag(struct evc_request_line *line, struct evc_request *ret, char letter,
          struct evc_slice token)
{
    uint64_t ignored_u64;
    bool is_good = true;
    struct evc_slice error = BAD_TOKEN;

    switch (letter) {
    case 'b':
        is_good = decode_key(line, ret);
        error = EVC_SLICE("CLIENT_ERROR error decoding key\r\n");
        break;
    case 'N':
        is_good = evc_request_number_i32(token, &ret->vivify);
        break;
    case 'R':
        is_good = evc_request_number_i32(token, &ret->recache);
        break;
    case 'T':
        is_good = evc_request_number_i32(token, &ret->exptime);
        break;
    case 'C':
        is_good = evc_request_number_u64(token, &ret->cas);
        ret->has_cas = is_good;
        break;
    case 'E':
        is_good = evc_request_number_u64(token, &ignored_u64);
        break;
    case 'F':
        is_good = evc_request_number_u32(token, &ret->client_flags);
        error = line->error; /* memcached forgets to say anything new here */
        break;
    case 'M':
        is_good = token.len == 1;
        ret->mode = is_good ? token.ptr[0] : ret->mode;
        error = EVC_SLICE("CLIENT_ERROR incorrect length for M token\r\n");
        break;
    case 'J':
        is_good = evc_request_number_u64(token, &ret->initial);
        error = EVC_SLICE("CLIENT_ERROR invalid numeric initial value\r\n");
        break;
    case 'D':
        is_good = evc_request_number_u64(token, &ret->delta);
        error = EVC_SLICE("CLIENT_ERROR invalid numeric delta value\r\n");
        break;
    case 'O':
        ret->opaque = token;
        break;
    case 'q':
        ret->quiet = true;
        break;
    default:
        break;
    }
    if (!is_good) {
        line->error = error;
    }
    return is_good;
}

/* The letters memcached knows, as bits. */
static bool
is_known_flag(unsigned byte)
{
#define BIT(letter) (UINT64_C(1) << ((letter) % 64))
    static const uint64_t letters = BIT('b') | BIT('N') | BIT('T') | BIT('R') | BIT('l') |
                                    BIT('O') | BIT('P') | BIT('L') | BIT('k') | BIT('s') |
                                    BIT('t') | BIT('c') | BIT('f') | BIT('v') | BIT('h') |
                                    BIT('u') | BIT('q') | BIT('x') | BIT('F') | BIT('C') |
                                    BIT('E') | BIT('M') | BIT('J') | BIT('D') | BIT('I');
#undef BIT
    return byte >= 64 && byte < 128 && (letters >> (byte % 64) & 1) != 0;
}

/* All flags from token index `first` on. */
static int
take_flags(struct evc_request_line *line, struct evc_request *ret, unsigned first)
{
    uint64_t seen[2] = {0, 0};
    bool is_good = true;

    line->error = BAD_FORMAT;
    for (unsigned i = first; i < line->count; i++) {
        struct evc_slice token = {.ptr = line->token[i].ptr + 1, .len = line->token[i].len - 1};
        char letter = line->token[i].ptr[0];
        unsigned byte = (unsigned char)letter;

        if (byte >= 127 || (seen[byte / 64] >> byte % 64 & 1) != 0) {
            return evc_request_line_fail(line, EVC_SLICE("CLIENT_ERROR duplicate flag\r\n"));
        }
        if (!is_known_flag(byte)) {
            return evc_request_line_fail(line, EVC_SLICE("CLIENT_ERROR invalid flag\r\n"));
        }
        seen[byte / 64] |= UINT64_C(1) << byte % 64;
        is_good &= take_flag(line, ret, letter, token);
        assert(ret->flag_count < EVC_REQUEST_META_FLAGS_MAX);
        ret->flags[ret->flag_count++] = (struct evc_meta_flag){.letter = letter, .token = token};
    }
    return is_good ? EVC_OK : EVC_E_INVALID;
}

/* What all but me begin with: a key that is not too long, not too many flags. */
static int
take_head(struct evc_request_line *line, struct evc_request *ret, unsigned tokens_min,
          struct evc_slice too_many)
{
    if (line->count < 2) {
        return evc_request_line_fail(line, EVC_SLICE("ERROR\r\n"));
    }
    if (line->token[1].len > EVC_KEY_LEN_MAX || line->count < tokens_min) {
        return evc_request_line_fail(line, BAD_FORMAT);
    }
    if (line->count > META_TOKENS_MAX) {
        return evc_request_line_fail(line, too_many);
    }
    ret->key = line->token[1];
    ret->raw_key = line->token[1];
    return EVC_OK;
}

int
evc_request_parse_mg(struct evc_request_line *line, struct evc_request *ret)
{
    int status = take_head(line, ret, 2, EVC_SLICE("CLIENT_ERROR options flags are too long\r\n"));

    if (status == EVC_OK) {
        status = take_flags(line, ret, 2);
    }
    if (status == EVC_OK && ret->opaque.len > EVC_REQUEST_OPAQUE_MAX) {
        return evc_request_line_fail(line, OPAQUE_TOO_LONG);
    }
    return status;
}

/* md and ma: whatever is wrong with a flag is one and the same error. */
static int
parse_without_block(struct evc_request_line *line, struct evc_request *ret)
{
    int status = take_head(line, ret, 2, EVC_SLICE("CLIENT_ERROR options flags too long\r\n"));

    if (status < 0) {
        return status;
    }
    if (take_flags(line, ret, 2) < 0) {
        return evc_request_line_fail(line, BAD_FLAG);
    }
    return EVC_OK;
}

int
evc_request_parse_md(struct evc_request_line *line, struct evc_request *ret)
{
    int status = parse_without_block(line, ret);

    if (status == EVC_OK && ret->opaque.len > EVC_REQUEST_OPAQUE_MAX) {
        return evc_request_line_fail(line, OPAQUE_TOO_LONG);
    }
    return status;
}

int
evc_request_parse_ma(struct evc_request_line *line, struct evc_request *ret)
{
    int status;

    ret->mode = 'I';
    ret->delta = 1;
    status = parse_without_block(line, ret);
    if (status < 0) {
        return status;
    }
    if (ret->mode == '\0' || strchr("ID+-", ret->mode) == NULL) {
        return evc_request_line_fail(line,
                                     EVC_SLICE("CLIENT_ERROR invalid mode for ma M token\r\n"));
    }
    if (ret->opaque.len > EVC_REQUEST_OPAQUE_MAX) {
        return evc_request_line_fail(line, OPAQUE_TOO_LONG);
    }
    return EVC_OK;
}

int
evc_request_parse_ms(struct evc_request_line *line, struct evc_request *ret)
{
    int status = take_head(line, ret, 3, EVC_SLICE("CLIENT_ERROR options flags too long\r\n"));

    if (status < 0) {
        return status;
    }
    if (!evc_request_line_block(line, line->token[2])) {
        return evc_request_line_fail(line, BAD_FORMAT);
    }
    /* From here on the data block is swallowed with any error. */
    status = take_flags(line, ret, 3);
    if (status < 0) {
        return status;
    }
    if (ret->mode == '\0' || strchr("EAPRS", ret->mode) == NULL) {
        return evc_request_line_fail(line,
                                     EVC_SLICE("CLIENT_ERROR invalid mode for ms M token\r\n"));
    }
    if (ret->opaque.len > EVC_REQUEST_OPAQUE_MAX) {
        return evc_request_line_fail(line, OPAQUE_TOO_LONG);
    }
    return evc_request_line_too_large(line, ret) ? EVC_E_INVALID : EVC_OK;
}

int
evc_request_parse_me(struct evc_request_line *line, struct evc_request *ret)
{
    if (line->count < 2 || line->token[1].len > EVC_KEY_LEN_MAX) {
        return evc_request_line_fail(line, BAD_FORMAT);
    }
    ret->key = line->token[1];
    ret->raw_key = line->token[1];
    if (line->count >= 3 && evc_slice_equal(line->token[2], EVC_SLICE("b")) &&
        !decode_key(line, ret)) {
        return evc_request_line_fail(line, BAD_FORMAT);
    }
    return EVC_OK;
}
