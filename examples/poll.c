/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library on any event loop: its descriptor is polled together with others, here with standard
 * input. Each line read is a key to get, or "key value" to set; replies are printed as they come.
 *
 *     poll CONFIG REGION
 */
#include <evcache/evcache.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_BYTES_MAX = 65536,
};

struct program {
    evcache_inbox *inbox;
    char input[INPUT_BYTES_MAX];
    size_t input_len;
};

static void
on_reply(void *ctx, evcache_reply *reply)
{
    char *key = ctx;
    evcache_bytes value = evcache_reply_value(reply);

    printf("%s: %s%s%.*s\n", key, evcache_status_str(evcache_reply_status(reply)),
           value.len > 0 ? ", " : "", (int)value.len, (const char *)value.ptr);
    fflush(stdout);
    evcache_reply_free(reply);
    free(key);
}

static void
start_line(struct program *program, char *line)
{
    char *value = strchr(line, ' ');
    evcache_request request = {.ttl_s = 60};
    char *key;
    int status;

    if (value) {
        *value++ = '\0';
        request.value = evcache_str(value);
    }
    key = strdup(line);
    if (!key) {
        return;
    }
    request.key = evcache_str(key);
    status =
        evcache_start(program->inbox, value ? EVCACHE_SET : EVCACHE_GET, &request, on_reply, key);
    if (status != EVCACHE_OK) {
        printf("%s: %s\n", key, evcache_status_str(status));
        free(key);
    }
}

/** Reads what there is and starts a call per line. False at the end of the input. */
static bool
read_lines(struct program *program)
{
    ssize_t len = read(STDIN_FILENO, program->input + program->input_len,
                       sizeof(program->input) - program->input_len);
    char *line = program->input;
    char *end;

    if (len <= 0) {
        return false;
    }
    program->input_len += (size_t)len;
    while ((end = memchr(line, '\n', program->input_len - (size_t)(line - program->input)))) {
        *end = '\0';
        start_line(program, line);
        line = end + 1;
    }
    program->input_len -= (size_t)(line - program->input);
    memmove(program->input, line, program->input_len);
    return program->input_len < sizeof(program->input);
}

static void
run(struct program *program)
{
    struct pollfd watched[] = {
        {.fd = evcache_inbox_fd(program->inbox), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    bool has_input = true;

    while (has_input) {
        if (poll(watched, 2, -1) < 0) {
            continue; /* interrupted */
        }
        if (watched[0].revents) {
            evcache_inbox_dispatch(program->inbox);
        }
        if (watched[1].revents) {
            has_input = read_lines(program);
        }
    }
}

int
main(int argc, char **argv)
{
    static struct program program;
    evcache_error error;
    evcache *cache = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: %s CONFIG REGION\n", argv[0]);
        return 2;
    }
    if (evcache_open(argv[1], argv[2], NULL, &cache, &error) != EVCACHE_OK ||
        evcache_inbox_open(cache, &program.inbox, &error) != EVCACHE_OK) {
        fprintf(stderr, "%s\n", error.text);
        evcache_close(cache);
        return 1;
    }
    run(&program);
    evcache_inbox_close(program.inbox); /* waits for what is still under way */
    evcache_close(cache);
    return 0;
}
