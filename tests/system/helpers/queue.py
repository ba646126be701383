# SPDX-License-Identifier: Apache-2.0
"""Harm done to an embedded queue, as src/queue/embedded/store.c lays it out, while nobody consumes from it."""

import struct

import lmdb

HEAD = struct.Struct("=QQ")        # of a group: position, events before it
PARTITION = struct.Struct("=QQQ")  # first position, end position, events before the end
TABLES = 4


def drop(directory, group, partition):
    """Moves a group past all that waits for it in a partition, its books untouched. Returns how many events that were."""
    with lmdb.open(str(directory), max_dbs=TABLES, map_size=0) as environment:
        partitions, groups = (environment.open_db(name, create=False) for name in (b"partitions", b"groups"))
        with environment.begin(write=True) as txn:
            number = struct.pack(">H", partition)
            _, end_position, end_events = PARTITION.unpack(txn.get(number, db=partitions))
            value = txn.get(number + group.encode(), db=groups)
            _, events = HEAD.unpack_from(value)
            txn.put(number + group.encode(), HEAD.pack(end_position, end_events) + value[HEAD.size:], db=groups)
            return end_events - events
