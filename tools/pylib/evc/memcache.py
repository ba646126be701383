# SPDX-License-Identifier: Apache-2.0
"""A memcached connection that shows what is on the wire: blocking, pipelined, no retries."""

import collections
import socket

TOMBSTONE_FLAGS = 0xE7CADEAD
RECEIVE_BYTES = 1 << 18

Item = collections.namedtuple("Item", "value flags cas ttl")


class Closed(Exception):
    """The other end closed the connection."""


def split_address(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Client:
    """One connection to a node or a proxy ("host:port")."""

    def __init__(self, address, timeout=10.0):
        self.address = address
        self.socket = socket.create_connection(split_address(address), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = bytearray()
        self._at = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    # --- bytes ---

    def send(self, data):
        self.socket.sendall(data)

    def _receive(self):
        if self._at:
            del self._input[: self._at]
            self._at = 0
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise Closed(self.address)
        self._input += data

    def line(self):
        """The next line without its CRLF."""
        while True:
            end = self._input.find(b"\r\n", self._at)
            if end >= 0:
                text = bytes(self._input[self._at : end])
                self._at = end + 2
                return text
            self._receive()

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def block(self, length):
        """A data block of length bytes and its CRLF."""
        while len(self._input) - self._at < length + 2:
            self._receive()
        data = bytes(self._input[self._at : self._at + length])
        assert self._input[self._at + length : self._at + length + 2] == b"\r\n"
        self._at += length + 2
        return data

    def ask(self, text):
        """Sends a command line (str or bytes, without CRLF) and returns the first line of the answer."""
        self.send((text.encode() if isinstance(text, str) else text) + b"\r\n")
        return self.line()

    # --- commands, one at a time ---

    def set(self, key, value, flags=0, exptime=0, verb="set"):
        self.send(b"%s %s %d %d %d\r\n%s\r\n"
                  % (verb.encode(), as_bytes(key), flags, exptime, len(value), value))
        return self.line()

    def get(self, key):
        """The value, or None."""
        self.send(b"get %s\r\n" % as_bytes(key))
        head = self.line()
        if head == b"END":
            return None
        assert head.startswith(b"VALUE "), head
        value = self.block(int(head.split()[3]))
        assert self.line() == b"END"
        return value

    def delete(self, key):
        return self.ask(b"delete " + as_bytes(key))

    def version(self):
        return self.ask("version").removeprefix(b"VERSION ").decode()

    def stats(self, of=""):
        self.send(b"stats %s\r\n" % of.encode())
        found = {}
        while (text := self.line()) != b"END":
            _, name, value = text.decode().split(" ", 2)
            found[name] = value
        return found

    # --- meta ---

    def mg(self, keys, flags=b"v f c t"):
        """What is there for each key, in order: an Item or None. flags must contain v, f, c and t."""
        if not keys:
            return []
        self.send(b"".join(b"mg %s %s\r\n" % (key, flags) for key in keys))
        return [self._mg_answer() for _ in keys]

    def _mg_answer(self):
        head = self.line()
        if head == b"EN":
            return None
        assert head.startswith(b"VA "), head
        tokens = head.split()
        value = self.block(int(tokens[1]))
        found = {token[:1]: token[1:] for token in tokens[2:]}
        return Item(value, int(found[b"f"]), int(found[b"c"]), int(found[b"t"]))

    def peek(self, key):
        """The item of one key as the node has it, a tombstone included; or None."""
        return self.mg([as_bytes(key)])[0]


def is_tombstone(item):
    return item is not None and item.flags == TOMBSTONE_FLAGS and not item.value


def as_bytes(key):
    return key.encode() if isinstance(key, str) else key
