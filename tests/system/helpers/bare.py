# SPDX-License-Identifier: Apache-2.0
"""The nodes of a cache and nothing else: what `verify` and `warm` go through, with a test's hands on each.

    b = bare(regions=2, zones=1)                              # one node per zone
    b.put("oregon-a", b"key", b"value", bare.version(age_s=10))
    b.between("oregon-a", on_bytes)                           # from now on everything passes on_bytes
"""

import contextlib
import socket
import threading
import time

from evc import memcache

from helpers.real import real_memcached

VERSION_EPOCH_MS = 1577836800000


def version(age_s=0):
    return int((time.time() - age_s) * 1000) - VERSION_EPOCH_MS << 23


class Bare:
    def __init__(self, stack, config, directory, arguments=(), **shape):
        """arguments: {zone name: of its memcached}. Everything ends with stack."""
        self.config, regions = config(**shape)
        self.stack = stack
        self.addresses = {}  # of the nodes themselves
        self.shown = {zone.name: zone.nodes[0] for region in regions for zone in region.zones}
        text = self.config.read_text()
        for zone, address in self.shown.items():
            home = directory / zone
            home.mkdir()
            self.addresses[zone] = stack.enter_context(real_memcached(home, *dict(arguments).get(zone, ())))
            text = text.replace(address, self.addresses[zone])
        self.config.write_text(text)

    def client(self, zone):
        return self.stack.enter_context(memcache.Client(self.addresses[zone]))

    def put(self, zone, key, value, of_version, ttl=600):
        client = self.client(zone)
        client.send(b"ms %s %d T%d F7 E%d\r\n%s\r\n" % (key, len(value), ttl, of_version, value))
        assert client.line() == b"HD"

    def peek(self, zone, key):
        return self.client(zone).peek(key)

    def between(self, zone, on_bytes):
        """on_bytes(data) sees all that is sent to the node, before the node does; False: it gets nothing of it."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        self.stack.callback(listener.close)
        self.config.write_text(self.config.read_text().replace(self.addresses[zone], address))
        threading.Thread(target=self._accept, args=(listener, zone, on_bytes), daemon=True).start()

    def _accept(self, listener, zone, on_bytes):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                node = socket.create_connection(memcache.split_address(self.addresses[zone]))
                for source, target, look in ((client, node, on_bytes), (node, client, lambda data: True)):
                    threading.Thread(target=_pass_on, args=(source, target, look), daemon=True).start()


def _pass_on(source, target, look):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if look(data) is not False:
                target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
