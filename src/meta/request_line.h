/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of a request, cut into words. Private to the request parser: request.c frames lines and data
 * blocks, request_classic.c and request_meta.c know the commands.
 */
#ifndef EVC_META_REQUEST_LINE_H
#define EVC_META_REQUEST_LINE_H

#include "meta/request.h"

enum { EVC_REQUEST_WORDS_MAX = 4 + EVC_REQUEST_META_FLAGS_MAX };

struct evc_request_line {
    char *start;               /* of the command's name */
    char *end;                 /* behind the last byte, CR and LF not counted */
    struct evc_slice words[EVC_REQUEST_WORDS_MAX];
    unsigned count;            /* words; of longer lines those that fit */
    bool is_longer;            /* there were more words */
};

/** What reading a line came to. */
struct evc_request_verdict {
    struct evc_slice error;    /* the reply; ptr NULL: none */
    bool has_length;           /* a data block of `length` bytes follows, also behind an error */
    uint64_t length;
};

/** A verdict with an error and no data block. */
static inline struct evc_request_verdict
evc_request_error(struct evc_slice error)
{
    return (struct evc_request_verdict){.error = error};
}

#define EVC_LINE_ERROR EVC_SLICE("ERROR\r\n")
#define EVC_LINE_BAD_FORMAT EVC_SLICE("CLIENT_ERROR bad command line format\r\n")
#define EVC_LINE_BAD_CHUNK EVC_SLICE("CLIENT_ERROR bad data chunk\r\n")
#define EVC_LINE_BAD_EXPTIME EVC_SLICE("CLIENT_ERROR invalid exptime argument\r\n")
#define EVC_LINE_TOO_LONG EVC_SLICE("CLIENT_ERROR line too long\r\n")
#define EVC_LINE_TOO_LARGE EVC_SLICE("SERVER_ERROR object too large for cache\r\n")

/** memcached's numbers: 32-bit exptimes, lengths that leave room for CRLF in 31 bits. */
bool evc_request_exptime(struct evc_slice word, int64_t *ret);
bool evc_request_length(struct evc_slice word, uint64_t *ret);

struct evc_request_verdict evc_request_read_classic(const struct evc_request_line *line,
                                                    struct evc_request *ret);
struct evc_request_verdict evc_request_read_meta(const struct evc_request_line *line,
                                                 struct evc_request *ret);

#endif
