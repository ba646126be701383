# SPDX-License-Identifier: Apache-2.0
"""The ring of a zone, as src/topology/ring.h defines it: which node has a key."""

import bisect
import hashlib
import struct

POINTS_PER_NODE = 160
POINTS_PER_DIGEST = 4


class Ring:
    """addresses: the zone's "host:port" texts in the order of the configuration."""

    def __init__(self, addresses):
        points = []
        for index, address in enumerate(addresses):
            for n in range(POINTS_PER_NODE // POINTS_PER_DIGEST):
                digest = hashlib.md5(f"{address}-{n}".encode()).digest()
                points += [(place, index) for place in struct.unpack("<4I", digest)]
        points.sort()
        self._places = [place for place, _ in points]
        self._owners = [owner for _, owner in points]

    def find(self, key):
        """The index of the node that has key (bytes)."""
        place = struct.unpack("<I", hashlib.md5(key).digest()[:4])[0]
        at = bisect.bisect_left(self._places, place)
        return self._owners[at if at < len(self._owners) else 0]
