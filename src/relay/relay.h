/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay process of one region: for every other region a consumer group and a shipment
 * (replication/ship.h) over a link to its receivers; for its own region the repair group
 * (replication/repair.h). One loop, one journal (for the events the rules make), one feeder, the
 * admin address. With several relays, relay i has the partitions p with p % relays == i.
 */
#ifndef EVC_RELAY_RELAY_H
#define EVC_RELAY_RELAY_H

#include "base/error.h"
#include "topology/config.h"

struct evc_relay_options {
    const struct evc_config *config;
    unsigned region;
    unsigned index;
    const char *local_zone;
};

/** Runs until SIGINT or SIGTERM; commits what is done and returns 0. Else a status and *error. */
EVC_MUST_USE int evc_relay_run(const struct evc_relay_options *options, struct evc_error *error);

#endif
