# SPDX-License-Identifier: Apache-2.0
"""Under a steady load: the broker away and back, a leader killed, relays that come and go, more partitions. Afterwards all copies
agree, nothing is lost and nothing unexplained. Each prints the lag before, during and after."""

import threading
import time

import pytest
from evc import memcache
from helpers.system import run

KEYS = 200
BATCH = 20
PAUSE_S = 0.02   # between batches: about 1,000 writes a second and region
OUTAGE_S = 8.0
LOAD_LIMIT_S = 120.0
GROWTH_LIMIT_S = 40.0
JOIN_LIMIT_S = 30.0


class Steady(threading.Thread):
    """Writes numbered values to its own keys of one region in small batches; every write must be stored."""

    def __init__(self, system, region):
        super().__init__(daemon=True)
        self.client, self.region = system.proxy(region), region
        self.keys = [b"%s-%d" % (region.encode(), number) for number in range(KEYS)]
        self.last = {}
        self.slowest = 0.0
        self.stored = 0
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        deadline = time.monotonic() + LOAD_LIMIT_S
        try:
            while not self.stopping.wait(PAUSE_S) and time.monotonic() < deadline:
                self.batch()
        except (OSError, AssertionError, memcache.Closed) as failure:
            self.failure = failure

    def batch(self):
        begin = time.monotonic()
        batch = [self.keys[(self.stored + i) % KEYS] for i in range(BATCH)]
        number = b"%d" % (self.stored // KEYS)
        self.client.send(b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(number), number) for key in batch))
        for answer in self.client.lines(BATCH):
            assert answer == b"STORED", answer
        self.last.update((key, number) for key in batch)
        self.stored += BATCH
        self.slowest = max(self.slowest, time.monotonic() - begin)

    def stop(self):
        self.stopping.set()
        self.join(LOAD_LIMIT_S)
        assert self.failure is None, self.failure
        assert self.stored > 0


@pytest.fixture(name="steady")
def steady_fixture(brokers, system):
    """Starts brokers and two regions on them under load: steady(brokers=1, **shape) -> (cluster, system, loads)."""
    loads = []

    def start(copies=1, **shape):
        cluster = brokers(brokers=copies)
        s = system(brokers=cluster.bootstrap, regions=2, zones=2, **shape)
        loads.extend(Steady(s, region) for region in s.regions)
        for load in loads:
            load.start()
        wait_shipping(s)
        wait_stored(loads, 2)
        return cluster, s, loads

    yield start
    for load in loads:
        load.stopping.set()
        load.join(LOAD_LIMIT_S)


def wait_shipping(s):
    """Waits until something has arrived in every direction: relays join their groups for some seconds."""
    deadline = time.monotonic() + JOIN_LIMIT_S
    while not all(pair["outcomes"]["applied"] > 0 for pair in s.status()[1]["pairs"] if pair["group"] == "ship"):
        assert time.monotonic() < deadline, s.status()
        time.sleep(0.1)


def wait_stored(loads, rounds):
    goals = [load.stored + rounds * KEYS for load in loads]
    deadline = time.monotonic() + LOAD_LIMIT_S
    while any(load.stored < goal for load, goal in zip(loads, goals)):
        assert time.monotonic() < deadline and not any(load.failure for load in loads), loads
        time.sleep(0.02)


def lag_line(s, when):
    """Lag since the start, and what is on its way, of both directions."""
    _, document = s.status()
    pairs = [pair for pair in document["pairs"] if pair["group"] == "ship"]
    print(f"  {when:<7}" + " · ".join(
        f"{pair['source']} → {pair['destination']}: in flight {pair['in_flight']}, lag p50 "
        f"{pair['lag_us']['p50'] / 1000:.1f} ms, p99 {pair['lag_us']['p99'] / 1000:.1f} ms, "
        f"max {pair['lag_us']['max'] / 1000:.1f} ms"
        for pair in pairs) + f" · in journals {document['journal_waiting']}")


def check(s, loads):
    for load in loads:
        load.stop()
    document = s.wait_quiet(60.0)
    assert all(pair["lost"] == 0 and pair["unexplained"] == 0 for pair in document["pairs"]), document
    for load in loads:
        s.assert_converged(load.keys)
        for key in load.keys:
            assert set(s.values(key).values()) == {load.last[key]}, key
    lag_line(s, "after")
    return document


def test_outages__broker_stopped__journals_hold_and_nothing_is_lost(steady):
    cluster, s, loads = steady()
    lag_line(s, "before")
    cluster.node(1).stop()
    time.sleep(OUTAGE_S)
    lag_line(s, "during")
    cluster.start()
    wait_stored(loads, 3)
    check(s, loads)
    assert max(load.slowest for load in loads) < 3.0  # no write waited for the queue


def test_outages__leader_killed__another_takes_over(steady):
    cluster, s, loads = steady(copies=3, partitions=4)
    lag_line(s, "before")
    topic = next(iter(topics(cluster)))
    cluster.node(cluster.leader(topic, 0)).kill()
    wait_stored(loads, 5)
    lag_line(s, "during")
    wait_stored(loads, 10)
    check(s, loads)


def topics(cluster):
    return [name for name in cluster.topic("--list").split() if not name.startswith("__")]


def test_outages__relay_killed__the_other_carries_on(steady):
    _, s, loads = steady(relays=2)
    lag_line(s, "before")
    pid = s.kill("virginia/relay/0")
    wait_stored(loads, 3)
    lag_line(s, "during")
    s.wait_restarted("virginia/relay/0", pid)
    wait_stored(loads, 3)
    check(s, loads)


@pytest.mark.parametrize("how", ["evcache", "kafka"])
def test_outages__partitions_grow__without_a_restart(steady, how):
    cluster, s, loads = steady(partitions=4)
    lag_line(s, "before")
    pids = s.up.pids()
    for topic in topics(cluster):
        assert cluster.partitions(topic) == 4
        if how == "kafka":
            cluster.set_partitions(topic, 16)
        else:
            done = run("partitions", "--config", s.config, "--region", topic.rsplit(".", 1)[1], "--set", 16)
            assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + GROWTH_LIMIT_S
    while not all(used_partitions(cluster, topic) == 16 for topic in topics(cluster)):
        assert time.monotonic() < deadline, [cluster.end_offsets(topic) for topic in topics(cluster)]
    lag_line(s, "during")
    wait_stored(loads, 10)
    check(s, loads)
    assert s.up.pids() == pids


def used_partitions(cluster, topic):
    return sum(offset > 0 for offset in cluster.end_offsets(topic).values())
