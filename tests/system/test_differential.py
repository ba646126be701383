# SPDX-License-Identifier: Apache-2.0
"""The same random commands to a plain memcached and to a proxy: the same answers (tests/differential).

DIFFERENTIAL_COMMANDS and DIFFERENTIAL_SEED make it longer, and another one: `make differential`.
"""

import os
import pathlib
import subprocess

import pytest

from helpers.real import real_memcached

TOP = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = os.environ.get("DIFFERENTIAL_COMMANDS", "100000")
SEED = os.environ.get("DIFFERENTIAL_SEED", "1")
LIMIT_S = 300 + int(COMMANDS) // 2000

# Refused, or with a meaning of their own: docs/protocol.md; tests of their own ask for them.
APART = "mg-vivify,ms-invalidate,md-invalidate"
# Nothing may be evicted: the two would not evict the same. The maintainer of memcached's LRU holds items for a moment,
# and then a number that gets shorter is not padded.
NODE = "memory: 1GiB"
MEMCACHED = ["-m", "1024", "-o", "no_modern"]


def tool():
    """The program of the build under test, or the newest."""
    if os.environ.get("EVCACHE"):
        return pathlib.Path(os.environ["EVCACHE"]).parents[2] / "tests/differential/differential"
    built = sorted(TOP.glob("build/*/tests/differential/differential"), key=lambda path: path.stat().st_mtime)
    assert built, "no build/*/tests/differential/differential: build first"
    return built[-1]


def port_of(address):
    return address.rsplit(":", 1)[1]


def compare(system, directory, zones, *arguments):
    cache = system(regions=1, zones=zones, nodes=1, node=NODE)
    with real_memcached(directory, *MEMCACHED) as address:
        run = subprocess.run(
            [tool(), "--memcached", port_of(address), "--proxy", port_of(cache.regions["virginia"].proxies[0]),
             "--seed", SEED, *arguments], capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("zones", [1, 2])
def test_random_commands__same_answers(system, tmp_path, zones):
    more = ["--zones"] if zones > 1 else []
    compare(system, tmp_path, zones, "--commands", COMMANDS, "--without", APART + ",flush_all", *more)


def test_flush_all__same_answers(system, tmp_path):
    compare(system, tmp_path, 1, "--commands", "1000", "--lanes", "1", "--only",
            "get,gets,set,add,append,cas,incr,delete,mg,ms,mn,flush_all")
