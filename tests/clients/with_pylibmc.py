# SPDX-License-Identifier: Apache-2.0
"""pylibmc (libmemcached) at its ordinary work; see test_clients.py for what that is."""

import sys

import pylibmc

client = pylibmc.Client([f"{sys.argv[1]}:{sys.argv[2]}"], behaviors={"cas": True, "tcp_nodelay": True})

assert client.get("missing") is None
assert client.set("a", "text") and client.get("a") == "text"
assert not client.add("a", "2") and client.add("b", "2")
assert client.replace("a", "3") and client.append("a", "4") and client.prepend("a", "2") and client.get("a") == "234"
assert client.set("n", 10) and client.incr("n", 5) == 15 and client.decr("n", 6) == 9
value, unique = client.gets("b")
assert value == "2" and client.cas("b", "5", unique)
assert client.set_multi({"x": 1, "y": [2, 3]}) == [] and client.get_multi(["x", "none", "y"]) == {"x": 1, "y": [2, 3]}
assert client.touch("x", 100) and client.delete("x") and not client.delete("x") and client.get("x") is None
assert client.set("large", b"v" * 500000) and client.get("large") == b"v" * 500000
assert client.set("counter", 0)
for i in range(100):
    assert client.set(f"old-{i}", i)
print("ready", flush=True)
sys.stdin.readline()  # a node is lost
for i in range(100):
    assert client.set(f"new-{i}", i) and client.get(f"new-{i}") == i and client.get(f"old-{i}") == i
    assert client.incr("counter") == i + 1
assert len(client.get_multi([f"old-{i}" for i in range(100)])) == 100
print("done", flush=True)
