# SPDX-License-Identifier: Apache-2.0
"""What can be counted instead of timed: instructions and allocations of a request."""

import json
import subprocess
import time

from helpers.allocations import Counter

from benchlib import servers
from benchlib.replicated import Replicated

BLOCKS = (16, 1)
PROCESSES = {"proxy": "virginia/proxy/0", "relay": "virginia/relay/0", "receiver": "oregon/proxy/0"}
KEYS = 4000
WARM_SECONDS, SECONDS = 3, 2
PIPELINE = 64


def instructions(program):
    """{kind: {block: instructions of the proxy's worker for a request}}"""
    found = {}
    for block in BLOCKS:
        done = subprocess.run([str(servers.TOP / "bench" / "instructions"), "--json", "--block", str(block), program],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench/run: {done.stderr or done.stdout}")
        for kind, count in json.loads(done.stdout)["instructions"].items():
            found.setdefault(kind, {})[block] = count
    return found


def allocations(program, directory):
    """{process: allocations for a request}, of gets and sets half and half, once everything is warm: those under load, less
    those of as long a time without any, in which processes ask each other how they are."""
    directory.mkdir()
    counter = Counter(directory)
    with Replicated(program, directory / "cache", environment=counter.environment, regions=2, zones=1) as system:
        pids = {part: system.up.pids()[name] for part, name in PROCESSES.items()}
        load = ["--ratio", "1:1", "--pipeline", PIPELINE]
        system.load(WARM_SECONDS, *load, keys=KEYS)
        system.settle()

        def count(work):
            """What work returns, and {process: allocations} while it and the rest of some seconds went by."""
            before, end = {part: counter.count(pid) for part, pid in pids.items()}, time.monotonic() + SECONDS + 1
            result = work()
            time.sleep(max(0.0, end - time.monotonic()))
            return result, {part: counter.count(pid) - before[part] for part, pid in pids.items()}

        _, idle = count(lambda: None)
        run, loaded = count(lambda: system.load(SECONDS, *load, keys=KEYS))
        return {part: max(0, loaded[part] - idle[part]) / run["requests"] for part in pids}


def run(program, directory, say):
    begin = time.monotonic()
    found = {"instructions": instructions(program), "allocations": allocations(program, directory / "allocations")}
    for kind, blocks in found["instructions"].items():
        say(f"{kind}: " + ", ".join(f"{count:,.0f} instructions with {block} in one piece" for block, count in blocks.items()))
    say("allocations for a request: " + ", ".join(f"{part} {count:.4f}" for part, count in found["allocations"].items())
        + f" (counted in {time.monotonic() - begin:.0f} s)")
    return found
