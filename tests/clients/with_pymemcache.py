# SPDX-License-Identifier: Apache-2.0
"""pymemcache at its ordinary work; see test_clients.py for what that is."""

import sys

from pymemcache.client.base import Client

client = Client((sys.argv[1], int(sys.argv[2])), timeout=10, connect_timeout=10, default_noreply=False)

assert client.get("missing") is None
assert client.set("a", b"1") and client.get("a") == b"1"
assert not client.add("a", b"2") and client.add("b", b"2")
assert client.replace("a", b"3") and not client.replace("c", b"3")
assert client.append("a", b"4") and client.prepend("a", b"2") and client.get("a") == b"234"
assert client.incr("a", 6) == 240 and client.decr("a", 40) == 200
value, unique = client.gets("b")
assert value == b"2" and client.cas("b", b"5", unique) and not client.cas("b", b"6", unique)
assert client.set_many({"x": b"1", "y": b"2"}) == [] and client.get_many(["x", "none", "y"]) == {"x": b"1", "y": b"2"}
assert client.touch("x", 100)
assert client.delete("x") and not client.delete("x") and client.get("x") is None
assert client.set("expired", b"1", expire=-1) and client.get("expired") is None
assert client.set("large", b"v" * 500000) and client.get("large") == b"v" * 500000
assert client.set("counter", b"0")
for i in range(100):
    assert client.set(f"old-{i}", b"%d" % i)
print("ready", flush=True)
sys.stdin.readline()  # a node is lost
for i in range(100):
    assert client.set(f"new-{i}", b"%d" % i) and client.get(f"new-{i}") == b"%d" % i
    assert client.get(f"old-{i}") == b"%d" % i
    assert client.incr("counter", 1) == i + 1
assert len(client.get_many([f"old-{i}" for i in range(100)])) == 100
print("done", flush=True)
