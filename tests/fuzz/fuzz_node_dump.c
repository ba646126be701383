/* SPDX-License-Identifier: Apache-2.0 */
/* What a node lists: any bytes, whole and byte by byte. */
#include "fuzz.h"

#include "meta/node_dump.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_node_dump whole = {.scanned = 0};
    struct evc_node_dump grown = {.scanned = 0};
    struct evc_node_dump_line whole_line, grown_line;
    size_t whole_used = 0;
    size_t grown_used = 0;
    char *copy;
    int whole_status;
    int grown_status = EVC_E_AGAIN;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    whole_status = evc_node_dump_parse(&whole, (struct evc_slice){.ptr = copy, .len = len},
                                       &whole_used, &whole_line);
    for (size_t fed = 1; fed <= len && grown_status == EVC_E_AGAIN; fed++) {
        grown_status = evc_node_dump_parse(&grown, (struct evc_slice){.ptr = copy, .len = fed},
                                           &grown_used, &grown_line);
    }
    if (whole_status != EVC_E_PROTO || grown_status != EVC_E_AGAIN) {
        assert(whole_status == grown_status || len == 0);
        assert(whole_used == grown_used || whole_status != EVC_OK);
    }
    if (whole_status == EVC_OK && whole_line.kind == EVC_NODE_DUMP_ITEM) {
        assert(whole_line.key.len >= 1 && whole_line.key.len <= EVC_KEY_LEN_MAX);
        assert(evc_slice_equal(whole_line.key, grown_line.key));
    }
    free(copy);
    return 0;
}
