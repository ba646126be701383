/* SPDX-License-Identifier: Apache-2.0 */
/* Client requests: any bytes, whole and byte by byte, must come to the same requests and errors. */
#include "fuzz.h"

#include "meta/reply.h"
#include "meta/request.h"

enum {
    VALUE_LEN_MAX = 64,
};

static uint64_t
mix_request(uint64_t hash, const struct evc_request *request)
{
    struct evc_slice keys = request->keys;
    struct evc_slice key;

    hash = fuzz_mix_u64(hash, request->command);
    hash = fuzz_mix_slice(hash, request->key);
    hash = fuzz_mix_slice(hash, request->value);
    hash = fuzz_mix_slice(hash, request->opaque);
    hash = fuzz_mix_slice(hash, request->rest);
    hash = fuzz_mix_u64(hash, request->client_flags);
    hash = fuzz_mix_u64(hash, (uint64_t)request->exptime);
    hash = fuzz_mix_u64(hash, request->cas);
    hash = fuzz_mix_u64(hash, request->delta);
    hash = fuzz_mix_u64(hash, request->noreply + request->quiet * 2U + request->has_cas * 4U);
    while (evc_request_next_key(&keys, &key)) {
        assert(key.len >= 1 && key.len <= EVC_KEY_LEN_MAX);
        hash = fuzz_mix_slice(hash, key);
    }
    for (unsigned i = 0; i < request->flag_count; i++) {
        hash = fuzz_mix_slice(fuzz_mix_u64(hash, (uint64_t)request->flags[i].letter),
                              request->flags[i].token);
    }
    return hash;
}

static void
check_request(const struct evc_request *request)
{
    assert(request->command < EVC_CMD_MAX);
    assert(request->key.len <= EVC_KEY_LEN_MAX);
    assert(request->value.len <= VALUE_LEN_MAX);
    assert(request->opaque.len <= EVC_REQUEST_OPAQUE_MAX);
    if (evc_command_info(request->command)->is_meta) {
        struct evc_meta_reply meta;
        char opaque[EVC_REQUEST_OPAQUE_MAX];
        char key[EVC_META_KEY_TEXT_MAX];
        struct evc_buf buf;
        evc_meta_reply_init(&meta, request, opaque, key);
        evc_buf_init(&buf, 4096);
        assert(evc_meta_reply_compose_write(&buf, &meta, EVC_META_EX, UINT64_MAX, 1) == 0);
        assert(evc_buf_slice(&buf).ptr[evc_buf_len(&buf) - 1] == '\n');
        evc_buf_finish(&buf);
    }
}

/* Parses as much as there is of the input; returns the bytes used, -1 when the connection closes.
 */
static long
parse_some(struct evc_request_parser *parser, char *input, size_t len, uint64_t *hash)
{
    size_t at = 0;

    for (;;) {
        struct evc_request request;
        struct evc_slice error;
        size_t used;
        size_t need;
        int status =
            evc_request_parse(parser, input + at, len - at, &request, &used, &need, &error);
        assert(used <= len - at);
        if (status == EVC_E_AGAIN && used == 0) {
            return (long)at;
        }
        at += used;
        if (status == EVC_OK) {
            check_request(&request);
            *hash = mix_request(*hash, &request);
        } else if (status != EVC_E_AGAIN) {
            assert(error.len == 0 || memcmp(error.ptr + error.len - 2, "\r\n", 2) == 0);
            *hash = fuzz_mix_slice(fuzz_mix_u64(*hash, (uint64_t)status), error);
            *hash = fuzz_mix_u64(*hash, request.is_too_large);
        }
        if (status == EVC_E_PROTO) {
            return -1;
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_request_parser whole = {.value_len_max = VALUE_LEN_MAX};
    struct evc_request_parser grown = {.value_len_max = VALUE_LEN_MAX};
    uint64_t whole_hash = 0;
    uint64_t grown_hash = 0;
    size_t from = 0;
    char *copy;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    (void)parse_some(&whole, copy, len, &whole_hash); /* what is left, the other way leaves too */
    free(copy);
    copy = fuzz_exact_copy(data, len);
    for (size_t fed = 1; fed <= len; fed++) {
        long used = parse_some(&grown, copy + from, fed - from, &grown_hash);
        if (used < 0) {
            break;
        }
        from += (size_t)used;
    }
    free(copy);
    assert(whole_hash == grown_hash);
    return 0;
}
