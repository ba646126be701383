# SPDX-License-Identifier: Apache-2.0
"""Under a steady load: the broker away and back, a leader killed, relays that come and go, more partitions. Afterwards all copies
agree, nothing is lost and nothing unexplained. Each reports the lag before, during and after (conftest.py says where)."""

import contextlib
import pathlib
import subprocess
import threading
import time

import pytest
from evc import cache, memcache, metrics
from helpers.system import program, run

KEYS = 200
BATCH = 20
PAUSE_S = 0.02   # between batches: about 1,000 writes a second and region
OUTAGE_S = 30.0
LOAD_LIMIT_S = 400.0  # of a whole test, on a busy machine; the others are of one thing that is waited for
GROWTH_LIMIT_S = 120.0
JOIN_LIMIT_S = 60.0
CATCH_UP_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0


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
def steady_fixture(brokers, system, report):
    """Brokers and two regions on them under load: steady(title, copies=1, **shape) -> (cluster, system, loads, Lag)."""
    loads = []

    def start(title, copies=1, **shape):
        cluster = brokers(brokers=copies)
        s = system(brokers=cluster.bootstrap, regions=2, zones=2, **shape)
        loads.extend(Steady(s, region) for region in s.regions)
        for load in loads:
            load.start()
        wait_shipping(s)
        lag = Lag(s, title, report)
        wait_stored(loads, 4)
        return cluster, s, loads, lag

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


def shipping(document):
    return [pair for pair in document["pairs"] if pair["group"] == "ship"]


class Lag:
    """Reports, for each part of a test, the lag of what became visible in it (bounds of buckets: at most so long) and
    the longest that anything was seen to wait."""

    NAME = "evcache_replication_lag_seconds_bucket"

    def __init__(self, system, title, report):
        self.system, self.title, self.report = system, title, report
        self.counts = self.read()
        self.grown, self.worst = {}, {}

    def read(self):
        """{(pair, relay, partition, bound in seconds): events}, over all relays that answer."""
        found = {}
        for relay in (address for region in self.system.regions.values() for address in region.relays):
            with contextlib.suppress(OSError):
                for labels, count in metrics.page(relay).all(self.NAME):
                    pair = f"{labels['source']} → {labels['destination']}"
                    found[pair, relay, labels["partition"], float(labels["le"])] = count
        return found

    def look(self):
        """Adds what has become visible, and notes what waits now. A relay that was restarted, or has taken up a partition
        again, counts from 0."""
        for key, count in self.read().items():
            pair, before = key[0], self.counts.get(key, 0)
            bounds = self.grown.setdefault(pair, {})
            bounds[key[3]] = bounds.get(key[3], 0) + (count - before if count >= before else count)
            self.counts[key] = count
        for pair in shipping(self.system.status()[1]):
            name = f"{pair['source']} → {pair['destination']}"
            if pair["waiting_us"] >= self.worst.get(name, pair)["waiting_us"]:
                self.worst[name] = pair
        return self.worst.values()

    def note(self, when):
        """Reports the time since the last note. Lag is told by the bounds of the metric's buckets."""
        self.look()
        for pair, worst in self.worst.items():
            buckets = sorted(self.grown[pair].items())
            total = buckets[-1][1]
            p50, p99, most = (next(bound for bound, events in buckets if events >= total * share)
                              for share in (0.5, 0.99, 1.0))
            self.report(f"{self.title:<32} {when:<6} {pair:<18} {total:6.0f} events, lag p50 ≤ {p50:.3f} s, "
                        f"p99 ≤ {p99:.3f} s, max ≤ {most:.3f} s; "
                        f"longest waiting {worst['waiting_us'] / 1e6:.1f} s ({worst['state']})")
        self.grown, self.worst = {}, {}

    def wait_fine(self):
        """Waits until no pair is behind any more."""
        deadline = time.monotonic() + CATCH_UP_LIMIT_S
        while any(pair["state"] != "fine" for pair in shipping(self.system.status()[1])):
            assert time.monotonic() < deadline, self.system.status()
            self.look()
            time.sleep(0.2)


def check(s, loads, lag):
    """The last part of each test: what comes now is as fast as before, and nothing is missing."""
    lag.wait_fine()
    lag.note("during")
    wait_stored(loads, 5)
    lag.note("after")
    for load in loads:
        load.stop()
    document = s.wait_quiet(60.0)
    assert all(pair["lost"] == 0 and pair["unexplained"] == 0 for pair in document["pairs"]), document
    for load in loads:
        s.assert_converged(load.keys)
        for key in load.keys:
            assert set(s.values(key).values()) == {load.last[key]}, key
    keys = sum(len(load.keys) for load in loads)
    lag.report(f"{lag.title:<32} end    {keys} of {keys} keys agree in all zones, lost 0, unexplained 0")
    return document


def test_outages__broker_stopped__journals_hold_and_nothing_is_lost(steady):
    cluster, s, loads, lag = steady("broker stopped for 30 s")
    lag.note("before")
    cluster.node(1).stop()
    time.sleep(OUTAGE_S)
    for pair in lag.look():
        # What waits is not in the queue: it is seen all the same.
        assert pair["state"] == "stalled" and pair["journal_waiting_us"] >= 0.8 * OUTAGE_S * 1e6, pair
    cluster.start()
    check(s, loads, lag)
    assert max(load.slowest for load in loads) < OUTAGE_S / 4  # no write waited for the queue


def test_outages__leader_killed__another_takes_over(steady):
    cluster, s, loads, lag = steady("leader of three brokers killed", copies=3, partitions=4)
    lag.note("before")
    topic = next(iter(topics(cluster)))
    cluster.node(cluster.leader(topic, 0)).kill()
    wait_stored(loads, 5)
    lag.look()
    wait_stored(loads, 10)
    check(s, loads, lag)


def test_outages__partitions_without_a_leader__keep_no_room_from_the_others(steady):
    cluster, s, loads, lag = steady("partitions without a leader", copies=3, partitions=6, queue="replication: 1",
                                    extra="journal: {size: 1536KiB}\n")
    lag.note("before")
    dead = cluster.node(cluster.leader(next(iter(topics(cluster))), 0))
    dead.kill()
    # More is written meanwhile than a journal holds; what waits for a third of the partitions is less.
    time.sleep(OUTAGE_S)
    assert all(process["lost_at_journal"] == 0 for process in s.status()[1]["processes"]), s.status()
    cluster.start()
    check(s, loads, lag)
    assert max(load.slowest for load in loads) < OUTAGE_S / 4  # no write waited for the queue


def topics(cluster):
    return [name for name in cluster.topic("--list").split() if not name.startswith("__")]


@contextlib.contextmanager
def another_relay(s, region):
    """A relay that was not there: the file names it from now on, and it is started beside the others."""
    text = pathlib.Path(s.config).read_text(encoding="utf-8")
    old = f"relays: [{', '.join(s.regions[region].relays)}]"
    assert text.count(old) == 1
    s.regions[region].relays.extend(f"127.0.0.1:{port}" for port in cache.free_ports(1))
    s.config = s.directory / "grown.yaml"
    s.config.write_text(text.replace(old, f"relays: [{', '.join(s.regions[region].relays)}]"), encoding="utf-8")
    with open(s.directory / "another-relay.log", "wb") as log:
        process = subprocess.Popen([program(), "relay", "--config", s.config, "--region", region, "--index", "1"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
        process.terminate()
        assert process.wait(STOP_LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()


def partitions_of(relay, **pair):
    with contextlib.suppress(OSError):
        return {int(labels["partition"])
                for labels, _ in metrics.page(relay).all("evcache_replication_backlog_records", **pair)}
    return set()


def test_outages__relay_killed_and_one_added__they_share_the_partitions(steady):
    _, s, loads, lag = steady("relay killed, another added")
    lag.note("before")
    pid = s.kill("virginia/relay/0")
    with another_relay(s, "virginia"):
        s.wait_restarted("virginia/relay/0", pid)
        deadline = time.monotonic() + JOIN_LIMIT_S
        while True:
            lag.look()
            shares = [partitions_of(relay, source="virginia", destination="oregon")
                      for relay in s.regions["virginia"].relays]
            if all(shares) and shares[0] | shares[1] == {0, 1, 2, 3} and not shares[0] & shares[1]:
                break
            assert time.monotonic() < deadline, shares
            time.sleep(0.2)
        check(s, loads, lag)


def test_outages__partitions_grow__without_a_restart(steady):
    cluster, s, loads, lag = steady("partitions 4 to 16", partitions=4)
    lag.note("before")
    pids = s.up.pids()
    assert [cluster.partitions(topic) for topic in topics(cluster)] == [4, 4]
    done = run("partitions", "--config", s.config, "--region", "virginia", "--set", 16)
    assert done.returncode == 0, done.stderr
    cluster.set_partitions("evcache.test.oregon", 16)  # Kafka's own tool does as well
    deadline = time.monotonic() + GROWTH_LIMIT_S
    while not all(used_partitions(cluster, topic) == 16 for topic in topics(cluster)):
        assert time.monotonic() < deadline, [cluster.end_offsets(topic) for topic in topics(cluster)]
    lag.look()
    wait_stored(loads, 5)
    document = check(s, loads, lag)
    # The file still says 4: what is judged is what there is.
    assert all(len(pair["partitions"]) == 16 for pair in document["pairs"]), document
    assert all(cell["produced"] > 0 for pair in document["pairs"] for cell in pair["partitions"]), document
    assert s.up.pids() == pids


def used_partitions(cluster, topic):
    return sum(offset > 0 for offset in cluster.end_offsets(topic).values())
