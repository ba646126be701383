# SPDX-License-Identifier: Apache-2.0
"""Once warm, a request allocates nothing: not in the proxy that takes it, not in the relay, not in the receiver.

Every process runs with an allocator that counts (helpers/count_allocations.c). One allocation for every request would be
as many as there are requests. What remains is for batches, whatever their size: the transactions of the queue's store, and
buffers that a connection had given back while it rested. It stays far below half an allocation for a request.
"""

import pytest
from helpers.allocations import Counter

BLOCK = 500          # requests on their way at once
BLOCKS_WARM = 40
BLOCKS = 40          # that are counted: 20,000 requests
BATCH_SHARE = 0.5    # of the requests
ROUNDS = 4           # a zone that falls behind for the first time makes the proxy keep more writes in progress than ever before
PROCESSES = ["virginia/proxy/0", "virginia/relay/0", "oregon/proxy/0"]


@pytest.fixture(name="counted")
def counted_fixture(system, tmp_path):
    """A running cache whose allocations are counted: (system, count(process name))."""
    counter = Counter(tmp_path)
    running = system(regions=2, zones=2, nodes=2, environment=counter.environment)
    return running, lambda name: counter.count(running.pid(name))


def block_of(kind, number):
    """(request bytes, the answer's last bytes, how many answers end so)."""
    keys = [f"key-{(number * BLOCK + i) % 4000:05d}".encode() for i in range(BLOCK)]
    value = b"v" * 300
    if kind == "set":
        return b"".join(b"set %s 0 0 300\r\n%s\r\n" % (key, value) for key in keys), b"STORED\r\n"
    if kind == "get":
        return b"".join(b"get %s\r\n" % key for key in keys), b"END\r\n"
    if kind == "touch":
        return b"".join(b"touch %s 1000\r\n" % key for key in keys), b"TOUCHED\r\n"
    if kind == "meta":
        return b"".join(b"mg %s v t\r\n" % key for key in keys), b"%s\r\n" % value
    assert kind == "delete"
    # Every second is there: deleting what is not takes another way.
    return b"".join(b"set %s 0 0 300\r\n%s\r\ndelete %s\r\n" % (key, value, key) for key in keys), b"DELETED\r\n"


def send(client, kind, blocks):
    for number in range(blocks):
        request, end = block_of(kind, number)
        client.send(request)
        seen, tail = 0, b""
        while seen < BLOCK:
            data = tail + client.socket.recv(1 << 18)
            assert len(data) > len(tail), "the proxy closed the connection"
            seen += data.count(end)
            tail = data[data.rfind(end) + len(end):] if end in data else data
            tail = tail[-len(end):]


@pytest.mark.parametrize("kinds", [["set", "get", "meta"], ["set", "touch", "delete"]])
def test_requests__once_warm__allocate_nothing(counted, kinds):
    running, count = counted
    client = running.proxy("virginia")
    for kind in kinds:
        send(client, kind, BLOCKS_WARM)
    running.wait_quiet()
    for kind in kinds:
        for _ in range(ROUNDS):
            before = {name: count(name) for name in PROCESSES}
            assert before["virginia/proxy/0"] > 100  # it does count
            send(client, kind, BLOCKS)
            made = {name: count(name) - before[name] for name in PROCESSES}
            if max(made.values()) < BLOCKS * BLOCK * BATCH_SHARE:
                break
        assert max(made.values()) < BLOCKS * BLOCK * BATCH_SHARE, f"{kind}: {made}"
