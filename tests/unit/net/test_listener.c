/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: shared among workers, probed exclusively, refused with a sentence. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/listener.h"

static struct sockaddr_in
loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void
on_connection(struct evc_listener *listener)
{
    (void)listener;
}

static unsigned closed_count;

static void
on_closed(struct evc_listener *listener)
{
    closed_count++;
    if (closed_count == 2) {
        evc_loop_stop(listener->loop);
    }
}

static void
test_listener__address_shared__probe_refuses_by_name(void **state)
{
    struct evc_loop loop;
    struct evc_listener first, second;
    struct sockaddr_in address = loopback(0);
    struct sockaddr_storage bound;
    struct evc_error error;
    char expected[64];

    (void)state;
    closed_count = 0;
    assert_int_equal(evc_loop_init(&loop, &error), EVC_OK);
    assert_int_equal(
        evc_listener_open(&first, &loop, (struct sockaddr *)&address, on_connection, &error),
        EVC_OK);
    assert_int_equal(evc_listener_address(&first, &bound), EVC_OK);
    address = *(struct sockaddr_in *)&bound;
    assert_int_equal(
        evc_listener_open(&second, &loop, (struct sockaddr *)&address, on_connection, &error),
        EVC_OK);
    first.on_closed = on_closed;
    second.on_closed = on_closed;

    assert_int_equal(evc_listener_probe((struct sockaddr *)&address, &error), EVC_E_BUSY);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u: address already in use; stop",
             ntohs(address.sin_port));
    assert_memory_equal(error.text, expected, strlen(expected));
    assert_int_equal(evc_listener_probe((struct sockaddr *)&address, NULL), EVC_E_BUSY);

    evc_listener_close(&first);
    evc_listener_close(&first); /* again: harmless */
    evc_listener_close(&second);
    evc_loop_run(&loop);
    assert_int_equal(closed_count, 2);
    assert_int_equal(evc_listener_probe((struct sockaddr *)&address, &error), EVC_OK);
    evc_loop_finish(&loop);
}

static void
test_listener__impossible_address__is_refused_with_a_sentence(void **state)
{
    struct evc_loop loop;
    struct evc_listener listener;
    struct sockaddr_in address = loopback(1234);
    struct evc_error error;

    (void)state;
    address.sin_addr.s_addr = inet_addr("192.0.2.1"); /* for documentation: nobody has it */
    assert_int_equal(evc_loop_init(&loop, &error), EVC_OK);
    assert_int_equal(
        evc_listener_open(&listener, &loop, (struct sockaddr *)&address, on_connection, &error),
        EVC_E_SYS);
    assert_string_equal(error.text, "192.0.2.1:1234: not an address of this machine");
    assert_int_equal(evc_listener_probe((struct sockaddr *)&address, &error), EVC_E_SYS);
    evc_loop_finish(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listener__address_shared__probe_refuses_by_name),
        cmocka_unit_test(test_listener__impossible_address__is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
