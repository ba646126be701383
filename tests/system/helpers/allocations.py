# SPDX-License-Identifier: Apache-2.0
"""Counts what the processes of a cache allocate: they run with an allocator that counts (count_allocations.c).

    counter = allocations.Counter(directory)
    ... start the cache with environment=counter.environment ...
    counter.count(pid)                       # since that process has started
"""

import os
import pathlib
import struct
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parent / "count_allocations.c"


class Counter:
    def __init__(self, directory):
        self.directory = directory
        library = directory / "count_allocations.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "EVC_ALLOCATIONS": str(directory / "allocations")}

    def count(self, pid):
        return struct.unpack("Q", (self.directory / f"allocations.{pid}").read_bytes())[0]
