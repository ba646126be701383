# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests on real brokers: see tools/pylib/evc/kafka.py for what can be done to them.

What tests report (the lag before, during and after what they do) stands at the end of pytest's output, and in REPORT."""

import pathlib
import shutil

import pytest

from evc import kafka

# What brokers say, kept for looking at after the tests; their data goes.
LOGS = pathlib.Path(__file__).resolve().parents[3] / "build" / "logs" / "kafka"
REPORT = LOGS.with_name("kafka-lag.txt")

reported = pytest.StashKey()


def keep_logs(cluster, name):
    folder = LOGS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for node in cluster.nodes:
        if node.log.exists():
            shutil.copy(node.log, folder / f"broker-{node.number}.log")


@pytest.fixture(name="brokers")
def brokers_fixture(tmp_path, request):
    """Starts brokers and waits until they answer: brokers(brokers=1, version=...) -> kafka.Cluster."""
    started = []

    def start(**shape):
        cluster = kafka.Cluster(tmp_path / f"kafka-{len(started)}", **shape)
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for number, cluster in enumerate(started):
        cluster.stop()
        keep_logs(cluster, f"{request.node.name}-{number}")
        assert not any(node.is_running() for node in cluster.nodes)


@pytest.fixture(name="report")
def report_fixture(pytestconfig):
    """report(line): shown at the end, whether the test passes or not."""
    return pytestconfig.stash.setdefault(reported, []).append


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash.get(reported, [])
    if lines:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        terminalreporter.section("lag")
        for line in lines:
            terminalreporter.write_line(line)
