/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library on a libuv loop of the program's own: many sets at once, then a get of each, from the
 * loop's callbacks.
 *
 *     libuv CONFIG REGION [COUNT]
 */
#include <evcache/uv.h>
#include <stdio.h>
#include <stdlib.h>

struct program {
    evcache *cache;
    evcache_inbox *inbox;
    evcache_uv adapter;
    size_t count, open, stored, found, failed;
};

static void on_reply(void *ctx, evcache_reply *reply);

/** Starts one call per item; those that cannot be started count as failed. */
static void
start_all(struct program *program, enum evcache_op op)
{
    for (size_t i = 0; i < program->count; i++) {
        char key[32], value[32];
        evcache_request request = {.ttl_s = 60};

        snprintf(key, sizeof(key), "example:%zu", i);
        snprintf(value, sizeof(value), "value %zu", i);
        request.key = evcache_str(key);
        request.value = evcache_str(value);
        if (evcache_start(program->inbox, op, &request, on_reply, program) == EVCACHE_OK) {
            program->open++;
        } else {
            program->failed++;
        }
    }
}

static void
on_stopped(evcache_uv *adapter)
{
    struct program *program = adapter->data;

    evcache_inbox_close(program->inbox);
}

static void
on_reply(void *ctx, evcache_reply *reply)
{
    struct program *program = ctx;
    int status = evcache_reply_status(reply);

    program->failed += status != EVCACHE_OK;
    if (status == EVCACHE_OK && evcache_reply_value(reply).len > 0) {
        program->found++;
    } else if (status == EVCACHE_OK) {
        program->stored++;
    }
    evcache_reply_free(reply);
    if (--program->open > 0) {
        return;
    }
    if (program->found == 0 && program->stored > 0) {
        start_all(program, EVCACHE_GET); /* all sets are answered */
    }
    if (program->open == 0) {
        evcache_uv_stop(&program->adapter, on_stopped);
    }
}

static int
run(struct program *program, evcache_error *error)
{
    uv_loop_t *loop = uv_default_loop();
    int status = evcache_inbox_open(program->cache, &program->inbox, error);

    if (status != EVCACHE_OK) {
        return status;
    }
    status = evcache_uv_start(&program->adapter, loop, program->inbox);
    if (status != 0) {
        snprintf(error->text, sizeof(error->text), "%s", uv_strerror(status));
        evcache_inbox_close(program->inbox);
        return EVCACHE_E_SYSTEM;
    }
    program->adapter.data = program;
    start_all(program, EVCACHE_SET);
    if (program->open == 0) {
        evcache_uv_stop(&program->adapter, on_stopped);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return EVCACHE_OK;
}

int
main(int argc, char **argv)
{
    struct program program = {.count = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000};
    evcache_error error;

    if (argc < 3) {
        fprintf(stderr, "usage: %s CONFIG REGION [COUNT]\n", argv[0]);
        return 2;
    }
    if (evcache_open(argv[1], argv[2], NULL, &program.cache, &error) != EVCACHE_OK ||
        run(&program, &error) != EVCACHE_OK) {
        fprintf(stderr, "%s\n", error.text);
        evcache_close(program.cache);
        return 1;
    }
    evcache_close(program.cache);
    printf("stored %zu, found %zu, failed %zu\n", program.stored, program.found, program.failed);
    return program.failed > 0;
}
