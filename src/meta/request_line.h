/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's line cut into tokens, and what its parsing has found out so far. Between request.c
 * (classic commands, data blocks) and request_meta.c; not for anybody else.
 */
#ifndef EVC_META_REQUEST_LINE_H
#define EVC_META_REQUEST_LINE_H

#include <stdint.h>

#include "meta/request.h"

enum {
    EVC_REQUEST_TOKENS_MAX = 23, /* memcached's tokenizer stops there; the rest are keys */
};

struct evc_request_line {
    struct evc_slice text; /* without its end */
    struct evc_slice token[EVC_REQUEST_TOKENS_MAX];
    unsigned count;
    uint32_t value_len_max;
    char *decoded_key; /* room for EVC_KEY_LEN_MAX bytes */
    /* found */
    size_t block_len;       /* the data block behind the line with its CRLF; 0: none */
    struct evc_slice error; /* when EVC_E_INVALID was returned; empty: memcached says nothing */
};

/** The rest of the line from token index on; empty at the end. */
struct evc_slice evc_request_line_rest(const struct evc_request_line *line, unsigned index);

/** Sets the error and returns EVC_E_INVALID. */
int evc_request_line_fail(struct evc_request_line *line, struct evc_slice error);

/**
 * Numbers as memcached reads them in requests, with strtol's leniency and its own truncation to 32
 * bits: a sign, blanks other than ' ', and text after a blank are allowed.
 */
bool evc_request_number_i32(struct evc_slice token, int64_t *ret_value);
bool evc_request_number_u32(struct evc_slice token, uint32_t *ret_value);

/** Reads the length of a data block: sets line->block_len. False when it is none. */
bool evc_request_line_block(struct evc_request_line *line, struct evc_slice token);

/** Whether the data block, of a line that is right otherwise, exceeds the limit; sets the error. */
bool evc_request_line_too_large(struct evc_request_line *line, struct evc_request *ret);

/** The meta commands, one function per row of the command table. 0 or EVC_E_INVALID. */
int evc_request_parse_mg(struct evc_request_line *line, struct evc_request *ret);
int evc_request_parse_ms(struct evc_request_line *line, struct evc_request *ret);
int evc_request_parse_md(struct evc_request_line *line, struct evc_request *ret);
int evc_request_parse_ma(struct evc_request_line *line, struct evc_request *ret);
int evc_request_parse_me(struct evc_request_line *line, struct evc_request *ret);

#endif
