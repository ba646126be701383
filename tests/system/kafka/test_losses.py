# SPDX-License-Identifier: Apache-2.0
"""What is lost on the way through Kafka is counted to the event, and nothing else differs afterwards."""

import contextlib
import signal
import socket
import time

from evc import memcache, metrics

KEYS = [b"key-%04d" % number for number in range(2000)]
HOLD_LIMIT_S = 30.0
READ_AGAIN_S = 6.0  # more than what a group reads again of a log that was cut (place.c)


def write_all(client, keys, value):
    for start in range(0, len(keys), 500):
        part = keys[start:start + 500]
        client.send(b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value) for key in part))
        assert all(answer == b"STORED" for answer in client.lines(len(part)))


def pair_of(document, source, destination):
    return next(pair for pair in document["pairs"] if (pair["source"], pair["destination"], pair["group"])
                == (source, destination, "ship"))


@contextlib.contextmanager
def without_relay(s, region):
    """Stops a region's relay and keeps it from starting again: its address is taken."""
    name = f"{region}/relay/0"
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with s.without_restarts():  # else the next relay may be faster
            pid = s.kill(name, signal.SIGTERM)
            deadline = time.monotonic() + HOLD_LIMIT_S
            while True:
                try:
                    holder.bind(memcache.split_address(s.regions[region].relays[0]))
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
            holder.listen()
        yield
    s.wait_restarted(name, pid)


def wait_appended(s):
    """Waits until no proxy's journal has anything the queue has not. Asks no relay: it may be away."""
    deadline = time.monotonic() + 60
    while any(metrics.page(region.admin).sum("evcache_journal_waiting_events") > 0 for region in s.regions.values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def produced(s, source):
    """What a region's proxy has numbered in each partition."""
    found = metrics.page(s.regions[source].admin).all("evcache_produced_events_total")
    return [int(count) for _, count in sorted(found, key=lambda sample: int(sample[0]["partition"]))]


def stale_keys(s):
    """Keys whose item in oregon is not that of virginia, in value or version."""
    with s.node("oregon") as node:
        there = {key: node.peek(key) for key in KEYS}
    with s.node("virginia") as node:
        return {key for key in KEYS if node.peek(key) != there[key]}


def test_losses__records_deleted_before_they_are_read__counted_per_partition(brokers, system):
    cluster = brokers()
    s = system(brokers=cluster.bootstrap, regions=2, zones=1, partitions=4)
    topic = "evcache.test.virginia"
    deleted, kept = KEYS[::4], KEYS[1::4]
    with s.proxy("virginia") as client:
        write_all(client, KEYS, b"old")
        s.wait_quiet()
        before = produced(s, "virginia")
        with without_relay(s, "virginia"):
            write_all(client, deleted, b"new")
            wait_appended(s)
            in_them = [now - then for now, then in zip(produced(s, "virginia"), before)]
            cluster.delete_records(topic, cluster.end_offsets(topic))
            write_all(client, kept, b"new")
            wait_appended(s)
    document = s.wait_quiet(60.0)
    pair = pair_of(document, "virginia", "oregon")
    assert sum(in_them) == len(deleted) and min(in_them) > 0, in_them
    assert [cell["lost"] for cell in pair["partitions"]] == in_them, pair
    assert pair["unexplained"] == 0, pair
    assert stale_keys(s) == set(deleted)


def test_losses__brokers_lose_what_they_acknowledged__counted_to_the_event(brokers, system):
    cluster = brokers(brokers=3)
    s = system(brokers=cluster.bootstrap, regions=2, zones=1, partitions=1,
               queue="replication: 2, topic: {min.insync.replicas: 1, unclean.leader.election.enable: true}")
    topic = "evcache.test.virginia"
    seen, unseen, later = KEYS[::4], KEYS[1::4], KEYS[2::4]
    with s.proxy("virginia") as client:
        write_all(client, KEYS, b"old")
        s.wait_quiet()
        time.sleep(READ_AGAIN_S)  # else these would be read again, and what is lost mended with them
        leader = cluster.leader(topic, 0)
        follower, = set(cluster.metadata(topic)["replicas"][0]) - {leader}
        cluster.node(follower).stop()  # what comes now it does not have
        for start in range(0, len(seen), 50):
            write_all(client, seen[start:start + 50], b"new")
            wait_appended(s)
        s.wait_quiet()
        position = cluster.end_offsets(topic)[0]
        with without_relay(s, "virginia"):
            before = sum(produced(s, "virginia"))
            write_all(client, unseen, b"new")
            wait_appended(s)
            in_them = sum(produced(s, "virginia")) - before
            cluster.node(leader).kill()
            cluster.node(follower).start()
            assert cluster.leader(topic, 0, other_than=leader) == follower
            write_all(client, later, b"new")
            wait_appended(s)
            # The group has passed the end of this log; what is new lies before its position.
            assert cluster.end_offsets(topic)[0] < position
    document = s.wait_quiet(60.0)
    pair = pair_of(document, "virginia", "oregon")
    assert in_them == len(unseen) and pair["lost"] == in_them and pair["unexplained"] == 0, pair
    assert stale_keys(s) == set(unseen)


def test_losses__group_put_back_by_hand__what_it_reads_again_is_duplicate(brokers, system):
    cluster = brokers()
    s = system(brokers=cluster.bootstrap, regions=2, zones=1, partitions=4)
    topic = "evcache.test.virginia"
    with s.proxy("virginia") as client:
        write_all(client, KEYS[:500], b"first")
        s.wait_quiet()
        first = produced(s, "virginia")
        cluster.delete_records(topic, cluster.end_offsets(topic))  # what is to be read again begins here
        write_all(client, KEYS, b"second")
        s.wait_quiet()
        again = [now - then for now, then in zip(produced(s, "virginia"), first)]
        with s.node("oregon") as node:
            there = {key: node.peek(key) for key in KEYS}
        with without_relay(s, "virginia"):
            cluster.reset_group(f"{topic}.oregon", topic)
            write_all(client, KEYS[:100], b"third")
            wait_appended(s)
    pair = pair_of(s.wait_quiet(60.0), "virginia", "oregon")
    assert [cell["duplicate"] for cell in pair["partitions"]] == again and min(again) > 0, pair
    assert pair["lost"] == 0 and pair["unexplained"] == 0, pair
    assert stale_keys(s) == set()
    with s.node("oregon") as node:
        assert all(node.peek(key) == there[key] for key in KEYS[100:])  # no value was harmed
        assert all(node.peek(key).value == b"third" for key in KEYS[:100])


def test_losses__journal_full_while_no_broker_answers__counted_to_the_event(brokers, system):
    cluster = brokers()
    s = system(brokers=cluster.bootstrap, regions=2, zones=1, extra="journal: {size: 64KiB}\n")
    with s.proxy("virginia") as client:
        write_all(client, KEYS[:100], b"before")
        s.wait_quiet()
        cluster.node(1).stop()
        keys = [b"later-%05d" % number for number in range(10_000)]
        write_all(client, keys, b"v")  # none waits for the queue: that is away
    cluster.start()
    document = s.wait_quiet(60.0)
    lost = next(p for p in document["processes"] if p["name"] == "virginia/proxy/0")["lost_at_journal"]
    assert 0 < lost < len(keys)
    pair = pair_of(document, "virginia", "oregon")
    assert pair["lost"] == lost and pair["unexplained"] == 0, pair
    assert pair["produced"] == 100 + len(keys)
    with s.node("oregon") as node:
        missing = sum(node.mg(keys[start:start + 1000]).count(None) for start in range(0, len(keys), 1000))
    assert missing == lost
