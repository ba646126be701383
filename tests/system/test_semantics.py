# SPDX-License-Identifier: Apache-2.0
"""What a write means in other zones and regions: policies by prefix, times to live, deletes."""

import signal
import time

import pytest

from evc import memcache

TTL_TOLERANCE_S = 2
POLICIES = """policies:
  - {prefix: "session:", replicate: none}
  - {prefix: "row:keep:", replicate: copy}
  - {prefix: "row:", replicate: invalidate}
"""


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=2, zones=2, nodes=2, extra=POLICIES)


def values_of(cache, region, key):
    """What the zones of a region have for a key."""
    values = cache.values(key)
    return {values[zone.name] for zone in cache.regions[region].zones}


def outcomes(document, source, destination):
    return next(pair["outcomes"] for pair in document["pairs"]
                if (pair["source"], pair["destination"], pair["group"]) == (source, destination, "ship"))


def wait_for(condition, limit=30.0):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- keys ---

def test_key__longest_of_control_characters__is_replicated(cache):
    key = b"\x01\x7f\x02\x03\x80" * 50
    assert cache.proxy("virginia").set(key, b"value") == b"STORED"
    cache.wait_quiet()
    assert cache.proxy("oregon").get(key) == b"value"


# --- policies ---

def test_policy__none__stays_in_its_region(cache):
    before = outcomes(cache.wait_quiet(), "virginia", "oregon")["filtered"]
    assert cache.proxy("oregon").set("session:1", b"of oregon") == b"STORED"
    assert cache.proxy("virginia").set("session:1", b"of virginia") == b"STORED"
    assert cache.proxy("virginia").set("session:2", b"of virginia") == b"STORED"
    document = cache.wait_quiet()
    assert values_of(cache, "virginia", "session:1") == {b"of virginia"}
    assert values_of(cache, "oregon", "session:1") == {b"of oregon"}
    assert values_of(cache, "oregon", "session:2") == {None}
    assert outcomes(document, "virginia", "oregon")["filtered"] == before + 2
    assert cache.proxy("virginia").delete("session:1") == b"DELETED"
    cache.wait_quiet()
    assert values_of(cache, "virginia", "session:1") == {None}
    assert values_of(cache, "oregon", "session:1") == {b"of oregon"}


def test_policy__invalidate__is_a_miss_elsewhere(cache):
    virginia, oregon = cache.proxy("virginia"), cache.proxy("oregon")
    assert virginia.set("row:1", b"first") == b"STORED"
    cache.wait_quiet()
    assert virginia.get("row:1") == b"first" and oregon.get("row:1") is None
    assert oregon.set("row:1", b"second") == b"STORED"  # read there from its database
    cache.wait_quiet()
    assert oregon.get("row:1") == b"second" and virginia.get("row:1") is None
    assert values_of(cache, "oregon", "row:1") == {b"second"}
    assert values_of(cache, "virginia", "row:1") == {None}
    assert virginia.set("row:1", b"third") == b"STORED"
    cache.wait_quiet()
    assert values_of(cache, "virginia", "row:1") == {b"third"}
    assert values_of(cache, "oregon", "row:1") == {None}


def test_policy__first_match__wins(cache):
    assert cache.proxy("virginia").set("row:keep:1", b"value") == b"STORED"
    cache.wait_quiet()
    assert set(cache.values("row:keep:1").values()) == {b"value"}


# --- times to live ---

def assert_ttl(cache, key, given, begin):
    """Every copy has as many seconds left as it was given since begin, or -1 for ever."""
    copies = cache.copies(key)
    passed = time.monotonic() - begin
    for zone, item in copies.items():
        assert item is not None, (key, zone)
        if given < 0:
            assert item.ttl == -1, (key, zone, item)
        else:
            assert given - passed - TTL_TOLERANCE_S <= item.ttl <= given + TTL_TOLERANCE_S, (key, zone, item, passed)


def test_ttl__relative_absolute_and_never__carried_over(cache):
    virginia = cache.proxy("virginia")
    begin = time.monotonic()
    expected = {"ttl-100": (100, 100), "ttl-30d": (2592000, 2592000), "ttl-never": (0, -1),
                "ttl-unix": (int(time.time()) + 500, 500)}
    for key, (exptime, _) in expected.items():
        assert virginia.set(key, b"value", exptime=exptime) == b"STORED"
    virginia.send(b"ms ttl-meta 5 T200\r\nvalue\r\n")
    assert virginia.line() == b"HD"
    expected["ttl-meta"] = (200, 200)
    cache.wait_quiet()
    for key, (_, given) in expected.items():
        assert_ttl(cache, key, given, begin)


def test_ttl__touched__carried_over(cache):
    virginia = cache.proxy("virginia")
    touches = {"touch-1": b"touch touch-1 300\r\n", "touch-2": b"gat 300 touch-2\r\n", "touch-3": b"mg touch-3 T300\r\n"}
    for key in touches:
        assert virginia.set(key, b"value", exptime=50) == b"STORED"
    cache.wait_quiet()
    oregon = cache.proxy("oregon")
    begin = time.monotonic()
    oregon.send(b"".join(touches.values()) + b"mn\r\n")
    while oregon.line() != b"MN":
        pass
    cache.wait_quiet()
    for key in touches:
        assert_ttl(cache, key, 300, begin)
        assert set(cache.values(key).values()) == {b"value"}
    assert virginia.ask("touch touch-1 0") == b"TOUCHED"
    cache.wait_quiet()
    assert_ttl(cache, "touch-1", -1, begin)


def test_ttl__expired__is_a_miss_everywhere(cache):
    virginia, oregon = cache.proxy("virginia"), cache.proxy("oregon")
    keys = [b"short-%d" % number for number in range(100)]
    virginia.send(b"set short-0 0 2 5\r\nvalue\r\nget short-0\r\n")  # in one piece: it is read before it expires
    assert virginia.lines(4) == [b"STORED", b"VALUE short-0 0 5", b"value", b"END"]
    for key in keys:
        assert virginia.set(key, b"value", exptime=2) == b"STORED"
    wait_for(lambda: virginia.get("short-99") is None and oregon.get("short-99") is None)
    cache.wait_quiet()
    for key in keys:
        wait_for(lambda key=key: set(cache.values(key).values()) == {None})
        assert virginia.get(key) is None and oregon.get(key) is None
    assert virginia.set("short-0", b"new", verb="add") == b"STORED"
    cache.wait_quiet()
    assert set(cache.values("short-0").values()) == {b"new"}


def test_ttl__negative__deletes_everywhere(cache):
    virginia = cache.proxy("virginia")
    assert virginia.set("negative", b"value") == b"STORED"
    cache.wait_quiet()
    assert cache.proxy("oregon").set("negative", b"gone", exptime=-1) == b"STORED"
    cache.wait_quiet()
    assert set(cache.values("negative").values()) == {None}
    assert virginia.get("negative") is None


def test_ttl__expires_before_it_is_shipped__no_older_value_lives(cache):
    """A value with a short life replaces one with a long life while nothing is shipped."""
    virginia = cache.proxy("virginia")
    assert virginia.set("brief", b"old") == b"STORED"
    cache.wait_quiet()
    cache.restart("virginia/relay/0")
    relay = cache.kill("virginia/relay/0", signal.SIGSTOP)
    try:
        assert virginia.set("brief", b"new", exptime=1) == b"STORED"
        wait_for(lambda: virginia.get("brief") is None)
    finally:
        assert cache.kill("virginia/relay/0", signal.SIGCONT) == relay
    cache.wait_quiet()
    assert set(cache.values("brief").values()) == {None}
    assert cache.proxy("oregon").get("brief") is None


# --- deletes ---

def deleted(cache, key):
    """Makes key a tombstone in every zone of every region."""
    assert cache.proxy("virginia").set(key, b"value", flags=5) == b"STORED"
    assert cache.proxy("virginia").delete(key) == b"DELETED"
    cache.wait_quiet()
    for zone, item in cache.copies(key).items():
        assert memcache.is_tombstone(item), (zone, item)
        assert 3500 < item.ttl <= 3600, (zone, item)  # tombstones.ttl
    return key.encode()


@pytest.mark.parametrize("region", ["virginia", "oregon"])
def test_delete__tombstone__is_invisible_to_every_command(cache, region):
    key = deleted(cache, f"dead-{region}")
    tombstone = next(iter(cache.copies(key).values()))
    client = cache.proxy(region)
    misses = [
        (b"get %s", b"END"), (b"gets %s", b"END"), (b"gat 100 %s", b"END"), (b"gats 100 %s", b"END"),
        (b"mg %s", b"EN"), (b"mg %s v f c s t h l", b"EN"), (b"mg %s T100 v", b"EN"), (b"mg %s u", b"EN"),
        (b"touch %s 100", b"NOT_FOUND"), (b"delete %s", b"NOT_FOUND"), (b"md %s", b"NF"), (b"md %s C1", b"NF"),
        (b"md %%s C%d" % tombstone.cas, b"NF"),
        (b"replace %s 0 0 2\r\nhi", b"NOT_STORED"), (b"cas %s 0 0 2 1\r\nhi", b"NOT_FOUND"),
        (b"cas %%s 0 0 2 %d\r\nhi" % tombstone.cas, b"NOT_FOUND"),
        (b"ms %s 2 MR\r\nhi", b"NS"), (b"ms %s 2 C1\r\nhi", b"NF"), (b"ms %%s 2 C%d\r\nhi" % tombstone.cas, b"NF"),
    ]
    for command, answer in misses:
        client.send(command % key + b"\r\n")
        assert client.line() == answer, command
    client.send(b"get a %s b\r\n" % key)
    assert client.line() == b"END"
    client.send(b"mg %s q v\r\nmn\r\n" % key)
    assert client.line() == b"MN"
    cache.wait_quiet()
    for item in cache.copies(key).values():
        assert memcache.is_tombstone(item), item


@pytest.mark.parametrize("add", [b"add %s 9 0 5\r\nagain\r\n", b"ms %s 5 ME F9\r\nagain\r\n"], ids=["add", "ms"])
def test_delete__add__works_over_a_tombstone(cache, add):
    key = deleted(cache, f"re-{add[:2].decode()}")
    client = cache.proxy("oregon")
    client.send(add % key)
    assert client.line() in (b"STORED", b"HD")
    assert client.get(key) == b"again"
    client.send(add % key)
    assert client.line() in (b"NOT_STORED", b"NS")
    cache.wait_quiet()
    assert {(item.value, item.flags) for item in cache.copies(key).values()} == {(b"again", 9)}


def test_delete__of_a_missing_key__wins_over_older_writes_elsewhere(cache):
    """The key is only in the other region when it is deleted here."""
    relay = cache.kill("oregon/relay/0", signal.SIGSTOP)
    try:
        assert cache.proxy("oregon").set("elsewhere", b"value") == b"STORED"
        time.sleep(0.05)  # the versions' clocks are of one machine
        assert cache.proxy("virginia").delete("elsewhere") == b"NOT_FOUND"
        wait_for(lambda: cache.proxy("oregon").get("elsewhere") is None)
    finally:
        assert cache.kill("oregon/relay/0", signal.SIGCONT) == relay
    cache.wait_quiet()
    assert set(cache.values("elsewhere").values()) == {None}
