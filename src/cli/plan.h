/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `evcache up` runs for a configuration: the broker, and every node, proxy and relay of every
 * region, with their command lines; and the ports they will want, asked for before anything is
 * started.
 */
#ifndef EVC_CLI_PLAN_H
#define EVC_CLI_PLAN_H

#include "cli/broker.h"
#include "cli/child.h"
#include "cli/memcached.h"

struct evc_plan {
    struct evc_child *children; /* the broker; by region: nodes, proxies, relays */
    size_t child_count;
    char *log_directory;
};

struct evc_plan_options {
    const struct evc_config *config;
    const struct evc_memcached *memcached;
    const struct evc_broker *broker; /* NULL: none is run */
    const char *program;             /* this one's path: proxies and relays are verbs of it */
    const char *log_level;           /* for proxies and relays */
};

/** Makes the plan and the directory for logs (`log` beside queue.path). EVC_E_SYS or EVC_E_NOMEM.
 */
EVC_MUST_USE int evc_plan_create(struct evc_plan *plan, const struct evc_plan_options *options,
                                 struct evc_error *error);

/** Frees. Every process must be gone. A zeroed plan is accepted. */
void evc_plan_destroy(struct evc_plan *plan);

/**
 * Whether every address of the configuration is free, broker's too (NULL: none is run). EVC_E_BUSY:
 * *error names the first that is not, the setting it comes from, and how many more there are.
 */
EVC_MUST_USE int evc_plan_check_ports(const struct evc_config *config,
                                      const struct evc_broker *broker, struct evc_error *error);

#endif
