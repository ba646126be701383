# SPDX-License-Identifier: Apache-2.0
"""The storm: changes from other regions than the one that loaded a key, some keys from two at once, and
faults in the middle of it."""

import os
import random
import signal
import time

from . import screen
from .write import Crew, write_all

UPDATED_SHARE, DELETED_SHARE = 0.25, 0.05
HOT_SHARE, HOT_ROUNDS = 0.01, 20
FREEZE_S = 3.0


class Plan:
    """Who writes what: {region index: [(key, suffix)]}, and the keys two regions write at once."""

    def __init__(self, records, homes, regions, seed):
        rng = random.Random(seed)
        keys = sorted(records)
        rng.shuffle(keys)
        updated = int(len(keys) * UPDATED_SHARE)
        deleted = int(len(keys) * DELETED_SHARE)
        hot = max(1, int(len(keys) * HOT_SHARE))
        self.updated, self.deleted, self.hot = updated, deleted, hot
        self.single = {r: [] for r in range(len(regions))}
        for i, key in enumerate(keys[: updated + deleted]):
            region = rng.choice([r for r in range(len(regions)) if r != homes[key]])
            suffix = b"\nX-Changed-In: %s" % regions[region].name.encode() if i < updated else None
            self.single[region].append((key, suffix))
        for writes in self.single.values():
            rng.shuffle(writes)  # deletes among the updates
        # The same keys in the same order from two regions, round after round.
        self.racing = {r: [] for r in range(len(regions))}
        hot_keys = keys[updated + deleted : updated + deleted + hot]
        pairs = {key: rng.sample(range(len(regions)), 2) for key in hot_keys}
        for n in range(HOT_ROUNDS):
            for key in hot_keys:
                for region in pairs[key]:
                    suffix = b"\nX-Round: %d in %s" % (n, regions[region].name.encode())
                    self.racing[region].append((key, suffix))
        self.hot_keys = hot_keys

    def total(self):
        return sum(len(w) for w in self.single.values()) + sum(
            len(w) for w in self.racing.values())


def run(plan, ledger, regions, up, seconds, step):
    """Returns what was done to whom, for the summary."""
    crew = Crew()
    for index, region in enumerate(regions):
        for writes, racing in ((plan.single[index], False), (plan.racing[index], True)):
            if writes:
                crew.start(write_all, ledger, region.proxies[0], writes, step.add, racing, seconds)
    crew.start(_kill_relay, regions, up, seconds * 0.2)
    crew.start(_freeze_node, regions, up, seconds * 0.35)
    crew.wait()
    # Of the keys two regions wrote at once, either region's last write may have won, nothing older.
    last = b"\nX-Round: %d in " % (HOT_ROUNDS - 1)
    if ledger.refused == 0:
        for key in plan.hot_keys:
            ledger.expected[key] = {s for s in ledger.expected[key] if s and s.startswith(last)}


def _kill_relay(regions, up, after):
    time.sleep(after)
    relay = f"{regions[0].name}/relay/0"
    pid = up.kill(relay, signal.SIGKILL)
    screen.event(f"killed {relay} (kill -9, pid {pid})", "warn")
    new_pid = up.wait_restarted(relay, pid)
    screen.event(f"{relay} is back (pid {new_pid})", "good")


def _freeze_node(regions, up, after):
    time.sleep(after)
    zone = regions[1].zones[0]
    node = f"{regions[1].name}/node/{zone.name}/0"
    pid = up.kill(node, signal.SIGSTOP)
    screen.event(f"froze {node} ({zone.nodes[0]}) for {FREEZE_S:.0f} s", "warn")
    time.sleep(FREEZE_S)
    os.kill(pid, signal.SIGCONT)
    screen.event(f"{node} runs again", "good")
