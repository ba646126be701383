# SPDX-License-Identifier: Apache-2.0
"""Processes are killed and frozen in the middle of a load. Whatever was acknowledged must be everywhere afterwards, the newest
of it, with nothing lost and the books closed; only what a killed memcached held is excused."""

import signal
import threading
import time

import pytest

from evc import memcache

KEYS = 300
LOAD_LIMIT_S = 60.0


class Load(threading.Thread):
    """Writes numbered values to its own keys of one region, pipelined, until told to stop; reconnects when cut off."""

    def __init__(self, system, region):
        super().__init__(daemon=True)
        self.system, self.region = system, region
        self.keys = [b"%s-%d" % (region.encode(), number) for number in range(KEYS)]
        self.acknowledged = {}  # key -> the last number that was answered with STORED
        self.sent = {}          # key -> the last number sent
        self.stored = self.refused = self.cuts = 0
        self.stopping = threading.Event()

    def batch(self, client, number):
        for key in self.keys:
            self.sent[key] = number
        client.send(b"".join(b"set %s 0 0 %d\r\n%d\r\n" % (key, len(b"%d" % number), number)
                             for key in self.keys))
        for key in self.keys:
            if client.line() == b"STORED":
                self.acknowledged[key] = number
                self.stored += 1
            else:
                self.refused += 1

    def run(self):
        number = 0
        deadline = time.monotonic() + LOAD_LIMIT_S
        while not self.stopping.is_set() and time.monotonic() < deadline:
            try:
                with self.system.proxy(self.region) as client:
                    while not self.stopping.is_set() and time.monotonic() < deadline:
                        number += 1
                        self.batch(client, number)
            except OSError:
                self.cuts += 1
                self.stopping.wait(0.05)
            except memcache.Closed:
                self.cuts += 1

    def stop(self):
        self.stopping.set()
        self.join(LOAD_LIMIT_S)
        assert not self.is_alive()


@pytest.fixture(name="loaded")
def loaded_fixture(system):
    """A system of two regions under load from both; yields (system, loads)."""
    s = system(regions=2, zones=2, nodes=2)
    loads = [Load(s, region) for region in s.regions]
    for load in loads:
        load.start()
    wait_stored(loads, 5)
    yield s, loads
    for load in loads:
        load.stop()


def wait_stored(loads, rounds):
    """Lets every load go on for so many more rounds over its keys."""
    goals = [load.stored + rounds * KEYS for load in loads]
    deadline = time.monotonic() + LOAD_LIMIT_S
    while any(load.stored < goal for load, goal in zip(loads, goals)):
        assert time.monotonic() < deadline, [(load.region, load.stored, load.cuts) for load in loads]
        time.sleep(0.02)


def check(s, loads, dead_node=None):
    """Stops the loads, waits for quiet and compares every copy. dead_node: (zone name, address) that lost its memory."""
    for load in loads:
        load.stop()
    document = s.wait_quiet(60.0)
    assert all(pair["lost"] == 0 and pair["unexplained"] == 0 for pair in document["pairs"])
    zones = [zone for region in s.regions.values() for zone in region.zones]
    for load in loads:
        assert load.acknowledged, load.region
        for key in load.keys:
            copies = s.copies(key)
            for zone in zones:
                if dead_node == (zone.name, zone.nodes[zone.owner(key)]) and copies[zone.name] is None:
                    del copies[zone.name]  # it may have lost what it had; what it has must be right
            found = {(item.value, item.cas) if item else None for item in copies.values()}
            assert len(found) == 1, (key, copies)
            (copy,) = found
            assert copy, (key, copies)
            # Unacknowledged writes may have had effect; acknowledged ones must have.
            assert load.acknowledged[key] <= int(copy[0]) <= load.sent[key], (key, copies)
    return document


def test_faults__relay_killed__takes_up_where_it_was(loaded):
    s, loads = loaded
    for region in s.regions:
        s.restart(f"{region}/relay/0")
        wait_stored(loads, 3)
    check(s, loads)
    assert all(load.cuts == 0 and load.refused == 0 for load in loads)


def test_faults__proxy_killed__replays_its_journal(loaded):
    s, loads = loaded
    for _ in range(2):
        s.restart("virginia/proxy/0")
        wait_stored(loads, 3)
    check(s, loads)
    assert loads[0].cuts >= 2


def test_faults__memcached_killed__others_go_on_and_what_lived_agrees(loaded):
    s, loads = loaded
    zone = s.regions["oregon"].zones[0]
    s.restart(f"oregon/node/{zone.name}/0")
    wait_stored(loads, 5)
    check(s, loads, dead_node=(zone.name, zone.nodes[0]))


def test_faults__memcached_frozen__is_repaired_when_it_answers(loaded):
    s, loads = loaded
    pid = s.kill(f"virginia/node/{s.regions['virginia'].zones[1].name}/0", signal.SIGSTOP)
    try:
        wait_stored(loads, 5)
        time.sleep(2.0)  # longer than every time-out of a write
    finally:
        s.kill(f"virginia/node/{s.regions['virginia'].zones[1].name}/0", signal.SIGCONT)
    assert pid
    wait_stored(loads, 3)
    check(s, loads)


def test_faults__everything_of_a_region_killed_at_once__comes_back_and_agrees(loaded):
    s, loads = loaded
    names = ["oregon/relay/0", "oregon/proxy/0"]
    old = [s.kill(name) for name in names]
    for name, pid in zip(names, old):
        s.wait_restarted(name, pid)
    wait_stored(loads, 3)
    check(s, loads)
