# SPDX-License-Identifier: Apache-2.0
"""Zones that fail, and flush_all over all of them: a node that comes back empty fills up from what is read, a frozen one costs no read its answer, a counter
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
    while client.stats("zones")[s.regions["virginia"].zones[0].name] != "nodes=1 up=1 local=yes state=serving":
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


def test_zones__states__say_who_is_written_and_who_is_read(system):
    s = system(regions=2, zones=3, nodes=1, states=("drained", "write_only", "serving"))
    drained, filling, serving = (zone.name for zone in s.regions["virginia"].zones)
    client = s.proxy("virginia")
    assert set(client.stats("zones")) == {filling, serving}
    assert client.stats("zones")[filling].endswith("local=no state=write_only")
    set_all(client)
    s.wait_quiet()
    for key in KEYS[:20]:
        values = s.values(key)
        assert values[drained] is None and values[filling] == values[serving] == b"value"
        assert values[drained.replace("virginia", "oregon")] is None
        assert values[filling.replace("virginia", "oregon")] == b"value"
    # The serving zone loses one: it is a miss, though the zone being filled has it.
    s.node("virginia", 2).ask(b"md %s" % KEYS[0])
    assert client.get(KEYS[0]) is None
    assert client.ask(b"add %s 0 0 1\r\nx" % KEYS[0]) == b"STORED"
    # And a write that only that zone has taken is not acknowledged.
    node = f"virginia/node/{serving}/0"
    s.kill(node, signal.SIGSTOP)
    try:
        assert client.ask(b"set %s 0 0 1\r\nx" % KEYS[1]).startswith(b"SERVER_ERROR not enough zones acknowledged the write (0 of 1)")
    finally:
        s.kill(node, signal.SIGCONT)
    s.wait_quiet(60.0)
    assert s.values(KEYS[1])[serving] == s.values(KEYS[1])[filling]


def test_delete__local_zone_frozen__answered_from_the_other_before_the_time_is_over(system):
    s = system(regions=1, zones=2, nodes=1, timeouts="write: 8s")
    client = s.proxy("virginia")
    assert client.set("key", b"value") == b"STORED"
    s.wait_quiet()
    node = f"virginia/node/{s.regions['virginia'].zones[0].name}/0"
    s.kill(node, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        assert client.delete("key") == b"DELETED"
        assert time.monotonic() - begin < 7.0
    finally:
        s.kill(node, signal.SIGCONT)
    s.wait_quiet(60.0)


def test_flush_all__one_region__others_keep_theirs_and_newer_writes_stay(system):
    s = system(regions=2, zones=2, nodes=2)
    client = s.proxy("virginia")
    set_all(client)
    s.wait_quiet()
    # What is pipelined before it is flushed, what comes behind it is not.
    client.send(b"set before 0 0 1\r\nx\r\nflush_all\r\nset after 0 0 1\r\ny\r\nget before after\r\n")
    assert client.lines(6) == [b"STORED", b"OK", b"STORED", b"VALUE after 0 1", b"y", b"END"]
    assert read_all_codes(client) == {b"EN"}
    assert s.proxy("oregon").get(KEYS[0]) == b"value"
    zones = [zone.name for zone in s.regions["virginia"].zones]
    for key in KEYS[:20]:
        assert [s.values(key)[zone] for zone in zones] == [None, None]
    s.wait_quiet()
    assert set(s.values(b"after").values()) == {b"y"}
    assert client.ask(b"add %s 0 0 1\r\nz" % KEYS[0]) == b"STORED"


def read_all_codes(client):
    client.send(b"".join(b"mg %s\r\n" % key for key in KEYS))
    return set(client.lines(len(KEYS)))


def test_flush_all__set_to_all__every_region_is_empty(system):
    s = system(regions=2, zones=2, nodes=1, extra="writes: {flush_all: all}\n")
    client = s.proxy("virginia")
    set_all(client)
    s.wait_quiet()
    assert client.ask("flush_all") == b"OK"
    s.wait_quiet()
    assert all(value is None for key in KEYS for value in s.values(key).values())


def test_flush_all__node_down__the_other_zone_suffices(system):
    s = system(regions=1, zones=2, nodes=1, timeouts="read: 2s, write: 2s")
    client = s.proxy("virginia")
    set_all(client)
    node = f"virginia/node/{s.regions['virginia'].zones[0].name}/0"
    s.kill(node, signal.SIGSTOP)
    try:
        assert client.ask("flush_all") == b"OK"
        assert read_all_codes(client) == {b"EN"}
    finally:
        s.kill(node, signal.SIGCONT)
    s.wait_quiet(60.0)
    assert all(value is None for key in KEYS for value in s.values(key).values())


def test_flush_all__off_later_and_noreply__as_memcached(system):
    s = system(regions=1, zones=1, nodes=1)
    client = s.proxy("virginia")
    set_all(client)
    client.send(b"flush_all 2\r\nget %s\r\n" % KEYS[0])  # in one piece: the second comes before the time does
    assert client.lines(4) == [b"OK", b"VALUE %s 7 5" % KEYS[0], b"value", b"END"]
    deadline = time.monotonic() + LIMIT_S
    while client.get(KEYS[0]) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    set_all(client)
    client.send(b"flush_all noreply\r\nmn\r\n")
    assert client.line() == b"MN"
    assert read_all_codes(client) == {b"EN"}
    # A Unix time that is over means at once.
    set_all(client)
    assert client.ask(b"flush_all %d" % (time.time() - 10)) == b"OK"
    assert read_all_codes(client) == {b"EN"}


def test_flush_all__at_once__cancels_one_for_later_of_any_worker(system):
    s = system(regions=1, zones=1, nodes=1, extra="proxy: {workers: 4}\n")
    clients = [s.proxy("virginia") for _ in range(16)]  # the kernel spreads them over the workers
    for client in clients:
        assert client.ask("flush_all 1") == b"OK"
    assert clients[0].ask("flush_all") == b"OK"
    set_all(clients[0])
    time.sleep(1.5)  # nothing can be waited for: what would come is not to come
    assert read_all_codes(clients[0]) == {b"HD"}


def test_flush_all__off__is_refused(system):
    s = system(regions=1, zones=1, nodes=1, extra="writes: {flush_all: off}\n")
    assert s.proxy("virginia").ask("flush_all") == b"CLIENT_ERROR flush_all not allowed"
