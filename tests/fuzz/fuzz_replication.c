/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replication wire: a relay's reading of any bytes, whole and growing; greetings; and outcomes
 * that read back as they were composed.
 */
#include "fuzz.h"

#include "meta/replication.h"

static void
check_round_trip(const struct evc_replication_reply *reply, struct evc_slice line)
{
    struct evc_buf buf;
    struct evc_replication_reply again;
    size_t used;

    evc_buf_init(&buf, 4096);
    if (reply->is_welcome) {
        assert(evc_replication_compose_welcome(&buf, reply->cache, reply->region) == 0);
    } else if (reply->is_clock) {
        assert(evc_replication_compose_clock(&buf, reply->unix_us) == 0);
    } else if (!reply->is_error) {
        assert(evc_replication_compose_reply(&buf, reply->opaque, reply->result, reply->newest) ==
               0);
    } else {
        assert(evc_buf_append(&buf, line) == 0);
    }
    assert(evc_replication_reply_parse(evc_buf_slice(&buf), &used, &again) == EVC_OK);
    assert(used == evc_buf_len(&buf));
    assert(again.is_welcome == reply->is_welcome && again.is_error == reply->is_error);
    assert(again.opaque == reply->opaque && again.newest == reply->newest);
    assert(again.result == reply->result);
    assert(again.is_clock == reply->is_clock && again.unix_us == reply->unix_us);
    assert(evc_slice_equal(again.cache, reply->cache));
    assert(evc_slice_equal(again.region, reply->region));
    evc_buf_finish(&buf);
}

static void
check_replies(const char *copy, size_t len)
{
    size_t at = 0;
    int status = EVC_OK;

    while (status == EVC_OK) {
        struct evc_slice rest = {.ptr = copy + at, .len = len - at};
        struct evc_replication_reply reply;
        size_t used;
        status = evc_replication_reply_parse(rest, &used, &reply);
        assert(used <= rest.len && (used > 0) == (status == EVC_OK));
        for (size_t part = 0; status == EVC_OK && part < used; part++) {
            size_t part_used;
            struct evc_replication_reply ignored;
            assert(evc_replication_reply_parse((struct evc_slice){.ptr = rest.ptr, .len = part},
                                               &part_used, &ignored) == EVC_E_AGAIN);
        }
        if (status == EVC_OK) {
            check_round_trip(&reply, (struct evc_slice){.ptr = rest.ptr, .len = used});
        }
        at += used;
    }
    assert(status == EVC_E_AGAIN || status == EVC_E_PROTO);
}

static void
check_hello(struct evc_slice rest)
{
    struct evc_slice cache, region, relay;
    unsigned protocol;

    if (rest.len <= 1024 &&
        evc_replication_hello_parse(rest, &protocol, &cache, &region, &relay) == EVC_OK) {
        struct evc_slice again_cache, again_region, again_relay;
        struct evc_slice line;
        struct evc_buf buf;
        evc_buf_init(&buf, 4096);
        assert(evc_replication_compose_hello(&buf, cache, region, relay) == 0);
        line = evc_buf_slice(&buf);
        line.ptr += sizeof("hello ") - 1;
        line.len -= sizeof("hello \r\n") - 1;
        assert(evc_replication_hello_parse(line, &protocol, &again_cache, &again_region,
                                           &again_relay) == EVC_OK);
        assert(protocol == EVC_REPLICATION_PROTOCOL);
        assert(evc_slice_equal(cache, again_cache) && evc_slice_equal(region, again_region));
        assert(evc_slice_equal(relay, again_relay));
        evc_buf_finish(&buf);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *copy;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    check_replies(copy, len);
    check_hello((struct evc_slice){.ptr = copy, .len = len});
    free(copy);
    return 0;
}
