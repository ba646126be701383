# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus over a test's cache, with the rules under ops/."""

import contextlib
import json
import os
import subprocess
import time
import urllib.request

from evc import cache

from helpers.system import TOP

OPS = TOP / "ops"
PROGRAMS = TOP / "build" / "prometheus"


class Prometheus:
    """A real one, with the example's intervals and rules, and the targets of a test's cache."""

    def __init__(self, s, directory):
        self.address = f"127.0.0.1:{cache.free_ports(1)[0]}"
        targets = [address for region in s.regions.values() for address in [region.admin, *region.relays]]
        example = (OPS / "prometheus.yml").read_text()
        head, _ = example.split("      - targets:\n")
        config = directory / "prometheus.yml"
        config.write_text(head.replace("[alerts.yml]", f"['{OPS}/alerts.yml']")
                          + f"      - targets: {json.dumps(targets)}\n")
        self.log = open(directory / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            [PROGRAMS / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb",
             f"--web.listen-address={self.address}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=directory,
            env=os.environ | {"GOMAXPROCS": "1"})

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=5) as response:
            return json.load(response)["data"]

    def query(self, expression):
        return self.get("query?query=" + urllib.request.quote(expression))["result"]

    def firing(self, name):
        return [alert["labels"] for alert in self.get("alerts")["alerts"]
                if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    def wait(self, what, limit):
        """The first true result of what(self), and after how many seconds it came."""
        begin = time.monotonic()
        while time.monotonic() < begin + limit:
            with contextlib.suppress(OSError):
                if result := what(self):
                    return result, time.monotonic() - begin
            assert self.process.poll() is None, "prometheus has ended"
            time.sleep(0.1)
        return None, limit

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
