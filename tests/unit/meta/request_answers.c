/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the request parser says about standard input, as a memcached would answer it: error lines as
 * they are, MN for mn, "<command>" for any other request that is right. The system test compares
 * this with a real memcached. An argument is the limit of values, in bytes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "meta/request.h"

enum {
    INPUT_BYTES_MAX = 16 * 1024 * 1024,
    VALUE_BYTES_MAX = 1024 * 1024,
};

static void
answer(int status, const struct evc_request *request, struct evc_slice error)
{
    if (status != EVC_OK) {
        fwrite(error.ptr, 1, error.len, stdout);
    } else if (request->command == EVC_CMD_MN) {
        printf("MN\r\n");
    } else {
        printf("<%s>\r\n", evc_command_info(request->command)->name);
    }
}

int
main(int argc, char **argv)
{
    struct evc_request_parser parser = {
        .value_len_max = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : VALUE_BYTES_MAX};
    char *input = malloc(INPUT_BYTES_MAX);
    size_t len = input == NULL ? 0 : fread(input, 1, INPUT_BYTES_MAX, stdin);
    size_t at = 0;

    while (at < len) {
        struct evc_request request;
        struct evc_slice error;
        size_t used;
        size_t need;
        int status =
            evc_request_parse(&parser, input + at, len - at, &request, &used, &need, &error);
        if (status == EVC_E_AGAIN && used == 0) {
            break;
        }
        at += used;
        if (status != EVC_E_AGAIN) {
            answer(status, &request, error);
        }
        if (status == EVC_E_PROTO) {
            printf("<closed>\r\n");
            break;
        }
    }
    free(input);
    return 0;
}
