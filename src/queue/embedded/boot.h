/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a database can be trusted after the machine was started anew. With EVC_DURABILITY_PROCESS
 * a power cut may leave pages of different ages, and LMDB does not check what it reads: it may
 * crash on them. So the first process that opens a queue after a boot lets a child walk the whole
 * database; if the child fails or crashes, the queue is damaged. `<path>/boot` holds the boot it
 * was last found sound in.
 */
#ifndef EVC_QUEUE_EMBEDDED_BOOT_H
#define EVC_QUEUE_EMBEDDED_BOOT_H

#include "base/error.h"

/** 0 at once in a boot that was seen; else after the walk. EVC_E_CORRUPT or EVC_E_SYS with *error.
 * Before the database is opened: LMDB must not cross a fork. */
EVC_MUST_USE int evc_embedded_boot_check(const char *path, struct evc_error *error);

#endif
