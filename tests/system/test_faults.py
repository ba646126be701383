# SPDX-License-Identifier: Apache-2.0
"""Processes are killed and frozen in the middle of a load, regions stay away, queues and journals run full. Whatever was
acknowledged must be everywhere afterwards, the newest of it, with nothing lost and the books closed; only what a killed memcached
held is excused, and what exceeded a journal's bound, which is counted to the event."""

import contextlib
import signal
import socketserver
import threading
import time

import pytest

from evc import memcache

KEYS = 300
LOAD_LIMIT_S = 180.0  # of a whole test, on a busy machine
LIMIT_S = 60.0        # of one thing that is waited for


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
def loaded_fixture(system, request):
    """A system of two regions under load from both; yields (system, loads). Its parameter is what it is asked for beside that."""
    s = system(regions=2, zones=2, nodes=2, **getattr(request, "param", {}))
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


def test_faults__proxy_killed_before_a_zone_answered__restarted_one_repairs_it(system):
    s = system(regions=2, zones=2, nodes=1, timeouts="write: 30s")
    client = s.proxy("virginia")
    keys = [b"key-%d" % number for number in range(200)]
    node = f"virginia/node/{s.regions['virginia'].zones[1].name}/0"
    s.kill(node, signal.SIGSTOP)
    try:
        write_all(client, keys, b"value")  # the other zone has answered
        pid = s.kill("virginia/proxy/0")
    finally:
        s.kill(node, signal.SIGCONT)
    s.wait_restarted("virginia/proxy/0", pid)
    document = s.wait_quiet(60.0)
    assert all(pair["lost"] == 0 for pair in document["pairs"])
    log = (s.directory / "run" / "log" / "virginia-proxy-0.log").read_text(errors="replace")
    assert "events of the last process are replayed" in log and "events=200" in log
    s.assert_converged(keys)
    assert {value for key in keys for value in s.values(key).values()} == {b"value"}


def test_faults__memcached_killed__others_go_on_and_what_lived_agrees(loaded):
    s, loads = loaded
    zone = s.regions["oregon"].zones[0]
    s.restart(f"oregon/node/{zone.name}/0")
    wait_stored(loads, 5)
    check(s, loads, dead_node=(zone.name, zone.nodes[0]))


@pytest.mark.parametrize("loaded", [{"timeouts": ""}], indirect=True, ids=[""])
def test_faults__memcached_frozen__is_repaired_when_it_answers(loaded):
    s, loads = loaded
    pid = s.kill(f"virginia/node/{s.regions['virginia'].zones[1].name}/0", signal.SIGSTOP)
    try:
        wait_stored(loads, 5)
        time.sleep(3.0)  # longer than every time-out
    finally:
        s.kill(f"virginia/node/{s.regions['virginia'].zones[1].name}/0", signal.SIGCONT)
    assert pid
    wait_stored(loads, 3)
    check(s, loads)


def test_faults__one_of_each_kind_killed_in_one_load__agrees(loaded):
    s, loads = loaded
    zone = s.regions["virginia"].zones[1]
    for name in ("oregon/relay/0", f"virginia/node/{zone.name}/1", "oregon/proxy/0", "virginia/relay/0"):
        s.restart(name)
        wait_stored(loads, 2)
    check(s, loads, dead_node=(zone.name, zone.nodes[1]))


def test_faults__everything_of_a_region_killed_at_once__comes_back_and_agrees(loaded):
    s, loads = loaded
    names = ["oregon/relay/0", "oregon/proxy/0"]
    old = [s.kill(name) for name in names]
    for name, pid in zip(names, old):
        s.wait_restarted(name, pid)
    wait_stored(loads, 3)
    check(s, loads)


# --- a region is away ---

def pair_of(document, source, destination):
    return next(pair for pair in document["pairs"] if (pair["source"], pair["destination"], pair["group"])
                == (source, destination, "ship"))


class Hangup(socketserver.BaseRequestHandler):
    """Whoever connects is hung up on."""


@contextlib.contextmanager
def away(s, name):
    """Kills every process of a region and keeps it down: its addresses are taken, so that none can start again."""
    region = s.regions[name]
    with contextlib.ExitStack() as held:
        pids = {process: pid for process, pid in s.up.pids().items() if process.startswith(f"{name}/")}
        with s.without_restarts():  # else the next process may be faster
            for process in pids:
                s.kill(process)
            for address in region.addresses():
                hold(address, held)
        yield
    for process, pid in pids.items():
        s.wait_restarted(process, pid)


def hold(address, held):
    """Takes an address as soon as it is free, until held ends."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            holder = Holder(memcache.split_address(address), Hangup)
            break
        except OSError:
            assert time.monotonic() < deadline, f"{address} stays taken"
            time.sleep(0.002)
    thread = threading.Thread(target=holder.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    held.callback(thread.join)
    held.callback(holder.server_close)
    held.callback(holder.shutdown)


class Holder(socketserver.TCPServer):
    allow_reuse_address = True


@contextlib.contextmanager
def frozen(s, name):
    """Stops every process of a region: it takes bytes and says nothing."""
    names = [process for process in s.up.pids() if process.startswith(f"{name}/")]
    for process in names:
        s.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in names:
            s.kill(process, signal.SIGCONT)


def write_all(client, keys, value):
    """Sets every key, pipelined; all must be stored. Returns the seconds that took."""
    begin = time.monotonic()
    for start in range(0, len(keys), 500):
        part = keys[start:start + 500]
        client.send(b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value) for key in part))
        for answer in client.lines(len(part)):
            assert answer == b"STORED", answer
    return time.monotonic() - begin


def wait_pair_quiet(s, source, destination, limit=LIMIT_S):
    """Waits until nothing is on its way from source to destination, whatever the others do; returns the document."""
    deadline = time.monotonic() + limit
    while True:
        _, document = s.status()
        if pair_of(document, source, destination)["in_flight"] == 0 and document["journal_waiting"] == 0:
            return document
        assert time.monotonic() < deadline, document
        time.sleep(0.1)


@pytest.mark.parametrize("outage", [away, frozen])
def test_faults__region_is_away__delays_only_itself(system, outage):
    s = system(regions=3, zones=1, nodes=1)
    keys = [b"key-%d" % number for number in range(2000)]
    virginia, oregon = s.proxy("virginia"), s.proxy("oregon")
    with outage(s, "ireland"):
        took_s = 0.0
        for round_number in range(3):
            took_s += write_all(virginia, keys, b"from virginia %d" % round_number)
            took_s += write_all(oregon, [b"o" + key for key in keys], b"from oregon %d" % round_number)
        document = wait_pair_quiet(s, "virginia", "oregon")
        document = wait_pair_quiet(s, "oregon", "virginia")
        for source, destination in (("virginia", "oregon"), ("oregon", "virginia")):
            pair = pair_of(document, source, destination)
            assert pair["lost"] == 0 and pair["lag_us"]["p99"] < 1e6 * (1 + 3 * took_s), pair  # a slow machine ships slowly, too
            waiting = pair_of(document, source, "ireland")
            assert waiting["in_flight"] >= 2000, waiting  # each key at least once
        assert s.proxy("oregon").get(keys[-1]) == b"from virginia 2"
    document = s.wait_quiet(60.0)
    assert all(pair["lost"] == 0 and pair["unexplained"] == 0 for pair in document["pairs"])
    s.assert_converged(keys[::10] + [b"o" + key for key in keys[::10]])
    assert set(s.values(keys[0]).values()) == {b"from virginia 2"}
    assert set(s.values(b"o" + keys[0]).values()) == {b"from oregon 2"}


# --- one node of many is away, for long ---

def keys_of(zone, node, count, prefix):
    """So many keys of one node of a zone."""
    found, number = [], 0
    while len(found) < count:
        key = b"%s-%d" % (prefix, number)
        if zone.owner(key) == node:
            found.append(key)
        number += 1
    return found


def write_for(client, seconds, count, hung, alive):
    """One write after another for so long, and more than count: there are many batches. Every fourth is for the node that hangs."""
    begin = time.monotonic()
    number = 0
    while time.monotonic() < begin + seconds or number <= count:
        assert time.monotonic() < begin + LOAD_LIMIT_S, number
        key = hung[number % len(hung)] if number % 4 == 0 else alive[number % len(alive)]
        client.set(key, b"%d" % number)
        number += 1
    return number


def wait_value(zone, key, value, limit=LIMIT_S):
    deadline = time.monotonic() + limit
    with memcache.Client(zone.nodes[zone.owner(key)]) as node:
        while node.peek(key).value != value:
            assert time.monotonic() < deadline, node.peek(key)
            time.sleep(0.05)


def test_faults__a_node_of_a_destination_hangs__holds_up_its_own_keys_only(system):
    """The only copy of those keys there. What cannot be settled must not keep the queue's position, or all stops behind it."""
    s = system(regions=2, zones=1, nodes=2, partitions=1, timeouts="")
    zone = s.regions["oregon"].zones[0]
    hung, alive = keys_of(zone, 0, 50, b"hung"), keys_of(zone, 1, 50, b"alive")
    client = s.proxy("virginia")
    write_all(client, hung + alive, b"before")
    s.wait_quiet()
    s.kill("oregon/node/oregon-a/0", signal.SIGSTOP)
    writes = write_for(client, 22.0, 8192, hung, alive)  # of one partition, each about a batch of its own
    client.set(alive[0], b"after")
    wait_value(zone, alive[0], b"after")  # however slow the machine is: behind the hung node it would never come
    _, document = s.status()
    pair = pair_of(document, "virginia", "oregon")
    assert pair["outcomes"]["abandoned"] == 0 and pair["in_flight"] < writes / 2, pair
    assert any(cell["state"] == "stalled" for cell in pair["partitions"]), pair
    s.kill("oregon/node/oregon-a/0", signal.SIGCONT)
    document = s.wait_quiet(60.0)
    pair = pair_of(document, "virginia", "oregon")
    assert pair["lost"] == 0 and pair["unexplained"] == 0 and pair["outcomes"]["abandoned"] == 0, pair
    s.assert_converged(hung + alive)


# --- queue and journal are full ---

def feeders(document):
    return {process["name"]: process for process in document["processes"]}


def wait_stalled(s, name):
    """A process whose queue takes nothing more, as status tells of it."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        process = feeders(s.status()[1])[name]
        if process["stalled"] and process["journal_waiting"] > 0:
            return process
        assert time.monotonic() < deadline, process
        time.sleep(0.05)


@pytest.mark.parametrize("journal", ["16MiB", "64KiB"])
def test_faults__queue_full__writes_go_on_and_what_is_lost_is_exact(system, journal):
    """Oregon takes nothing, so virginia's queue of 1 MiB fills, then its journal; the smaller one does not hold all."""
    s = system(regions=2, zones=1, nodes=1, queue="size: 1MiB", extra=f"journal: {{size: {journal}}}\n",
               node="memory: 64MiB")
    keys = [b"key-%06d" % number for number in range(80_000)]
    with away(s, "oregon"):
        client = s.proxy("virginia")
        write_all(client, keys, b"v")  # none waits for the queue: it takes nothing until oregon is back
        process = wait_stalled(s, "virginia/proxy/0")
        assert (process["lost_at_journal"] > 0) == (journal == "64KiB")
        assert client.get(keys[-1]) == b"v"
    document = s.wait_quiet(60.0)
    pair = pair_of(document, "virginia", "oregon")
    lost = feeders(document)["virginia/proxy/0"]["lost_at_journal"]  # all of it, whenever the first look was
    assert pair["lost"] == lost and pair["unexplained"] == 0, pair
    assert pair["produced"] == len(keys)
    assert not feeders(document)["virginia/proxy/0"]["stalled"]
    missing = 0
    with s.node("oregon") as node:
        for start in range(0, len(keys), 1000):
            missing += node.mg(keys[start:start + 1000]).count(None)
    assert missing == lost
    write_all(s.proxy("virginia"), keys[:100], b"again")
    s.wait_quiet()
    s.assert_converged(keys[:100])
