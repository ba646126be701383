# SPDX-License-Identifier: Apache-2.0
"""The brokers the other tests rely on: that what a test does to them is done."""

import pytest

from evc import kafka


@pytest.mark.parametrize("version", kafka.VERSIONS)
def test_brokers__one__keeps_its_topics_over_a_stop(brokers, version):
    cluster = brokers(version=version)
    cluster.create_topic("events", 4)
    assert cluster.partitions("events") == 4
    cluster.node(1).stop()
    with pytest.raises(OSError):
        kafka.metadata(cluster.node(1).address)
    cluster.start()
    assert cluster.partitions("events") == 4
    cluster.set_partitions("events", 16)
    assert cluster.partitions("events") == 16


def test_brokers__leader_killed__another_leads(brokers):
    cluster = brokers(brokers=3)
    cluster.create_topic("events", 1)
    first = cluster.leader("events", 0)
    cluster.node(first).kill()
    assert cluster.leader("events", 0, other_than=first) != first
    cluster.start()
    assert cluster.metadata("events")["brokers"] == {1, 2, 3}


def test_brokers__kafka_is_not_there__says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("EVCACHE_KAFKA", str(tmp_path))
    with pytest.raises(kafka.KafkaFailed, match="make kafka"):
        kafka.Cluster(tmp_path)
