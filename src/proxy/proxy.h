/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy process: workers (session.h for applications, receiver.h for the other regions'
 * relays), each with its engine, writer, applier and journal; one feeder; the admin address.
 * Assembly only.
 */
#ifndef EVC_PROXY_PROXY_H
#define EVC_PROXY_PROXY_H

#include "base/error.h"
#include "topology/config.h"

struct evc_proxy_options {
    const struct evc_config *config;
    unsigned region;        /* index */
    unsigned index;         /* which of the region's proxies */
    const char *local_zone; /* a zone's name, or NULL: the first */
};

/**
 * Runs until SIGINT or SIGTERM: then stops accepting, answers what is in flight (bounded to 2 s),
 * feeds its journals and returns 0. Otherwise a status with *error filled.
 */
EVC_MUST_USE int evc_proxy_run(const struct evc_proxy_options *options, struct evc_error *error);

#endif
