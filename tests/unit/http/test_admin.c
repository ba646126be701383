/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin address and its client against each other, and the client against peers that misbehave:
 * a thread that accepts one connection and sends a given text byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/admin.h"
#include "http/dial.h"
#include "http/pages.h"

enum {
    TIMEOUT_MS = 3000
};

static struct evc_address
address_make(uint16_t port)
{
    static char text[32], host[] = "127.0.0.1";

    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    return (struct evc_address){.text = text, .host = host, .port = port};
}

/** A listening socket on a port the kernel chose. */
static int
listen_any(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static struct evc_address
address_free(void)
{
    uint16_t port;

    close(listen_any(&port));
    return address_make(port);
}

struct process {
    bool is_ready;
    bool has_status;
    size_t filler_bytes;
};

static json_t *
on_status(void *ctx)
{
    struct process *process = ctx;

    if (!process->has_status) {
        return NULL;
    }
    char *filler = malloc(process->filler_bytes + 1);
    assert_non_null(filler);
    memset(filler, 'f', process->filler_bytes);
    filler[process->filler_bytes] = '\0';
    json_t *status = json_pack("{s:s, s:s}", "part", "test", "filler", filler);
    free(filler);
    return status;
}

static bool
on_is_ready(void *ctx)
{
    return ((struct process *)ctx)->is_ready;
}

static struct evc_admin *
start(struct evc_address *address, struct process *process)
{
    struct evc_admin_handler handler = {
        .status = on_status, .is_ready = on_is_ready, .ctx = process};
    struct evc_admin *admin = NULL;
    struct evc_error error = {0};

    if (evc_admin_start(address, &handler, &admin, &error) != 0) {
        fail_msg("%s", error.text);
    }
    return admin;
}

static int
get(const struct evc_address *address, const char *path, json_t **ret, struct evc_error *error)
{
    *ret = NULL;
    return evc_admin_get(address, path, TIMEOUT_MS, ret, error);
}

static void
test_admin__status__is_what_the_handler_made(void **state)
{
    struct process process = {.is_ready = true, .has_status = true, .filler_bytes = 1000000};
    struct evc_address address = address_free();
    struct evc_admin *admin = start(&address, &process);
    json_t *document;
    struct evc_error error;

    (void)state;
    assert_int_equal(get(&address, "/status.json", &document, &error), 0);
    assert_string_equal(json_string_value(json_object_get(document, "part")), "test");
    assert_int_equal(json_string_length(json_object_get(document, "filler")), 1000000);
    json_decref(document);
    evc_admin_stop(admin);
    assert_int_equal(get(&address, "/status.json", &document, &error), EVC_E_CLOSED);
    assert_non_null(strstr(error.text, address.text));
}

static void
test_admin__health_and_readiness__differ(void **state)
{
    struct process process = {.is_ready = false};
    struct evc_address address = address_free();
    struct evc_admin *admin = start(&address, &process);
    json_t *document;
    struct evc_error error;

    (void)state;
    assert_int_equal(get(&address, "/healthz", &document, &error), 0);
    assert_true(json_is_true(json_object_get(document, "alive")));
    json_decref(document);
    assert_int_equal(get(&address, "/readyz", &document, &error), EVC_E_BUSY);
    assert_int_equal(get(&address, "/status.json", &document, &error), EVC_E_BUSY);
    process.is_ready = true;
    assert_int_equal(get(&address, "/readyz", &document, &error), 0);
    json_decref(document);
    evc_admin_stop(admin);
}

static void
test_admin__unknown_path__404(void **state)
{
    struct process process = {.is_ready = true};
    struct evc_address address = address_free();
    struct evc_admin *admin = start(&address, &process);
    json_t *document;
    struct evc_error error;

    (void)state;
    assert_int_equal(get(&address, "/", &document, &error), EVC_E_PROTO);
    assert_non_null(strstr(error.text, "404"));
    evc_admin_stop(admin);
}

/** Sends a request by hand and expects the answer to start with a text. */
static void
expect_answer(const struct evc_address *address, const char *request, const char *start_of_answer)
{
    struct evc_dial dial;
    struct evc_buf input;
    struct evc_error error;

    evc_buf_init(&input, 65536);
    assert_int_equal(evc_dial_open(&dial, address, TIMEOUT_MS, &error), 0);
    assert_int_equal(evc_dial_send(&dial, evc_slice_str(request), &error), 0);
    while (evc_buf_len(&input) < strlen(start_of_answer)) {
        assert_int_equal(evc_dial_receive(&dial, &input, &error), 0);
    }
    assert_memory_equal(evc_buf_slice(&input).ptr, start_of_answer, strlen(start_of_answer));
    evc_dial_close(&dial);
    evc_buf_finish(&input);
}

static void
test_admin__other_methods__405(void **state)
{
    struct process process = {.is_ready = true, .has_status = true};
    struct evc_address address = address_free();
    struct evc_admin *admin = start(&address, &process);

    (void)state;
    expect_answer(&address, "DELETE /status.json HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ");
    expect_answer(&address,
                  "POST /status.json HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
                  "HTTP/1.1 405 ");
    evc_admin_stop(admin);
}

static char *
make_document(void *ctx)
{
    return ((struct process *)ctx)->has_status ? strdup("{\"made\":true}") : NULL;
}

static void
test_admin__document_of_the_process__is_served_or_503(void **state)
{
    static const struct evc_admin_document documents[] = {
        {"/own.json", "application/json", make_document}};
    struct process process = {.has_status = true};
    struct evc_admin_handler handler = {.status = on_status,
                                        .is_ready = on_is_ready,
                                        .ctx = &process,
                                        .documents = documents,
                                        .document_count = 1};
    struct evc_address address = address_free();
    struct evc_admin *admin = NULL;
    struct evc_error error;
    json_t *document;

    (void)state;
    assert_int_equal(evc_admin_start(&address, &handler, &admin, &error), 0);
    assert_int_equal(get(&address, "/own.json", &document, &error), 0);
    assert_true(json_is_true(json_object_get(document, "made")));
    json_decref(document);
    process.has_status = false;
    assert_int_equal(get(&address, "/own.json", &document, &error), EVC_E_BUSY);
    evc_admin_stop(admin);
}

static json_t *
explain(void *ctx, struct evc_slice key)
{
    (void)ctx;
    return json_pack("{s:i, s:i}", "bytes", (int)key.len, "last",
                     (int)(unsigned char)key.ptr[key.len - 1]);
}

static void
test_admin__explain__any_key_arrives_as_it_is(void **state)
{
    struct process process = {0};
    struct evc_admin_handler handler = {
        .status = on_status, .is_ready = on_is_ready, .ctx = &process, .explain = explain};
    char path[EVC_ADMIN_EXPLAIN_PATH_BYTES], key[EVC_ADMIN_KEY_BYTES_MAX];
    struct evc_address address = address_free();
    struct evc_admin *admin = NULL;
    struct evc_error error;
    json_t *document;

    (void)state;
    assert_int_equal(evc_admin_start(&address, &handler, &admin, &error), 0);
    for (unsigned i = 0; i < sizeof(key); i++) {
        key[i] = (char)i; /* NUL, blank, '%', '&', '+' and all others */
    }
    evc_admin_explain_path((struct evc_slice){.ptr = key, .len = sizeof(key)}, path);
    assert_int_equal(get(&address, path, &document, &error), 0);
    assert_int_equal(json_integer_value(json_object_get(document, "bytes")), sizeof(key));
    assert_int_equal(json_integer_value(json_object_get(document, "last")), sizeof(key) - 1);
    json_decref(document);
    expect_answer(&address, "GET /explain.json HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    expect_answer(&address, "GET /explain.json?key= HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    expect_answer(&address, "GET /explain.json?key HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    evc_admin_stop(admin);
}

static void
test_admin__dashboard__pages_or_the_way_to_them(void **state)
{
    struct process process = {0};
    struct evc_admin_handler handler = {
        .status = on_status, .is_ready = on_is_ready, .ctx = &process, .has_dashboard = true};
    struct evc_address address = address_free();
    struct evc_admin *admin = NULL;
    struct evc_error error;

    (void)state;
    assert_int_equal(evc_admin_start(&address, &handler, &admin, &error), 0);
    for (size_t i = 0; i < evc_pages_count; i++) {
        char request[128];
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", evc_pages[i].path);
        expect_answer(&address, request, "HTTP/1.1 200 ");
    }
    expect_answer(&address, "GET /other.js HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ");
    evc_admin_stop(admin);
    handler.has_dashboard = false;
    handler.dashboard = "first.example:11411";
    assert_int_equal(evc_admin_start(&address, &handler, &admin, &error), 0);
    expect_answer(&address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 302 ");
    expect_answer(&address, "GET /chart.js HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ");
    evc_admin_stop(admin);
}

static void
test_admin__port_taken__sentence_names_it(void **state)
{
    struct process process = {0};
    struct evc_admin_handler handler = {
        .status = on_status, .is_ready = on_is_ready, .ctx = &process};
    struct evc_admin *admin = NULL;
    struct evc_error error;
    uint16_t port;
    int fd = listen_any(&port);
    struct evc_address address = address_make(port);

    (void)state;
    assert_int_equal(evc_admin_start(&address, &handler, &admin, &error), EVC_E_SYS);
    assert_null(admin);
    assert_non_null(strstr(error.text, address.text));
    close(fd);
}

static void
test_admin__stop_of_nothing__is_harmless(void **state)
{
    (void)state;
    evc_admin_stop(NULL);
}

/** A peer that says one thing to whoever comes, then hangs up or stays silent. */
struct peer {
    int fd;
    const char *text;
    bool stays;
    pthread_t thread;
};

static void *
peer_run(void *ctx)
{
    struct peer *peer = ctx;
    char request[1024];
    int fd = accept(peer->fd, NULL, NULL);

    (void)recv(fd, request, sizeof(request), 0);
    for (const char *at = peer->text; *at != '\0'; at++) {
        (void)send(fd, at, 1, MSG_NOSIGNAL);
    }
    if (peer->stays) {
        (void)recv(fd, request, sizeof(request), 0);
    }
    close(fd);
    return NULL;
}

static const struct {
    const char *name, *text;
    bool stays;
    int status;
} peer_table[] = {
    {"byte by byte", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", true, 0},
    {"hangs up at once", "", false, EVC_E_CLOSED},
    {"hangs up within the body", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a", false,
     EVC_E_CLOSED},
    {"silent", "", true, EVC_E_TIMEOUT},
    {"silent within the body", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a", true,
     EVC_E_TIMEOUT},
    {"no http", "CLIENT_ERROR bad command line\r\n", true, EVC_E_PROTO},
    {"no json", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, EVC_E_PROTO},
    {"not ready", "HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\n{}", true, EVC_E_BUSY},
    {"too large", "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n", true, EVC_E_LIMIT},
};

static void
test_admin_get__peers_that_misbehave__named_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(peer_table) / sizeof(peer_table[0]); i++) {
        struct peer peer = {.text = peer_table[i].text, .stays = peer_table[i].stays};
        struct evc_error error = {0};
        json_t *document = NULL;
        uint16_t port;

        peer.fd = listen_any(&port);
        struct evc_address address = address_make(port);
        assert_int_equal(pthread_create(&peer.thread, NULL, peer_run, &peer), 0);
        uint64_t begin_us = evc_clock_mono_us();
        int status = evc_admin_get(&address, "/status.json", 300, &document, &error);
        if (status != peer_table[i].status) {
            fail_msg("%s: %s (%s)", peer_table[i].name, evc_status_str(status), error.text);
        }
        assert_true(evc_clock_mono_us() - begin_us < 2000000);
        assert_true(status == 0 || strstr(error.text, address.text) != NULL);
        json_decref(document);
        assert_int_equal(pthread_join(peer.thread, NULL), 0);
        close(peer.fd);
    }
}

static void
test_admin_get__no_such_host__config(void **state)
{
    char text[] = "no-such-host.invalid:1", host[] = "no-such-host.invalid";
    struct evc_address address = {.text = text, .host = host, .port = 1};
    struct evc_error error = {0};
    json_t *document;

    (void)state;
    assert_int_equal(get(&address, "/status.json", &document, &error), EVC_E_CONFIG);
    assert_non_null(strstr(error.text, host));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin__status__is_what_the_handler_made),
        cmocka_unit_test(test_admin__health_and_readiness__differ),
        cmocka_unit_test(test_admin__unknown_path__404),
        cmocka_unit_test(test_admin__other_methods__405),
        cmocka_unit_test(test_admin__document_of_the_process__is_served_or_503),
        cmocka_unit_test(test_admin__explain__any_key_arrives_as_it_is),
        cmocka_unit_test(test_admin__dashboard__pages_or_the_way_to_them),
        cmocka_unit_test(test_admin__port_taken__sentence_names_it),
        cmocka_unit_test(test_admin__stop_of_nothing__is_harmless),
        cmocka_unit_test(test_admin_get__peers_that_misbehave__named_status),
        cmocka_unit_test(test_admin_get__no_such_host__config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
