/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a region keep on disk, opened as the configuration says: the queue, the
 * journals. */
#ifndef EVC_DAEMON_STORAGE_H
#define EVC_DAEMON_STORAGE_H

#include "base/directory.h"
#include "queue/journal.h"
#include "queue/kafka/kafka.h"
#include "queue/queue.h"
#include "topology/config.h"

/** Calls with what the configuration says of a region's queue on Kafka: topic
 * evcache.<cache>.<region>, groups <topic>.<destination>. Returns what the call returns, or
 * EVC_E_NOMEM. */
typedef int (*evc_storage_kafka_fn)(const struct evc_kafka_options *options, void *ctx,
                                    struct evc_error *error);
EVC_MUST_USE int evc_storage_with_kafka(const struct evc_config *config, unsigned region,
                                        evc_storage_kafka_fn call, void *ctx,
                                        struct evc_error *error);

/** What only the queue's backend can say of its settings: properties that it does not know or take,
 * by file, line and name. 0, EVC_E_CONFIG or EVC_E_NOMEM. */
EVC_MUST_USE int evc_storage_check(const struct evc_config *config, struct evc_error *error);

/**
 * The region's queue, <queue.path>/<region>, with a group for every region: the others are
 * destinations, the own name is the repair group. What evc_storage_check refuses is not opened. 0
 * or a status, with *error naming setting and path.
 */
EVC_MUST_USE int evc_storage_open_queue(const struct evc_config *config, unsigned region,
                                        struct evc_queue **ret, struct evc_error *error);

/** Whether a slot of the region has a journal file. */
bool evc_storage_has_journal(const struct evc_config *config, unsigned region, unsigned slot);

/** Looks at a slot's journal as it is on the disk, whoever holds it; see evc_journal_peek. */
EVC_MUST_USE int evc_storage_peek_journal(const struct evc_config *config, unsigned region,
                                          unsigned slot, struct evc_journal_peek *ret);

/**
 * The journal of a slot, in <journal.path>/<region>, ready for events; *ret_replayed: how many
 * of the last process's it will feed. 0 or a status, with *error naming setting and path.
 */
EVC_MUST_USE int evc_storage_open_journal(const struct evc_config *config, unsigned region,
                                          unsigned slot, struct evc_journal **ret,
                                          uint64_t *ret_replayed, struct evc_error *error);

/** Says in a daemon's log what is replayed, if anything is. */
void evc_storage_log_replay(const struct evc_journal *journal, uint64_t replayed);

#endif
