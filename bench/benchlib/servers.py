# SPDX-License-Identifier: Apache-2.0
"""The candidates in front of a memcached: started, asked until they answer, stopped."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time

from evc import cache
from helpers import config

TOP = pathlib.Path(__file__).resolve().parents[2]
PLAIN, BUILT_IN, TWEMPROXY, ONE_ZONE, TWO_ZONES = "memcached", "built-in proxy", "twemproxy", "evcache", "evcache, 2 zones"
START_LIMIT_S = 15.0

LUA = """
function mcp_config_pools(old)
  return mcp.pool({mcp.backend('node', '127.0.0.1', %s)})
end
function mcp_config_routes(pool)
  local direct = mcp.funcgen_new()
  local handle = direct:new_handle(pool)
  direct:ready({ n = 'direct', f = function(rctx)
    return function(request) return rctx:enqueue_and_wait(request, handle) end
  end })
  mcp.attach(mcp.CMD_ANY_STORAGE, direct)
end
"""

NUTCRACKER = """
bench:
  listen: 127.0.0.1:%s
  hash: fnv1a_64
  distribution: ketama
  server_connections: 1
  servers:
   - 127.0.0.1:%s:1
"""


def memcached():
    return os.environ.get("MEMCACHED") or str(TOP / "build/memcached/memcached")


def cpu_us(pid):
    """Microseconds that all threads of a process have run."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


class Process:
    """A server on 127.0.0.1."""

    def __init__(self, name, port, *command):
        self.name, self.address = name, f"127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench/run: {name} does not start: {' '.join(command)}")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def node(port):
    return Process(PLAIN, port, memcached(), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1",
                   "-R", "1000", "-m", "256")


class Fronts:
    """All candidates at once, each with nodes of its own; they are loaded one at a time."""

    def __init__(self, program, directory):
        self.program, self.directory, self.all, self.behind = program, directory, [], []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for process in [*self.all, *reversed(self.behind)]:
            process.stop()

    def start(self):
        plain, behind_lua, lua, behind_nutcracker, nutcracker, stats = [a.rsplit(":", 1)[-1] for a in map(str, cache.free_ports(6))]
        self.all.append(node(plain))
        self.behind.append(node(behind_lua))
        (self.directory / "proxy.lua").write_text(LUA % behind_lua, encoding="utf-8")
        self.all.append(Process(BUILT_IN, lua, memcached(), "-u", "root", "-l", "127.0.0.1", "-p", lua, "-U", "0", "-t", "1",
                                "-R", "1000", "-o", f"proxy_config={self.directory}/proxy.lua"))
        self.behind.append(node(behind_nutcracker))
        (self.directory / "nutcracker.yml").write_text(NUTCRACKER % (nutcracker, behind_nutcracker), encoding="utf-8")
        self.all.append(Process(TWEMPROXY, nutcracker, "nutcracker", "-c", f"{self.directory}/nutcracker.yml", "-s", stats,
                                "-o", "/dev/null"))
        for name, zones in ((ONE_ZONE, 1), (TWO_ZONES, 2)):
            self.start_evcache(name, zones)

    def start_evcache(self, name, zones):
        directory = self.directory / f"front-{zones}"
        directory.mkdir()
        path, regions = config.write(config.Shape(regions=1, zones=zones, nodes=1), directory)
        for zone in regions[0].zones:
            self.behind.append(node(zone.nodes[0].rsplit(":", 1)[1]))
        where = ["--config", str(path), "--region", regions[0].name]
        port, relay_port = [of[0].rsplit(":", 1)[1] for of in (regions[0].proxies, regions[0].relays)]
        self.all.append(Process(name, port, self.program, "proxy", *where))
        # As `evcache up` has it: somebody takes the events out of the queue, or its file only grows.
        self.behind.append(Process(f"{name}'s relay", relay_port, self.program, "relay", *where))
