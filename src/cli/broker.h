/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka broker that `evcache up` starts for `queue: {kind: kafka, managed: true}`: one node,
 * broker and controller at once (KRaft), for development, tests and demonstrations. Its settings
 * and data lie in <queue.path>/broker and stay.
 */
#ifndef EVC_CLI_BROKER_H
#define EVC_CLI_BROKER_H

#include <limits.h>

#include "base/error.h"
#include "topology/config.h"

enum {
    EVC_BROKER_HEAP_MIB = 256,
};

struct evc_broker {
    char jars[PATH_MAX];        /* the class path */
    char properties[PATH_MAX];  /* the settings file */
    struct evc_address address; /* where it is connected to: the configuration's */
};

/**
 * Finds Java and Kafka's jars: the directory EVCACHE_KAFKA names, or the newest that tools/kafka.sh
 * has put beside this build. EVC_E_NOT_FOUND: *error says which is missing and what to run.
 * EVC_E_CONFIG: queue.brokers is not one address of this machine.
 */
EVC_MUST_USE int evc_broker_find(const struct evc_config *config, struct evc_broker *ret,
                                 struct evc_error *error);

/** Writes its settings and formats its storage where that has not been done. Takes a second. */
EVC_MUST_USE int evc_broker_prepare(struct evc_broker *broker, const struct evc_config *config,
                                    struct evc_error *error);

/** Frees. A zeroed broker is accepted. */
void evc_broker_finish(struct evc_broker *broker);

#endif
