/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test file includes before anything else: cmocka and what it needs. */
#ifndef EVC_TESTS_UNIT_BASE_UNIT_H
#define EVC_TESTS_UNIT_BASE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EVC_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
