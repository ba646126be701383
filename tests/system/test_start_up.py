# SPDX-License-Identifier: Apache-2.0
"""What keeps a process from starting or from being ready: said in one clear line, with the right exit status."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from evc import memcache
from helpers.system import COMPLAINTS, program, run

LIMIT_S = 60.0

# check-config is run on this, with one thing changed.
CONFIG = """cache: test
queue: {kind: embedded, path: run/queue, partitions: 4}
regions:
  - name: virginia
    proxies: [127.0.0.1:11211]
    receivers: [127.0.0.1:11311]
    admin: 127.0.0.1:11411
    relays: [127.0.0.1:11511]
    zones:
      - {name: a, nodes: [127.0.0.1:12001, 127.0.0.1:12002]}
      - {name: b, nodes: [127.0.0.1:12003, 127.0.0.1:12004]}
"""

# What is changed, the line of the mistake, and words that must be said about it.
MISTAKES = [
    ("cache: test", "cache: te st", 1, ['"te st"', "letters, digits"]),
    ("cache: test", "cach: test", 1, ['"cach"', 'did you mean "cache"?']),
    ("cache: test\n", "", 1, ['"cache" is missing']),
    ("kind: embedded", "kind: kafka", 2, ['"brokers" is missing', "host:port"]),
    ("kind: embedded", "kind: embedded, brokers: h:1", 2, ["queue.brokers: ", "for kind kafka only"]),
    ("kind: embedded", "kind: kafka, brokers: 'h:1,h'", 2, ["queue.brokers: ", '"h"', "host:port,host:port"]),
    ("kind: embedded", "kind: kafka, brokers: h:1,\n  properties: {linger.mss: 5}", 3,
     ["queue.properties.linger.mss: ", "not a property of librdkafka"]),
    ("kind: embedded", "kind: kafka, brokers: h:1,\n  properties: {client.id: x,\n  linger.ms: 9999999}", 4,
     ["queue.properties.linger.ms: ", "outside allowed range"]),
    ("kind: embedded", "kind: kafka, brokers: h:1,\n  properties: {group.id: x}", 3, ["group.id: is set by evcache"]),
    ("kind: embedded", "kind: kafka, brokers: h:1,\n  properties: {acks: 1}", 2, ["queue.properties", "acks"]),
    ("kind: embedded", "kind: kafka, brokers: h:1,\n  properties: {session.timeout.ms: 900000}", 2,
     ["queue.properties", "max.poll.interval.ms"]),
    ("run/queue", '"run\\e[31m"', 2, ["queue.path: ", "\\x1b[31m", "control character"]),
    ("kind: embedded", "kind: files", 2, ['"files"', "allowed are embedded and kafka"]),
    ("partitions: 4", "partitions: 0", 2, ["queue.partitions: 0", "1 to 256"]),
    ("partitions: 4", "partitions: many", 2, ['"many"', "whole number"]),
    ("partitions: 4", "partitions: 4, size: 10", 2, ['queue.size: "10"', "MiB"]),
    ("partitions: 4", "partitions: 4, size: 1KiB", 2, ["queue.size: 1KiB", "out of range"]),
    ("regions:\n", "timeouts: {read: 5}\nregions:\n", 3, ['timeouts.read: "5"', "unit"]),
    ("regions:\n", "timeouts: {read: 5m}\nregions:\n", 3, ["timeouts.read: 5m", "1m"]),
    ("regions:\n", "writes: {acknowledge: most}\nregions:\n", 3, ['"most"', "one, quorum, all_but_one, all"]),
    ("regions:\n", "canaries: {every: 10ms}\nregions:\n", 3, ["canaries.every: 10ms", "100ms"]),
    ("regions:\n", "tombstones: {ttl: 1s}\nregions:\n", 3, ["tombstones.ttl: 1s", "1m"]),
    ("regions:\n", "policies: [{prefix: a, replicate: no-way}]\nregions:\n", 3, ['"no-way"', "copy, invalidate, none"]),
    ("regions:\n", "cache: again\nregions:\n", 3, ['"cache" is given twice']),
    ("    relays: [127.0.0.1:11511]\n", "", 4, ['regions[0]: "relays" is missing']),
    ("[127.0.0.1:11311]", "[127.0.0.1:11311, 127.0.0.1:11312]", 4, ["1 proxies and 2 receivers"]),
    ("  - name: virginia", "  - name: virginia\n    colour: red", 5, ['"colour"', "allowed are name, proxies"]),
    ("admin: 127.0.0.1:11411", "admin: [127.0.0.1:11411", 8, ["not YAML"]),
    ("nodes: [127.0.0.1:12001, 127.0.0.1:12002]", "nodes: []", 10, ["nodes", "empty"]),
    ("127.0.0.1:12003", "127.0.0.1:12001", 11, ["127.0.0.1:12001", "line 10", "a node of b"]),
    ("127.0.0.1:12004", "127.0.0.1", 11, ["regions[0].zones[1].nodes[1]: ", "host:port"]),
    ("127.0.0.1:12004", "127.0.0.1:70000", 11, ["1 to 65535"]),
    ("name: b", "name: a", 11, ['two zones of a region are named "a"']),
]


# --- processes on their own ---

class Process:
    """A proxy or relay without a supervisor; its log is in a file."""

    def __init__(self, verb, config, region, directory, index=0):
        self.log_path = directory / f"{verb}-{region}-{index}.own.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program(), verb, "--config", str(config), "--region", region, "--index", str(index)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def ends(self):
        """Its exit status."""
        return self.process.wait(LIMIT_S)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.ends()


@pytest.fixture(name="start")
def start_fixture(tmp_path):
    """start(verb, config, region, index=0) -> Process; all are stopped at the end, and none may have complained."""
    started = []
    with contextlib.ExitStack() as stack:
        def start(verb, config, region, index=0):
            process = Process(verb, config, region, tmp_path, index)
            started.append(process)
            stack.callback(process.stop)
            return process
        yield start
    for process in started:
        assert process.process.returncode in (0, 1), process.log()
        assert not any(word in process.log() for word in COMPLAINTS), process.log()


def ask(address, path):
    """(status, JSON) of an admin address, or (None, None) while nobody listens."""
    host, port = memcache.split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return None, None
    finally:
        connection.close()


def wait_for(condition, process):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.process.poll() is None, process.log()
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.02)


def refused(process, verb):
    """It must end with status 1 and one line; returns that line."""
    assert process.ends() == 1, process.log()
    lines = [line for line in process.log().splitlines() if line.startswith("evcache ")]
    assert len(lines) == 1, process.log()
    assert lines[0].startswith(f"evcache {verb}: ")
    return lines[0]


class FakeNode(socketserver.ThreadingTCPServer):
    """Answers a node check as a memcached of some version, and how much it holds; what else it is asked goes to requests."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, address, version, cas="yes"):
        self.version, self.cas, self.requests = version, cas, []
        super().__init__(memcache.split_address(address), FakeConnection)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class FakeConnection(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            for line in self.rfile:
                if line == b"version\r\n":
                    self.wfile.write(b"VERSION %s\r\n" % self.server.version.encode())
                elif line == b"stats settings\r\n":
                    self.wfile.write(b"STAT maxbytes 67108864\r\nSTAT cas_enabled %s\r\nEND\r\n" % self.server.cas.encode())
                elif line == b"stats\r\n":
                    self.wfile.write(b"STAT curr_items 0\r\nSTAT bytes 0\r\nSTAT limit_maxbytes 67108864\r\nSTAT evictions 0\r\nEND\r\n")
                else:
                    self.server.requests.append(line)


# --- the configuration ---

def test_check_config__a_good_one__is_described(tmp_path):
    path = tmp_path / "cache.yaml"
    path.write_text(CONFIG)
    done = run("check-config", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cache test, 1 region, 2 zones, 4 nodes" in done.stdout


@pytest.mark.parametrize("good,bad,line,words", MISTAKES, ids=range(len(MISTAKES)))
def test_check_config__mistake__file_line_and_what_is_allowed(tmp_path, good, bad, line, words):
    assert good in CONFIG
    path = tmp_path / "cache.yaml"
    path.write_text(CONFIG.replace(good, bad, 1))
    done = run("check-config", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{path}:{line}: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert done.stderr.rstrip("\n").isprintable()


def test_check_config__no_file_or_no_text__one_line(tmp_path):
    done = run("check-config", tmp_path / "none.yaml")
    assert done.returncode == 1 and "none.yaml" in done.stderr and len(done.stderr.splitlines()) == 1
    done = run("check-config", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: cannot be read: Is a directory\n")
    for text in ("", "just words\n", "- a\n- b\n", "\x00\x01", "a: &a [*a]\n", "cache: !!binary x\n" + "[" * 2000):
        path = tmp_path / "cache.yaml"
        path.write_text(text)
        done = run("check-config", path)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, (text, done.stderr)
        assert done.stderr.startswith(f"{path}:"), done.stderr


@pytest.mark.parametrize("verb", ["proxy", "relay", "up", "status"])
def test_start__mistake_in_the_configuration__every_verb_says_it(tmp_path, verb):
    path = tmp_path / "cache.yaml"
    path.write_text(CONFIG.replace("partitions: 4", "partitions: 0"))
    arguments = {"up": [path], "status": ["--config", path]}.get(verb, ["--config", path, "--region", "virginia"])
    done = run(verb, *arguments)
    assert done.returncode == 1
    assert f"{path}:2: queue.partitions: 0 is out of range; 1 to 256 are allowed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["proxy", "relay"])
def test_start__property_that_only_a_consumer_refuses__said_by_both_with_the_line(tmp_path, verb):
    path = tmp_path / "cache.yaml"
    queue = f"queue:\n  kind: kafka\n  path: {tmp_path}/q\n  brokers: h:1\n  properties: {{session.timeout.ms: 900000}}"
    path.write_text(CONFIG.replace("queue: {kind: embedded, path: run/queue, partitions: 4}", queue))
    done = run(verb, "--config", path, "--region", "virginia")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"evcache {verb}: {path}:3: queue.properties: ") and "max.poll.interval.ms" in done.stderr


@pytest.mark.parametrize("verb", ["proxy", "relay"])
@pytest.mark.parametrize("place,words", [
    (["--region", "x"], 'no region "x" in '),
    (["--region", "virginia", "--zone", "x"], 'no zone "x" in region virginia; it has a, b'),
    (["--region", "virginia", "--index", "1"], "--index 1 is none of them"),
])
def test_start__a_place_that_is_not_in_the_file__is_a_wrong_command_line(tmp_path, verb, place, words):
    path = tmp_path / "cache.yaml"
    path.write_text(CONFIG)
    done = run(verb, "--config", path, *place)
    assert done.returncode == 2 and words in done.stderr


# --- ports and paths ---

@pytest.mark.parametrize("role", ["proxies", "receivers", "admin", "relays"])
def test_start__port_taken__named(config, start, role):
    path, regions = config(regions=2, zones=1)
    verb = "relay" if role == "relays" else "proxy"
    address = regions[0].admin if role == "admin" else getattr(regions[0], role)[0]
    with socket.create_server(memcache.split_address(address)):
        line = refused(start(verb, path, "virginia"), verb)
    assert address in line and "already in use" in line


@pytest.mark.parametrize("verb", ["proxy", "relay"])
@pytest.mark.parametrize("what", ["queue", "region", "journal"])
def test_start__path_not_writable__named(config, tmp_path, start, verb, what):
    path, _ = config(regions=2, zones=1)
    place = {"queue": tmp_path / "run" / "queue", "region": tmp_path / "run" / "queue" / "virginia",
             "journal": tmp_path / "run" / "queue" / "journal"}[what]
    place.parent.mkdir(parents=True)
    place.write_text("a file, not a directory")
    line = refused(start(verb, path, "virginia"), verb)
    assert str(place) in line and ("Not a directory" in line or "File exists" in line), line
    assert place.read_text() == "a file, not a directory"


def test_start__queue_damaged__refused_by_name(config, tmp_path, start):
    path, _ = config(regions=2, zones=1)
    data = tmp_path / "run" / "queue" / "virginia" / "data.mdb"
    data.parent.mkdir(parents=True)
    data.write_bytes(os.urandom(65536))
    assert str(data.parent) in refused(start("relay", path, "virginia"), "relay")


@pytest.mark.parametrize("where", ["head", "length"])
def test_start__journal_damaged__refused_by_name(config, tmp_path, start, where):
    path, regions = config(regions=2, zones=1)
    first = start("proxy", path, "virginia")
    wait_for(lambda: ask(regions[0].admin, "/healthz")[0] == 200, first)
    assert first.stop() == 0
    (journal,) = (tmp_path / "run" / "queue" / "journal" / "virginia").glob("slot-*.journal")
    with open(journal, "r+b") as file:
        if where == "head":
            file.write(b"damage")
        else:
            file.truncate(1000)
    assert str(journal) in refused(start("proxy", path, "virginia"), "proxy")


# --- one process per slot ---

@pytest.mark.parametrize("verb", ["proxy", "relay"])
def test_start__second_process_on_a_slot__refused(system, start, verb):
    s = system(regions=2, zones=1)
    pid = s.pid(f"virginia/{verb}/0")
    line = refused(start(verb, s.config, "virginia"), verb)
    assert f"in use by process {pid}" in line
    assert s.proxy("virginia").set("key", b"value") == b"STORED"
    s.wait_quiet()
    assert s.values("key") == {"virginia-a": b"value", "oregon-a": b"value"}


# --- nodes that will not do ---

@pytest.mark.parametrize("verb", ["proxy", "relay"])
@pytest.mark.parametrize("version,cas,words", [
    ("1.6.18", "yes", ["runs memcached 1.6.18", "1.6.27 or newer"]),
    ("1.5.22", "yes", ["runs memcached 1.5.22", "1.6.27 or newer"]),
    ("1.6.38", "no", ["CAS disabled"]),
], ids=["1.6.18", "1.5.22", "no-cas"])
def test_start__unfit_node__one_line_and_not_ready(config, start, verb, version, cas, words):
    path, regions = config(regions=2, zones=1)
    address = regions[0].zones[0].nodes[0]
    with FakeNode(address, version, cas) as node:
        process = start(verb, path, "virginia")
        admin = regions[0].admin if verb == "proxy" else regions[0].relays[0]
        wait_for(lambda: ask(admin, "/healthz")[0] == 200, process)
        wait_for(lambda: words[-1] in process.log(), process)
        assert ask(admin, "/readyz") == (503, {"ready": False})
        (line,) = [line for line in process.log().splitlines() if words[-1] in line]
        for word in [address, "level=warn", *words]:
            assert word in line
        if verb == "proxy":
            with memcache.Client(regions[0].proxies[0]) as client:
                assert client.set("key", b"value").startswith(b"SERVER_ERROR ")
                assert client.ask("get key") == b"SERVER_ERROR no zone answered"
        assert node.requests == []
        node.shutdown()


def test_start__node_is_replaced_by_a_newer_one__ready(config, start):
    path, regions = config(regions=2, zones=1)
    address = regions[0].zones[0].nodes[0]
    process = start("proxy", path, "virginia")
    with FakeNode(address, "1.6.18") as node:
        wait_for(lambda: "1.6.27 or newer" in process.log(), process)
        node.shutdown()
    with FakeNode(address, "1.6.27") as node:
        wait_for(lambda: ask(regions[0].admin, "/readyz") == (200, {"ready": True}), process)
        node.shutdown()
    assert process.stop() == 0


def test_start__no_node_at_all__serves_errors_and_stops_cleanly(config, start):
    path, regions = config(regions=2, zones=2)
    process = start("proxy", path, "virginia")
    wait_for(lambda: ask(regions[0].admin, "/healthz")[0] == 200, process)
    assert ask(regions[0].admin, "/readyz")[0] == 503
    with memcache.Client(regions[0].proxies[0]) as client:
        assert re.match(rb"SERVER_ERROR not enough zones", client.set("key", b"value"))
        assert client.ask("mn") == b"MN"
    assert process.stop() == 0
