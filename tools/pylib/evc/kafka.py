# SPDX-License-Identifier: Apache-2.0
"""Real Kafka brokers on the loopback: one or three nodes, each broker and controller at once (KRaft).

    with kafka.Cluster(directory, brokers=3) as cluster:
        cluster.bootstrap                            # "127.0.0.1:9092,..." for evcache's `brokers`
        cluster.create_topic("events", 4)
        cluster.node(cluster.leader("events", 0)).kill()

Needs the jars that tools/kafka.sh fetches. Everything a node has is in its directory: its settings, its log
(broker.log) and its data, which stay when it ends. Nothing here waits without a limit, and nodes die with
the process that started them.
"""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

from .cache import free_ports

TOP = pathlib.Path(__file__).resolve().parents[3]
VERSIONS = ("3.9.1", "4.1.0")  # as tools/kafka.sh has them
START_LIMIT_S = 120.0
STOP_LIMIT_S = 15.0
TOOL_LIMIT_S = 120.0
ASK_LIMIT_S = 5.0
LEADER_LIMIT_S = 30.0
HEAP = "256m"
PR_SET_PDEATHSIG = 1

# A short start counts for more than fast code, and a node has no more than these threads to run on anyway.
JAVA = ["java", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"]

CLUSTER_ID = "ZXZjYWNoZS10ZXN0cy0wMQ"  # any 16 bytes in base64


class KafkaFailed(Exception):
    """Kafka is not there, did not start, or a tool of its own failed."""


def jars(version=VERSIONS[0]):
    """The class path of a version. EVCACHE_KAFKA names a directory of jars to be used instead."""
    directory = pathlib.Path(os.environ.get("EVCACHE_KAFKA") or TOP / "build" / "kafka" / version)
    if not any(directory.glob("kafka_2.13-*.jar")):
        raise KafkaFailed(f"no Kafka in {directory}; run make kafka (or tools/kafka.sh {version})")
    if shutil.which("java") is None:
        raise KafkaFailed("no java in PATH; run make kafka (or apt-get install default-jre-headless)")
    return f"{directory}/*"


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Node:
    """One broker; start and stop it as often as you like, its data and ports stay."""

    def __init__(self, cluster, number, port, controller_port):
        self.cluster, self.number, self.port, self.controller_port = cluster, number, port, controller_port
        self.directory = cluster.directory / f"node-{number}"
        self.log = self.directory / "broker.log"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def format(self, settings):
        """Writes the node's settings and prepares its storage, once for all its lives."""
        self.directory.mkdir(parents=True)
        path = self.directory / "server.properties"
        own = {"node.id": self.number, "log.dirs": self.directory / "data",
               "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.controller_port}",
               "advertised.listeners": f"PLAINTEXT://{self.address}"}
        path.write_text("".join(f"{name}={value}\n" for name, value in {**own, **settings}.items()))
        self.cluster.java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", path)

    def start(self):
        assert not self.is_running()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, "-cp", self.cluster.class_path, "kafka.Kafka", self.directory / "server.properties"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True, preexec_fn=_die_with_parent)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)

    def stop(self):
        """Asks it to hand over its partitions and end; killed when that takes too long."""
        if self.is_running():
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def last_words(self):
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


class Cluster:
    """brokers: 1 or 3. settings: further properties of every node."""

    def __init__(self, directory, brokers=1, version=VERSIONS[0], settings=None):
        self.directory = pathlib.Path(directory)
        self.version, self.class_path = version, jars(version)
        ports = free_ports(2 * brokers)
        self.nodes = [Node(self, number + 1, ports[2 * number], ports[2 * number + 1])
                      for number in range(brokers)]
        self.settings = {**self._settings(), **(settings or {})}

    def _settings(self):
        copies = len(self.nodes)
        return {
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(
                f"{node.number}@127.0.0.1:{node.controller_port}" for node in self.nodes),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": 2 if copies > 2 else 1,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A dead node is noticed in 3 seconds instead of 9.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "group.min.session.timeout.ms": 1000,
            # Small: several nodes share a test machine.
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
            "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
            "log.index.size.max.bytes": 1024 * 1024,
        }

    # --- life ---

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def start(self):
        for node in self.nodes:
            if not node.directory.exists():
                node.format(self.settings)
            if not node.is_running():
                node.start()
        self.wait_ready()

    def stop(self):
        """One is asked to end. Of several the last would wait for a majority that is gone: they are killed."""
        for node in self.nodes:
            if node.is_running() and len(self.nodes) > 1:
                node.kill()
        for node in self.nodes:
            node.stop()

    def wait_ready(self, limit=START_LIMIT_S):
        """Waits until every node that runs is known to all of them, and one is the controller."""
        running = {node.number for node in self.nodes if node.is_running()}
        deadline = time.monotonic() + limit
        for node in self.nodes:
            while node.number in running:
                if not node.is_running():
                    raise KafkaFailed(f"broker {node.number} ended with {node.process.returncode}: "
                                      + node.last_words())
                known = self._known(node)
                if known is not None and running <= known:
                    break
                if time.monotonic() > deadline:
                    raise KafkaFailed(f"broker {node.number} is not ready after {limit} s: "
                                      + node.last_words())
                time.sleep(0.1)

    @staticmethod
    def _known(node):
        try:
            return metadata(node.address)["brokers"]
        except OSError:
            return None

    # --- looking ---

    @property
    def bootstrap(self):
        return ",".join(node.address for node in self.nodes)

    def node(self, number):
        return self.nodes[number - 1]

    def metadata(self, topic):
        """The answer about topic of the first node that gives one; see metadata()."""
        for node in self.nodes:
            if node.is_running():
                try:
                    return metadata(node.address, topic)
                except OSError:
                    continue
        raise KafkaFailed("no broker answers")

    def partitions(self, topic):
        """How many partitions topic has; 0 if there is no such topic."""
        return len(self.metadata(topic)["partitions"])

    def leader(self, topic, partition, other_than=None, limit=LEADER_LIMIT_S):
        """Number of the node that leads a partition; waits until it has a leader other_than."""
        deadline = time.monotonic() + limit
        while True:
            found = self.metadata(topic)["partitions"].get(partition)
            if found is not None and found not in (-1, other_than):
                return found
            if time.monotonic() > deadline:
                raise KafkaFailed(f"{topic}-{partition} has no leader after {limit} s")
            time.sleep(0.1)

    def end_offsets(self, topic):
        """{partition: offset after the last record}."""
        return self._offsets(topic, "latest")

    def start_offsets(self, topic):
        """{partition: offset of the first record that is still there}."""
        return self._offsets(topic, "earliest")

    def _offsets(self, topic, time_name):
        lines = self.tool("org.apache.kafka.tools.GetOffsetShell", "--topic", topic, "--time", time_name)
        return {int(partition): int(offset) for _, partition, offset in
                (line.rsplit(":", 2) for line in lines.split() if line.count(":") >= 2)}

    # --- Kafka's own tools ---

    def java(self, *arguments):
        """Runs a class to its end and returns what it printed."""
        command = [*JAVA, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", self.class_path,
                   *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=TOOL_LIMIT_S, check=False, cwd=self.directory)
        if done.returncode != 0:
            raise KafkaFailed(f"{arguments[0]} failed: {(done.stderr + done.stdout).strip()[-1500:]}")
        return done.stdout

    def tool(self, name, *arguments):
        return self.java(name, "--bootstrap-server", self.bootstrap, *arguments)

    def topic(self, *arguments):
        return self.tool("org.apache.kafka.tools.TopicCommand", *arguments)

    def create_topic(self, name, partitions, **settings):
        """settings: of the topic, with _ for a dot: min_insync_replicas=1."""
        self.topic("--create", "--topic", name, "--partitions", partitions, *(
            part for key, value in settings.items()
            for part in ("--config", f"{key.replace('_', '.')}={value}")))

    def set_partitions(self, name, count):
        self.topic("--alter", "--topic", name, "--partitions", count)

    def delete_records(self, topic, before):
        """Deletes what lies before an offset; before: {partition: offset}."""
        path = self.directory / "delete-records.json"
        path.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": topic, "partition": partition, "offset": offset}
            for partition, offset in before.items()]}))
        out = self.tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", path)
        if "error" in out:
            raise KafkaFailed(f"delete-records: {out.strip()}")

    def reset_group(self, group, topic):
        """Puts a group without members back to the first record of topic."""
        self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--group", group,
                  "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")

    def groups(self):
        """Names of the consumer groups."""
        return self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--list").split()


# --- one question of Kafka's protocol, because asking through Java takes seconds ---

METADATA_KEY, METADATA_VERSION = 3, 4


class _Reader:
    def __init__(self, body):
        self.body, self.at = body, 0

    def number(self, form):
        (value,) = struct.unpack_from(">" + form, self.body, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = max(self.number("h"), 0)
        self.at += length
        return self.body[self.at - length: self.at].decode()

    def list(self, read):
        return [read() for _ in range(max(self.number("i"), 0))]


def _receive(sock, count):
    body = b""
    while len(body) < count:
        piece = sock.recv(count - len(body))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        body += piece
    return body


def metadata(address, topic=None):
    """What a broker knows: {"brokers": {number}, "controller": number, "partitions": {number: leader or -1},
    "replicas": {number: [broker]}}. Raises OSError where it does not answer."""
    host, port = address.rsplit(":", 1)
    names = b"" if topic is None else struct.pack(">h", len(topic)) + topic.encode()
    client = b"evcache-tests"
    request = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, 1, len(client)) + client
    request += struct.pack(">i", 0 if topic is None else 1) + names + b"\0"
    with socket.create_connection((host, int(port)), ASK_LIMIT_S) as sock:
        sock.sendall(struct.pack(">i", len(request)) + request)
        reader = _Reader(_receive(sock, struct.unpack(">i", _receive(sock, 4))[0]))
    reader.number("i")  # correlation
    reader.number("i")  # throttled for so long

    def read_broker():
        number = reader.number("i")
        reader.text()
        reader.number("i")
        reader.text()
        return number

    def read_partition():
        reader.number("h")
        number, leader = reader.number("i"), reader.number("i")
        copies = reader.list(lambda: reader.number("i"))
        reader.list(lambda: reader.number("i"))  # those in sync
        return number, leader, copies

    def read_topic():
        reader.number("h")
        reader.text()
        reader.number("b")
        return reader.list(read_partition)

    brokers = set(reader.list(read_broker))
    reader.text()  # cluster id
    controller = reader.number("i")
    topics = reader.list(read_topic)
    partitions = topics[0] if topics else []
    return {"brokers": brokers, "controller": controller,
            "partitions": {number: leader for number, leader, _ in partitions},
            "replicas": {number: copies for number, _, copies in partitions}}
