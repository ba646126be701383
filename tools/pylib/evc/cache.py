# SPDX-License-Identifier: Apache-2.0
"""A cache as its configuration describes it: regions, zones, nodes and their addresses."""

import dataclasses
import json
import random
import re
import socket
import subprocess

from .ring import Ring


@dataclasses.dataclass
class Zone:
    name: str
    nodes: list  # "host:port"

    def __post_init__(self):
        self.ring = Ring(self.nodes)

    def owner(self, key):
        """The index of the node that has key."""
        return self.ring.find(key.encode() if isinstance(key, str) else key)


@dataclasses.dataclass
class Region:
    name: str
    proxies: list
    receivers: list
    admin: str
    relays: list
    zones: list

    def addresses(self):
        nodes = [node for zone in self.zones for node in zone.nodes]
        return self.proxies + self.receivers + [self.admin] + self.relays + nodes


def parse_regions(text):
    """The regions of a configuration written in the layout of examples/ (this is no YAML reader)."""
    def flow_list(chunk, name):
        return re.findall(r"[^\s,]+", re.search(rf"\b{name}:\s*\[([^\]]*)\]", chunk)[1])

    text = re.sub(r"(^|\s)#.*", "", text)
    regions = []
    pieces = re.split(r"^\s*-\s+name:\s*([\w.-]+)\s*$", text, flags=re.MULTILINE)
    for name, chunk in zip(pieces[1::2], pieces[2::2]):
        zones = [Zone(zone, re.findall(r"[^\s,]+", nodes)) for zone, nodes in re.findall(
            r"name:\s*([\w.-]+)\s*,\s*nodes:\s*\[([^\]]*)\]", chunk)]
        regions.append(Region(name, flow_list(chunk, "proxies"), flow_list(chunk, "receivers"),
                              re.search(r"\badmin:\s*(\S+)", chunk)[1], flow_list(chunk, "relays"),
                              zones))
    return regions


def free_ports(count):
    """Ports of the loopback that nothing uses just now, all different.

    From below the range the kernel takes for outgoing connections: a port of that range could be
    taken by one of the cache's own connections while the process that listens there restarts.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        above = int(file.read().split()[0])
    found = []
    for port in random.SystemRandom().sample(range(max(1024, above - 20000), above), 4000):
        if is_port_free(f"127.0.0.1:{port}"):
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError(f"no {count} free ports below {above}")


def is_port_free(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
        except OSError:
            return False
    return True


class StatusFailed(Exception):
    """`evcache status` could not be run or printed no JSON."""


def status(program, config, timeout=60):
    """(exit status, the document) of `evcache status --json`."""
    done = subprocess.run([program, "status", "--config", str(config), "--json"],
                          capture_output=True, text=True, timeout=timeout, check=False)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError as error:
        raise StatusFailed(done.stderr.strip() or str(error)) from error


def is_quiet(document):
    """Nothing is on its way: nothing queued, nothing waiting in a journal, and the books are settled."""
    return (document["settled"] and document["in_flight"] == 0
            and document["journal_waiting"] == 0 and document["unanswered"] == 0)
