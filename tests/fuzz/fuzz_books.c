/* SPDX-License-Identifier: Apache-2.0 */
/* The books' blob, as a queue may hand it back. What is loaded is saved again byte for byte. */
#include "fuzz.h"
#include "queue/queue.h"
#include "replication/books.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct evc_books *books = evc_books_create();
    struct evc_slice blob;
    struct evc_buf saved;
    char *copy;
    int status;

    assert(books);
    len = len < FUZZ_INPUT_BYTES_MAX ? len : FUZZ_INPUT_BYTES_MAX;
    copy = fuzz_exact_copy(data, len);
    blob = (struct evc_slice){.ptr = copy, .len = len};
    status = evc_books_load(books, 7, blob);
    assert(status == EVC_OK || status == EVC_E_CORRUPT);
    if (status == EVC_OK && len > 0) {
        evc_buf_init(&saved, EVC_QUEUE_BLOB_BYTES_MAX);
        assert(evc_books_save(books, &saved) == EVC_OK);
        assert(evc_slice_equal(evc_buf_slice(&saved), blob));
        evc_buf_finish(&saved);
    }
    evc_books_destroy(books);
    free(copy);
    return 0;
}
