# SPDX-License-Identifier: Apache-2.0
"""Writes that reach another server: a whole evcache, and a Redis primary with its replica. Everything, the load generator
included, shares the machine; the clock runs until the last write is visible at the other end."""

import contextlib
import json
import os
import signal
import subprocess
import time

from evc import cache, kafka, memcache
from evc.up import Up
from evcdemo.play import CpuMeter
from helpers import config

from benchlib import servers

SETTLE_LIMIT_S = 120
PIPELINE = 64
CONNECTIONS = 8
KEYS = 1000000
IDLE_WRITES = 300


class Replicated:
    """`evcache up` with the shape given. on_kafka: with a broker of its own."""

    def __init__(self, program, directory, on_kafka=False, environment=None, **shape):
        self.program, self.directory, self.environment = program, directory, dict(environment or os.environ)
        directory.mkdir(parents=True)
        shape.setdefault("node", "memory: 1GiB")
        if on_kafka:
            self.environment["EVCACHE_KAFKA"] = kafka.jars().removesuffix("/*")
            shape.update(brokers=f"127.0.0.1:{cache.free_ports(1)[0]}", queue="managed: true")
        self.path, self.regions = config.write(config.Shape(**shape), directory)

    def __enter__(self):
        self.up = Up(self.program, self.path, self.directory, environment=self.environment)
        self.up.wait_until_up()
        return self

    def __exit__(self, *unused):
        self.up.stop()

    def settle(self):
        """Waits until the books are closed; returns the status document."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while time.monotonic() < deadline:
            _, document = cache.status(self.program, self.path)
            if cache.is_quiet(document):
                return document
            time.sleep(0.02)
        raise SystemExit("bench/run: the other region did not get everything in time")

    def load(self, seconds, *arguments, keys=KEYS, fill=False):
        arguments = [*(() if fill else ("--no-fill",)), "--keys", keys, *arguments]
        done = subprocess.run([self.program, "bench", "--json", "--warmup", "0", "--time", str(seconds), "--ratio", "0:1",
                               "--connections", str(CONNECTIONS), *map(str, arguments),
                               self.regions[0].proxies[0]], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench/run: {done.stderr or done.stdout}")
        return json.loads(done.stdout)

    def write(self, seconds, *arguments, pipeline=PIPELINE, keys=KEYS, fill=False, warm_seconds=0.5):
        """Sets as fast as they are answered, then until all are visible abroad. fill: every key was set once before. It takes
        some seconds until every page of the journal has been touched once."""
        arguments = ["--pipeline", pipeline, *arguments]
        self.load(warm_seconds, *arguments, keys=keys, fill=fill)
        self.settle()
        meter = CpuMeter(self.up)
        meter.start()
        begin = time.monotonic()
        run = self.load(seconds, *arguments, keys=keys)
        document = self.settle()
        took = time.monotonic() - begin
        cpu = {kind: value * 1e6 / run["requests"] for kind, value in meter.finish().items()}
        nodes, broker = cpu.pop("node"), cpu.pop("broker")
        ours = sum(cpu.values())
        load = run["own_cpu_us_per_request"]
        return {"per_second": run["requests"] / took, "answered_per_second": run["per_second"],
                "cpu_us": {**cpu, "nodes": nodes, "load": load, "all": ours + nodes + broker + load}, "ours_to_nodes": ours / nodes,
                "lost": sum(pair["lost"] for pair in document["pairs"]), "unexplained": document["unexplained"]}


    @contextlib.contextmanager
    def without_relay(self):
        """The first region's relay is away inside; afterwards it answers again."""
        name = f"{self.regions[0].name}/relay/0"
        os.kill(self.up.process.pid, signal.SIGSTOP)  # who would start it again
        try:
            pid = self.up.kill(name)
            yield
        finally:
            os.kill(self.up.process.pid, signal.SIGCONT)
        self.up.wait_restarted(name, pid)

    def backlog(self, events):
        """A destination's worth of events waits for the relay; then it takes them all. Bytes are of the machine's memory, or the disk."""
        taken, second = 0, self.load(1, "--pipeline", PIPELINE)["requests"]
        self.settle()
        with self.without_relay():
            while taken < events:
                taken += self.load(min(20, max(1, (events - taken) / second)), "--pipeline", PIPELINE)["requests"]
            begin = time.monotonic()
        queue_bytes = sum(path.stat().st_blocks * 512 for path in (self.directory / "run" / "queue" / self.regions[0].name).iterdir()
                          if path.is_file())
        proxy, relay = (self.up.pids()[f"{self.regions[0].name}/{part}/0"] for part in ("proxy", "relay"))
        document = self.settle()
        took = time.monotonic() - begin
        pair = between(document, self.regions[0].name, self.regions[1].name)
        return {"value": taken, "per_second": taken / took, "queue_bytes_per_event": queue_bytes / taken,
                "relay_bytes_max": most_bytes(relay), "proxy_bytes_max": most_bytes(proxy),
                "coalesced": pair["outcomes"]["coalesced"], "lost": pair["lost"], "unexplained": document["unexplained"]}


def most_bytes(pid):
    """The most memory a process has had."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def between(document, source, destination):
    return next(pair for pair in document["pairs"] if pair["source"] == source and pair["destination"] == destination)


def lag_ms(document, regions):
    lag = between(document, regions[0].name, regions[1].name)["lag_us"]
    return {f"{name}_ms": lag[name] / 1000 for name in ("p50", "p99", "p999")}


def begin(system):
    """One write, and until it is there: relays on Kafka share out partitions first. The relay's histogram has it too, as one of many."""
    system.load(0.1, "--rate", 10)
    system.settle()


def begin_histogram(system):
    """The lag histogram is the relay's since its start: the first region's relay starts anew."""
    name = f"{system.regions[0].name}/relay/0"
    system.up.wait_restarted(name, system.up.kill(name, signal.SIGTERM))
    begin(system)


def lag_at(system, rate, seconds):
    """What the relay measures of an open loop; the system is warm: every page of journal and node has been touched once."""
    begin_histogram(system)
    run = system.load(seconds, "--rate", max(int(rate), 1))
    return {"per_second": run["per_second"], **lag_ms(system.settle(), system.regions)}


def idle_lag(system):
    """What the relay measures of writes that come one by one: too few for a thousandth of them to mean anything."""
    begin_histogram(system)
    with memcache.Client(system.regions[0].proxies[0]) as here:
        for number in range(IDLE_WRITES):
            assert here.ask(b"set idle-%d 0 0 1\r\nx" % number) == b"STORED"
            time.sleep(0.02)
    lag = lag_ms(system.settle(), system.regions)
    return {name: lag[name] for name in ("p50_ms", "p99_ms")}


class RedisPair:
    """A primary and its replica, without persistence."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.processes = []

    def __enter__(self):
        primary, replica = [str(a).rsplit(":", 1)[-1] for a in cache.free_ports(2)]
        common = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(self.directory)]
        self.processes.append(servers.Process("redis", primary, "redis-server", "--port", primary, *common))
        self.processes.append(servers.Process("redis replica", replica, "redis-server", "--port", replica, *common,
                                              "--replicaof", "127.0.0.1", primary))
        self.primary, self.replica = primary, replica
        self.wait(lambda: "master_link_status:up" in self.ask(self.replica, "info", "replication"))
        return self

    def __exit__(self, *unused):
        for process in self.processes:
            process.stop()

    @staticmethod
    def ask(port, *command):
        return subprocess.run(["redis-cli", "-p", port, *command], capture_output=True, text=True, check=True).stdout

    @staticmethod
    def wait(is_so):
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while not is_so():
            if time.monotonic() > deadline:
                raise SystemExit("bench/run: the Redis replica does not follow")
            time.sleep(0.02)

    def offset(self, port, field):
        for line in self.ask(port, "info", "replication").splitlines():
            if line.startswith(field + ":"):
                return int(line.split(":")[1])
        raise SystemExit(f"bench/run: Redis does not tell its {field}")

    def run(self, count):
        """redis-benchmark: seconds, and its own CPU time in microseconds."""
        before = sum(os.times()[2:4])
        begin = time.monotonic()
        subprocess.run(["redis-benchmark", "-p", self.primary, "-t", "set", "-n", str(count), "-r", str(KEYS), "-d", "100",
                        "-P", str(PIPELINE), "-c", str(CONNECTIONS), "-q"], check=True, stdout=subprocess.DEVNULL)
        self.wait(lambda: self.offset(self.replica, "slave_repl_offset") >= self.offset(self.primary, "master_repl_offset"))
        return time.monotonic() - begin, (sum(os.times()[2:4]) - before) * 1e6

    def write(self, seconds):
        probe, _ = self.run(100000)
        count = max(100000, int(100000 / probe * seconds))
        before = [servers.cpu_us(process.pid) for process in self.processes]
        took, load_us = self.run(count)
        used = sum(servers.cpu_us(process.pid) - was for process, was in zip(self.processes, before))
        return {"per_second": count / took, "cpu_us": (used + load_us) / count}

