/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a memcached's `stats`: whole, in pieces, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/node_sizes.h"

static const char answer[] = "STAT pid 7\r\n"
                             "STAT version 1.6.38\r\n"
                             "STAT bytes_read 99\r\n"
                             "STAT limit_maxbytes 67108864\r\n"
                             "STAT bytes 5120\r\n"
                             "STAT curr_items 12\r\n"
                             "STAT time 1795664643\r\n"
                             "STAT time_in_listen_disabled_us 7\r\n"
                             "STAT total_items 40\r\n"
                             "STAT evictions 3\r\n"
                             "END\r\n";

static int
parse(const char *text, size_t len, struct evc_node_size *ret)
{
    return evc_node_size_parse((struct evc_slice){.ptr = text, .len = len}, ret);
}

static void
test_node_size_parse__stats__its_numbers(void **state)
{
    struct evc_node_size size;

    (void)state;
    assert_int_equal(parse(answer, sizeof(answer) - 1, &size), 0);
    assert_int_equal(size.items, 12);
    assert_int_equal(size.bytes, 5120);
    assert_int_equal(size.bytes_max, 67108864);
    assert_int_equal(size.evictions, 3);
    assert_int_equal(size.unix_s, 1795664643);
}

static void
test_node_size_parse__every_shorter_piece__again(void **state)
{
    struct evc_node_size size;

    (void)state;
    for (size_t len = 0; len < sizeof(answer) - 1; len++) {
        assert_int_equal(parse(answer, len, &size), EVC_E_AGAIN);
    }
}

static void
test_node_size_parse__something_else__refused(void **state)
{
    static const char *const others[] = {
        "ERROR\r\n",
        "\r\n",
        "END\r\n",
        "STAT bytes 5\r\nSTAT curr_items 1\r\nSTAT evictions 0\r\nEND\r\n",
        "STAT bytes 5\r\nSTAT curr_items x\r\nSTAT evictions 0\r\nSTAT limit_maxbytes 9\r\nEND\r\n",
        "STAT \r\nSTAT bytes\r\nSTAT bytes \r\nEND\r\n",
    };
    struct evc_node_size size;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(parse(others[i], strlen(others[i]), &size), EVC_E_PROTO);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_size_parse__stats__its_numbers),
        cmocka_unit_test(test_node_size_parse__every_shorter_piece__again),
        cmocka_unit_test(test_node_size_parse__something_else__refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
