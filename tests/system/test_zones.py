# SPDX-License-Identifier: Apache-2.0
"""Zones that fail: a node that comes back empty fills up from what is read, a frozen one costs no read its answer, a counter
counts each time once over two proxies, both zones and the other region."""

import signal
import threading
import time

KEYS = [b"key-%d" % number for number in range(300)]
COUNTERS_CLIENTS = 8
COUNTS = 1000
LIMIT_S = 30.0


def set_all(client):
    client.send(b"".join(b"set %s 7 300 5\r\nvalue\r\n" % key for key in KEYS))
    assert client.lines(len(KEYS)) == [b"STORED"] * len(KEYS)


def read_all(client):
    client.send(b"".join(b"mg %s v\r\n" % key for key in KEYS))
    return [client.lines(2) for _ in KEYS]


def test_zones__node_comes_back_empty__reads_fill_it_with_the_same_version(system):
    s = system(regions=1, zones=2, nodes=1)
    client = s.proxy("virginia")
    set_all(client)
    zone = s.regions["virginia"].zones[0].name
    s.restart(f"virginia/node/{zone}/0")
    deadline = time.monotonic() + LIMIT_S
    while client.stats()["get_refills"] == "0" and time.monotonic() < deadline:
        assert read_all(client) == [[b"VA 5", b"value"]] * len(KEYS)
    while any(None in s.copies(key).values() for key in KEYS) and time.monotonic() < deadline:
        assert read_all(client) == [[b"VA 5", b"value"]] * len(KEYS)
    s.assert_converged(KEYS)
    for item in s.copies(KEYS[0]).values():
        assert item.flags == 7 and 0 < item.ttl <= 300


def test_zones__add_after_the_local_node_restarted__is_refused_as_before(system):
    s = system(regions=1, zones=2, nodes=1)
    client = s.proxy("virginia")
    set_all(client)
    s.restart(f"virginia/node/{s.regions['virginia'].zones[0].name}/0")
    deadline = time.monotonic() + LIMIT_S
    while client.stats("zones")[s.regions["virginia"].zones[0].name] != "nodes=1 up=1 local=yes":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.ask(b"add %s 0 0 1\r\nx" % KEYS[0]) == b"NOT_STORED"
    assert client.ask(b"append %s 0 0 1\r\n+" % KEYS[1]) == b"STORED"
    assert client.get(KEYS[1]) == b"value+"


def test_zones__local_node_frozen__every_read_is_answered(system):
    s = system(regions=1, zones=2, nodes=1, extra="reads: {hedge: 20ms, hedge_percent: 100}\n")
    client = s.proxy("virginia")
    set_all(client)
    node = f"virginia/node/{s.regions['virginia'].zones[0].name}/0"
    s.kill(node, signal.SIGSTOP)
    try:
        for _ in range(3):
            assert read_all(client) == [[b"VA 5", b"value"]] * len(KEYS)
        stats = client.stats()
        assert int(stats["get_hedges_won"]) > 0 and stats["get_errors"] == "0"
    finally:
        s.kill(node, signal.SIGCONT)


def test_zones__many_clients_count_through_two_proxies__each_counts_once(system):
    s = system(regions=2, zones=2, nodes=1, proxies=2)
    assert s.proxy("virginia").ask(b"set counter 0 0 1\r\n0") == b"STORED"

    def count(client):
        client.send(b"incr counter 1\r\n" * COUNTS)
        assert all(line.isdigit() for line in client.lines(COUNTS))

    threads = [threading.Thread(target=count, args=(s.proxy("virginia", index % 2),)) for index in range(COUNTERS_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s.wait_quiet(60.0)
    assert set(s.values(b"counter").values()) == {b"%d" % (COUNTERS_CLIENTS * COUNTS)}
    s.assert_converged([b"counter"])
