# SPDX-License-Identifier: Apache-2.0
"""The ring of a zone, as src/topology/ring.h defines it: which node has a key."""

import bisect
import ctypes
import hashlib
import struct

# The library evcache itself is linked with, so whatever Python runs this needs no package.
_xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
_xxh3.argtypes, _xxh3.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_uint64

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
        place = _xxh3(key, len(key)) >> 32
        at = bisect.bisect_left(self._places, place)
        return self._owners[at if at < len(self._owners) else 0]
