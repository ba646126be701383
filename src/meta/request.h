/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client sends: memcached's classic text and meta commands, parsed without sockets and
 * resumable at any byte. One request is a line and, for storage commands, a data block. The command
 * table knows every command of the protocol; those that another part does not serve yet are parsed
 * like the rest and answered by it.
 *
 * Errors are memcached's own, and always say how to stay in step: the parser swallows the data
 * block of a bad storage line exactly where memcached would.
 */
#ifndef EVC_META_REQUEST_H
#define EVC_META_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "meta/node_op.h"

enum {
    EVC_REQUEST_LINE_MAX = 2048,       /* longest line of a command other than get/gets/gat/gats */
    EVC_REQUEST_KEYS_LINE_MAX = 65536, /* longest line of those; memcached has no bound here */
    EVC_REQUEST_META_FLAGS_MAX = 24,
    EVC_REQUEST_OPAQUE_MAX = 31,
};

enum evc_command {
    EVC_CMD_GET,
    EVC_CMD_GETS,
    EVC_CMD_GAT,
    EVC_CMD_GATS,
    EVC_CMD_SET,
    EVC_CMD_ADD,
    EVC_CMD_REPLACE,
    EVC_CMD_APPEND,
    EVC_CMD_PREPEND,
    EVC_CMD_CAS,
    EVC_CMD_DELETE,
    EVC_CMD_INCR,
    EVC_CMD_DECR,
    EVC_CMD_TOUCH,
    EVC_CMD_FLUSH_ALL,
    EVC_CMD_VERBOSITY,
    EVC_CMD_VERSION,
    EVC_CMD_STATS,
    EVC_CMD_QUIT,
    EVC_CMD_MG,
    EVC_CMD_MS,
    EVC_CMD_MD,
    EVC_CMD_MA,
    EVC_CMD_MN,
    EVC_CMD_ME,
    EVC_CMD_HELLO, /* replication listener only: see meta/replication.h */
    EVC_CMD_MAX,
};

/** One row of the command table. */
struct evc_command_info {
    const char *name;
    enum evc_command command;
    uint8_t token_min; /* tokens of the line, the name included */
    uint8_t token_max; /* 0: any number (keys follow) */
    bool has_value;    /* a data block follows the line */
    bool is_meta;
};

const struct evc_command_info *evc_command_info(enum evc_command command);

/** One flag of a meta request: its letter, and its token (may be empty), a view into the input. */
struct evc_meta_flag {
    char letter;
    struct evc_slice token;
};

struct evc_request {
    enum evc_command command;
    struct evc_slice key; /* the first key; base64 (flag b): decoded, a view into the parser */
    struct evc_slice
        keys; /* get…: from the first key to the end of the line, for evc_request_next_key */
    struct evc_slice value; /* storage commands: the data block without CRLF */
    uint32_t client_flags;
    int64_t exptime;  /* as sent */
    uint64_t cas;     /* cas <unique>, or ms/md/ma C */
    uint64_t delta;   /* incr, decr, ma; verbosity level */
    uint64_t initial; /* ma J */
    int64_t recache;  /* R: seconds left below which a value is to be fetched anew */
    int64_t vivify;   /* N: exptime of what is made where nothing is */
    bool noreply;
    bool has_cas;
    /* meta only */
    bool quiet;     /* q */
    bool is_base64; /* b: key is the decoded key, raw_key what to echo */
    struct evc_slice raw_key;
    struct evc_slice opaque; /* O token without the letter */
    char mode;               /* M token: of ms S A E R P, 'S' unless given; of ma I D + - */
    struct evc_meta_flag flags[EVC_REQUEST_META_FLAGS_MAX]; /* all, in the order sent */
    uint8_t flag_count;
    /* stats, quit…: the rest of the line after the name */
    struct evc_slice rest;
    /**
     * With EVC_E_INVALID: the value is over the limit. command, key and mode are filled, because
     * memcached then drops what the key held (set, and ms in any mode).
     */
    bool is_too_large;
};

/** Parser state of one connection; zero it to start, then set value_len_max. Owner thread only. */
struct evc_request_parser {
    uint32_t value_len_max; /* bytes; a longer data block is refused and swallowed */
    size_t scanned;         /* bytes of the current line already searched for its end */
    size_t needed;          /* bytes the current request takes with its data block, once known */
    size_t swallow;         /* bytes of a refused data block still to be thrown away */
    char decoded_key[EVC_KEY_LEN_MAX];
};

/**
 * Takes one request from the front of input, which is not changed. May be called again with the
 * same bytes when a request could not be handled yet. 0            a request in *ret; views into
 * input (and the parser, for a base64 key), valid until those bytes are consumed or the next call
 *   EVC_E_AGAIN  with *ret_used 0: more bytes are needed. With *ret_used > 0: bytes of a refused
 * data block were thrown away; consume them and call again with what is left, if anything
 *   EVC_E_INVALID a bad request: *ret_error is the reply line (with CRLF) memcached gives, empty
 * where it says nothing (noreply); the connection stays in step EVC_E_PROTO  *ret_error as above
 * (may be empty), then the connection must be closed (a line without end; HTTP) *ret_used is always
 * the bytes to consume from the front, after the request has been handled. *ret_need, on
 * EVC_E_AGAIN: the bytes the whole request will take, when known, else 0.
 */
EVC_MUST_USE int evc_request_parse(struct evc_request_parser *parser, char *input, size_t len,
                                   struct evc_request *ret, size_t *ret_used, size_t *ret_need,
                                   struct evc_slice *ret_error);

/**
 * Takes back a request that was refused as too large: nothing of it is consumed, and the next call
 * is given the same bytes.
 */
void evc_request_parse_again(struct evc_request_parser *parser);

/**
 * Walks the keys of get/gets (and gat/gats): takes the next from *keys. false at the end.
 * A key over EVC_KEY_LEN_MAX was already refused by the parser.
 */
bool evc_request_next_key(struct evc_slice *keys, struct evc_slice *ret_key);

/** The flag with this letter, or NULL. */
const struct evc_meta_flag *evc_request_flag(const struct evc_request *request, char letter);

/**
 * A 64-bit number as memcached reads it, in requests and in the values that incr and decr count on:
 * with strtoull's leniency, blanks other than ' ' before it and text after a blank are allowed.
 */
bool evc_request_number_u64(struct evc_slice token, uint64_t *ret_value);

#endif
