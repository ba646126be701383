# SPDX-License-Identifier: Apache-2.0
"""The memcached protocol as a proxy speaks it over a real socket: answers are those of a real memcached, byte for byte, however
the bytes of a request arrive; and the connection is in step after every mistake."""

import pytest

from evc import memcache
from helpers import real as real_helper

LONG, TOO_LONG = b"k" * 250, b"k" * 251
LONG_UNPRINTABLE = b"\x01\x7f\t\x1f\x80" * 50
TOO_LARGE = b"SERVER_ERROR object too large for cache"
# What both hold before every case: (key, flags, value).
ITEMS = [(b"a", 7, b"alpha"), (b"b", 0, b""), (b"end", 0, b"the end")]
SENTINEL = b"mg end k v\r\n"
SENTINEL_ANSWER = b"VA 7 kend\r\nthe end\r\n"
ANSWER_LIMIT_S = 10.0

# Answered exactly as memcached does. Versions are the proxy's own, so no answer here shows one.
CASES = [
    # reading
    b"get a\r\n", b"get a\n", b"get nothing\r\n", b"get a nothing b a\r\n", b"get  a  b \r\n", b"get " + LONG + b"\r\n",
    b"get\r\n", b"gets\r\n", b"gets nothing\r\n", b"get " + TOO_LONG + b"\r\n", b"get a " + TOO_LONG + b" b\r\n",
    b"gat 100 a b\r\n", b"gat 100 nothing\r\n", b"gat x a\r\n", b"gat 10\r\n", b"gat\r\n",
    # storing
    b"set c 5 0 3\r\nabc\r\nget c\r\n", b"set c 0 0 0\r\n\r\nget c\r\n", b"set c 0 0 3 noreply\r\nabc\r\nget c\r\n",
    b"set c 4294967295 0 1\r\nx\r\nget c\r\n", b"set c 4294967296 0 1\r\nx\r\n", b"set c -1 0 1\r\nx\r\n",
    b"set c 0 0 4\r\n\r\n\r\n\r\nget c\r\n", b"set c 0 -1 1\r\nx\r\nget c\r\n",
    b"set " + LONG_UNPRINTABLE + b" 0 0 2\r\nhi\r\nget " + LONG_UNPRINTABLE + b"\r\nmg " + LONG_UNPRINTABLE + b" v k\r\n",
    b"set " + LONG + b" 0 0 2\r\nhi\r\n", b"set " + TOO_LONG + b" 0 0 2\r\nhi\r\n", b"set c 0 0\r\n", b"set c\r\n", b"set\r\n",
    b"set c 0 0 x\r\n", b"set c 0 0 -1\r\n", b"set c x 0 2\r\nhi\r\n", b"set c 0 x 2\r\nhi\r\n", b"set c 0 0 2 what\r\nhi\r\n",
    b"set c 0 0 2\r\nhixx\r\n", b"set c 0 0 2 noreply\r\nhixx\r\n", b"set c 0 0 2\r\nhi there\r\n", b"set c 0 0 noreply\r\n",
    b"add new1 0 0 2\r\nhi\r\n", b"add a 0 0 2\r\nhi\r\n", b"add a 0 0 2 noreply\r\nhi\r\nget a\r\n",
    b"replace a 0 0 2\r\nhi\r\nget a\r\n", b"replace nothing 0 0 2\r\nhi\r\n",
    b"cas a 0 0 2 1\r\nhi\r\n", b"cas nothing 0 0 2 1\r\nhi\r\n", b"cas a 0 0 2\r\n", b"cas a 0 0 2 x\r\nhi\r\n",
    b"cas a 0 0 2 1 noreply\r\nhi\r\nget a\r\n",
    b"ms a 2 ME C1\r\nhi\r\nmg a v\r\n", b"ms new1 2 ME C1\r\nhi\r\n",
    # building on what is there
    b"append a 0 0 2\r\nhi\r\nget a\r\n", b"append a 9 9 2 noreply\r\nhi\r\nget a\r\n", b"append c 0 0 2\r\nhi\r\nget c\r\n",
    b"prepend a 1 1 2\r\nhi\r\nget a\r\n", b"prepend c 0 0 2\r\nhi\r\n", b"append a 0 0 0\r\n\r\nget a\r\n",
    b"append a 0 0\r\n", b"append " + TOO_LONG + b" 0 0 2\r\nhi\r\n",
    b"ms a 2 MA\r\nhi\r\nmg a v f t\r\n", b"ms a 2 MP T9 F9\r\nhi\r\nmg a v f t\r\n", b"ms a 2 Ma\r\nhi\r\n", b"ms c 2 MA k O2\r\nhi\r\n",
    b"ms c 2 MA N60\r\nhi\r\nmg c v t f\r\n", b"ms c 2 MP N60 F3 T5\r\nhi\r\nmg c v t f\r\n", b"ms a 2 MA C1\r\nhi\r\nmg a v\r\n", b"ms c 2 MA C1\r\nhi\r\n",
    # counting: memcached pads a number that got shorter, but not while a pipelined get still holds the item
    b"incr a 1\r\n", b"incr b 1\r\n", b"incr c 1\r\n", b"decr c 1\r\n", b"incr c x\r\n", b"incr c -1\r\n", b"incr c\r\n", b"incr\r\n", b"incr c 1 2 3\r\n",
    b"incr " + TOO_LONG + b" 1\r\n", b"incr c 18446744073709551616\r\n",
    b"set c 3 0 1\r\n9\r\nincr c 1\r\nget c\r\ndecr c 100\r\n", b"set c 3 0 2\r\n10\r\ndecr c 1\r\ndecr c 100\r\nget c\r\n",
    b"set c 0 0 1\r\n9\r\nincr c 1 noreply\r\ndecr c 3 noreply\r\nget c\r\n", b"set c 0 0 20\r\n18446744073709551615\r\nincr c 2\r\nget c\r\n",
    b"set c 0 0 3\r\n 12\r\nincr c 1\r\nget c\r\n", b"set c 0 0 3\r\n1 2\r\nincr c 1\r\nget c\r\n", b"set c 0 0 2\r\n1x\r\nincr c 1\r\n",
    b"set c 0 0 2\r\n-1\r\nincr c 1\r\nget c\r\n", b"set c 0 0 25\r\n0000000000000000000000001\r\nincr c 1\r\nget c\r\n",
    b"set c 0 100 1\r\n1\r\nincr c 1\r\nmg c t v\r\n", b"delete a\r\nincr a 1\r\n", b"delete a\r\nappend a 0 0 1\r\nx\r\n",
    b"ma a\r\n", b"ma b\r\n", b"ma c\r\n", b"ma c k O1 q\r\n", b"ma c N0\r\nmg c v t\r\n", b"ma c N60 J13 v t\r\nma c v\r\nmg c t v f\r\n",
    b"ma c N60 q\r\nma c q\r\nma c q v\r\nmg c v\r\n", b"set c 5 0 2\r\n10\r\nma c MD D3 v k O7 t\r\nma c M- v\r\nma c M+ D10 v\r\nma c MI v T30\r\nmg c v t f\r\n",
    b"set c 5 0 2\r\n10\r\nma c C1 k\r\nma c C0 v\r\n", b"ma c MX\r\n", b"ma c M\r\n", b"ma c Dx\r\n", b"ma c N0 Jx\r\n", b"ma\r\n", b"ma " + TOO_LONG + b"\r\n",
    b"ma c N60 J5\r\nma YWE= b N60 J5 v k\r\nget aa\r\n",
    # deleting and touching
    b"delete a\r\nget a\r\n", b"delete nothing\r\n", b"delete a 0\r\n", b"delete a 0 noreply\r\n", b"delete a noreply\r\nget a\r\n",
    b"delete a b\r\n", b"delete a b noreply\r\n", b"delete a b c\r\n", b"delete\r\n", b"delete " + TOO_LONG + b"\r\n",
    b"delete a\r\ndelete a\r\n", b"delete a\r\nadd a 0 0 2\r\nhi\r\nget a\r\n", b"delete a\r\nreplace a 0 0 2\r\nhi\r\nget a\r\n",
    b"touch a 100\r\n", b"touch nothing 100\r\n", b"touch a x\r\n", b"touch a -1\r\nget a\r\n", b"touch a 100 noreply\r\n",
    b"touch a\r\n", b"touch\r\n",
    # meta
    b"mg a\r\n", b"mg a v\r\n", b"mg a f k s v Oabc t\r\n", b"mg nothing v\r\n", b"mg nothing k O1 v\r\n", b"mg nothing q\r\n", b"mg a v q\r\n",
    b"mg a k O9 q s v\r\n", b"mg YQ== b v\r\n", b"mg a v v\r\n", b"mg a T100 t\r\n", b"mg nothing T100 v\r\n", b"mg b v s\r\n",
    b"mg\r\n", b"mg " + TOO_LONG + b"\r\n", b"mg a T\r\n", b"mg a Tx\r\n", b"mg Y b v\r\n", b"mg a O" + b"x" * 33 + b"\r\n",
    b"ms c 2\r\nhi\r\nmg c v\r\n", b"ms c 2 F9 T100 Oq1 k\r\nhi\r\nmg c f t v\r\n", b"ms c 2 q\r\nhi\r\nmg c v\r\n",
    b"ms c 2 q Mr\r\nhi\r\nmg c v\r\n", b"ms a 2 ME\r\nhi\r\nmg a v\r\n", b"ms new2 2 ME\r\nhi\r\n", b"ms a 2 MR\r\nhi\r\nmg a v\r\n",
    b"ms nothing 2 MR k O3\r\nhi\r\n", b"ms YWE= 2 b k\r\nhi\r\nget aa\r\n", b"ms a 2 C1\r\nhi\r\n", b"ms nothing 2 C1\r\nhi\r\n",
    b"ms a\r\n", b"ms a x\r\n", b"ms a -1\r\n", b"ms a 2\r\nhixx\r\n", b"ms a 2 MZ\r\nhi\r\n", b"ms a 2 Fx\r\nhi\r\n", b"ms a 2 Tx\r\nhi\r\n",
    b"ms " + TOO_LONG + b" 2\r\nhi\r\n", b"ms\r\n", b"ms a 2 C\r\nhi\r\n",
    b"md a\r\nmg a v\r\n", b"md nothing\r\n", b"md nothing q\r\n", b"md a q k O1\r\nmg a v\r\n", b"md a k O1\r\n", b"md a C1\r\nmg a v\r\n",
    b"md a Cx\r\n", b"md\r\n", b"md YQ== b k\r\nmg a v\r\n", b"mn\r\n", b"mn x\r\n",
    # the rest
    b"\r\n", b"\n", b" \r\n", b"foo\r\n", b"GET a\r\n", b"get\ta\r\n", b"verbosity 1\r\n", b"verbosity 1 noreply\r\n", b"verbosity\r\n",
    b"x" * 1000 + b"\r\n", b"\x00\r\n", b"get a\x00b\r\n",
]

# Fetching what is missing, old or stale. Each by itself: memcached makes an empty item of what is missing, which a plain get
# then finds; with a proxy it stays a miss to everybody else.
LEASE_CASES = [
    b"mg c N30 v t s f\r\nmg c N30 v s\r\nms c 2\r\nhi\r\nmg c N30 v\r\n", b"mg c N30 k O3\r\n", b"mg c N30 v q\r\nmg c N30 q\r\n",
    b"ms c 2 T20\r\nhi\r\nmg c R30 v t\r\nmg c R30 v\r\nmg c R10 v\r\n", b"ms c 2\r\nhi\r\nmg c R30 v t\r\n", b"mg c R30 v\r\n",
    b"md a I\r\nmg a N30 v f\r\nmg a R30 v\r\nms a 2\r\nhi\r\nmg a N30 v\r\n", b"md a I T30 O1 k\r\nmg a N60 t v f\r\n", b"md c I\r\n", b"md a I C1\r\n",
    b"md a x\r\nmg a v f t s\r\n", b"md a x F9 T30\r\nmg a v f t\r\n", b"md a I x T30\r\nmg a N30 v f t\r\n", b"md c x\r\n", b"mg a N30 v k\r\n",
    b"mg a N30 T50 v t\r\n", b"mg a F1 C5 E9 x I v\r\n", b"md a v T5 F1\r\n", b"ms c 2 v t R5 h l\r\nhi\r\n", b"mg a N\r\n", b"mg a Rx\r\n",
    b"me c\r\n", b"me\r\n", b"me Y b\r\n", b"me " + TOO_LONG + b"\r\n",
]

# Not served, or not as memcached does: docs/protocol.md says so, in these words.
OWN_ANSWERS = [
    (b"ms a 2 E5\r\nhi\r\n", b"CLIENT_ERROR flag E of ms is not served by this proxy"),
    (b"ms a 2 I C1\r\nhi\r\n", b"CLIENT_ERROR flag I of ms is not served by this proxy"),
    (b"ma a E5\r\n", b"CLIENT_ERROR flag E of ma is not served by this proxy"),
    (b"md a E5\r\n", b"CLIENT_ERROR flag E of md is not served by this proxy"),
    (b"set a %d 0 0\r\n\r\n" % memcache.TOMBSTONE_FLAGS,
     b"CLIENT_ERROR these client flags with an empty value are reserved"),
    (b"mg YQ== b k\r\n", b"HD kYQ== b"),  # the key as it was asked for, not as it was stored
    (b"stats nonsense\r\n", b"ERROR"),
    (b"hello 1 test virginia 0\r\n", b"ERROR"),
]


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=2, zones=2, nodes=2)


@pytest.fixture(name="proxy")
def proxy_fixture(cache):
    return cache.proxy("virginia")


@pytest.fixture(name="real")
def real_fixture(memcached):
    with memcache.Client(memcached) as client:
        yield client


def prepare(client):
    """Everything a case may look at is as it was, and what it may have made is gone."""
    for key, flags, value in ITEMS:
        assert client.set(key, value, flags) == b"STORED"
    for key in (b"c", b"aa", b"new1", b"new2", LONG, LONG_UNPRINTABLE):
        client.delete(key)


def take_until_sentinel(client):
    """All bytes of the answers before the sentinel's, which must come twice."""
    answer = b""
    client.socket.settimeout(ANSWER_LIMIT_S)
    try:
        while not answer.endswith(SENTINEL_ANSWER * 2):
            data = client.socket.recv(1 << 18)
            assert data, ("closed", answer)
            answer += data
    except TimeoutError as error:
        raise AssertionError(f"out of step: {answer[-2000:]!r}") from error
    return answer.removesuffix(SENTINEL_ANSWER * 2)


def say(client, data, piece=None):
    """The answer to data, sent in pieces."""
    data += SENTINEL * 2
    for start in range(0, len(data), piece or len(data)):
        client.send(data[start:start + (piece or len(data))])
    return take_until_sentinel(client)


@pytest.mark.parametrize("case", CASES + LEASE_CASES, ids=range(len(CASES) + len(LEASE_CASES)))
def test_protocol__any_request__answered_as_memcached_does(proxy, real, case):
    for client in (proxy, real):
        prepare(client)
    expected = say(real, case)
    assert say(proxy, case) == expected, case


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_protocol__requests_in_pieces__answered_the_same(proxy, real, piece):
    for case in CASES + LEASE_CASES:
        for client in (proxy, real):
            prepare(client)
        assert say(proxy, case, piece) == say(real, case), case


@pytest.mark.parametrize("piece", [None, 1, 1000])
def test_protocol__everything_pipelined__answered_in_order(proxy, real, piece):
    for client in (proxy, real):
        prepare(client)
    # One by one: memcached drops the answers that wait in front of an over-long key's error.
    expected = b"".join(say(real, case) for case in CASES)
    assert say(proxy, b"".join(CASES), piece) == expected


@pytest.mark.parametrize("case,answer", OWN_ANSWERS, ids=range(len(OWN_ANSWERS)))
def test_protocol__what_is_not_served__refused_and_in_step(proxy, case, answer):
    prepare(proxy)
    assert say(proxy, case) == answer + b"\r\n"
    assert say(proxy, case, 1) == answer + b"\r\n"
    assert proxy.get("a") == b"alpha"  # nothing was changed


def test_protocol__version_stats_quit__answered(proxy):
    assert proxy.ask("version").startswith(b"VERSION ")
    assert "cmd_get" in proxy.stats()
    proxy.send(b"set q 0 0 1\r\nx\r\nget q\r\nquit\r\nget q\r\n")
    assert proxy.lines(4) == [b"STORED", b"VALUE q 0 1", b"x", b"END"]
    with pytest.raises(memcache.Closed):
        proxy.line()


def test_protocol__cas__stores_once(proxy):
    proxy.set("cas", b"one")
    proxy.send(b"gets cas\r\n")
    unique = proxy.line().split()[4]
    assert proxy.lines(2) == [b"one", b"END"]
    proxy.send(b"cas cas 0 0 3 %s\r\ntwo\r\ncas cas 0 0 5 %s\r\nthree\r\n" % (unique, unique))
    assert proxy.lines(2) == [b"STORED", b"EXISTS"]
    meta = proxy.ask("mg cas c").removeprefix(b"HD c")
    assert int(meta) > int(unique)
    proxy.send(b"md cas C%s\r\nms cas 5 C%s c\r\nthree\r\n" % (unique, meta))
    refused, stored = proxy.lines(2)
    assert refused == b"EX" and stored.startswith(b"HD c") and int(stored[4:]) > int(meta)
    assert proxy.get("cas") == b"three"


# --- sizes ---

def test_protocol__a_million_bytes__stored_everywhere(cache, proxy):
    value = bytes(range(256)) * 3907
    value = value[:1_000_000]
    assert proxy.set("large", value) == b"STORED"
    assert proxy.get("large") == value
    cache.wait_quiet()
    assert cache.proxy("oregon").get("large") == value
    assert set(cache.values("large").values()) == {value}


def test_protocol__larger_than_a_node_connection_keeps__stored_everywhere(system):
    s = system(regions=2, zones=1, node="memory: 400MiB",
               extra="values: {max: 100MiB}\n", timeouts="read: 20s, write: 20s")
    value = bytes(range(256)) * (70 << 12)  # 70 MiB; EVC_ENGINE_NODE_OUTPUT_BYTES_MAX is 64
    assert s.proxy("virginia").set("large", value) == b"STORED"
    assert s.proxy("virginia").get("large") == value
    s.wait_quiet()
    assert s.proxy("oregon").get("large") == value


@pytest.mark.parametrize("length", [1_048_577, 3_000_000])
@pytest.mark.parametrize("form", ["set", "ms", "noreply", "quiet"])
def test_protocol__too_large__refused_and_the_key_is_deleted_everywhere(cache, proxy, length, form):
    key = b"big-%s-%d" % (form.encode(), length)
    assert proxy.set(key, b"small") == b"STORED"
    cache.wait_quiet()
    assert set(cache.values(key).values()) == {b"small"}
    command = {"set": b"set %s 0 0 %d\r\n", "ms": b"ms %s %d\r\n", "noreply": b"set %s 0 0 %d noreply\r\n",
               "quiet": b"ms %s %d q\r\n"}[form] % (key, length)
    proxy.set("end", b"the end")
    # An error is told to a quiet meta command, too; noreply is silent.
    assert say(proxy, command + b"x" * length + b"\r\n") == (b"" if form == "noreply" else TOO_LARGE + b"\r\n")
    assert proxy.get(key) is None
    cache.wait_quiet()
    assert set(cache.values(key).values()) == {None}
    assert cache.proxy("oregon").get(key) is None


@pytest.mark.parametrize("verb", ["set", "add", "replace"])
def test_protocol__too_large_for_nodes__refused_and_set_deletes(system, tmp_path, verb):
    small = tmp_path / "memcached-of-small-items"
    small.write_text(f'#!/bin/sh\n[ "$1" = -V ] && exec {real_helper.binary()} -V\nexec {real_helper.binary()} "$@" -I 512k\n', "ascii")
    small.chmod(0o755)
    s = system(regions=2, zones=2, node=f"memory: 16MiB, command: {small}")
    proxy = s.proxy("virginia")
    proxy.set("end", b"the end")
    if verb != "add":
        proxy.set("key", b"small")
    assert say(proxy, b"%s key 0 0 600000\r\n%s\r\n" % (verb.encode(), b"x" * 600000)) == TOO_LARGE + b"\r\n"
    assert say(proxy, b"%s key 0 0 600000 noreply\r\n%s\r\n" % (verb.encode(), b"x" * 600000)) == b""
    s.wait_quiet()
    s.assert_converged(["key"])
    assert proxy.get("key") is None


def test_protocol__http__closed(cache):
    client = cache.proxy("virginia")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmn\r\n")
    with pytest.raises((memcache.Closed, ConnectionError)):
        client.line()


def test_protocol__endless_line__told_and_closed(cache):
    client = cache.proxy("virginia")
    with pytest.raises((memcache.Closed, ConnectionError)):  # the client would not wait for ever
        client.send(b"x" * 300_000)
        while True:
            assert client.line().startswith(b"CLIENT_ERROR ")


# --- quiet and noreply ---

def test_protocol__ten_thousand_quiet_writes__then_one_answer(proxy):
    count = 10_000
    proxy.send(b"".join(b"ms quiet-%d 2 q\r\nhi\r\n" % n for n in range(count)) + b"mn\r\n")
    assert proxy.line() == b"MN"
    proxy.send(b"".join(b"mg quiet-%d q k\r\nmg missing-%d q k\r\n" % (n, n) for n in range(count)) + b"mn\r\n")
    assert proxy.lines(count) == [b"HD kquiet-%d" % n for n in range(count)]
    assert proxy.line() == b"MN"
    proxy.send(b"".join(b"delete quiet-%d noreply\r\n" % n for n in range(count)) + b"get quiet-0 quiet-9999\r\n")
    assert proxy.line() == b"END"
