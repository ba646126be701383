# SPDX-License-Identifier: Apache-2.0
"""Two regions of two partitions whose processes answer with documents of a test's making."""

import contextlib
import http.server
import json
import threading

from helpers.system import run

OUTCOMES = ["applied", "identical", "behind", "late", "coalesced", "filtered", "expired", "gone",
            "abandoned"]


def partition(number, backlog=0, lost=0, duplicate=0, lag=(), **outcomes):
    return {"partition": number, "received": sum(outcomes.values()), "lost": lost,
            "duplicate": duplicate, "open": 0, "backlog_records": backlog,
            "backlog_events": backlog, "oldest_us": 0, "lag_us": {}, "lag_buckets": list(lag),
            "outcomes": {name: outcomes.get(name, 0) for name in OUTCOMES}}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        document = self.server.document
        body = json.dumps(document() if callable(document) else document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


class Fakes:
    """Two regions of two partitions whose processes answer with documents of the test's making."""

    def __init__(self, config, but=()):
        """but: (region, part) of processes that the test starts itself."""
        self.path, self.regions = config(regions=2, zones=1, partitions=2)
        self.stack = contextlib.ExitStack()
        self.documents = {}
        for region in self.regions:
            for part, address in (("proxy", region.admin), ("relay", region.relays[0])):
                self.documents[region.name, part] = {
                    "part": part, "cache": "test", "region": region.name, "index": 0, "pid": 1,
                    "produced": [0, 0], "lost_at_journal": 0, "feeder": {"stalled": False}}
                if (region.name, part) not in but:
                    self.serve(region.name, part, address)
            other = [r.name for r in self.regions if r is not region][0]
            self.relay(region.name).update(
                destinations=[{"region": other, "link": "up", "why": "", "lag_us": {"max": 0},
                               "partitions": [partition(0), partition(1)]}],
                repair={"partitions": [partition(0), partition(1)]})

    def serve(self, region, part, address):
        host, port = address.split(":")
        server = http.server.ThreadingHTTPServer((host, int(port)), Answers)
        server.document = lambda: self.answer(region, part)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)

    def answer(self, region, part):
        return self.documents[region, part]

    def proxy(self, region):
        return self.documents[region, "proxy"]

    def relay(self, region):
        return self.documents[region, "relay"]

    def status(self):
        done = run("status", "--config", self.path, "--json")
        return done, json.loads(done.stdout)

    def pair(self, source="virginia", destination="oregon"):
        _, document = self.status()
        return [p for p in document["pairs"]
                if (p["source"], p["destination"]) == (source, destination)][0]


def set_virginia(fakes, cells, produced, relay_produced=(0, 0), repair=None):
    """Virginia's books towards oregon; its repair group agrees unless told otherwise."""
    fakes.proxy("virginia")["produced"] = list(produced)
    relay = fakes.relay("virginia")
    relay["produced"] = list(relay_produced)
    relay["destinations"][0]["partitions"] = cells
    total = [a + b for a, b in zip(produced, relay_produced)]
    relay["repair"]["partitions"] = repair or [partition(p, applied=n) for p, n in enumerate(total)]
