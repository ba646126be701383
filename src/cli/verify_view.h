/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verification for people, on standard output and coloured where that is a terminal, and as JSON.
 */
#ifndef EVC_CLI_VERIFY_VIEW_H
#define EVC_CLI_VERIFY_VIEW_H

#include "sweep/verify.h"

/** config: how the file was named on the command line, for the hint. */
void evc_verify_print(const struct evc_verify *verify, const char *config);

/** The caller's. */
json_t *evc_verify_json(const struct evc_verify *verify);

#endif
