/* SPDX-License-Identifier: Apache-2.0 */
/* The answers to the check of a fresh connection: any bytes, whole and byte by byte. */
#include "fuzz.h"

#include "meta/node_check.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_node_check whole = {.has_version = false};
    struct evc_node_check grown = {.has_version = false};
    char *copy;
    size_t from = 0;
    size_t used = 0;
    int whole_status;
    int grown_status = EVC_E_AGAIN;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    whole_status = evc_node_check_parse(&whole, (struct evc_slice){.ptr = copy, .len = len}, &used);
    assert(used <= len);
    for (size_t fed = 1; fed <= len && grown_status == EVC_E_AGAIN; fed++) {
        struct evc_slice part = {.ptr = copy + from, .len = fed - from};
        size_t part_used;
        grown_status = evc_node_check_parse(&grown, part, &part_used);
        assert(part_used <= part.len);
        from += part_used;
    }
    assert(whole_status == grown_status);
    assert(from == used);
    assert(whole.major == grown.major && whole.minor == grown.minor && whole.patch == grown.patch);
    assert(whole.cas_enabled == grown.cas_enabled);
    free(copy);
    return 0;
}
