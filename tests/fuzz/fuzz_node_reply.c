/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of nodes: any bytes, whole and byte by byte; and operations with any key and value, which
 * must read back as the one request they are.
 */
#include "fuzz.h"

#include "meta/node_op.h"
#include "meta/request.h"

static uint64_t
mix_reply(uint64_t hash, enum evc_node_result result, const struct evc_node_reply *reply)
{
    hash = fuzz_mix_u64(hash, result);
    hash = fuzz_mix_slice(hash, reply->value);
    hash = fuzz_mix_slice(hash, reply->error);
    hash = fuzz_mix_u64(hash, reply->cas);
    hash = fuzz_mix_u64(hash, (uint64_t)reply->ttl_s);
    hash = fuzz_mix_u64(hash, reply->client_flags);
    hash = fuzz_mix_u64(hash, reply->size);
    return fuzz_mix_u64(hash, reply->is_tombstone);
}

/* Takes as many replies as there are; the bytes used, -1 when out of step. */
static long
parse_some(struct evc_node_parse *state, enum evc_node_verb verb, const char *input, size_t len,
           uint64_t *hash)
{
    size_t at = 0;

    for (;;) {
        struct evc_slice rest = {.ptr = input + at, .len = len - at};
        enum evc_node_result result;
        struct evc_node_reply reply;
        size_t used;
        int status = evc_node_reply_parse(state, verb, rest, &used, &result, &reply);
        assert(used <= rest.len);
        assert((used > 0) == (status == EVC_OK));
        if (status == EVC_E_AGAIN) {
            return (long)at;
        }
        if (status != EVC_OK) {
            assert(status == EVC_E_PROTO);
            *hash = fuzz_mix_u64(*hash, 1);
            return -1;
        }
        assert(result < EVC_NODE_RESULT_MAX);
        at += used;
        *hash = mix_reply(*hash, result, &reply);
    }
}

static void
check_replies(enum evc_node_verb verb, const uint8_t *data, size_t len)
{
    struct evc_node_parse whole = {.scanned = 0};
    struct evc_node_parse grown = {.scanned = 0};
    uint64_t whole_hash = 0;
    uint64_t grown_hash = 0;
    char *copy = fuzz_exact_copy(data, len);
    size_t from = 0;

    (void)parse_some(&whole, verb, copy, len, &whole_hash);
    for (size_t fed = 1; fed <= len; fed++) {
        long used = parse_some(&grown, verb, copy + from, fed - from, &grown_hash);
        if (used < 0) {
            break;
        }
        from += (size_t)used;
    }
    free(copy);
    assert(whole_hash == grown_hash);
}

/* Keys a client could have sent come back; others are refused. */
static void
check_operation(enum evc_node_verb verb, const char *data, size_t len)
{
    struct evc_request_parser parser = {.value_len_max = FUZZ_INPUT_BYTES_MAX};
    size_t key_len = len < EVC_KEY_LEN_MAX ? len : EVC_KEY_LEN_MAX;
    struct evc_node_op op = {.verb = verb,
                             .want = EVC_WANT_VALUE,
                             .key = {.ptr = data, .len = key_len},
                             .value = {.ptr = data, .len = len},
                             .version = len};
    struct evc_request request;
    struct evc_slice error;
    struct evc_buf buf;
    size_t used;
    size_t need;

    evc_buf_init(&buf, 4 * FUZZ_INPUT_BYTES_MAX);
    if (evc_node_op_compose(&op, &buf) == EVC_OK) {
        assert(evc_request_parse(&parser, buf.data, evc_buf_len(&buf), &request, &used, &need,
                                 &error) == EVC_OK);
        assert(used == evc_buf_len(&buf));
        assert(request.command == (verb == EVC_NODE_GET ? EVC_CMD_MG : EVC_CMD_MS));
        assert(evc_slice_equal(request.key, op.key));
        assert(verb == EVC_NODE_GET || evc_slice_equal(request.value, op.value));
    } else {
        assert(evc_buf_len(&buf) == 0);
        assert(key_len > EVC_KEY_LEN_MAX / 4 * 3 - 2);
    }
    evc_buf_finish(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum evc_node_verb verb;

    if (len < 2) {
        return 0;
    }
    verb = (enum evc_node_verb)(data[0] % EVC_NODE_VERB_MAX);
    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    check_replies(verb, data + 1, len - 1);
    check_operation(verb, (const char *)data + 1, len - 1);
    return 0;
}
