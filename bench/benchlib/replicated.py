# SPDX-License-Identifier: Apache-2.0
"""Writes that reach another server: a whole evcache, and a Redis primary with its replica. Everything, the load generator
included, shares the machine; the clock runs until the last write is visible at the other end."""

import json
import os
import subprocess
import time

from evc import cache, memcache
from evc.up import Up
from evcdemo.play import CpuMeter
from helpers import config

from benchlib import servers

SETTLE_LIMIT_S = 120
PIPELINE = 64
CONNECTIONS = 8
KEYS = 1000000
IDLE_WRITES = 100


class Replicated:
    """`evcache up` with the shape given."""

    def __init__(self, program, directory, **shape):
        self.program, self.directory = program, directory
        directory.mkdir()
        shape.setdefault("node", "memory: 1GiB")
        self.path, self.regions = config.write(config.Shape(**shape), directory)

    def __enter__(self):
        self.up = Up(self.program, self.path, self.directory)
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

    def load(self, seconds, *arguments):
        done = subprocess.run([self.program, "bench", "--json", "--no-fill", "--warmup", "0", "--time", str(seconds), "--ratio", "0:1",
                               "--keys", str(KEYS), "--connections", str(CONNECTIONS), *map(str, arguments),
                               self.regions[0].proxies[0]], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench/run: {done.stderr or done.stdout}")
        return json.loads(done.stdout)

    def write(self, seconds):
        """Sets as fast as they are answered, then until all are visible abroad."""
        self.load(0.5, "--pipeline", PIPELINE)
        self.settle()
        meter = CpuMeter(self.up)
        meter.start()
        begin = time.monotonic()
        run = self.load(seconds, "--pipeline", PIPELINE)
        document = self.settle()
        took = time.monotonic() - begin
        cpu = {kind: value * 1e6 / run["requests"] for kind, value in meter.finish().items()}
        nodes = cpu.pop("node")
        ours = sum(cpu.values())
        load = run["own_cpu_us_per_request"]
        return {"per_second": run["requests"] / took, "answered_per_second": run["per_second"],
                "cpu_us": {**cpu, "nodes": nodes, "load": load, "all": ours + nodes + load}, "ours_to_nodes": ours / nodes,
                "lost": sum(pair["lost"] for pair in document["pairs"]), "unexplained": document["unexplained"]}


def between(document, source, destination):
    return next(pair for pair in document["pairs"] if pair["source"] == source and pair["destination"] == destination)


def lag_ms(document, regions):
    lag = between(document, regions[0].name, regions[1].name)["lag_us"]
    return {f"{name}_ms": lag[name] / 1000 for name in ("p50", "p99", "p999")}


def lag_at(system, rate, seconds):
    """The lag histogram is the relay's since its start: nothing else has been written."""
    run = system.load(seconds, "--rate", max(int(rate), 1))
    return {"per_second": run["per_second"], **lag_ms(system.settle(), system.regions)}


def idle_lag(system):
    """One write at a time, each read back from the other region until it is there; and what the relay measured."""
    with memcache.Client(system.regions[0].proxies[0]) as here:
        for number in range(IDLE_WRITES):
            assert here.ask(b"set idle-%d 0 0 1\r\nx" % number) == b"STORED"
            time.sleep(0.02)
    return lag_ms(system.settle(), system.regions)


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

