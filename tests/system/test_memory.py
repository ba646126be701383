# SPDX-License-Identifier: Apache-2.0
"""What connections cost a proxy that does not serve them right now: ten thousand at rest, and one that asks and never reads."""

import resource
import socket
import time

import pytest

from evc import memcache

CLIENTS = 10000
IDLE_MAX_KIB = 40 * 1024
REST_LIMIT_S = 15.0
SULKING_S = 3.0
SULKING_MAX_KIB = 64 * 1024  # its own output and input, and the replies under way


def resident_kib(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def test_memory__ten_thousand_clients_at_rest__cost_little(system):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + 1000:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        s = system(regions=1, zones=1, extra=f"proxy: {{connections: {CLIENTS + 100}}}\n")
        pid = s.pid("virginia/proxy/0")
        before = resident_kib(pid)
        address = memcache.split_address(s.regions["virginia"].proxies[0])
        clients = [socket.create_connection(address) for _ in range(CLIENTS)]
        for client in clients:  # one after the other: not a burst, whose memory stays for the next
            client.sendall(b"set key 0 0 1\r\nx\r\n")
            assert client.recv(1 << 16) == b"STORED\r\n"
        deadline = time.monotonic() + REST_LIMIT_S
        while resident_kib(pid) - before > IDLE_MAX_KIB and time.monotonic() < deadline:
            time.sleep(0.1)  # buffers are given back after a second without use
        cost = resident_kib(pid) - before
        print(f"{CLIENTS} clients at rest: {cost} KiB")
        for client in clients:
            client.close()
        assert cost <= IDLE_MAX_KIB
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_memory__a_client_asks_and_never_reads__is_bounded(system):
    s = system(regions=1, zones=1)
    pid = s.pid("virginia/proxy/0")
    assert s.proxy("virginia").set("big", b"x" * 100000) == b"STORED"
    before, most, sent = resident_kib(pid), 0, 0
    client = socket.create_connection(memcache.split_address(s.regions["virginia"].proxies[0]))
    client.setblocking(False)
    deadline = time.monotonic() + SULKING_S
    while time.monotonic() < deadline:
        try:
            sent += client.send(b"get big\r\n" * 1000)
        except BlockingIOError:
            time.sleep(0.01)
        most = max(most, resident_kib(pid) - before)
    print(f"a client that asked for {sent // 9 * 100000 >> 20} MiB and read nothing: {most} KiB")
    assert sent // 9 * 100000 > SULKING_MAX_KIB * 1024  # it asked for more than the bound
    assert most <= SULKING_MAX_KIB
    assert s.proxy("virginia").get("big") == b"x" * 100000  # others are served
    client.close()


def sulk_after_short_replies(address):
    """A client whose replies were short until it asks for many long ones, and reads none of them."""
    client = socket.create_connection(memcache.split_address(address))
    for _ in range(20):
        client.sendall(b"get nothing\r\n")
        assert client.recv(1 << 16) == b"END\r\n"
    client.sendall(b"get" + b" big" * 60 + b"\r\n")
    return client


def worst_wait(address):
    """The longest that a client of a proxy waited within SULKING_S."""
    deadline = time.monotonic() + SULKING_S
    worst = 0.0
    with memcache.Client(address) as client:
        while time.monotonic() < deadline:
            begin = time.monotonic()
            assert client.ask("mn") == b"MN"
            assert client.get("big") == b"x" * 900_000
            worst = max(worst, time.monotonic() - begin)
    return worst


def test_memory__clients_that_never_read__hold_up_no_other(system):
    s = system(regions=1, zones=1)
    assert s.proxy("virginia").set("big", b"x" * 900_000) == b"STORED"
    address = s.regions["virginia"].proxies[0]
    alone = worst_wait(address)
    sulking = [sulk_after_short_replies(address) for _ in range(3)]
    worst = worst_wait(address)
    print(f"beside {len(sulking)} clients that do not read, another waited {worst:.3f} s at most, alone {alone:.3f} s")
    assert worst < 2.0 + 5 * alone
    for client in sulking:
        client.close()
