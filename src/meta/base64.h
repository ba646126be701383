/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as memcached does it for keys (flag b): standard alphabet, padded, lenient when reading.
 */
#ifndef EVC_META_BASE64_H
#define EVC_META_BASE64_H

#include "base/slice.h"

/** The bytes that len bytes take when encoded. */
static inline size_t
evc_base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/** Writes bytes, encoded, at out (room for evc_base64_encoded_len); returns the bytes written. */
size_t evc_base64_encode(struct evc_slice bytes, char *out);

/**
 * Decodes text to out, which may be text's own memory and needs no more room than text has. Returns
 * the bytes written; 0 when it is not base64. As in memcached, bytes outside the alphabet are
 * skipped and whatever follows the padding is ignored.
 */
size_t evc_base64_decode(struct evc_slice text, char *out);

#endif
