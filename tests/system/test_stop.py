# SPDX-License-Identifier: Apache-2.0
"""A proxy that is told to end under load: what it has taken is answered, and it is gone within its bound."""

import contextlib
import signal
import socket
import threading
import time

LIMIT_S = 15.0  # EVC_WORKER_DRAIN_MS_MAX (2 s), and what a busy machine takes for it and for the next process
VALUE = b"v" * 100
REPLY = b"VALUE key 0 100\r\n" + VALUE + b"\r\nEND\r\n"


class Load:
    """A connection that asks for as much as the proxy takes, and reads all it gets."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.connection = socket.create_connection((host, int(port)), timeout=30)
        self.received = bytearray()
        self.threads = [threading.Thread(target=self.send), threading.Thread(target=self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        with contextlib.suppress(OSError):
            while True:
                self.connection.sendall(b"get key\r\n" * 5000)

    def receive(self):
        with contextlib.suppress(ConnectionResetError):  # it closes over what it has not taken
            while data := self.connection.recv(65536):
                self.received += data

    def join(self):
        for thread in self.threads:
            thread.join()
        self.connection.close()


def test_proxy__sigterm_under_pipelined_load__ends_in_time_with_whole_replies(system):
    s = system(regions=1, zones=2, nodes=1)
    s.proxy("virginia").set("key", VALUE)
    loads = [Load(s.regions["virginia"].proxies[0]) for _ in range(8)]
    while any(len(load.received) < 100 * len(REPLY) for load in loads):
        time.sleep(0.01)
    old_pid = s.kill("virginia/proxy/0", signal.SIGTERM)
    told = time.monotonic()
    for load in loads:
        load.join()
    s.wait_restarted("virginia/proxy/0", old_pid)
    assert time.monotonic() - told < LIMIT_S
    for load in loads:
        assert load.received == REPLY * (len(load.received) // len(REPLY))


def test_proxy__sigterm_while_a_client_does_not_read__ends_in_time(system):
    """It is paused for want of room, of which a proxy that stops has none: that must not keep it busy."""
    s = system(regions=1, zones=1)
    s.proxy("virginia").set("big", b"x" * 50_000)
    host, port = s.regions["virginia"].proxies[0].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as sulking:
        sulking.sendall(b"get big\r\n" * 1000)
        assert sulking.recv(1)
        time.sleep(0.5)  # the proxy fills what it may keep for it
        told = time.monotonic()
        s.wait_restarted("virginia/proxy/0", s.kill("virginia/proxy/0", signal.SIGTERM))
        assert time.monotonic() - told < LIMIT_S
