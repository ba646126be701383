# SPDX-License-Identifier: Apache-2.0
"""A whole cache of real processes for one test, with hands on every part of it.

    def test_something(system):
        s = system(regions=3, zones=2, nodes=2)     # see config.Shape for what can be asked for
        s.proxy("virginia").set("key", b"value")    # a connection to a proxy (evc.memcache.Client)
        s.wait_quiet()                              # nothing on its way any more
        assert s.copies("key") == ...               # what every zone of every region holds

Whatever a test does, at its end everything is stopped, and it fails if a process or the pids file is left.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

from evc import cache, memcache
from evc.up import Up, is_stopped

from helpers import config as config_helper

TOP = pathlib.Path(__file__).resolve().parents[3]
QUIET_LIMIT_S = 60.0
STOPPED_LIMIT_S = 10.0  # what `evcache up` takes at most when something hangs (4 s), and what a busy machine takes beside it
PATIENT = "read: 8s, write: 1s"  # a write's is also how long a key that is written twice is not quiet
COMPLAINTS = ("Sanitizer", "runtime error:", "Assertion ")


def program():
    """The evcache under test: EVCACHE_BIN, EVCACHE (tools/run-tests), or the newest under build/."""
    for name in ("EVCACHE_BIN", "EVCACHE"):
        if os.environ.get(name):
            return os.environ[name]
    built = sorted(TOP.glob("build/*/src/cli/evcache"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise FileNotFoundError("no build/*/src/cli/evcache: build first, or set EVCACHE_BIN")
    return str(built[-1])


def run(*arguments, timeout=60, environment=None):
    """Runs a verb to its end; the CompletedProcess has its texts and exit status."""
    return subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False, env=environment)


class System:
    def __init__(self, config, regions, directory, arguments=(), environment=None):
        self.config, self.directory = config, directory
        self.regions = {region.name: region for region in regions}
        self.clients = []
        self.stop_seconds = None
        self.up = Up(program(), config, directory, arguments, environment)

    # --- talking to it ---

    def _client(self, address):
        client = memcache.Client(address)
        self.clients.append(client)
        return client

    def proxy(self, region, index=0):
        """A new connection to a proxy."""
        return self._client(self.regions[region].proxies[index])

    def node(self, region, zone=0, node=0):
        """A new connection to a node, past every proxy."""
        return self._client(self.regions[region].zones[zone].nodes[node])

    def owner(self, region, zone, key):
        """A new connection to the node that has key in a zone (its index)."""
        return self.node(region, zone, self.regions[region].zones[zone].owner(key))

    def copies(self, key):
        """{zone name: evc.memcache.Item or None} over all regions, tombstones included."""
        found = {}
        for region in self.regions.values():
            for zone in region.zones:
                with memcache.Client(zone.nodes[zone.owner(key)]) as client:
                    found[zone.name] = client.peek(key)
        return found

    def values(self, key):
        """{zone name: value or None}: as applications see it, a tombstone is a miss."""
        return {zone: None if item is None or memcache.is_tombstone(item) else item.value
                for zone, item in self.copies(key).items()}

    def assert_converged(self, keys):
        """Every key is the same in bytes and version in every zone (tombstone and miss alike)."""
        for key in keys:
            seen = {None if item is None or memcache.is_tombstone(item) else (item.value, item.cas)
                    for item in self.copies(key).values()}
            assert len(seen) == 1, f"{key!r} differs: {self.copies(key)}"

    # --- its books ---

    def status(self):
        """(exit status, document) of `evcache status --json`."""
        return cache.status(program(), self.config)

    def wait_quiet(self, limit=QUIET_LIMIT_S):
        """Waits until nothing is on its way; returns the status document, whose books must close."""
        deadline = time.monotonic() + limit
        quiet = 0
        while True:
            code, document = self.status()
            # Twice: what a repair or an echo announces is itself an event.
            quiet = quiet + 1 if cache.is_quiet(document) else 0
            if quiet == 2:
                assert code == 0 and document["unexplained"] == 0, document
                return document
            if time.monotonic() > deadline:
                raise AssertionError(f"not quiet after {limit} s: {document}\n{self.up.output()}")
            time.sleep(0.1)

    # --- its processes ---

    def pid(self, name):
        return self.up.pids()[name]

    def kill(self, name, number=signal.SIGKILL):
        """Sends a signal to "virginia/relay/0", "virginia/proxy/0", "virginia/node/virginia-a/0"."""
        return self.up.kill(name, number)

    def wait_restarted(self, name, old_pid):
        return self.up.wait_restarted(name, old_pid)

    def restart(self, name):
        """Kills a process and waits until it is back; returns its new pid."""
        return self.wait_restarted(name, self.kill(name))

    @contextlib.contextmanager
    def without_restarts(self):
        """What dies meanwhile is started again only afterwards: `evcache up` has stopped."""
        pid = self.up.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            while not is_stopped(pid) and self.up.process.poll() is None:
                time.sleep(0.001)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # --- its end ---

    def stop(self, number=signal.SIGTERM):
        """Stops it and asserts that nothing is left but data. Returns the exit status of `up`."""
        for client in self.clients:
            client.close()
        code, self.stop_seconds = self.up.stop(number)
        assert self.up.left() == [], self.up.output()
        assert not self.up.pids_path.exists()
        assert self.complaints() == []
        return code

    def complaints(self):
        """Lines of the logs that no process should ever write: a failed assertion, a sanitizer's find."""
        return [f"{path.name}: {line}"
                for path in sorted((self.directory / "run" / "log").glob("*.log"))
                for line in path.read_text(errors="replace").splitlines()
                if any(word in line for word in COMPLAINTS)]


@contextlib.contextmanager
def starter(directory):
    """What starts a cache in directory; at the end every one is stopped, and nothing may be left of it."""
    running = []

    def start(arguments=(), environment=None, timeouts=PATIENT, **shape):
        """timeouts: a node that a busy machine lets wait is no failure, unless the test is about that: "" are the product's time-outs."""
        path, regions = config_helper.write(config_helper.Shape(timeouts=timeouts, **shape), directory)
        system = System(path, regions, directory, arguments, environment)
        running.append(system)
        system.up.wait_until_up()
        return system

    yield start
    for system in running:
        if system.stop_seconds is None:
            assert system.stop() == 0, system.up.output()
            assert system.stop_seconds < STOPPED_LIMIT_S
