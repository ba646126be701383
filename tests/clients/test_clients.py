# SPDX-License-Identifier: Apache-2.0
"""Other people's clients at their ordinary work through a proxy with two zones, one of which loses a node on the way.

Each client is a program of its own language: HOST PORT. It uses all it has of memcached's commands, stores keys, prints `ready` and
waits for a line. Meanwhile the node of the local zone that has most to do is killed; `evcache up` starts it again, empty. Then the
program reads what it had stored, writes and counts on, and prints `done`. Nothing may fail, and nothing may be lost.

tools/deps.sh --clients installs the clients that are Debian packages; the Go and the Node client come from their registries.
"""

import os
import pathlib
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "clients"
LIMIT_S = 120
NODE_CLIENT = "memcached@2.2.2"
CONFORMANCE_CASES = 27  # of libmemcached's tool, in ASCII


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=1, zones=2, nodes=2)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, **options)


def address_of(cache):
    return cache.regions["virginia"].proxies[0].rsplit(":", 1)


def lose_a_node(cache):
    """Kills the local zone's node that has the counter. Returns what waits until it is back."""
    zone = cache.regions["virginia"].zones[0]
    name = f"virginia/node/{zone.name}/{zone.owner('counter')}"
    pid = cache.kill(name)
    return lambda: cache.wait_restarted(name, pid)


def wait_until_connected(cache):
    """Until the proxy has every node: what a client does before it is ready is to find them all."""
    deadline = time.monotonic() + LIMIT_S
    proxy = cache.proxy("virginia")
    while True:
        proxy.send(b"stats nodes\r\n")
        lines = []
        while (line := proxy.line()) != b"END":
            lines.append(line)
        if lines and all(b"state=up" in line for line in lines):
            return
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)


def work(cache, command, environment=None):
    """Runs a client; a node is lost when it is ready."""
    wait_until_connected(cache)
    assert cache.proxy("virginia").ask("flush_all") == b"OK"
    with subprocess.Popen([*map(str, command), *address_of(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}) as client:
        said = client.stdout.readline()
        if said == "ready\n":
            wait_until_back = lose_a_node(cache)
        output, errors = client.communicate("go\n", timeout=LIMIT_S)
    if said == "ready\n":
        wait_until_back()
    assert (said + output, client.returncode) == ("ready\ndone\n", 0), output + errors


def test_pymemcache(cache):
    work(cache, ["/usr/bin/python3", "-B", HERE / "with_pymemcache.py"])


def test_pylibmc(cache):
    work(cache, ["/usr/bin/python3", "-B", HERE / "with_pylibmc.py"])


def test_perl_cache_memcached(cache):
    work(cache, ["perl", HERE / "with_cache_memcached.pl"])


def test_php_memcached(cache):
    work(cache, ["php", HERE / "with_memcached.php"])


def test_spymemcached(cache):
    work(cache, ["java", "-cp", "/usr/share/java/spymemcached.jar", HERE / "WithSpymemcached.java"])


def test_gomemcache(cache):
    program = BUILD / "go" / "client"
    built = run(["go", "build", "-o", program, "."], cwd=HERE / "go", env={**os.environ, "GOTOOLCHAIN": "local"})
    assert built.returncode == 0, built.stderr
    work(cache, [program])


def test_node_memcached(cache):
    folder = BUILD / "node"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "memcached").exists():
        installed = run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, NODE_CLIENT], cwd=folder)
        assert installed.returncode == 0, installed.stderr
    work(cache, ["node", HERE / "with_memcached.js"], {"NODE_PATH": str(folder / "node_modules")})


def conformance(host, port):
    """libmemcached's conformance tool, memcapable -a. Returns the names of the cases that passed, and all it said."""
    outcome = run(["memccapable", "-h", host, "-p", port, "-a", "-v"])
    passed = [line.split("[")[0].strip() for line in outcome.stdout.splitlines() if line.endswith("[pass]")]
    return passed, outcome.stdout + outcome.stderr


def test_memcapable__passes_as_with_memcached(cache, memcached):
    real, said = conformance(*memcached.rsplit(":", 1))
    assert len(real) == CONFORMANCE_CASES, said
    passed, said = conformance(*address_of(cache))
    assert passed == real, said
