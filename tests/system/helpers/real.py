# SPDX-License-Identifier: Apache-2.0
"""A memcached on its own, to compare a proxy's answers with."""

import contextlib
import os
import pathlib
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
START_LIMIT_S = 10.0


def binary():
    return os.environ.get("MEMCACHED") or str(TOP / "build/memcached/memcached")


@contextlib.contextmanager
def real_memcached(directory, *arguments):
    """Runs one on a port of the kernel's choice; yields its address. arguments: further ones."""
    ports = pathlib.Path(directory) / "ports"
    process = subprocess.Popen([binary(), "-u", "root", "-l", "127.0.0.1", "-p", "-1", "-t", "1", *arguments],
                               env={**os.environ, "MEMCACHED_PORT_FILENAME": str(ports)})
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not (ports.exists() and "TCP INET:" in ports.read_text()):
            assert process.poll() is None and time.monotonic() < deadline, "memcached does not start"
            time.sleep(0.02)
        yield "127.0.0.1:" + ports.read_text().split("TCP INET:")[1].split()[0]
    finally:
        process.terminate()
        process.wait(timeout=5)
