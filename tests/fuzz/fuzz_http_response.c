/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of HTTP responses. A response is found in the same place whole and byte by byte. */
#include "fuzz.h"
#include "http/response.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_http_response whole, part;
    char *copy;
    int status;

    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    status = evc_http_response_parse((struct evc_slice){.ptr = copy, .len = len}, &whole);
    if (status == EVC_OK) {
        assert(whole.status >= 100 && whole.status <= 599);
        assert(whole.body.len <= len);
        assert(whole.body.len == 0 ||
               (whole.body.ptr >= copy && whole.body.ptr + whole.body.len <= copy + len));
    }
    for (size_t cut = 0; cut < len; cut++) {
        int early = evc_http_response_parse((struct evc_slice){.ptr = copy, .len = cut}, &part);

        if (early == EVC_OK) { /* then what follows changes nothing */
            assert(status == EVC_OK && part.status == whole.status);
            assert(evc_slice_equal(part.body, whole.body));
            break;
        }
        assert(early == EVC_E_AGAIN || early == EVC_E_LIMIT || early == EVC_E_PROTO);
    }
    free(copy);
    return 0;
}
