# SPDX-License-Identifier: Apache-2.0
"""`evcache up` with `queue: {kind: kafka, managed: true}`: a broker of its own, looked after like the other processes."""

import os

import pytest
from evc import cache, kafka
from evc.up import Up, UpFailed
from helpers.system import STOPPED_LIMIT_S, program

# Where tools/kafka.sh has put it: the program under test may be in another tree.
WITH_KAFKA = {**os.environ, "EVCACHE_KAFKA": kafka.jars().removesuffix("/*")}


def broker_address():
    return f"127.0.0.1:{cache.free_ports(1)[0]}"


def test_managed__up__runs_a_broker_and_stops_it(system):
    brokers = broker_address()
    s = system(brokers=brokers, queue="managed: true", regions=2, zones=1, environment=WITH_KAFKA)
    assert "broker" in s.up.pids()
    keys = [b"key-%d" % number for number in range(500)]
    with s.proxy("virginia") as client:
        for key in keys:
            assert client.set(key, b"value") == b"STORED"
    s.wait_quiet()
    s.assert_converged(keys[::25])
    assert set(s.values(keys[-1]).values()) == {b"value"}
    assert len(kafka.metadata(brokers)["brokers"]) == 1
    old = s.kill("broker")
    s.wait_restarted("broker", old)
    with s.proxy("virginia") as client:
        assert client.set(keys[0], b"again") == b"STORED"
    s.wait_quiet(60.0)
    assert set(s.values(keys[0]).values()) == {b"again"}
    assert s.stop() == 0
    assert s.stop_seconds < STOPPED_LIMIT_S


def refused(config, directory, environment, **shape):
    path, _ = config(regions=2, zones=1, queue="managed: true", **shape)
    up = Up(program(), path, directory, (), environment)
    with pytest.raises(UpFailed) as failure:
        up.wait_until_up()
    assert up.stop()[0] == 1
    assert up.left() == []
    return str(failure.value)


def test_managed__no_jars__says_where_they_come_from(config, tmp_path):
    (tmp_path / "empty").mkdir()
    said = refused(config, tmp_path, {**os.environ, "EVCACHE_KAFKA": str(tmp_path / "empty")},
                   brokers=broker_address())
    assert "no Kafka in" in said and "EVCACHE_KAFKA" in said


def test_managed__no_java__says_what_to_run(config, tmp_path):
    (tmp_path / "bin").mkdir()
    said = refused(config, tmp_path, {**WITH_KAFKA, "PATH": str(tmp_path / "bin")},
                   brokers=broker_address())
    assert "make kafka" in said and "default-jre-headless" in said


def test_managed__several_brokers__are_refused(config, tmp_path):
    said = refused(config, tmp_path, WITH_KAFKA, brokers="127.0.0.1:9092,127.0.0.1:9093")
    assert "one address of this machine" in said
